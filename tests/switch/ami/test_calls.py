"""Events in every order, twice, or never: the same call costs the same."""

import itertools

import pytest

from pbxbill.ami.calls import AskWhetherGone, CallBook, EndLeg, LookAgain, Step, TrackedCall
from pbxbill.ami.events import DialAnswered, DialFailed, Doubted, Event, HangupAsked, LegGone, LegSeen, LegUp
from pbxbill.ami.timers import ArmTimer, TimerBoard
from pbxbill.charging.control import HangUp, SetDeadline, Submit
from pbxbill.charging.events import Answer, Authorize, Direction, Granted, Settle, Void
from pbxbill.clock import SECOND_US
from tests.switch.ami.harness import Funds, SimpleEngine

S = "0198f3a2b1c47d9e8f00112233445566"
T0 = 1_795_290_163_000_000
CALLER, PAID = "pbx1-1.1", "pbx1-1.2"
UP = LegUp(PAID, "PJSIP/gw-2", S, T0)
ANSWERED = DialAnswered(PAID, "PJSIP/gw-2", S, T0 + 400)
ASKED = HangupAsked(PAID, S, T0 + 10 * SECOND_US)
PAID_GONE = LegGone(PAID, S, 16, T0 + 10 * SECOND_US + 900)
CALLER_GONE = LegGone(CALLER, S, 16, T0 + 10 * SECOND_US + 500)


def granted(session_id: str = S, direction: Direction = Direction.OUTBOUND) -> tuple[Granted, Authorize]:
    request = Authorize(session_id, "pbx1", CALLER, direction, "1555", "2001", T0, account_code="acme")
    outcome = SimpleEngine({"acme": Funds(100 * SECOND_US)})._authorize(request)
    assert isinstance(outcome, Granted)
    return outcome, request


def book_with_call(direction: Direction = Direction.OUTBOUND) -> tuple[CallBook, TrackedCall]:
    book = CallBook()
    call = book.add(*granted(direction=direction), "PJSIP/alice-1")
    return book, call


def play(book: CallBook, *events: Event, elapsed_us: int = 0) -> list[Step]:
    return [
        step
        for event in events
        for step in book.handle(event, now_us=elapsed_us, switch_now_us=T0 + elapsed_us)
    ]


def commands(steps: list[Step]) -> list[object]:
    return [step[1].command for step in steps if isinstance(step, tuple) and isinstance(step[1], Submit)]


@pytest.mark.parametrize("order", list(itertools.permutations([ASKED, PAID_GONE, CALLER_GONE])))
@pytest.mark.parametrize("start", [[UP, ANSWERED], [ANSWERED, UP], [UP, UP, ANSWERED, ANSWERED]])
def test_any_order_of_the_end_gives_the_same_settlement(start: list[Event], order: tuple[Event, ...]) -> None:
    book, _ = book_with_call()
    sent = commands(play(book, *start, *order, *order))
    [answer, settle] = sent
    assert isinstance(answer, Answer)
    assert isinstance(settle, Settle)
    assert answer.paid_leg == PAID
    assert answer.answered_us - T0 in {0, 400}
    assert settle.ended_us - T0 in {10 * SECOND_US, 10 * SECOND_US + 900}
    assert settle.hangup_cause == 16


def test_the_callers_end_does_not_end_a_transferred_call() -> None:
    book, _ = book_with_call()
    play(book, UP, ANSWERED)
    assert commands(play(book, CALLER_GONE)) == []
    [settle] = commands(play(book, LegGone(PAID, S, 16, T0 + 30 * SECOND_US), elapsed_us=30 * SECOND_US))
    assert isinstance(settle, Settle)
    assert settle.ended_us == T0 + 30 * SECOND_US


def test_a_call_that_rings_on_after_the_callers_end_is_still_charged() -> None:
    book, _ = book_with_call()
    assert commands(play(book, LegSeen(PAID, "PJSIP/gw-2", S), CALLER_GONE)) == []
    assert isinstance(commands(play(book, ANSWERED))[0], Answer)


def test_the_cause_of_an_unanswered_call_is_the_dialled_legs() -> None:
    book, _ = book_with_call()
    [void] = commands(
        play(book, LegSeen(PAID, "x", S), DialFailed(PAID, S, "BUSY"), LegGone(PAID, S, 17, T0), CALLER_GONE)
    )
    assert isinstance(void, Void)
    assert void.hangup_cause == 17


def test_a_second_carrier_is_tried_under_the_same_grant() -> None:
    book, _ = book_with_call()
    first: list[Event] = [LegSeen("pbx1-1.8", "PJSIP/gw1-8", S), DialFailed("pbx1-1.8", S, "CONGESTION")]
    assert commands(play(book, *first, LegGone("pbx1-1.8", S, 34, T0))) == []
    assert isinstance(commands(play(book, ANSWERED))[0], Answer)


def test_one_grant_pays_for_one_leg() -> None:
    book, call = book_with_call()
    play(book, UP, ANSWERED)
    second = DialAnswered("pbx1-1.7", "PJSIP/gw-7", S, T0 + SECOND_US)
    assert play(book, second) == [EndLeg("pbx1-1.7", S)]
    play(book, PAID_GONE)
    assert play(book, second) == [EndLeg("pbx1-1.7", S)], "nor after it has ended"
    book.forget(call)
    assert play(book, second) == [EndLeg("pbx1-1.7", S)], "nor when it was settled"


