"""How long a dialled leg takes to ring: from recorded events, in the book of calls, in the CDR log."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pbxbill.charging.events import Answer, Settle, SettleOffline, Void
from pbxbill.clock import ManualClock
from pbxbill.esl.calls import CallBook, ChargeOffline
from pbxbill.esl.cdr_log import CdrLog
from pbxbill.esl.events import LegAnswered, LegEnded, ringing_us

from .test_calls import A, B, C, answered, book, ended, feed, grant, leg, request, submitted
from .test_cdr_log import clock, csv_line, write_call
from .test_wire import Recording, of_our_calls

__all__ = ["book", "clock"]
S = 1_000_000


@pytest.mark.parametrize(
    "rang, media, answer, found",
    [
        (3 * S, 0, 9 * S, 2 * S),
        (0, 4 * S, 9 * S, 3 * S),
        (5 * S, 4 * S, 9 * S, 3 * S),
        (3 * S, 5 * S, 0, 2 * S),
        (0, 0, 9 * S, 8 * S),
        (0, 0, 0, None),
        (S - 20_000, 0, 9 * S, 0),
    ],
    ids=[
        "rang",
        "early media",
        "media, then ringing",
        "nobody answered",
        "answered at once",
        "nothing",
        "step",
    ],
)
def test_the_first_that_is_heard_counts(rang: int, media: int, answer: int, found: int | None) -> None:
    assert ringing_us(S, rang, media, answer) == found


def test_of_a_channel_without_a_beginning_nothing_is_known() -> None:
    assert ringing_us(0, 3 * S, 0, 9 * S) is None


@pytest.mark.parametrize(
    "name, found", [("01_plain", {0}), ("02_plain_no_answer", {0}), ("03_plain_busy", {None})]
)
def test_recorded_calls_rang_at_once_or_not_at_all(
    recording: Recording, name: str, found: set[int | None]
) -> None:
    """SIPp rings within the 20 ms in which FreeSWITCH stamps; busy is told without any ringing."""
    ends = [event for event in of_our_calls(recording(name)) if isinstance(event, LegEnded)]
    assert ends
    assert {event.ringing_us for event in ends} == found


@pytest.mark.parametrize("kind", [LegAnswered, LegEnded])
def test_a_recorded_call_that_rings_late_says_so_at_its_answer_and_at_its_end(
    recording: Recording, kind: type
) -> None:
    """The recorded call, begun a second earlier than it was."""
    data = recording("01_plain")
    for name in (b"Caller-Channel-Created-Time", b"variable_start_uepoch"):
        data = data.replace(name + b": 1795289195404154", name + b": 1795289194404154")
    found = [event for event in of_our_calls(data) if isinstance(event, kind)]
    assert found
    assert {event.ringing_us for event in found} == {S}


def test_a_ringing_moment_that_makes_no_sense_loses_neither_answer_nor_end(recording: Recording) -> None:
    whole, garbled = recording("01_plain"), recording("01_plain")
    for name in (b"Caller-Channel-Progress-Time", b"variable_progress_uepoch", b"variable_start_uepoch"):
        garbled = re.sub(name + rb": [0-9]+", lambda found: found[0][:-3] + b"nan", garbled)
    assert garbled != whole
    found = of_our_calls(garbled)
    assert {event.ringing_us for event in found} == {None}
    assert found == [replace(event, ringing_us=None) for event in of_our_calls(whole)]


@pytest.mark.parametrize("is_csv", [False, True])
def test_a_record_of_the_log_is_kept_without_a_ringing_moment_that_makes_no_sense(
    tmp_path: Path, clock: ManualClock, is_csv: bool
) -> None:
    if is_csv:
        (tmp_path / "Master.csv").write_text(csv_line(progress_media_uepoch="9" * 30))
    else:
        write_call(tmp_path, progress_uepoch="17952891-5")
    reading = CdrLog(str(tmp_path), clock).read(0)
    assert reading.broken == 0
    (record,) = reading.records
    assert record.answered_us is not None
    assert record.ringing_us is None


def test_the_paid_legs_ringing_goes_with_the_answer_and_the_end(book: CallBook) -> None:
    answer, end = replace(answered(B), ringing_us=S), replace(ended(B), ringing_us=S)
    told, closing = submitted(feed(book, answer, end))
    assert isinstance(told, Answer)
    assert isinstance(closing, Settle)
    assert (told.ringing_us, closing.ringing_us) == (S, S)


def test_of_two_carriers_the_one_that_took_the_call_counts(book: CallBook) -> None:
    first = replace(ended(C, was_answered=False, cause=34), ringing_us=9 * S)
    told, closing = submitted(feed(book, first, replace(answered(B), ringing_us=S), ended(B)))
    assert isinstance(told, Answer)
    assert isinstance(closing, Settle)
    assert (told.ringing_us, closing.ringing_us) == (S, S)


@pytest.mark.parametrize("b_first", [True, False])
def test_a_call_that_nobody_answered_rang_all_the_same(book: CallBook, b_first: bool) -> None:
    """The caller's own channel says nothing: it may have heard an announcement before."""
    b = replace(ended(B, was_answered=False), ringing_us=2 * S)
    disposition = "NO_ANSWER" if b_first else "ORIGINATOR_CANCEL"
    a = replace(ended(A, was_answered=False, disposition=disposition), ringing_us=7)
    (void,) = submitted(feed(book, *([b, a] if b_first else [a, b])))
    assert isinstance(void, Void)
    assert void.ringing_us == 2 * S


def test_a_call_that_passed_while_nobody_could_be_asked_rang_too() -> None:
    book = CallBook()
    book.add_offline(grant(), request())
    end = replace(ended(B), leg=replace(leg(B), offline=True), ringing_us=S)
    (charge,) = feed(book, end)
    assert isinstance(charge, ChargeOffline)
    assert isinstance(charge.command, SettleOffline)
    assert charge.command.ringing_us == S


def test_the_cdr_log_knows_the_paid_legs(tmp_path: Path, clock: ManualClock) -> None:
    write_call(tmp_path, start_uepoch="1795291727139689")
    (record,) = CdrLog(str(tmp_path), clock).read(0).records
    assert record.ringing_us == 2 * S


def test_a_line_of_the_csv_log_knows_it_as_well(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "Master.csv").write_text(csv_line(start_uepoch="1000000", progress_media_uepoch="3500000"))
    (record,) = CdrLog(str(tmp_path), clock).read(0).records
    assert record.ringing_us == 2_500_000
