"""The book of calls: events in any order, twice, late."""

from itertools import permutations

import pytest

from pbxbill.charging.control import Phase
from pbxbill.charging.events import Authorize, Direction, Granted, Settle, Void
from pbxbill.esl.calls import CallBook, EndStray, Perform, Step, TrackedCall, Unknown
from pbxbill.esl.events import Leg, LegAnswered, LegEnded

from .fake_engine import FakeAccount, FakeEngine

SESSION = "0123456789abcdef0123456789abcdef"
A, B, C = "aaaaaaaa-leg", "bbbbbbbb-leg", "cccccccc-leg"
ANSWERED_US, ENDED_US = 1_000_000_000, 1_060_000_000


def request(session_id: str = SESSION, direction: Direction = Direction.OUTBOUND) -> Authorize:
    return Authorize(session_id, "fs1", A, direction, "33155512345", "100", 999_000_000, account_code="2001")


def grant(session_id: str = SESSION) -> Granted:
    engine = FakeEngine({"2001": FakeAccount(3600)})
    engine.stop()
    granted = engine._authorize(request(session_id))
    assert isinstance(granted, Granted)
    return granted


def leg(uuid: str, session_id: str = SESSION, paid_by: str = "") -> Leg:
    return Leg(uuid, session_id, paid_by, A, offline=False)


def answered(uuid: str, **of_leg: str) -> LegAnswered:
    return LegAnswered(leg(uuid, **of_leg), ANSWERED_US, ANSWERED_US + 20_000, armed=True)


def ended(uuid: str, *, was_answered: bool = True, disposition: str = "", cause: int = 16) -> LegEnded:
    moment = ANSWERED_US if was_answered else None
    return LegEnded(leg(uuid), moment, moment, ENDED_US, cause, disposition, B if uuid == A else A)


@pytest.fixture
def book() -> CallBook:
    book = CallBook()
    book.add(grant(), request(), uuid=A, now_us=0)
    return book


def call_of(book: CallBook) -> TrackedCall:
    call = book.get(SESSION)
    assert call is not None
    return call


def submitted(steps: list[Step]) -> list[object]:
    """The commands among the steps' actions."""
    actions = [action for step in steps if isinstance(step, Perform) for action in step.actions]
    return [action.command for action in actions if hasattr(action, "command")]


def feed(book: CallBook, *events: LegAnswered | LegEnded) -> list[Step]:
    steps: list[Step] = []
    for event in events:
        steps += book.answered(event, 0) if isinstance(event, LegAnswered) else book.ended(event, 0)
    return steps


@pytest.mark.parametrize(
    "order", list(permutations([answered(B), answered(A), ended(B), ended(A, disposition="SUCCESS")]))
)
def test_any_order_of_events_settles_once_with_the_same_times(
    book: CallBook, order: tuple[LegAnswered | LegEnded, ...]
) -> None:
    steps = feed(book, *order, *order)
    closing = [command for command in submitted(steps) if isinstance(command, Settle | Void)]
    assert closing == [Settle(SESSION, ANSWERED_US, ENDED_US, 16)]


@pytest.mark.parametrize("b_first", [True, False])
def test_busy_is_void_in_either_order(book: CallBook, b_first: bool) -> None:
    b, a = (
        ended(B, was_answered=False, cause=17),
        ended(A, was_answered=False, disposition="USER_BUSY", cause=17),
    )
    steps = feed(book, *([b, a] if b_first else [a, b]))
    assert submitted(steps) == [Void(SESSION, ENDED_US, 17)]


def test_a_caller_who_never_dialled_is_void_at_once(book: CallBook) -> None:
    assert submitted(feed(book, ended(A, was_answered=False))) == [Void(SESSION, ENDED_US, 16)]


def test_a_session_that_the_dialplan_took_off_again_is_void(book: CallBook) -> None:
    """All gateways failed, and a phone in the house answered: nothing that anybody pays for."""
    end = LegEnded(Leg(A, "", "", "", offline=False), ANSWERED_US, ANSWERED_US, ENDED_US, 16, "SUCCESS", C)
    assert submitted(book.ended(end, 0)) == [Void(SESSION, ENDED_US, 16)]


