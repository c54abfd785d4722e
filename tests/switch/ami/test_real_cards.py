"""Calling cards on a real Asterisk: SIPp presses keys (RFC 4733), the daemon talks, the engine charges."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lab.asterisk import PrivateAsterisk
from lab.sipp import Answering, Call, Calling, SippCaller, SippResult, SippServer, place
from lab.site import Did, Gateway, Phone
from pbxbill.ami.daemon import AsteriskDaemon
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.app import Application, Charging, open_application, open_charging
from pbxbill.billing.codes.voucher_batches import NewBatch, facts_of, make_vouchers, open_batch
from pbxbill.billing.codes.voucher_file import VoucherFile, read_file
from pbxbill.charging.events import Adjust, TopUp
from pbxbill.charging.verify import verify
from pbxbill.ivr.desk import CardDesk
from pbxbill.store.accounts import account_by_code
from pbxbill.store.driver import Row
from pbxbill.store.engine import transaction
from tests.database_operator import open_database_operator
from tests.switch.ami.harness import in_thread, wait_until
from tests.switch.card_holder import ACCESS, CALLER, PAID_ACCESS, PIN, TRUSTING, hold_card

pytestmark = pytest.mark.long
SECOND_PRICE = 12_000
BUSY, SHORT, GERMANY = "493012386", "493012388", "4930123"
CALLED = "SELECT dialled, answered_us, ended_us, hangup_cause, direction FROM cdrs ORDER BY started_us"
OPEN = "SELECT COUNT(*) FROM reservations WHERE state IN ('reserved', 'answered')"


@dataclass(frozen=True)
class Switch:
    asterisk: PrivateAsterisk
    carrier: SippServer


@pytest.fixture(scope="module")
def switch(asterisk_install: Path) -> Iterator[Switch]:
    """Access numbers, a carrier that answers and one that is busy."""
    with (
        SippServer(Answering.ANSWER) as carrier,
        SippServer(Answering.REJECT, status=486) as busy,
        SippServer(Answering.ANSWER_HANG_UP, hold_ms=1000) as short,
        PrivateAsterisk(
            phones=[Phone(CALLER, context="carrier")],
            gateways=[
                Gateway("gw", carrier.port),
                Gateway("gwbusy", busy.port, "86"),
                Gateway("gwshort", short.port, "88"),
            ],
            dids=[
                Did(ACCESS, cards=True, charged=False),
                Did(TRUSTING, cards=True, charged=False),
                Did(PAID_ACCESS, cards=True),
            ],
            variables={"PBXBILL_AGI_SECONDS": "3"},
            install=asterisk_install,
        ) as asterisk,
    ):
        yield Switch(asterisk, carrier)


@dataclass
class Lines:
    """A daemon at work, and callers."""

    switch: Switch
    application: Application
    charging: Charging
    desk: CardDesk

    @property
    def customer_id(self) -> int:
        with transaction(self.application.database) as session:
            return account_by_code(session, "alice").id

    def top_up(self, key: str, amount: int) -> None:
        now_us = self.application.clock.now_us()
        self.charging.engine.execute(TopUp(key, self.customer_id, "EUR", amount, now_us))

    def calling(
        self, *keys: tuple[int, str], number: str = ACCESS, hold_ms: int = 0, caller: str = "carrier"
    ) -> Call:
        """A caller who presses keys after pauses; hold_ms 0: he waits for the switch to hang up."""
        return Call(number, caller=caller, calling=Calling.KEYS, keys=keys, hold_ms=hold_ms)

    def place(self, *keys: tuple[int, str], number: str = ACCESS, hold_ms: int = 0) -> SippResult:
        result = place(self.calling(*keys, number=number, hold_ms=hold_ms), self.switch.asterisk.sip_port)
        assert result.successful == 1, result.log
        return result

    def leave_only(self, amount: int) -> None:
        """Take out what is more."""
        now_us = self.application.clock.now_us()
        taken = amount - 3600 * SECOND_PRICE
        self.charging.engine.execute(Adjust("taken", self.customer_id, "EUR", taken, now_us))

    def voucher(self, folder: Path) -> str:
        """The code of a new voucher of 10 EUR, as it is typed."""
        now_us = self.application.clock.now_us()
        with transaction(self.application.database) as session:
            seller = account_by_code(session, "reseller")
            new = NewBatch("spring", "EUR", 10_000_000, 1, now_us)
            batch = open_batch(session, seller, new, now_us)
            facts = facts_of(session, batch)
        file = VoucherFile(folder / "vouchers.csv", facts, new=True)
        make_vouchers(self.application.database, batch.id, file)
        file.close()
        return read_file(folder / "vouchers.csv")[1][0].code.replace(" ", "")

    def hang_up_all(self) -> None:
        self.switch.asterisk.rx("channel request hangup all")
        wait_until(lambda: not self.switch.asterisk.channels(), 10, "the end of all channels")

    def select(self, statement: str) -> list[Row]:
        driver = self.application.connect()
        try:
            return driver.select(statement)
        finally:
            driver.close()

    def wait_closed(self) -> list[Row]:
        """The calls, when none is open any more."""
        wait_until(lambda: self.select(OPEN) == [(0,)], 30, "the end of all calls")
        return self.select(CALLED)


@pytest.fixture
def cards(switch: Switch, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """One card with PIN; in the end every promise holds."""
    switch.asterisk.cdr_log.write_text("")  # a database has charged all that its switch has logged
    open_database_operator(sqlite_url)
    with open_application(sqlite_url) as application:
        hold_card(application, monkeypatch)
        yield application
        driver = application.connect()
        broken = [invariant for invariant in verify(driver, application.clock) if not invariant.holds]
        driver.close()
        assert broken == []


@pytest.fixture
def lines(switch: Switch, cards: Application) -> Iterator[Lines]:
    """Money for hours, and a daemon."""
    with working(switch, cards) as lines:
        lines.top_up("funds", 3600 * SECOND_PRICE)
        yield lines
        lines.wait_closed()


@contextmanager
def working(switch: Switch, application: Application) -> Iterator[Lines]:
    """A daemon at work."""
    registry = CollectorRegistry()
    asterisk = switch.asterisk
    settings = AsteriskSettings(
        name="pbx1",
        port=asterisk.ami_port,
        username=asterisk.ami_user,
        secret=asterisk.ami_secret,
        agi_port=asterisk.agi_port,
        cdr_file=asterisk.cdr_log,
        sounds_dir=asterisk.sounds,
        sweep_interval_s=1.0,
        reconnect_first_s=0.05,
    )
    with open_charging(application, listen=True) as charging:
        clock, desk = application.clock, CardDesk(application)
        daemon = AsteriskDaemon(
            settings, charging.engine, charging.news, charging.reconciler, clock, AsteriskMetrics(registry)
        )
        daemon.serve_cards(desk)
        with in_thread(daemon):
            connected = "pbxbill_ami_connected"
            wait_until(lambda: registry.get_sample_value(connected) == 1, 30, "the connection")
            yield Lines(switch, application, charging, desk)


def talked_s(row: Row) -> float:
    return float(row[2] - row[1]) / 1_000_000


def test_two_calls_by_one_line_each_charged_from_its_own_answer_to_its_own_end(lines: Lines) -> None:
    before = len(lines.switch.carrier.calls())
    lines.place(
        (1000, PIN), (1500, f"{GERMANY}#"), (4000, "##"), (1500, "4930124#"), (4000, "##"), hold_ms=500
    )
    first, second = lines.wait_closed()
    assert (first[0], second[0]) == (GERMANY, "4930124")
    for row, seen in zip((first, second), lines.switch.carrier.calls()[before:], strict=True):
        assert seen.talked_us is not None
        assert talked_s(row) == pytest.approx(seen.talked_us / 1_000_000, abs=0.15)
        assert not seen.ended_here


def test_who_knows_the_way_need_not_wait_for_any_prompt(lines: Lines) -> None:
    """PIN and number in one go: keys that are pressed while the PIN is looked up count as well."""
    lines.place((1000, f"{PIN}{GERMANY}#"), (4500, "##"), hold_ms=300)
    assert [row[0] for row in lines.wait_closed()] == [GERMANY]


def test_the_line_outlives_the_money_of_a_call(lines: Lines) -> None:
    lines.leave_only(3 * SECOND_PRICE)
    result = lines.place((1000, PIN), (1500, f"{GERMANY}#"), (8000, "*"), hold_ms=300)
    [call] = lines.wait_closed()
    [line] = result.calls
    assert talked_s(call) == pytest.approx(3, abs=0.4)
    assert line.ended_here
    assert line.ended_us is not None
    assert line.ended_us - call[2] > 1_000_000


def test_after_the_far_end_has_hung_up_the_next_number_is_asked_for(lines: Lines) -> None:
    lines.place((1000, PIN), (1500, f"{SHORT}#"), (6000, f"{GERMANY}#"), (3500, "##"), hold_ms=300)
    first, second = lines.wait_closed()
    assert [first[0], second[0]] == [SHORT, GERMANY]
    assert talked_s(first) == pytest.approx(1, abs=0.2)


def test_a_busy_number_holds_no_money_while_the_next_one_is_asked_for(lines: Lines) -> None:
    call = lines.calling((1000, PIN), (1500, f"{BUSY}#"), (9000, "*"))
    with SippCaller(call, lines.switch.asterisk.sip_port):
        wait_until(lambda: lines.select("SELECT 1 FROM reservations"), 30, "the call")
        assert [row[0] for row in lines.wait_closed()] == [BUSY]
        assert lines.switch.asterisk.channels()
    lines.hang_up_all()


def test_wrong_pins_and_silence_end_in_goodbye_and_whoever_hangs_up_leaves_nothing(lines: Lines) -> None:
    """All at once: three wrong PINs, silence, and a hang-up at each question."""
    wrong = "11111111"
    waiting = [
        lines.calling((1000, wrong), (2000, wrong), (2000, wrong)),
        lines.calling((200, "#")),
    ]
    leaving = [
        lines.calling((200, "1"), hold_ms=100),
        lines.calling((1000, PIN), hold_ms=100),
        lines.calling((1000, PIN), (1000, "*#"), hold_ms=500),
        lines.calling((1000, PIN), (1000, f"{GERMANY}#"), hold_ms=100),
    ]
    with ExitStack() as stack:
        port = lines.switch.asterisk.sip_port
        callers = [stack.enter_context(SippCaller(call, port)) for call in waiting + leaving]
        results = [caller.wait() for caller in callers]
    assert [result.successful for result in results] == [1] * len(callers)
    assert [result.calls[0].ended_here for result in results] == [False] * 2 + [True] * 4
    calls = lines.wait_closed()
    assert all(row[1] is None for row in calls)
    wait_until(lambda: not lines.switch.asterisk.channels(), 10, "the end of all channels")
    assert lines.desk.lines.enter(ACCESS, 1)


def test_more_lines_than_allowed_are_turned_away(lines: Lines) -> None:
    for _ in range(6):
        assert lines.desk.lines.enter(ACCESS, 6)
    call = Call(ACCESS, caller="carrier", calling=Calling.REJECTED, rejections=(503,))
    assert place(call, lines.switch.asterisk.sip_port).successful == 1


def test_a_known_caller_chooses_his_language_and_dials_without_a_pin(lines: Lines) -> None:
    call = lines.calling(
        (1000, "1"), (1500, f"{GERMANY}#"), (4000, "##"), number=TRUSTING, hold_ms=300, caller=CALLER
    )
    result = place(call, lines.switch.asterisk.sip_port)
    assert result.successful == 1, result.log
    [call_row] = lines.wait_closed()
    assert call_row[0] == GERMANY


def test_a_voucher_refills_by_keys(lines: Lines, tmp_path: Path) -> None:
    lines.leave_only(0)
    code = lines.voucher(tmp_path)
    lines.place(
        (1000, PIN),
        (1500, "*#"),
        (1000, "2"),
        (1000, f"{code}#"),
        (1500, f"{GERMANY}#"),
        (4000, "##"),
        hold_ms=300,
    )
    [call] = lines.wait_closed()
    assert talked_s(call) > 1


def test_a_line_that_is_itself_charged_goes_on_through_its_calls(lines: Lines) -> None:
    lines.place((1000, PIN), (1500, f"{GERMANY}#"), (4000, "##"), number=PAID_ACCESS, hold_ms=1500)
    calls = lines.wait_closed()
    by_direction = {row[4]: row for row in calls}
    assert set(by_direction) == {"inbound", "outbound"}
    inbound, outbound = by_direction["inbound"], by_direction["outbound"]
    assert inbound[1] < outbound[1] < outbound[2] < inbound[2]


def test_without_a_daemon_the_line_is_not_answered(switch: Switch, cards: Application) -> None:
    call = Call(ACCESS, caller="carrier", calling=Calling.REJECTED, rejections=(503,))
    assert place(call, switch.asterisk.sip_port).successful == 1


def test_a_card_call_whose_daemon_is_away_ends_in_its_slice_and_is_charged_from_the_log(
    switch: Switch, cards: Application
) -> None:
    with ExitStack() as after:
        with working(switch, cards) as lines:
            lines.top_up("funds", 3600 * SECOND_PRICE)
            call = lines.calling((1000, PIN), (1500, f"{GERMANY}#"), (5000, "##"))
            caller = after.enter_context(SippCaller(call, switch.asterisk.sip_port))
            answered = "SELECT 1 FROM reservations WHERE state = 'answered'"
            wait_until(lambda: lines.select(answered), 30, "the answer")
        assert caller.wait(40).successful == 1  # nobody is there to ask for another number
        with working(switch, cards) as lines:
            [row] = lines.wait_closed()
            [(evidence,)] = lines.select("SELECT evidence FROM cdrs")
    [seen] = [
        seen for seen in switch.carrier.calls() if seen.ended_us and abs(seen.ended_us - row[2]) < 500_000
    ]
    assert seen.talked_us is not None
    assert talked_s(row) == pytest.approx(seen.talked_us / 1_000_000, abs=0.15)
    assert evidence == "cdr_log"


def test_a_line_goes_on_with_another_daemon(switch: Switch, cards: Application) -> None:
    keys = ((1000, PIN), (1500, f"{GERMANY}#"), (10_000, "##"), (1500, "4930124#"), (4000, "##"))
    with ExitStack() as after:
        with working(switch, cards) as lines:
            lines.top_up("funds", 3600 * SECOND_PRICE)
            caller = after.enter_context(
                SippCaller(lines.calling(*keys, hold_ms=300), switch.asterisk.sip_port)
            )
            answered = "SELECT 1 FROM reservations WHERE state = 'answered'"
            wait_until(lambda: lines.select(answered), 30, "the answer")
        with working(switch, cards) as lines:
            assert caller.wait(60).successful == 1
            assert [row[0] for row in lines.wait_closed()] == [GERMANY, "4930124"]
            assert lines.select("SELECT DISTINCT evidence FROM cdrs") == [("event",)]
