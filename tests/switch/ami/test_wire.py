"""What Asterisk really sent, cut anywhere; and what it never should."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.ami.commands import seconds, set_variables
from pbxbill.ami.events import DialAnswered, HangupAsked, LegGone, LegUp, parse_event
from pbxbill.ami.wire import Framer, check_field, event_name, parse_message, timestamp_us
from pbxbill.errors import InputRefused

DATA = Path(__file__).parents[2] / "data" / "asterisk"
RECORDINGS = sorted(DATA.glob("*.raw"))
SESSION = "0198f3a2b1c47d9e8f00112233445566"


def whole(data: bytes) -> list[bytes]:
    return Framer().feed(data)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_gives_the_same_messages_however_it_is_cut(recording: Path) -> None:
    data = recording.read_bytes()
    expected = whole(data)
    assert expected
    for size in (1, 7, 1448):
        framer = Framer()
        found = [block for at in range(0, len(data), size) for block in framer.feed(data[at : at + size])]
        assert found == expected
    for block in expected:
        message = parse_message(block)
        assert message.event or message.get("response")
        assert event_name(block).decode() in {message.event, ""}


def test_a_recorded_call_tells_answer_and_end_in_microseconds() -> None:
    blocks = whole((DATA / "ami-10-call-answered-caller-hangs-up.raw").read_bytes())
    events = [event for event in (parse_event(parse_message(block)) for block in blocks) if event]
    assert [type(event) for event in events if isinstance(event, LegUp)] == [LegUp, LegUp]
    gone = [event for event in events if isinstance(event, LegGone)]
    asked = [event for event in events if isinstance(event, HangupAsked)]
    assert {event.cause for event in gone} == {16}
    assert 0 <= gone[0].at_us - asked[0].at_us < 100_000


def dial_end(**changes: str) -> bytes:
    fields = {
        "Event": "DialEnd",
        "Timestamp": "1795290163.912345",
        "Uniqueid": "pbx1-1.1",
        "DestUniqueid": "pbx1-1.2",
        "DestChannel": "PJSIP/gw-00000002",
        "DestChanVariable(PJSIP/gw-00000002)": "ignored",
        "DestChanVariable": f"PBXBILL_SESSION={SESSION}",
        "DialStatus": "ANSWER",
    } | changes
    return "\r\n".join(f"{name}: {value}" for name, value in fields.items()).encode()


def test_the_answered_leg_names_its_session() -> None:
    event = parse_event(parse_message(dial_end()))
    assert event == DialAnswered("pbx1-1.2", "PJSIP/gw-00000002", SESSION, 1795290163912345)


@pytest.mark.parametrize(
    "changes", [{"DestChanVariable": "PBXBILL_SESSION=rich'; DROP"}, {"DestUniqueid": ""}]
)
def test_a_dial_of_nobodys_session_is_no_event(changes: dict[str, str]) -> None:
    assert parse_event(parse_message(dial_end(**changes))) is None


def test_an_event_without_a_time_says_what_to_set() -> None:
    with pytest.raises(InputRefused, match="timestampevents=yes"):
        parse_event(parse_message(dial_end(Timestamp="")))


def test_of_repeated_headers_the_first_counts() -> None:
    assert parse_message(b"Event: Hangup\r\nCause: 16\r\nCause: 21").get("cause") == "16"


def test_bytes_that_are_no_utf8_are_kept_in_their_header() -> None:
    message = parse_message(b"Event: Newstate\r\nCallerIDName: Andr\xe9\r\nUniqueid: 1.1")
    assert (message.get("calleridname"), message.get("uniqueid")) == ("Andr\ufffd", "1.1")


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 300])
def test_another_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(InputRefused, match="not an Asterisk manager port"):
        Framer().feed(data)


def test_a_message_without_an_end_is_refused() -> None:
    framer = Framer()
    endless = b"Event: x\r\n" * 100_000
    with pytest.raises(InputRefused):
        framer.feed(b"Asterisk Call Manager/11.0.0\r\n" + endless)


@given(st.binary(max_size=400))
def test_nothing_that_arrives_raises_anything_unexpected(data: bytes) -> None:
    try:
        for block in Framer().feed(b"Asterisk Call Manager/11.0.0\r\n" + data):
            parse_event(parse_message(block))
    except InputRefused:
        pass  # said what is wrong with it


@pytest.mark.parametrize("value", ["a\r\nAction: Originate", "a\nb", "a\rb", "a\0b", "x" * 2000])
def test_a_value_cannot_end_its_header(value: str) -> None:
    with pytest.raises(InputRefused):
        check_field("Channel", value)


def test_a_header_name_is_a_name() -> None:
    with pytest.raises(InputRefused):
        check_field("Channel: x\r\nEvil", "1")


@pytest.mark.parametrize(
    "text, moment",
    [
        ("1795290163.912345", 1795290163912345),
        ("1795290163", 1795290163000000),
        ("1795290163.9", 1795290163900000),
        ("0.000000", 0),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("12.3x", None),
        ("9" * 30, None),
        ("\u0661\u0662", None),
    ],
)
def test_moments(text: str, moment: int | None) -> None:
    assert timestamp_us(text) == moment


@pytest.mark.parametrize("value", ["a,b", "a b", 'a"', "a\nb", "${EVIL}", "a;b", "a)"])
def test_a_variable_cannot_become_two(value: str) -> None:
    with pytest.raises(InputRefused):
        set_variables({"X": value})


def test_all_variables_are_set_by_one_command() -> None:
    assert " ".join(set_variables({"__A": "1", "B": "x&y"})) == 'EXEC MSet "__A=1,B=x&y"'


@pytest.mark.parametrize("duration_us, text", [(1_500_999, "1.500"), (0, "0.001"), (60_000_000, "60.000")])
def test_durations_are_rounded_down_but_never_to_nothing(duration_us: int, text: str) -> None:
    assert seconds(duration_us) == text