def test_half_a_local_channel_is_not_the_paid_leg() -> None:
    book, _ = book_with_call()
    assert play(book, DialAnswered("pbx1-1.5", "Local/x@y-1;1", S, T0)) == []
    assert isinstance(commands(play(book, ANSWERED))[0], Answer)


def test_a_leg_of_an_unknown_session_is_looked_at_again() -> None:
    other = "0198f3a2b1c47d9e8f0011223344ffff"
    assert play(CallBook(), DialAnswered(PAID, "PJSIP/gw-2", other, T0)) == [LookAgain(other)]


def test_the_trunk_pays_for_a_call_to_a_did() -> None:
    book, call = book_with_call(Direction.INBOUND)
    phone = DialAnswered("pbx1-1.5", "PJSIP/desk-5", S, T0)
    assert commands(play(book, phone)) == []
    [answer] = commands(play(book, LegUp(CALLER, "PJSIP/trunk-1", S, T0 + 5)))
    assert isinstance(answer, Answer)
    assert (answer.paid_leg, answer.answered_us) == (CALLER, T0 + 5)
    assert call.timed_legs() == [CALLER]


def test_the_deadline_stands_on_both_legs_and_elapsed_time_counts() -> None:
    book, call = book_with_call()
    steps = play(book, ANSWERED, elapsed_us=2 * SECOND_US)
    deadlines = [step[1] for step in steps if isinstance(step, tuple) and isinstance(step[1], SetDeadline)]
    assert deadlines[0].remaining_us == 58 * SECOND_US + 400
    timers = book.deadline(call, deadlines[0], 2 * SECOND_US)
    assert timers == [ArmTimer(PAID, 60 * SECOND_US + 400), ArmTimer(CALLER, 60 * SECOND_US + 400)]


def test_a_leg_that_the_timer_ended_says_so() -> None:
    book, _ = book_with_call()
    play(book, UP, ANSWERED)
    end = 60 * SECOND_US
    [settle] = commands(play(book, LegGone(PAID, S, 16, T0 + end), elapsed_us=end))
    assert isinstance(settle, Settle)
    assert settle.hangup_cause == 102


def test_an_end_before_the_answer_is_no_negative_time() -> None:
    book, _ = book_with_call()
    play(book, ANSWERED)
    [settle] = commands(play(book, LegGone(PAID, S, 16, T0 - SECOND_US)))
    assert isinstance(settle, Settle)
    assert settle.ended_us == settle.answered_us


def test_hang_ups_go_on_until_the_leg_is_gone() -> None:
    book, call = book_with_call()
    play(book, ANSWERED)
    attempts = []
    for moment in range(60, 75):
        attempts += [a.attempt for a in call.live.tick(moment * SECOND_US + 500) if isinstance(a, HangUp)]
    assert attempts == [1, 2, 3, 4]


def test_a_call_whose_session_is_closed_in_set_up_is_ended_and_forgotten() -> None:
    book, call = book_with_call()
    play(book, LegSeen(PAID, "PJSIP/gw-2", S))
    assert any(isinstance(action, HangUp) for action in call.live.session_closed(0))
    assert play(book, ANSWERED) == [EndLeg(PAID, S)]
    [void] = commands(play(book, PAID_GONE, CALLER_GONE))
    assert isinstance(void, Void)


def test_of_two_sessions_on_one_channel_the_earlier_end_counts() -> None:
    board = TimerBoard()
    assert board.want("did", ["trunk"], 100) == [ArmTimer("trunk", 100)]
    assert board.want("forward", ["trunk", "out"], 60) == [ArmTimer("trunk", 60), ArmTimer("out", 60)]
    assert board.want("forward", ["trunk"], 160) == [ArmTimer("trunk", 100)]
    board.want("forward", ["trunk"], 60)
    assert board.release("forward", ["trunk", "out"]) == [ArmTimer("trunk", 100)]
    board.forget("trunk")
    assert board.ends_us("trunk") is None


def test_nobody_ends_a_call_who_does_not_know_its_session() -> None:
    book, call = book_with_call()
    other = "0198f3a2b1c47d9e8f0011223344ffff"
    play(book, UP, ANSWERED)
    for session_id in ("", other):
        assert play(book, HangupAsked(PAID, session_id, T0)) == []
        gone = LegGone(PAID, session_id, 16, T0 + SECOND_US)
        assert play(book, gone) == [AskWhetherGone(PAID, frozenset({S}))]
    assert play(book, Doubted(frozenset({PAID, "9.9"}), frozenset())) == [
        AskWhetherGone(PAID, frozenset({S}))
    ]
    assert call.hangup_asked_us == {}
    [settle] = commands(play(book, LegGone(PAID, "", 16, T0 + 10 * SECOND_US, frozenset({S}))))
    assert isinstance(settle, Settle)
    assert settle.ended_us == T0 + 10 * SECOND_US, "the switch was asked, and the leg was gone"


def test_nobody_answers_a_call_to_a_did_who_does_not_know_its_session() -> None:
    book, _ = book_with_call(Direction.INBOUND)
    assert play(book, LegUp(CALLER, "PJSIP/trunk-1", "", T0)) == []
    [answer] = commands(play(book, LegUp(CALLER, "PJSIP/trunk-1", "", T0, frozenset({S}))))
    assert isinstance(answer, Answer), "a leg that asked on is known by the session that pays for it"
