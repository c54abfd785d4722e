"""A live call that somebody wants to end: what the daemon does, and when it stops wanting."""

import pytest

from pbxbill.charging.control import Alarm, HangUp, LiveCall, Phase, SetDeadline, Submit
from pbxbill.charging.events import Announcement, Answer, FailurePolicy, Granted, Settle, Void
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit

WHY = "hung up by the operator"


def call(*, shadow: bool = False) -> LiveCall:
    return LiveCall(
        Granted(
            session_id="s",
            account_id=1,
            account_code="alice",
            destination="Germany",
            called="49",
            unit=Unit("EUR"),
            available=0,
            affordable_us=600 * SECOND_US,
            granted_us=60 * SECOND_US,
            final=False,
            slice_us=60 * SECOND_US,
            renew_before_us=15 * SECOND_US,
            max_call_us=7200 * SECOND_US,
            announcement=Announcement(),
            failure_policy=FailurePolicy.CLOSED,
            wallet_ids=(1,),
            shadow=shadow,
        )
    )


def talking() -> LiveCall:
    made = call()
    made.answered(answered_us=0, paid_leg="leg", elapsed_us=0, now_us=0)
    return made


def seconds(number: int) -> int:
    return number * SECOND_US


def test_it_is_hung_up_at_once_and_asked_for_again_until_it_is_gone() -> None:
    live = talking()
    assert live.hang_up(WHY, seconds(5)) == [HangUp(1, asked=True)]
    assert live.hang_up(WHY, seconds(5)) == []
    assert live.due_us == seconds(6)
    assert live.tick(seconds(6)) == [HangUp(2, asked=True)]
    third = live.tick(seconds(8))
    assert third[0] == HangUp(3, asked=True)
    assert isinstance(third[1], Alarm)
    assert live.ended(answered_us=0, ended_us=seconds(9), hangup_cause=16) == [
        Submit(Settle("s", 0, seconds(9), 16, detail=WHY))
    ]


def test_one_that_rings_is_hung_up_and_one_that_is_answered_meanwhile_as_well() -> None:
    live = call()
    assert live.hang_up(WHY, 0) == [HangUp(1, asked=True)]
    assert live.phase is Phase.SETUP
    actions = live.answered(answered_us=100, paid_leg="leg", elapsed_us=0, now_us=200)
    assert actions[0] == Submit(Answer("s", 100, "leg"))
    assert actions[-1] == HangUp(2, asked=True)
    assert live.ended(answered_us=100, ended_us=300, hangup_cause=16) == [
        Submit(Settle("s", 100, 300, 16, detail=WHY))
    ]


def test_one_that_rings_and_ends_is_voided_with_the_reason() -> None:
    live = call()
    live.hang_up(WHY, 0)
    assert live.ended(answered_us=None, ended_us=9, hangup_cause=16) == [Submit(Void("s", 9, 16, detail=WHY))]


@pytest.mark.parametrize("answered", [True, False])
def test_one_that_nobody_wants_to_end_any_more_goes_on_as_before(answered: bool) -> None:
    live = talking() if answered else call()
    live.hang_up(WHY, seconds(5))
    live.spare(seconds(6))
    assert live.phase is (Phase.TALKING if answered else Phase.SETUP)
    assert live.due_us == (seconds(45) if answered else None)
    assert not any(isinstance(x, HangUp) for x in live.tick(seconds(7)))
    (closing,) = live.ended(answered_us=0 if answered else None, ended_us=seconds(8), hangup_cause=16)
    assert isinstance(closing, Submit)
    assert isinstance(closing.command, Settle | Void)
    assert closing.command.detail == ""


def test_one_whose_money_ends_meanwhile_is_cut_even_when_it_was_spared() -> None:
    live = talking()
    live.hang_up(WHY, seconds(5))
    assert live.spare(seconds(61)) == [HangUp(1)]


def test_in_shadow_and_after_its_end_nothing_is_asked_of_the_switch() -> None:
    watched = call(shadow=True)
    watched.answered(answered_us=0, paid_leg="leg", elapsed_us=0, now_us=0)
    assert watched.hang_up(WHY, 1) == []
    ended = talking()
    ended.ended(answered_us=0, ended_us=1, hangup_cause=16)
    assert ended.hang_up(WHY, 2) == []
    assert ended.spare(3) == []


def test_no_slice_is_added_while_it_is_being_ended() -> None:
    live = talking()
    live.hang_up(WHY, seconds(44))
    actions = [action for at in range(45, 60) for action in live.tick(seconds(at))]
    assert not [x for x in actions if isinstance(x, Submit | SetDeadline)]
