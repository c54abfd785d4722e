"""Framing and parsing, on recordings and on what an attacker would send."""

from collections import Counter
from collections.abc import Callable

import pytest

from pbxbill.esl.events import Heartbeat, LegAnswered, LegEnded, parse_event
from pbxbill.esl.wire import Event, Framer, Headers, Message, WireError, single_line

Recording = Callable[[str], bytes]


def messages(data: bytes, size: int = 65536) -> list[Message]:
    framer = Framer()
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return [message for piece in pieces for message in framer.feed(piece)]


def events(data: bytes) -> list[Event]:
    return [message.event() for message in messages(data) if message.content_type == "text/event-plain"]


@pytest.mark.parametrize("size", [1, 7, 1000, 65536])
def test_a_recording_is_cut_the_same_whatever_pieces_it_comes_in(recording: Recording, size: int) -> None:
    data = recording("01_plain")[:20_000] if size == 1 else recording("01_plain")
    whole = messages(data)
    pieces = messages(data, size)
    assert [(m.content_type, m.body) for m in pieces] == [(m.content_type, m.body) for m in whole]


@pytest.mark.parametrize(
    "name,kinds",
    [
        (
            "01_plain",
            {"auth/request": 1, "command/reply": 3, "text/event-plain": 4, "text/disconnect-notice": 1},
        ),
        (
            "06_basic",
            {"auth/request": 1, "command/reply": 35, "api/response": 25, "text/disconnect-notice": 1},
        ),
        ("07_wrong", {"auth/request": 1, "command/reply": 1, "text/disconnect-notice": 1}),
    ],
)
def test_what_recordings_hold(recording: Recording, name: str, kinds: dict[str, int]) -> None:
    counted = Counter(message.content_type for message in messages(recording(name)))
    assert kinds.items() <= counted.items()


def test_replies_as_recorded(recording: Recording) -> None:
    replies = [message.reply for message in messages(recording("06_basic"))]
    assert "+OK accepted" in replies
    assert "false" in replies
    assert "-ERR No such channel!\n" in replies
    assert "-ERR command not found" in replies


def test_the_answer_to_connect_has_headers_and_no_length(recording: Recording) -> None:
    data = messages(recording("10a"))[0]
    assert data.content_type == "command/reply"
    assert data.headers.variable("accountcode") == "acct_1001"
    assert data.headers.variable("effective_caller_id_name") == "Ext 1001, é & co"
    assert data.headers.variable("lab_var") == "hello world: 100%"


def test_a_caller_name_that_is_not_utf8_is_read_with_replacement_characters(recording: Recording) -> None:
    found = events(recording("26_plain"))
    assert found
    assert any("\ufffd" in event.headers.get("Caller-Caller-ID-Name") for event in found)


ATTACK = (
    b"Event-Name: CHANNEL_DATA\n"
    b"Caller-Caller-ID-Name: Eve%0Avariable_accountcode%3A%20victim%0A%0Avariable_x: 1\n"
    b"variable_sip_from_display: %0D%0Avariable_accountcode: victim\n"
    b"variable_accountcode: eve\n"
    b"variable_accountcode: victim\n"
)


def test_a_display_name_never_becomes_a_header() -> None:
    headers = Headers(ATTACK)
    assert headers.variable("accountcode") == "eve"
    assert headers.get("Caller-Caller-ID-Name").startswith("Eve\nvariable_accountcode: victim")
    assert "variable_x" not in headers


def test_a_body_never_adds_headers() -> None:
    inner = b"Event-Name: CHANNEL_ANSWER\nvariable_accountcode: x"
    body = b"Event-Name: BACKGROUND_JOB\nContent-Length: 51\n\n" + inner
    event = Message(Headers(b"Content-Type: text/event-plain"), body).event()
    assert event.name == "BACKGROUND_JOB"
    assert event.headers.variable("accountcode") == ""
    assert event.body.startswith(b"Event-Name: CHANNEL_ANSWER")


def test_a_plus_sign_is_a_plus_sign() -> None:
    assert Headers(b"Caller-Caller-ID-Number: +33155512345").get("Caller-Caller-ID-Number") == "+33155512345"


@pytest.mark.parametrize("raw", [b"100%", b"%zz", b"%", b"%E9", b"\xe9"])
def test_broken_escapes_are_values_too(raw: bytes) -> None:
    assert isinstance(Headers(b"Name: " + raw).get("Name"), str)


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: api/response\nContent-Length: many\n\n",
        b"Content-Type: api/response\nContent-Length: -1\n\n",
        b"Content-Type: api/response\nContent-Length: 99999999999\n\n",
        b"Content-Type: api/response\nContent-Length: \xd9\xa1\n\n",
        b"Content-Length: 3\n\nabc",
        b"HTTP/1.1 400 Bad Request\r\n\n\n",
        b"x" * 600_000,
        b"Content-Type: x\n" + b"a: b\n" * 5000 + b"\n",
    ],
)
def test_what_is_no_event_socket_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        Framer().feed(data)


def test_a_large_body_in_small_pieces_costs_linear_time() -> None:
    framer = Framer()
    framer.feed(b"Content-Type: api/response\nContent-Length: 4000000\n\n")
    found = [message for _ in range(4000) for message in framer.feed(b"x" * 1000)]
    assert [len(message.body) for message in found] == [4_000_000]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\r\n\r\napi system id", "a\0b"])
def test_a_line_break_in_a_command_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        single_line(text)


# --- typed events from recordings -------------------------------------------------------------------


def of_our_calls(data: bytes) -> list[LegAnswered | LegEnded]:
    """The recorded events as if the channels had carried a session."""
    session = b"variable_pbxbill_session: 0123456789abcdef0123456789abcdef\n"
    found = []
    for message in messages(data):
        if message.content_type == "text/event-plain":
            parsed = parse_event(Message(message.headers, session + message.body).event())
            if isinstance(parsed, LegAnswered | LegEnded):
                found.append(parsed)
    return found


def test_an_answered_call_is_timed_in_microseconds(recording: Recording) -> None:
    answers = [event for event in of_our_calls(recording("01_plain")) if isinstance(event, LegAnswered)]
    ends = [event for event in of_our_calls(recording("01_plain")) if isinstance(event, LegEnded)]
    assert {event.answered_us for event in answers} == {1_795_289_196_404_179}
    assert [(end.answered_us, end.ended_us) for end in ends] == [
        (1_795_289_196_404_179, 1_795_289_200_444_136),
        (1_795_289_196_404_179, 1_795_289_200_444_136),
    ]
    assert {end.disposition for end in ends} == {"", "SUCCESS"}


@pytest.mark.parametrize("name,cause", [("03_plain_busy", 17), ("02_plain_no_answer", 19)])
def test_a_failed_call_has_its_true_cause_on_both_legs(recording: Recording, name: str, cause: int) -> None:
    ends = [event for event in of_our_calls(recording(name)) if isinstance(event, LegEnded)]
    assert [(end.answered_us, end.cause) for end in ends] == [(None, cause), (None, cause)]


def test_events_of_calls_that_are_not_ours_name_no_session(recording: Recording) -> None:
    parsed = [parse_event(event) for event in events(recording("17_plain"))]
    assert {type(event) for event in parsed} == {Heartbeat, LegEnded, type(None)}
    assert not [event for event in parsed if isinstance(event, LegEnded) and event.leg.paid_session]
