"""How long a dialled leg takes to ring: from recorded events, in any order, and when some were missed."""

from itertools import permutations
from pathlib import Path

import pytest

from pbxbill.ami.calls import CallBook
from pbxbill.ami.events import (
    DialAnswered,
    DialFailed,
    Event,
    LegGone,
    LegRinging,
    LegSeen,
    LegUp,
    parse_event,
)
from pbxbill.ami.wire import Framer, parse_message
from pbxbill.charging.events import Answer, Authorize, Direction, Settle, Void
from pbxbill.clock import SECOND_US
from tests.switch.ami.test_calls import CALLER, PAID, T0, S, book_with_call, commands, granted, play

RECORDINGS = Path(__file__).parents[2] / "data" / "asterisk"
DIALLED = LegSeen(PAID, "PJSIP/gw-2", S, T0)
RINGS = LegRinging(PAID, S, T0 + 2 * SECOND_US)
ANSWERS = DialAnswered(PAID, "PJSIP/gw-2", S, T0 + 5 * SECOND_US)


def recorded(name: str) -> list[Event]:
    """The events of a recording as if its channels had carried the session."""
    extra = f"\r\nChanVariable: PBXBILL_SESSION={S}\r\nDestChanVariable: PBXBILL_SESSION={S}".encode()
    blocks = Framer().feed((RECORDINGS / f"{name}.raw").read_bytes())
    messages = (parse_message(block.rstrip() + extra) for block in blocks if block.startswith(b"Event: "))
    return [event for event in map(parse_event, messages) if event is not None]


def told(book: CallBook, *events: Event) -> int | None:
    """What the answer says."""
    (answer,) = commands(play(book, *events))
    assert isinstance(answer, Answer)
    return answer.ringing_us


@pytest.mark.parametrize(
    "name, caller, found",
    [
        ("ami-10-call-answered-caller-hangs-up", "1795289970.8", [452, 452]),
        ("ami-13-call-no-answer", "1795289978.22", [0]),
        ("ami-14-call-caller-cancels", "1795289982.28", [1_175]),
    ],
)
def test_a_recorded_call_rings_when_its_events_say(name: str, caller: str, found: list[int]) -> None:
    """From DialBegin to Ringing; in the second one the ringing comes first."""
    book = CallBook()
    outcome, _ = granted()
    book.add(outcome, Authorize(S, "pbx1", caller, Direction.OUTBOUND, "1555", "2001", T0), "PJSIP/2001-1")
    sent = commands(play(book, *recorded(name)))
    assert [x.ringing_us for x in sent if isinstance(x, Answer | Settle | Void)] == found


@pytest.mark.parametrize("before", list(permutations([DIALLED, RINGS])))
def test_any_order_tells_the_same(before: tuple[Event, ...]) -> None:
    book, _ = book_with_call()
    assert told(book, *before, *before, ANSWERS) == 2 * SECOND_US


def test_a_leg_that_is_answered_without_ringing_rang_then() -> None:
    book, _ = book_with_call()
    assert told(book, DIALLED, ANSWERS) == 5 * SECOND_US


def test_of_a_leg_whose_dialling_was_not_seen_nothing_is_known() -> None:
    book, _ = book_with_call()
    assert told(book, RINGS, ANSWERS) is None


@pytest.mark.parametrize("before, found", [([DIALLED, RINGS], 2 * SECOND_US), ([DIALLED], None)])
def test_what_may_have_rung_while_the_link_was_down_is_not_known(
    before: list[Event], found: int | None
) -> None:
    book, call = book_with_call()
    play(book, *before)
    call.lost_sight()
    assert told(book, ANSWERS) == found


def test_of_two_carriers_the_one_that_took_the_call_counts() -> None:
    book, _ = book_with_call()
    other = "pbx1-1.8"
    first: list[Event] = [
        LegSeen(other, "PJSIP/gw1-8", S, T0 - 9 * SECOND_US),
        LegRinging(other, S, T0 - 8 * SECOND_US),
        DialFailed(other, S, "BUSY"),
        LegGone(other, S, 17, T0),
    ]
    assert told(book, *first, DIALLED, RINGS, ANSWERS) == 2 * SECOND_US


def test_a_call_that_nobody_answered_rang_all_the_same() -> None:
    book, _ = book_with_call()
    gone = [LegGone(PAID, S, 0, T0 + 9 * SECOND_US), LegGone(CALLER, S, 16, T0 + 9 * SECOND_US)]
    (void,) = commands(play(book, DIALLED, RINGS, *gone))
    assert isinstance(void, Void)
    assert void.ringing_us == 2 * SECOND_US


def test_a_call_to_a_did_rings_with_the_first_phone() -> None:
    """From the question on, which comes with the call."""
    book, _ = book_with_call(Direction.INBOUND)
    phone = "pbx1-1.5"
    events: list[Event] = [LegSeen(phone, "PJSIP/desk-5", S, T0 + 100), LegRinging(phone, S, T0 + SECOND_US)]
    assert (
        told(book, *events, LegUp(CALLER, "PJSIP/in-1", S, T0 + 5 * SECOND_US, frozenset({S}))) == SECOND_US
    )


def test_a_session_that_nobody_knows_rings_for_nobody() -> None:
    assert play(CallBook(), DIALLED, RINGS) == []
