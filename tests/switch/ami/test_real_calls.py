"""Real calls on a real Asterisk: who is charged for what, and when each call ends."""

from collections.abc import Callable

import pytest

from lab.sipp import Call, Calling, SippCaller, place
from pbxbill.ami.cdr_log import CdrLog
from pbxbill.charging.events import Announcement, Answer, Authorize, Direction, Extend, Settle, Void
from pbxbill.charging.hangup import HangupCause
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.clock import SECOND_US
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, SimpleEngine, running_daemon, wait_until

Make = Callable[..., SimpleEngine]
NEAR_US = 150_000
"""How far Asterisk's moments and SIPp's may lie apart on a busy machine."""


def records(site: Site, session_id: str) -> list[SwitchRecord]:
    def found() -> list[SwitchRecord]:
        log = CdrLog(site.asterisk.cdr_log, backlog_bytes=10_000_000)
        return [record for record in log.read() if record.session_id == session_id]

    wait_until(lambda: bool(found()), 30, "the CDR")
    return found()


def test_an_answered_call_is_charged_from_answer_to_end_of_the_paid_leg(
    site: Site, make_engine: Make
) -> None:
    engine = make_engine({"acme": Funds(1000 * SECOND_US)})
    with running_daemon(site.settings(), engine) as running:
        result = place(Call("1555", caller="alice", hold_ms=1200), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
        assert running.metric("pbxbill_ami_bad_messages_total") == 0
    [request] = engine.of(Authorize)
    assert (request.account_code, request.dialled, request.source_ip) == ("acme", "1555", "127.0.0.1")
    [call] = result.calls
    assert call.answered_us is not None
    assert call.ended_us is not None
    assert settled.answered_us == pytest.approx(call.answered_us, abs=NEAR_US)
    assert settled.ended_us == pytest.approx(call.ended_us, abs=NEAR_US)
    assert settled.hangup_cause == HangupCause.NORMAL_CLEARING


def test_the_cdr_log_says_the_same_as_the_events(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(1000 * SECOND_US)})
    with running_daemon(site.settings(), engine):
        place(Call("1555", caller="alice", hold_ms=300), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    [answer] = engine.of(Answer)
    [record] = records(site, settled.session_id)
    assert record.answered_us == pytest.approx(settled.answered_us, abs=NEAR_US)
    assert record.ended_us == pytest.approx(settled.ended_us, abs=NEAR_US)
    assert record.paid_leg == answer.paid_leg
    assert not record.offline


def test_calls_end_when_the_money_ends(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(1_345_678)})
    calls = Call("1555", caller="alice", calling=Calling.WAIT, count=10)
    with running_daemon(site.settings(), engine):
        result = place(calls, site.asterisk.sip_port)
        settled = engine.wait_for(Settle, 10)
    assert result.successful == 10
    for one in settled:
        assert one.ended_us - one.answered_us == pytest.approx(1_345_678, abs=300_000)
        assert one.hangup_cause == HangupCause.RECOVERY_ON_TIMER_EXPIRE


def test_a_call_is_extended_slice_by_slice_to_the_last_coin(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(3_500_000, slice_us=1 * SECOND_US)})
    with running_daemon(site.settings(), engine):
        result = place(Call("1555", caller="alice", calling=Calling.WAIT), site.asterisk.sip_port)
        engine.wait_for(Settle)
    assert result.calls[0].talked_us == pytest.approx(3_500_000, abs=300_000)
    assert len(engine.of(Extend)) >= 3


def test_a_top_up_lets_the_call_go_on(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(1_500_000)})
    with running_daemon(site.settings(), engine) as running:
        with SippCaller(Call("1555", caller="alice", calling=Calling.WAIT), site.asterisk.sip_port) as caller:
            engine.wait_for(Answer)
            engine.accounts["acme"].funds_us = 3_000_000
            running.news.tell()
            result = caller.wait(40)
        engine.wait_for(Settle)
    assert result.calls[0].talked_us == pytest.approx(3_000_000, abs=300_000)


def test_money_moved_out_shortens_the_call(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(30 * SECOND_US)})
    call = Call("1555", caller="alice", calling=Calling.WAIT)
    with (
        running_daemon(site.settings(), engine) as running,
        SippCaller(call, site.asterisk.sip_port) as caller,
    ):
        engine.wait_for(Answer)
        engine.accounts["acme"].funds_us = 1_000_000
        running.news.tell()
        result = caller.wait(40)
    assert result.calls[0].talked_us == pytest.approx(1_000_000, abs=300_000)


@pytest.mark.parametrize(
    "call, cause",
    [
        (
            Call("15586", caller="alice", calling=Calling.REJECTED, rejections=(486,)),
            HangupCause.USER_BUSY,
        ),
        (Call("15580", caller="alice", calling=Calling.CANCEL, hold_ms=300), None),
    ],
)
def test_a_call_that_is_not_answered_costs_nothing(
    site: Site, make_engine: Make, call: Call, cause: HangupCause | None
) -> None:
    engine = make_engine({"acme": Funds(1000 * SECOND_US)})
    with running_daemon(site.settings(), engine):
        result = place(call, site.asterisk.sip_port)
        [voided] = engine.wait_for(Void)
    assert result.successful == 1, result.log
    assert not engine.of(Settle)
    assert cause is None or voided.hangup_cause == cause


