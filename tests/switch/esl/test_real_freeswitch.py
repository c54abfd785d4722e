"""The daemon on a real FreeSWITCH with SIPp; collected where FREESWITCH_BIN names one, see conftest.py."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pydantic import SecretStr

from lab.freeswitch import PrivateFreeSwitch
from lab.process import wait_until
from lab.sipp import Answering, Call, Calling, SippCaller, SippServer
from lab.site import Did, Gateway, Phone
from pbxbill.charging.events import Answer, Authorize, Direction, Evidence, Settle, SettleOffline, Void
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.cli.finding import Verdict
from pbxbill.cli.switch_checks import check_freeswitch
from pbxbill.clock import SystemClock
from pbxbill.mediation.mapping import load_mapping
from pbxbill.mediation.parsing import RecordParser
from pbxbill.mediation.record import UsageRecord
from pbxbill.mediation.splitting import splitter
from pbxbill.sections import FreeSwitchSection

from .fake_engine import FakeAccount, FakeEngine
from .harness import RunningDaemon
from .real_switch import Place, finished

NUMBER = "33155512345"
BUSY = "33155512399"


@pytest.fixture(scope="module")
def carrier() -> Iterator[SippServer]:
    with SippServer(Answering.ANSWER) as carrier:
        yield carrier


@pytest.fixture(scope="module")
def freeswitch(carrier: SippServer) -> Iterator[PrivateFreeSwitch]:
    with ExitStack() as stack:
        busy = stack.enter_context(SippServer(Answering.REJECT, status=486))
        phones = [
            Phone(name, name, f"pw{name}", open_on_failure=name == "2005")
            for name in ("2001", "2002", "2005", "9999")
        ]
        phones += [Phone("2007", "2001", "pw2007", context="pbxbill_routes")]
        yield stack.enter_context(
            PrivateFreeSwitch(
                phones=phones,
                gateways=[Gateway("carrier", carrier.port), Gateway("busy", busy.port, "99")],
                dids=[Did("4930123", forward_to=NUMBER)],
                name="fs1",
            )
        )


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    accounts = {
        "2001": FakeAccount(3600, slice_s=4, renew_before_s=2),
        "2002": FakeAccount(3),
        "2005": FakeAccount(3600),
        "owner": FakeAccount(3600, wallet_id=9),
    }
    engine = FakeEngine(accounts, {"4930123": "owner"})
    yield engine
    engine.stop()


def test_an_answered_call_is_settled_with_the_times_that_were_seen_on_the_wire(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    (seen,) = finished(place(NUMBER, "2001", hold_ms=2000)).calls
    (settle,) = engine.wait_closed()
    (asked,) = engine.of_type(Authorize)
    assert (asked.account_code, asked.dialled, asked.direction) == ("2001", NUMBER, Direction.OUTBOUND)
    assert isinstance(settle, Settle)
    assert settle.answered_us is not None
    assert settle.evidence is Evidence.EVENT
    assert seen.talked_us == pytest.approx(settle.ended_us - settle.answered_us, abs=100_000)


def test_simultaneous_calls_end_when_their_money_ends(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    finished(place(NUMBER, "2002", Calling.WAIT, count=10))
    for settle in engine.wait_closed(10):
        assert isinstance(settle, Settle)
        assert settle.answered_us is not None
        # FreeSWITCH stamps in steps of 20 ms: a call may seem to have ended that much early.
        assert 2_980_000 <= settle.ended_us - settle.answered_us < 3_300_000
    assert daemon.metrics.counts["hung_up_again"] == 0


def test_slices_are_renewed_while_the_call_goes_on(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    finished(place(NUMBER, "2001", hold_ms=7000))
    (settle,) = engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.answered_us is not None
    assert settle.ended_us - settle.answered_us > 6_800_000
    assert daemon.metrics.counts["timer_set"] >= 2


def test_busy_has_its_cause(daemon: RunningDaemon, engine: FakeEngine, place: Place) -> None:
    finished(place(BUSY, "2001", Calling.REJECTED, rejections=(486,)))
    (void,) = engine.wait_closed()
    assert isinstance(void, Void)
    assert void.hangup_cause == 17


def test_an_unknown_account_hears_why_and_is_refused(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    finished(place(NUMBER, "9999", Calling.REJECTED, rejections=(403, 603)))
    assert not engine.granted


def test_a_hostile_display_name_does_not_choose_who_pays(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    name = '"Eve%0Avariable_accountcode: 2002%0Avariable_pbxbill_account: 2002" '
    finished(place(NUMBER, "2001", hold_ms=500, display=name))
    engine.wait_closed()
    (asked,) = engine.of_type(Authorize)
    assert asked.account_code == "2001"


@pytest.mark.parametrize(
    "number",
    [
        "155500%26sofia",
        "155500;x=y",
        "155500%2Csofia/gateway/carrier/1",
        "155500%7Csofia/gateway/carrier/1",
        "155500%3A_%3Asofia",
        "155500%0d%0a1",
        "%5Bpbxbill_verdict=allow%5D155500",
        "%7Bpbxbill_verdict=allow%7D155500",
        "${accountcode}00000",
        "155500a",
        "sofia",
    ],
)
def test_a_hostile_number_reaches_no_carrier(
    daemon: RunningDaemon, engine: FakeEngine, carrier: SippServer, place: Place, number: str
) -> None:
    before = len(carrier.calls())
    finished(place(number, "2001", Calling.REJECTED, rejections=(400, 404, 480, 484, 603)))
    assert len(carrier.calls()) == before
    assert not engine.commands


def test_a_number_with_a_line_feed_is_dialled_as_it_was_asked_about(
    daemon: RunningDaemon, engine: FakeEngine, carrier: SippServer, place: Place
) -> None:
    before = len(carrier.calls())
    finished(place("155500%0a", "2001", hold_ms=300))
    engine.wait_closed()
    assert [asked.dialled for asked in engine.of_type(Authorize)] == ["155500"]
    assert [call.number for call in carrier.calls()[before:]] == ["155500"]


def test_a_hostile_number_in_a_transfer_reaches_no_carrier(
    daemon: RunningDaemon, engine: FakeEngine, carrier: SippServer, place: Place
) -> None:
    before = len(carrier.calls())
    refer_to = "33155500001%2Csofia/gateway/carrier/1"
    finished(place(NUMBER, "2001", Calling.TRANSFER, hold_ms=500, refer_to=refer_to))
    engine.wait_closed()
    assert [call.number for call in carrier.calls()[before:]] == [NUMBER]


def test_routes_are_closed_to_who_was_not_asked_about(
    daemon: RunningDaemon, engine: FakeEngine, carrier: SippServer, place: Place
) -> None:
    before = len(carrier.calls())
    finished(place(NUMBER, "2007", Calling.REJECTED, rejections=(403, 603)))
    assert len(carrier.calls()) == before
    assert not engine.commands


def test_a_transfer_by_the_caller_leaves_both_legs_charged_to_its_account(
    daemon: RunningDaemon, engine: FakeEngine, freeswitch: PrivateFreeSwitch, place: Place
) -> None:
    finished(place(NUMBER, "2001", Calling.TRANSFER, hold_ms=1500, refer_to="33155500001"))
    engine.wait_for(lambda engine: len(engine.of_type(Answer)) == 2)
    assert [asked.account_code for asked in engine.of_type(Authorize)] == ["2001", "2001"]
    assert not engine.closed
    engine.accounts["2001"].seconds = 1
    daemon.news.tell(1)
    assert all(isinstance(closed, Settle) for closed in engine.wait_closed(2))


def test_a_forwarded_did_call_is_two_sessions_of_its_owner(
    daemon: RunningDaemon, engine: FakeEngine, freeswitch: PrivateFreeSwitch
) -> None:
    with SippCaller(Call("4930123", "777", hold_ms=1500), freeswitch.carrier_port, timeout_s=60) as caller:
        finished(caller)
    first, second = engine.wait_closed(2)
    inbound, outbound = engine.of_type(Authorize)
    assert (inbound.direction, inbound.did) == (Direction.INBOUND, "4930123")
    assert (outbound.direction, outbound.account_code, outbound.dialled) == (
        Direction.OUTBOUND,
        "owner",
        NUMBER,
    )
    assert isinstance(first, Settle)
    assert isinstance(second, Settle)


def test_a_call_goes_on_under_the_next_daemon(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    caller = place(NUMBER, "2001", hold_ms=9000)
    engine.wait_for(lambda engine: bool(engine.answered_us))
    daemon.stop()
    daemon.start()
    finished(caller)
    (settle,) = engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.answered_us is not None
    assert settle.ended_us - settle.answered_us > 8_800_000


def test_without_a_daemon_the_switch_ends_the_call_after_its_slice(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    caller = place(NUMBER, "2001", Calling.WAIT)
    engine.wait_for(lambda engine: bool(engine.answered_us))
    daemon.stop()
    (seen,) = finished(caller).calls
    assert seen.talked_us is not None
    assert 4_000_000 <= seen.talked_us < 5_700_000


def test_with_nobody_listening_the_failure_policy_decides(
    daemon: RunningDaemon, engine: FakeEngine, freeswitch: PrivateFreeSwitch, place: Place
) -> None:
    daemon.stop()
    finished(place(NUMBER, "2001", Calling.REJECTED, rejections=(480, 500, 503)))
    finished(place(NUMBER, "2005", hold_ms=1000))
    daemon.start()
    offline = [record for _, records in daemon.reconciler.runs for record in records if record.offline]
    assert [(record.account_code, record.dialled) for record in offline] == [("2005", NUMBER)]
    assert offline[0].answered_us is not None
    assert not [command for command in engine.commands if isinstance(command, SettleOffline)]


def offline_of(daemon: RunningDaemon, number: str) -> list[SwitchRecord]:
    return [one for _, records in daemon.reconciler.runs for one in records if one.dialled == number]


def test_help_is_reached_by_whom_the_engine_would_deny(
    daemon: RunningDaemon, engine: FakeEngine, place: Place
) -> None:
    engine.accounts["2001"] = FakeAccount(0)
    finished(place("911", "2001", hold_ms=700))
    finished(place("112", "9999", hold_ms=700))
    finished(place("9115000", "2001", Calling.REJECTED, rejections=(403, 603)))
    assert [asked.dialled for asked in engine.of_type(Authorize)] == ["9115000"]
    daemon.stop()
    daemon.start()
    for number, account in (("911", "2001"), ("112", "9999")):
        record = offline_of(daemon, number)[-1]
        assert (record.account_code, record.gateway, record.offline) == (account, "carrier", True)
        assert record.answered_us is not None


@pytest.mark.parametrize("stuck", [False, True], ids=["nobody listens", "a daemon that stands still"])
def test_help_is_reached_without_a_daemon_and_at_once(
    freeswitch: PrivateFreeSwitch, place: Place, stuck: bool
) -> None:
    with ExitStack() as stack:
        if stuck:
            stack.enter_context(socket.create_server(("127.0.0.1", freeswitch.socket_port)))
        (seen,) = finished(place("112", "2001", hold_ms=1500)).calls
    assert seen.ended_here
    assert seen.answered_us is not None
    assert seen.answered_us - seen.invited_us < 1_000_000


def test_the_paid_legs_gateway_is_told(daemon: RunningDaemon, engine: FakeEngine, place: Place) -> None:
    finished(place(NUMBER, "2001", hold_ms=500))
    (settle,) = engine.wait_closed()
    assert isinstance(settle, Settle)
    assert [answer.gateway for answer in engine.of_type(Answer)] == ["carrier"]
    assert settle.gateway == "carrier"


def test_the_callers_own_record_tells_the_gateway_to_who_imports_it(
    daemon: RunningDaemon, engine: FakeEngine, freeswitch: PrivateFreeSwitch, place: Place
) -> None:
    finished(place(NUMBER, "2001", hold_ms=500))
    engine.wait_closed()
    (asked,) = engine.of_type(Authorize)
    file = freeswitch.cdr_log / f"a_{asked.call_id}.cdr.json"
    wait_until(lambda: file.exists() and file.stat().st_size, 10, "the caller's record")
    rules = load_mapping("freeswitch-json")
    columns = splitter(rules, None, file.name)(file.read_bytes())
    assert isinstance(columns, dict)
    record = RecordParser(rules, SystemClock())(columns)
    assert isinstance(record, UsageRecord)
    assert (record.called, record.gateway) == (NUMBER, "carrier")
    assert record.ringing_us is not None


def test_switch_and_daemon_killed_together_leave_calls_that_end_with_the_switch(
    daemon: RunningDaemon, engine: FakeEngine, freeswitch: PrivateFreeSwitch, place: Place
) -> None:
    caller = place(NUMBER, "2001", Calling.WAIT)
    engine.wait_for(lambda engine: bool(engine.answered_us))
    freeswitch.kill()
    killed_us = time.time_ns() // 1000
    daemon.stop()
    caller.kill()
    freeswitch.start()
    started_us = time.time_ns() // 1000
    daemon.start()
    bound_us = daemon.reconciler.last_seen[-1]
    assert bound_us is not None
    assert killed_us - 100_000 < bound_us < started_us


def test_doctor_finds_the_route_that_nobody_guards(freeswitch: PrivateFreeSwitch) -> None:
    section = FreeSwitchSection(
        type="freeswitch",
        name="fs1",
        port=freeswitch.esl_port,
        password=SecretStr(freeswitch.esl_password),
    )
    findings = [one for one in check_freeswitch(section, SystemClock()) if "without a verdict" in one.detail]
    assert [one.verdict for one in findings] == [Verdict.WARN]
    assert findings[0].detail.endswith("plain/to busy, plain/to carrier")


def test_a_daemon_that_dies_without_a_word_leaves_no_call_parked(
    freeswitch: PrivateFreeSwitch, place: Place
) -> None:
    with socket.create_server(("127.0.0.1", freeswitch.socket_port)) as server:

        def accept_and_die() -> None:
            server.accept()[0].close()

        threading.Thread(target=accept_and_die, daemon=True).start()
        finished(place(NUMBER, "2001", Calling.REJECTED, rejections=(480, 500, 503)))
