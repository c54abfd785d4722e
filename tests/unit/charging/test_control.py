"""LiveCall: when timers move, when the caller is warned, when a call is cut, and what a fault changes."""

from itertools import pairwise
from typing import Any

import pytest

from pbxbill.charging.control import Action, Alarm, HangUp, LiveCall, Phase, SetDeadline, Submit, Warn
from pbxbill.charging.events import (
    Announcement,
    Answer,
    Answered,
    Extend,
    Extended,
    FailurePolicy,
    Granted,
    Settle,
    Void,
)
from tests.small_operator import EUR, seconds

S = seconds(1)
ANSWERED_US = 1_767_225_600 * S

GRANTED = Granted(
    session_id="a" * 32,
    account_id=1,
    account_code="alice",
    destination="Germany",
    called="4930",
    unit=EUR,
    available=0,
    affordable_us=600 * S,
    granted_us=60 * S,
    final=False,
    slice_us=60 * S,
    renew_before_us=15 * S,
    max_call_us=14_400 * S,
    announcement=Announcement("en", warning=True),
    failure_policy=FailurePolicy.CLOSED,
    wallet_ids=(7,),
)
SESSION = GRANTED.session_id


class Talk:
    """A call steered second by second; now_s counts from its answer."""

    def __init__(self, *, answered: bool = True, **terms: Any) -> None:
        self.call = LiveCall(GRANTED._replace(**terms))
        self.start_us = 5_000 * S
        self.now_s = 0
        self.actions: list[Action] = []
        if answered:
            self.actions = self.call.answered(
                answered_us=ANSWERED_US, paid_leg="leg", elapsed_us=0, now_us=self.now_us
            )

    @property
    def now_us(self) -> int:
        return self.start_us + self.now_s * S

    @property
    def due_s(self) -> int | None:
        """When the call wants to be asked next."""
        return None if self.call.due_us is None else (self.call.due_us - self.start_us) // S

    def at(self, now_s: int) -> list[Action]:
        """What it does when asked at that second."""
        self.now_s = now_s
        return self.call.tick(self.now_us)

    def extended(self, granted_s: int, *, final: bool = False, affordable_s: int = 600) -> list[Action]:
        outcome = Extended(SESSION, granted_s * S, final, affordable_s * S)
        return self.call.granted_now(outcome, self.now_us)

    def failed(self, command: object) -> list[Action]:
        return self.call.failed(command, self.now_us)

    def changed(self) -> list[Action]:
        return self.call.wallet_changed(self.now_us)


def extend(want_s: int, at_s: int) -> Submit:
    return Submit(Extend(SESSION, want_s * S, ANSWERED_US + at_s * S))


# --- arming and renewing ------------------------------------------------------------------------


def test_an_answer_arms_the_timer_and_is_made_durable() -> None:
    talk = Talk()
    assert talk.actions == [Submit(Answer(SESSION, ANSWERED_US, "leg")), SetDeadline(60 * S)]
    assert talk.due_s == 45


def test_time_since_the_answer_is_taken_off() -> None:
    call = LiveCall(GRANTED)
    actions = call.answered(answered_us=ANSWERED_US, paid_leg="leg", elapsed_us=10 * S, now_us=1_000 * S)
    assert SetDeadline(50 * S) in actions
    assert call.due_us == 1_035 * S


def test_an_answer_told_twice_arms_once() -> None:
    talk = Talk()
    again = talk.call.answered(answered_us=ANSWERED_US, paid_leg="leg", elapsed_us=0, now_us=talk.now_us)
    assert again == []


@pytest.mark.parametrize("now_s, actions", [(44, []), (45, [extend(120, 45)]), (50, [extend(120, 50)])])
def test_a_slice_is_renewed_before_its_end(now_s: int, actions: list[Action]) -> None:
    assert Talk().at(now_s) == actions


def test_one_question_at_a_time() -> None:
    talk = Talk()
    talk.at(45)
    assert talk.at(46) == []
    assert talk.due_s == 60  # the deadline, should no answer come


def test_a_granted_slice_moves_the_timer() -> None:
    talk = Talk()
    talk.at(45)
    assert talk.extended(120) == [SetDeadline(75 * S)]
    assert talk.due_s == 105


def test_nothing_moves_where_nothing_changed() -> None:
    talk = Talk()
    talk.changed()
    assert talk.extended(60) == []


def test_a_final_slice_is_not_renewed() -> None:
    talk = Talk()
    talk.at(45)
    talk.extended(80, final=True, affordable_s=80)
    assert talk.at(70) == []
    assert talk.due_s == 80


def test_no_question_goes_beyond_the_longest_call() -> None:
    talk = Talk(max_call_us=100 * S)
    assert talk.at(45) == [extend(100, 45)]