@pytest.mark.parametrize(
    "caller, number, status",
    [("bob", "1555", 403), ("carl", "1555", 403), ("alice", "9991", 404)],
)
def test_a_denied_call_hears_why_and_ends_with_its_cause(
    site: Site, make_engine: Make, caller: str, number: str, status: int
) -> None:
    engine = make_engine({"acme": Funds(1000 * SECOND_US), "poor": Funds(0)})
    mark = site.mark()
    with running_daemon(site.settings(), engine):
        call = Call(number, caller=caller, calling=Calling.REJECTED, rejections=(status,))
        result = place(call, site.asterisk.sip_port)
    assert [seen.status for seen in result.calls] == [status]
    assert "Playing '" in site.log_since(mark)
    assert not [seen for seen in site.carrier.calls() if seen.number == "9991"]


def test_balance_and_minutes_are_told_before_the_call_and_cost_nothing(site: Site, make_engine: Make) -> None:
    told = Announcement(language="en", balance=False, minutes=True)
    engine = make_engine({"acme": Funds(120 * SECOND_US, announcement=told)})
    mark = site.mark()
    with running_daemon(site.settings(), engine):
        place(Call("1555", caller="alice", hold_ms=500), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    log = site.log_since(mark)
    for file in ("vm-youhave", "digits/2", "minutes"):
        assert f"Playing '{file}" in log
    assert settled.ended_us - settled.answered_us == pytest.approx(500_000, abs=300_000)


def test_a_transfer_by_the_caller_escapes_nothing(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(2_500_000)})
    call = Call("1555", caller="alice", calling=Calling.TRANSFER, hold_ms=700, refer_to="1666")
    with running_daemon(site.settings(), engine):
        place(call, site.asterisk.sip_port)
        settled = engine.wait_for(Settle, 2)
        requests = engine.of(Authorize)
    assert len(requests) == 2, "the transfer's new leg is asked for as well"
    first = next(one for one in settled if one.session_id == requests[0].session_id)
    assert first.ended_us - first.answered_us == pytest.approx(2_500_000, abs=300_000)
    [record] = records(site, first.session_id)
    assert record.ended_us == pytest.approx(first.ended_us, abs=NEAR_US)
    assert record.answered_us == pytest.approx(first.answered_us, abs=NEAR_US)


def test_a_call_to_a_did_is_charged_to_its_owner(site: Site, make_engine: Make) -> None:
    engine = make_engine({"owner": Funds(1_200_000)}, {"3315550001": "owner"})
    call = Call("3315550001", caller="carrier", calling=Calling.WAIT)
    with running_daemon(site.settings(), engine):
        result = place(call, site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    [request] = engine.of(Authorize)
    assert (request.direction, request.did) == (Direction.INBOUND, "3315550001")
    assert result.calls[0].talked_us == pytest.approx(1_200_000, abs=300_000)
    [record] = records(site, settled.session_id)
    assert record.direction is Direction.INBOUND
    assert record.answered_us == pytest.approx(settled.answered_us, abs=NEAR_US)


def test_a_did_forwarded_outside_is_charged_twice_to_its_owner(site: Site, make_engine: Make) -> None:
    engine = make_engine({"owner": Funds(100 * SECOND_US)}, {"3315550002": "owner"})
    with running_daemon(site.settings(), engine):
        place(Call("3315550002", caller="carrier", hold_ms=800), site.asterisk.sip_port)
        settled = engine.wait_for(Settle, 2)
        inbound, forward = engine.of(Authorize)
    assert (inbound.direction, forward.direction) == (Direction.INBOUND, Direction.OUTBOUND)
    assert (forward.account_code, forward.dialled) == ("owner", "441555")
    for one in settled:
        assert one.ended_us - one.answered_us == pytest.approx(800_000, abs=300_000)
    for session in (inbound.session_id, forward.session_id):
        assert len(records(site, session)) == 1


def test_a_hostile_display_name_changes_nothing(site: Site, make_engine: Make) -> None:
    engine = make_engine({"acme": Funds(1000 * SECOND_US)})
    hostile = '"x%0d%0aAccountCode: rich%0a agi_accountcode: rich, CHANNEL(accountcode)=rich" '
    with running_daemon(site.settings(), engine):
        place(Call("1555", caller="alice", hold_ms=200, display=hostile), site.asterisk.sip_port)
        engine.wait_for(Settle)
    assert [request.account_code for request in engine.of(Authorize)] == ["acme"]


@pytest.mark.timeout(60)
def test_a_minute_before_the_end_only_the_caller_is_warned(site: Site, make_engine: Make) -> None:
    engine = make_engine(
        {"acme": Funds(66 * SECOND_US, slice_us=120 * SECOND_US, announcement=Announcement(warning=True))}
    )
    mark = site.mark()
    with running_daemon(site.settings(), engine):
        with SippCaller(Call("1555", caller="alice", hold_ms=9000), site.asterisk.sip_port) as caller:
            wait_until(lambda: "ChanSpy" in site.log_since(mark), 30, "the warning")
            wait_until(lambda: "Playing 'minute" in site.log_since(mark), 30, "the words")
            assert caller.wait().successful == 1
        engine.wait_for(Settle)
    assert 'ChanSpy("Local/spy@pbxbill-warn' in site.log_since(mark)
    assert "PJSIP/alice-" in site.log_since(mark).split("ChanSpy(", 1)[1].splitlines()[0]
