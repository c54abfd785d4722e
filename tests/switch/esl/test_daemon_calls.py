"""Whole calls through the daemon, on a switch that behaves as recorded: who pays, and until when."""

import pytest

from pbxbill.charging.events import (
    Answer,
    Authorize,
    Direction,
    Evidence,
    Extend,
    Settle,
    Void,
)

from .fake_call import FakeCall
from .fake_engine import FakeAccount
from .harness import Site


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
    # The timer that the switch was given at the answer, the next whole second, would end it after 3.5 s.
    assert 3_000_000 <= paid.ended_us - paid.answered_us < 3_450_000
    assert paid.variables["hangup_cause"] == "ALLOTTED_TIMEOUT"
    assert site.metrics.cuts == [pytest.approx(0.2, abs=0.25)]


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