def test_a_cancel_waits_for_the_other_leg_which_may_have_been_answered_at_that_moment(book: CallBook) -> None:
    assert submitted(feed(book, ended(A, was_answered=False, disposition="ORIGINATOR_CANCEL"))) == []
    assert call_of(book).look_at_us is not None
    assert submitted(feed(book, ended(B))) == [Settle(SESSION, ANSWERED_US, ENDED_US, 16)]


def test_the_timer_that_the_answer_armed_is_not_armed_again(book: CallBook) -> None:
    (step,) = book.answered(answered(B), 20_000)
    assert isinstance(step, Perform)
    assert [type(action).__name__ for action in step.actions] == ["Submit"]


def test_a_leg_without_execute_on_answer_is_armed(book: CallBook) -> None:
    event = LegAnswered(leg(B), ANSWERED_US, ANSWERED_US, armed=False)
    (step,) = book.answered(event, 0)
    assert isinstance(step, Perform)
    assert "SetDeadline" in [type(action).__name__ for action in step.actions]


def test_of_two_that_answer_at_once_the_first_pays_and_the_other_ends(book: CallBook) -> None:
    feed(book, answered(B))
    assert feed(book, answered(C)) == [EndStray(C, SESSION, 2_000_000)]
    assert submitted(feed(book, ended(C))) == []
    assert submitted(feed(book, ended(B))) == [Settle(SESSION, ANSWERED_US, ENDED_US, 16)]


def test_an_answer_after_the_session_closed_is_ended(book: CallBook) -> None:
    feed(book, answered(B), ended(B))
    assert feed(book, answered(C)) == [EndStray(C, SESSION, 0)]
    book.forget(call_of(book))
    assert feed(book, answered(C)) == [EndStray(C, SESSION, 0)]


def test_a_session_that_nobody_knows_is_looked_up(book: CallBook) -> None:
    other = "f" * 32
    assert book.answered(answered(C, session_id=other), 0) == [Unknown(C, other)]
    end = LegEnded(leg(C, session_id=other), ANSWERED_US, ANSWERED_US, ENDED_US, 16, "", A)
    assert book.ended(end, 0) == [Unknown(C, other)]


def test_a_channel_that_asks_again_gives_back_what_it_did_not_use(book: CallBook) -> None:
    second = "1" * 32
    steps = book.add(grant(second), request(second), uuid=A, now_us=0)
    assert submitted(steps) == [Void(SESSION, 999_000_000, 16)]


def test_a_channel_that_asks_again_while_its_first_paid_leg_talks_pays_for_both(book: CallBook) -> None:
    feed(book, answered(B))
    second = "1" * 32
    assert book.add(grant(second), request(second), uuid=A, now_us=0) == []
    assert call_of(book).live.phase is Phase.TALKING


def test_a_paid_leg_that_dialled_on_is_still_known_by_its_own_session(book: CallBook) -> None:
    feed(book, answered(B))
    onward = Leg(B, "1" * 32, SESSION, B, offline=False)
    end = LegEnded(onward, ANSWERED_US, ANSWERED_US, ENDED_US, 16, "SUCCESS", C)
    assert submitted(book.ended(end, 0)) == [Settle(SESSION, ANSWERED_US, ENDED_US, 16)]


def test_a_call_to_a_did_ends_with_the_callers_own_channel() -> None:
    book = CallBook()
    book.add(grant(), request(direction=Direction.INBOUND), uuid=A, now_us=0)
    own = Leg(A, "", SESSION, "", offline=False)
    feed(book, LegAnswered(own, ANSWERED_US, ANSWERED_US, armed=True))
    end = LegEnded(own, ANSWERED_US, ANSWERED_US, ENDED_US, 16, "SUCCESS", B)
    assert submitted(book.ended(end, 0)) == [Settle(SESSION, ANSWERED_US, ENDED_US, 16)]


def test_what_is_closed_is_remembered_but_not_for_ever(book: CallBook) -> None:
    for number in range(10_001):
        book._closed[f"{number:032x}"] = None
    book.forget(call_of(book))
    assert len(book._closed) == 10_001
    assert book.is_closed(SESSION)
    assert len(book) == 0
