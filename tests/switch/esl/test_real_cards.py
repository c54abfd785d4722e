"""Calling cards on a real FreeSWITCH; collected where FREESWITCH_BIN names one, see conftest.py."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry

from lab.freeswitch import PrivateFreeSwitch
from lab.process import wait_until
from lab.sipp import Answering, Call, Calling, SippCaller, SippServer, place
from lab.site import Did, Gateway
from pbxbill.app import Application, Charging, open_application, open_charging
from pbxbill.charging.events import Adjust, TopUp
from pbxbill.charging.verify import verify
from pbxbill.esl.daemon import FreeSwitchDaemon
from pbxbill.esl.metrics import PrometheusMetrics
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.ivr.desk import CardDesk
from pbxbill.store.driver import Row
from tests.database_operator import DatabaseOperator, open_database_operator
from tests.switch.card_holder import ACCESS, CALLER, PAID_ACCESS, PIN, TRUSTING, hold_card

pytestmark = pytest.mark.long
SECOND_PRICE = 12_000
GERMANY, BUSY = "4930123", "493012399"
CALLED = "SELECT dialled, answered_us, ended_us, direction FROM cdrs ORDER BY started_us"
OPEN = "SELECT COUNT(*) FROM reservations WHERE state IN ('reserved', 'answered')"


@dataclass
class Lines:
    """A switch, a daemon at work, and callers."""

    freeswitch: PrivateFreeSwitch
    carrier: SippServer
    application: Application
    operator: DatabaseOperator
    charging: Charging
    desk: CardDesk

    def calling(
        self, *keys: tuple[int, str], number: str = ACCESS, hold_ms: int = 0, caller: str = "trunk"
    ) -> Call:
        return Call(number, caller=caller, calling=Calling.KEYS, keys=keys, hold_ms=hold_ms)

    def select(self, statement: str) -> list[Row]:
        driver = self.application.connect()
        try:
            return driver.select(statement)
        finally:
            driver.close()

    def wait_closed(self) -> list[Row]:
        wait_until(lambda: self.select(OPEN) == [(0,)], 30, "the end of all calls")
        return self.select(CALLED)


@pytest.fixture(scope="module")
def switch() -> Iterator[tuple[PrivateFreeSwitch, SippServer]]:
    with (
        SippServer(Answering.ANSWER) as carrier,
        SippServer(Answering.REJECT, status=486) as busy,
        PrivateFreeSwitch(
            phones=[],
            gateways=[Gateway("carrier", carrier.port), Gateway("busy", busy.port, "99")],
            dids=[
                Did(ACCESS, cards=True, charged=False),
                Did(TRUSTING, cards=True, charged=False),
                Did(PAID_ACCESS, cards=True),
            ],
            name="fs1",
        ) as freeswitch,
    ):
        yield freeswitch, carrier


@pytest.fixture
def lines(
    switch: tuple[PrivateFreeSwitch, SippServer], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lines]:
    """One card with PIN, and money for hours; in the end every promise holds."""
    freeswitch, carrier = switch
    for record in freeswitch.cdr_log.iterdir():
        record.unlink()  # a database has charged all that its switch has logged
    operator = open_database_operator(sqlite_url)
    settings = FreeSwitchSettings(
        name="fs1",
        port=freeswitch.esl_port,
        password=freeswitch.esl_password,
        outbound_port=freeswitch.socket_port,
        sounds_dir=str(freeswitch.sounds),
        cdr_dir=str(freeswitch.cdr_log),
    )
    with (
        open_application(sqlite_url) as application,
        open_charging(application, listen=True) as charging,
    ):
        hold_card(application, monkeypatch)
        now_us = application.clock.now_us()
        charging.engine.execute(TopUp("funds", operator.customer_id, "EUR", 3600 * SECOND_PRICE, now_us))
        metrics = PrometheusMetrics("fs1", CollectorRegistry())
        daemon = FreeSwitchDaemon(
            settings, charging.engine, charging.news, charging.reconciler, application.clock, metrics
        )
        desk = CardDesk(application)
        daemon.serve_cards(desk)
        thread = Thread(target=daemon.run)
        thread.start()
        try:
            assert daemon.ready.wait(30)
            made = Lines(freeswitch, carrier, application, operator, charging, desk)
            yield made
            made.wait_closed()
        finally:
            daemon.stop()
            thread.join(30)
        driver = application.connect()
        broken = [invariant for invariant in verify(driver, application.clock) if not invariant.holds]
        driver.close()
        assert broken == []


def talked_s(row: Row) -> float:
    return float(row[2] - row[1]) / 1_000_000


def test_two_calls_by_one_line_each_charged_for_itself_and_no_pin_in_the_records(lines: Lines) -> None:
    before = len(lines.carrier.calls())
    call = lines.calling(
        (1500, PIN), (1500, f"{GERMANY}#"), (4000, "##"), (1500, "4930124#"), (4000, "##"), hold_ms=500
    )
    result = place(call, lines.freeswitch.carrier_port)
    assert result.successful == 1, result.log
    rows = lines.wait_closed()
    assert [row[0] for row in rows] == [GERMANY, "4930124"]
    for row, seen in zip(rows, lines.carrier.calls()[before:], strict=True):
        assert seen.talked_us is not None
        assert talked_s(row) == pytest.approx(seen.talked_us / 1_000_000, abs=0.15)
    assert len(list(lines.freeswitch.cdr_log.iterdir())) == 3
    assert not any(PIN in record.read_text() for record in lines.freeswitch.cdr_log.iterdir())
    assert PIN not in lines.freeswitch.log.read_text(errors="replace")


def test_the_line_outlives_the_money_of_a_call(lines: Lines) -> None:
    taken = -(3600 - 3) * SECOND_PRICE
    now_us = lines.application.clock.now_us()
    lines.charging.engine.execute(Adjust("taken", lines.operator.customer_id, "EUR", taken, now_us))
    call = lines.calling((1500, PIN), (1500, f"{GERMANY}#"), (9000, "*"), hold_ms=300)
    [line] = place(call, lines.freeswitch.carrier_port).calls
    [row] = lines.wait_closed()
    assert talked_s(row) == pytest.approx(3, abs=0.4)
    assert line.ended_here
    assert line.ended_us is not None
    assert line.ended_us - row[2] > 1_000_000


def test_all_ways_out_at_once(lines: Lines) -> None:
    """Three wrong PINs, silence, hang-ups at questions, a busy number, a known caller, a charged line."""
    wrong = "11111111"
    calls = {
        "wrong": lines.calling((1500, wrong), (2000, wrong), (2000, wrong)),
        "silent": lines.calling((200, "#")),
        "at the PIN": lines.calling((200, "1"), hold_ms=100),
        "at the number": lines.calling((1500, PIN), hold_ms=100, caller="other"),
        "in the menu": lines.calling((1500, PIN), (1000, "*#"), hold_ms=500, caller="other"),
        "busy": lines.calling((1500, PIN), (3000, f"{BUSY}#"), (9000, "*"), hold_ms=300, caller="other"),
        "known": lines.calling(
            (1500, "1"), (2000, f"{GERMANY}#"), (6000, "##"), number=TRUSTING, hold_ms=300, caller=CALLER
        ),
        "charged": lines.calling(
            (1500, PIN), (1500, f"{GERMANY}#"), (6000, "##"), number=PAID_ACCESS, hold_ms=2000, caller="third"
        ),
    }
    with ExitStack() as stack:
        port = lines.freeswitch.carrier_port
        callers = {name: stack.enter_context(SippCaller(call, port)) for name, call in calls.items()}
        results = {name: caller.wait() for name, caller in callers.items()}
    assert {name: result.successful for name, result in results.items()} == dict.fromkeys(calls, 1)
    by_switch = {name for name, result in results.items() if not result.calls[0].ended_here}
    assert by_switch == {"wrong", "silent"}
    rows = lines.wait_closed()
    outbound = sorted((row[0], row[1] is not None) for row in rows if row[3] == "outbound")
    assert outbound == [(GERMANY, True), (GERMANY, True), (BUSY, False)]
    [inbound] = [row for row in rows if row[3] == "inbound"]
    assert any(inbound[1] < row[1] < row[2] < inbound[2] for row in rows if row[0] == GERMANY)
    assert lines.desk.lines.enter(ACCESS, 1)


def test_a_line_too_many_is_not_answered(lines: Lines) -> None:
    for _ in range(6):
        assert lines.desk.lines.enter(ACCESS, 6)
    call = Call(ACCESS, caller="trunk", calling=Calling.REJECTED, rejections=(503,))
    result = place(call, lines.freeswitch.carrier_port)
    assert result.successful == 1, result.log
