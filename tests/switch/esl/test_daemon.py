"""Whole calls through the daemon, on a switch that behaves as recorded."""

import json
import time
from pathlib import Path

import pytest

from pbxbill.charging.events import (
    Announcement,
    Answer,
    Authorize,
    Direction,
    Evidence,
    Extend,
    FailurePolicy,
    Settle,
    SettleOffline,
    Void,
)

from .conftest import Site
from .fake_call import FakeCall
from .fake_engine import FakeAccount
from .fake_freeswitch import frame


def test_a_call_is_authorized_answered_and_settled_once(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    (asked,) = site.engine.of_type(Authorize)
    assert (asked.account_code, asked.dialled, asked.source_ip) == ("2001", "33155512345", "192.0.2.7")
    assert asked.direction is Direction.OUTBOUND
    assert settle == Settle(asked.session_id, paid.answered_us, paid.ended_us, 16, Evidence.EVENT)
    assert [command.paid_leg for command in site.engine.of_type(Answer)] == [paid.uuid]
    assert len(site.engine.of_type(Settle)) == 1


def test_the_paid_leg_is_armed_at_its_answer_without_the_daemon(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    assert call.caller.variables["nolocal:execute_on_answer_pbxbill"] == "sched_hangup +61 allotted_timeout"
    assert "execute_on_answer_pbxbill" not in call.caller.variables
    paid = call.connect()
    assert len(paid.timers) == 1
    assert call.caller.timers == []
    assert not [command for command in site.switch.commands if "sched_hangup" in command]


def test_the_call_ends_when_the_money_ends(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert 3_000_000 <= paid.ended_us - paid.answered_us < 3_300_000
    assert paid.variables["hangup_cause"] == "ALLOTTED_TIMEOUT"
    assert site.metrics.cuts == [pytest.approx(0.1, abs=0.2)]


def test_a_hang_up_that_does_nothing_is_repeated_until_the_channel_is_gone(site: Site) -> None:
    site.engine.accounts["2002"] = FakeAccount(0.5)
    site.switch.faults.answer_loses_timer = True
    site.switch.faults.deaf_to_kill = 2
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    paid.timers.clear()
    site.engine.wait_closed()
    assert site.metrics.counts["hung_up"] == 1
    assert site.metrics.counts["hung_up_again"] >= 1


def test_slices_move_the_timer_by_deleting_and_arming_in_one_write(site: Site) -> None:
    site.engine.accounts["2001"] = FakeAccount(3600, slice_s=2, renew_before_s=1.5)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    paid = call.connect()
    site.metrics.wait_for(lambda metrics: metrics.counts["timer_set"] >= 1)
    timers = [command for command in site.switch.commands if "sched_" in command]
    assert timers[0] == f"api sched_del {paid.uuid}"
    assert timers[1].startswith("api sched_hangup +")
    assert timers[1].endswith(f"{paid.uuid} allotted_timeout")
    assert len(paid.timers) == 1
    call.hang_up()
    site.engine.wait_closed()


def test_a_top_up_in_the_call_moves_the_end(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.engine.accounts["2002"].seconds = 3600
    site.news.tell(1)
    site.engine.wait_for(lambda engine: bool(engine.of_type(Extend)))
    site.metrics.wait_for(lambda metrics: metrics.counts["timer_set"] >= 1)
    call.hang_up()
    site.engine.wait_closed()
    assert paid.variables["hangup_cause"] == "NORMAL_CLEARING"


def test_money_taken_out_ends_the_call_sooner(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.engine.accounts["2001"].seconds = 1.5
    site.news.tell(1)
    site.engine.wait_closed()
    assert 1_500_000 <= paid.ended_us - paid.answered_us < 1_900_000


@pytest.mark.parametrize(
    "account,number,verdict_cause",
    [
        ("nobody", "33155512345", "CALL_REJECTED"),
        ("2001", "not-a-number", "UNALLOCATED_NUMBER"),
        ("", "33155512345", "CALL_REJECTED"),
    ],
)
def test_a_denial_is_heard_and_ends_with_its_cause(
    site: Site, account: str, number: str, verdict_cause: str
) -> None:
    site.start()
    call = FakeCall.place(site.switch, number, account)
    assert call.ask() == "deny"
    site.switch.wait_gone(call.caller)
    assert call.executed == ["pre_answer", "playback"]
    assert call.caller.answered_us == 0
    assert call.caller.variables["hangup_cause"] == verdict_cause
    assert call.caller.variables["pbxbill_cause"] == verdict_cause


def test_balance_and_minutes_are_said_in_early_media_before_the_bridge(site: Site) -> None:
    site.engine.accounts["2001"].announcement = Announcement("fr", balance=True, minutes=True)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
    assert call.executed == ["pre_answer", "playback"]
    assert call.caller.answered_us == 0
    call.hang_up()
    assert isinstance(site.engine.wait_closed()[0], Void)


def test_an_announcement_that_never_ends_does_not_hold_the_call(site: Site) -> None:
    site.engine.accounts["2001"].announcement = Announcement(balance=True)
    site.start(announce_timeout_s=0.3)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.play_s = 60
    assert call.ask(timeout_s=5) == "allow"
    assert site.metrics.counts["announcement_too_long"] == 1


@pytest.mark.parametrize("cause,number", [("USER_BUSY", 17), ("NO_ANSWER", 19), ("ORIGINATOR_CANCEL", 16)])
def test_a_call_that_nobody_answers_is_void_with_its_true_cause(site: Site, cause: str, number: int) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    attempt = call.dial()
    attempt.other = ""
    site.switch.hang_up(attempt, cause)
    site.switch.hang_up(call.caller, "NORMAL_CLEARING", disposition=cause)
    (void,) = site.engine.wait_closed()
    assert isinstance(void, Void)
    assert void.hangup_cause == number


def test_a_second_gateway_may_be_tried(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    first = call.dial("first")
    first.other = ""
    site.switch.hang_up(first, "NORMAL_TEMPORARY_FAILURE")
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.answered_us == paid.answered_us


def test_a_transfer_by_the_caller_escapes_nothing(site: Site) -> None:
    site.engine.accounts["2002"] = FakeAccount(3)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.transfer_away()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.ended_us == paid.ended_us
    assert paid.ended_us - paid.answered_us >= 3_000_000


def test_a_paid_leg_that_dials_on_pays_with_the_first_account(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.transfer_away()
    onward = FakeCall(site.switch, paid)
    paid.number = "33155500001"
    assert onward.ask() == "allow"
    second = onward.connect()
    first_session, second_session = (asked.session_id for asked in site.engine.of_type(Authorize))
    assert site.engine.of_type(Authorize)[1].account_code == "2001"
    assert site.engine.of_type(Authorize)[1].source_ip == ""
    site.engine.wait_for(lambda engine: len(engine.answered_us) == 2)
    site.switch.hang_up(paid)
    site.engine.wait_closed(2)
    assert site.engine.closed[first_session].ended_us == paid.ended_us
    assert site.engine.closed[second_session].ended_us == second.ended_us


def test_a_call_to_a_did_is_paid_by_its_owner_from_the_callers_own_answer(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "4930123", caller="777", pbxbill_direction="inbound")
    assert call.ask() == "allow"
    assert call.executed == []
    local = call.dial("phone")
    assert "pbxbill_session" not in local.variables
    call.answer(local)
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    (asked,) = site.engine.of_type(Authorize)
    assert (asked.did, asked.account_code, asked.source_ip) == ("4930123", "", "")
    assert settle == Settle(
        asked.session_id, call.caller.answered_us, call.caller.ended_us, 16, Evidence.EVENT
    )


def test_a_forwarded_did_call_is_two_sessions_of_its_owner(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "4930123", caller="777", pbxbill_direction="inbound")
    call.ask()
    call.caller.variables["pbxbill_direction"] = "outbound"
    call.caller.number = "33155512345"
    assert call.ask() == "allow"
    call.connect()
    site.engine.wait_for(lambda engine: len(engine.answered_us) == 2)
    call.hang_up()
    site.engine.wait_closed(2)
    inbound, outbound = site.engine.of_type(Authorize)
    assert (inbound.direction, outbound.direction) == (Direction.INBOUND, Direction.OUTBOUND)
    assert outbound.account_code == "did-owner"
    assert call.caller.variables["pbxbill_did"] == "4930123"
    assert call.caller.variables["pbxbill_dialled"] == "33155512345"


# --- events that lie, come twice, or never ------------------------------------------------------


def test_events_that_come_twice_charge_once(site: Site) -> None:
    site.switch.faults.twice = True
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    call.hang_up()
    site.engine.wait_closed()
    assert len(site.engine.of_type(Settle)) == 1
    assert len(site.engine.of_type(Answer)) == 1


def test_a_lost_answer_is_made_up_for_by_the_end(site: Site) -> None:
    site.switch.faults.drop_events = ("CHANNEL_ANSWER",)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    paid = call.connect()
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert (settle.answered_us, settle.ended_us) == (paid.answered_us, paid.ended_us)


def test_a_lost_end_is_found_in_the_cdr(site: Site, tmp_path: Path) -> None:
    site.engine.accounts["2002"] = FakeAccount(1)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.faults.drop_events = ("CHANNEL_HANGUP_COMPLETE",)
    call.hang_up()
    variables = {**paid.variables, "uuid": paid.uuid}
    (tmp_path / f"{paid.uuid}.cdr.json").write_text(json.dumps({"variables": variables}))
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert (settle.ended_us, settle.evidence) == (paid.ended_us, Evidence.CDR_LOG)


def test_a_lost_end_without_a_cdr_is_an_estimate_and_no_more_than_granted(site: Site) -> None:
    site.engine.accounts["2002"] = FakeAccount(1)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.faults.drop_events = ("CHANNEL_HANGUP_COMPLETE",)
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.evidence is Evidence.ESTIMATE
    assert settle.ended_us <= paid.answered_us + 1_000_000


@pytest.mark.parametrize(
    "garbage",
    [
        frame({"Content-Type": "text/event-plain"}, b"Event-Name: CHANNEL_ANSWER\n\xff\xfe\n\n"),
        frame(
            {"Content-Type": "text/event-plain"},
            b"Event-Name: CHANNEL_HANGUP_COMPLETE\nUnique-ID: a b\n"
            b"variable_pbxbill_session: " + b"0" * 32 + b"\n\n",
        ),
        frame(
            {"Content-Type": "text/event-plain"},
            b"Event-Name: CHANNEL_ANSWER\nUnique-ID: aaaaaaaa-1\nCaller-Channel-Answered-Time: soon\n"
            b"variable_pbxbill_session: " + b"0" * 32 + b"\n\n",
        ),
        frame({"Content-Type": "text/event-json"}, b'{"broken'),
        frame({"Content-Type": "log/data"}, b"whatever\n"),
    ],
)
def test_a_bad_event_costs_itself_only(site: Site, garbage: bytes) -> None:
    site.start()
    site.switch.emit_raw("CHANNEL_ANSWER", garbage)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    call.hang_up()
    site.engine.wait_closed()
    assert site.metrics.counts["link_lost"] == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"Content-Length: -5\nContent-Type: x\n\n",
        b"no protocol at all\n\n",
        b"Content-Length: 99999999999\n\n",
    ],
)
def test_what_cannot_be_framed_closes_the_link_and_it_comes_back(site: Site, garbage: bytes) -> None:
    site.start()
    site.switch.emit_raw("CHANNEL_ANSWER", garbage)
    site.metrics.wait_for(lambda metrics: metrics.counts["link_lost"] >= 1)
    site.metrics.wait_for(lambda metrics: metrics.up)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"


# --- the engine is away -----------------------------------------------------------------------------


def test_without_the_engine_a_closed_account_is_refused(site: Site) -> None:
    site.start()
    site.engine.away = True
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "deny"
    site.switch.wait_gone(call.caller)
    assert call.caller.variables["hangup_cause"] == "NORMAL_TEMPORARY_FAILURE"


def test_without_the_engine_an_open_account_passes_and_is_charged_when_it_is_back(site: Site) -> None:
    site.engine.accounts["2001"].failure_policy = FailurePolicy.OPEN
    site.start()
    site.engine.away = True
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
    assert call.caller.variables["pbxbill_offline"] == "true"
    paid = call.connect()
    site.engine.away = False
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, SettleOffline)
    assert (settle.request.account_code, settle.request.dialled) == ("2001", "33155512345")
    assert (settle.answered_us, settle.ended_us) == (paid.answered_us, paid.ended_us)


def test_a_mute_engine_does_not_hold_the_caller(site: Site) -> None:
    site.start(authorize_timeout_s=0.2)
    site.engine.mute = True
    call = FakeCall.place(site.switch, "33155512345", "2001")
    began = time.monotonic()
    assert call.ask() == "deny"
    assert time.monotonic() - began < 1.5


def test_too_many_calls_at_once_get_no_verdict(site: Site) -> None:
    site.start(max_sessions=0)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == ""
    assert site.metrics.counts["over_capacity"] == 1


def test_a_caller_who_is_gone_before_the_verdict_holds_no_money(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    del site.switch.channels[call.caller.uuid]
    call.ask()
    (void,) = site.engine.wait_closed()
    assert isinstance(void, Void)


# --- the link, the switch, the daemon -----------------------------------------------------------


def test_a_call_that_ended_while_the_link_was_down_is_settled(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.cut_links()
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.evidence is Evidence.ESTIMATE


def test_an_answer_that_fell_into_a_broken_link_is_found(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    site.switch.faults.drop_events = ("CHANNEL_ANSWER",)
    paid = call.connect()
    site.switch.faults.drop_events = ()
    site.switch.cut_links()
    site.engine.wait_for(lambda engine: list(engine.answered_us.values()) == [paid.answered_us])


def test_a_killed_switch_ends_its_calls(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.kill()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)


def test_a_new_daemon_takes_live_calls_up_and_cuts_them_in_time(site: Site) -> None:
    site.engine.accounts["2002"] = FakeAccount(6)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.stop()
    assert len(paid.timers) == 1, "the timer stays armed without a daemon"
    site.start()
    assert site.metrics.counts["taken_up"] == 1
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert 6_000_000 <= paid.ended_us - paid.answered_us < 6_400_000


def test_a_channel_that_nobody_pays_for_is_ended(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.transfer_away()
    stray = call.dial("second carrier")
    stray.other = ""
    call.answer(stray)
    site.switch.wait_gone(stray)


def test_a_database_that_is_away_at_reconciliation_is_waited_for(site: Site) -> None:
    site.reconciler.fails = 1
    site.start()
    assert site.metrics.counts["synchronise_failed"] == 1
    assert len(site.reconciler.runs) == 1


@pytest.mark.parametrize("mute", ["api sched_hangup", "api strepoch", "api show"])
def test_a_half_dead_switch_is_left_and_tried_again(site: Site, mute: str) -> None:
    site.engine.accounts["2001"] = FakeAccount(3600, slice_s=2, renew_before_s=1.8)
    site.switch.faults.mute_commands = (mute,)
    site.start(ready=mute == "api sched_hangup", keepalive_s=0.2, command_timeout_s=0.3)
    if mute == "api sched_hangup":
        call = FakeCall.place(site.switch, "33155512345", "2001")
        call.ask()
        call.connect()
    site.metrics.wait_for(lambda metrics: metrics.counts["link_lost"] >= 1)
    site.switch.faults.mute_commands = ()
    site.metrics.wait_for(lambda metrics: metrics.up)


def test_calls_are_answered_while_the_event_link_is_down(site: Site) -> None:
    site.switch.faults.silent = True
    site.start(ready=False)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