# --- warning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "affordable_s, warned_at_s", [(600, 540), (120, 60), (70, 10), (65, 5), (64, None), (30, None)]
)
def test_the_caller_is_warned_one_minute_before_the_money_ends(
    affordable_s: int, warned_at_s: int | None
) -> None:
    # Known from the start: nobody else spends, and slices come in time.
    talk = Talk(
        affordable_us=affordable_s * S, final=affordable_s <= 60, granted_us=min(60, affordable_s) * S
    )
    warned_at = None
    while talk.call.phase is Phase.TALKING and talk.now_s < 700:
        talk.now_s = talk.due_s if talk.due_s is not None else 700
        for action in talk.call.tick(talk.now_us):
            if isinstance(action, Warn):
                assert warned_at is None
                warned_at = talk.now_s
                assert action.remaining_us == 60 * S
            if isinstance(action, Submit) and isinstance(action.command, Extend):
                granted_s = min(affordable_s, action.command.want_us // S)
                talk.extended(granted_s, final=granted_s == affordable_s, affordable_s=affordable_s)
    assert warned_at == warned_at_s


def test_an_account_without_warning_hears_none() -> None:
    talk = Talk(announcement=Announcement("en"), affordable_us=70 * S)
    assert all(not isinstance(action, Warn) for now_s in range(60) for action in talk.at(now_s))


def test_a_top_up_makes_room_for_another_warning() -> None:
    talk = Talk(granted_us=100 * S, affordable_us=100 * S, final=True)
    assert talk.at(40) == [Warn(60 * S)]
    talk.changed()
    talk.extended(200, final=True, affordable_s=200)
    assert talk.at(139) == []
    assert talk.at(140) == [Warn(60 * S)]


def test_a_warning_that_would_talk_into_the_end_is_left_out() -> None:
    talk = Talk(granted_us=300 * S, affordable_us=300 * S, final=True)
    assert talk.at(296) == []


# --- wallet news --------------------------------------------------------------------------------


def test_news_ask_what_is_granted_now() -> None:
    talk = Talk()
    talk.at(10)
    assert talk.changed() == [extend(60, 10)]


def test_news_near_the_end_ask_for_more() -> None:
    talk = Talk(granted_us=60 * S, final=True, affordable_us=60 * S)
    talk.at(50)
    assert talk.changed() == [extend(120, 50)]
    assert talk.extended(120, affordable_s=300) == [SetDeadline(70 * S)]


def test_news_during_a_question_ask_again_after_it() -> None:
    talk = Talk()
    talk.at(45)
    assert talk.changed() == []
    assert talk.extended(120) == [SetDeadline(75 * S), extend(120, 45)]


def test_money_taken_out_moves_the_timer_back() -> None:
    talk = Talk()
    talk.at(10)
    talk.changed()
    assert talk.extended(20, final=True, affordable_s=20) == [SetDeadline(10 * S), Warn(10 * S)]
    assert talk.at(20) == [HangUp(1)]


def test_money_taken_out_beyond_what_is_used_cuts_at_once() -> None:
    talk = Talk()
    talk.at(30)
    talk.changed()
    assert talk.extended(25, final=True, affordable_s=25) == [HangUp(1)]


def test_news_before_the_answer_change_what_the_answer_arms() -> None:
    talk = Talk(answered=False)
    (question,) = talk.changed()
    assert isinstance(question, Submit)
    assert talk.extended(20, final=True, affordable_s=20) == []
    actions = talk.call.answered(answered_us=ANSWERED_US, paid_leg="leg", elapsed_us=0, now_us=talk.now_us)
    assert SetDeadline(20 * S) in actions


def test_an_answer_s_outcome_may_bring_another_grant() -> None:
    talk = Talk()
    outcome = Answered(SESSION, 30 * S, True, ANSWERED_US + 30 * S)
    assert talk.call.granted_now(outcome, talk.now_us) == [SetDeadline(30 * S)]


# --- cutting ------------------------------------------------------------------------------------


def test_a_call_past_its_deadline_is_cut_again_and_again() -> None:
    talk = Talk(granted_us=10 * S, final=True, affordable_us=10 * S)
    seen = []
    while talk.now_s < 120:
        talk.now_s = talk.due_s or 0
        seen.append((talk.now_s, talk.call.tick(talk.now_us)))
    assert seen[:4] == [
        (10, [HangUp(1)]),
        (11, [HangUp(2)]),
        (13, [HangUp(3), Alarm(f"call {SESSION} does not end: 3 hang-ups sent")]),
        (17, [HangUp(4)]),
    ]
    assert {later - earlier for (earlier, _), (later, _) in pairwise(seen[6:])} == {30}


def test_asking_too_early_sends_no_second_hang_up() -> None:
    talk = Talk(granted_us=10 * S, final=True, affordable_us=10 * S)
    talk.at(10)
    assert talk.at(10) == []
    assert talk.due_s == 11


def test_a_top_up_before_the_hang_up_saves_the_call() -> None:
    talk = Talk(granted_us=10 * S, final=True, affordable_us=10 * S)
    talk.now_s = 9
    talk.changed()
    assert talk.extended(70, affordable_s=600) == [SetDeadline(61 * S)]
    assert talk.call.phase is Phase.TALKING


# --- faults -------------------------------------------------------------------------------------


def test_an_unanswered_question_is_asked_again_and_the_deadline_stays() -> None:
    talk = Talk()
    (question,) = talk.at(45)
    assert isinstance(question, Submit)
    assert talk.failed(question.command) == []
    assert talk.due_s == 46
    assert talk.at(46) == [extend(120, 46)]
    assert talk.at(60) == [HangUp(1)]


def test_an_answer_that_was_lost_is_told_again() -> None:
    talk = Talk()
    told = Answer(SESSION, ANSWERED_US, "leg")
    talk.failed(told)
    assert talk.due_s == 1
    assert talk.at(1) == [Submit(told)]
    assert talk.at(2) == []


def test_failure_policy_open_goes_on_without_an_answer() -> None:
    talk = Talk(failure_policy=FailurePolicy.OPEN)
    deadlines = []
    for now_s in range(300):
        for action in talk.at(now_s):
            if isinstance(action, Submit):
                deadlines += [
                    x.remaining_us // S for x in talk.failed(action.command) if isinstance(x, SetDeadline)
                ]
            assert not isinstance(action, HangUp)
    assert deadlines[0] == 60
    assert len(deadlines) <= 7  # once a slice, not once a second
    # The database is back: what it says counts again.
    assert talk.extended(360, affordable_s=600) == [SetDeadline(61 * S)]


def test_even_failure_policy_open_ends_with_the_longest_call() -> None:
    talk = Talk(failure_policy=FailurePolicy.OPEN, max_call_us=100 * S, affordable_us=100 * S)
    cut_at = None
    for now_s in range(110):
        for action in talk.at(now_s):
            if isinstance(action, Submit):
                talk.failed(action.command)
            if isinstance(action, HangUp) and cut_at is None:
                cut_at = now_s
    assert cut_at == 100


def test_failure_policy_open_is_cut_when_the_database_says_so() -> None:
    talk = Talk(failure_policy=FailurePolicy.OPEN)
    (question,) = talk.at(50)
    assert isinstance(question, Submit)
    talk.failed(question.command)
    talk.at(70)
    assert talk.extended(60, final=True, affordable_s=60) == [HangUp(1)]


def test_a_session_closed_elsewhere_ends_a_live_call() -> None:
    talk = Talk()
    talk.at(10)
    assert talk.call.session_closed(talk.now_us) == [HangUp(1)]


def test_a_session_closed_in_set_up_must_not_be_answered() -> None:
    talk = Talk(answered=False)
    assert talk.call.session_closed(talk.now_us) == [HangUp(1)]
    assert talk.call.answered(answered_us=1, paid_leg="leg", elapsed_us=0, now_us=talk.now_us) == []


def test_a_step_of_the_wall_clock_moves_nothing() -> None:
    """The answer's stamp is the switch's; what follows is counted on the monotonic clock alone."""
    normal, stepped = Talk(), Talk(answered=False)
    stepped.call.answered(
        answered_us=ANSWERED_US - 3_600 * S, paid_leg="leg", elapsed_us=0, now_us=stepped.now_us
    )
    for now_s in (0, 44, 45, 59, 60, 61):
        kinds = [[type(action) for action in talk.at(now_s)] for talk in (normal, stepped)]
        assert kinds[0] == kinds[1]
        assert normal.call.due_us == stepped.call.due_us


def test_an_answer_in_the_future_counts_from_now() -> None:
    call = LiveCall(GRANTED)
    call.answered(answered_us=ANSWERED_US, paid_leg="leg", elapsed_us=-30 * S, now_us=1_000 * S)
    assert call.remaining_us(1_000 * S) == 60 * S


# --- the end ------------------------------------------------------------------------------------


def test_the_end_is_settled_with_the_switch_s_times_once() -> None:
    talk = Talk()
    times: dict[str, Any] = {"answered_us": ANSWERED_US, "ended_us": ANSWERED_US + 31 * S, "hangup_cause": 16}
    assert talk.call.ended(**times) == [Submit(Settle(SESSION, ANSWERED_US, ANSWERED_US + 31 * S, 16))]
    assert talk.call.ended(**times) == []
    assert talk.call.due_us is None


def test_a_call_that_was_never_answered_is_voided() -> None:
    talk = Talk(answered=False)
    assert talk.call.ended(answered_us=None, ended_us=9, hangup_cause=17) == [Submit(Void(SESSION, 9, 17))]


def test_the_outcome_of_the_answer_may_come_after_the_end() -> None:
    talk = Talk()
    talk.call.ended(answered_us=ANSWERED_US, ended_us=ANSWERED_US + 1, hangup_cause=16)
    assert talk.extended(120) == []
    assert talk.changed() == []
    assert talk.failed(Extend(SESSION, 1, 1)) == []
    assert talk.failed(Answer(SESSION, 1, "leg")) == []


def test_a_settle_that_failed_is_sent_until_it_is_closed() -> None:
    talk = Talk()
    (settle,) = talk.call.ended(answered_us=ANSWERED_US, ended_us=ANSWERED_US + S, hangup_cause=16)
    assert isinstance(settle, Submit)
    for now_s in (1, 2):
        assert talk.failed(settle.command) == []
        assert talk.due_s == now_s
        assert talk.at(now_s) == [settle]
    assert talk.call.session_closed(talk.now_us) == []
    assert talk.call.closed
    assert talk.at(9) == []
