"""Which carrier took the paid leg: of recordings, of odd names, and in the CDR log."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pbxbill.clock import SystemClock
from pbxbill.esl.cdr_log import OLD_COLUMNS, CdrLog
from pbxbill.esl.events import LegAnswered, LegEnded, gateway_name, parse_event
from pbxbill.esl.wire import Framer, Headers

from .fake_call import FakeCall
from .harness import Site
from .test_cdr_log import csv_line

SESSION = "0123456789abcdef0123456789abcdef"


def charged(recorded: bytes, name: str) -> list[LegAnswered | LegEnded]:
    """What a recording says of outbound legs, had our dialplan placed them."""
    found: list[LegAnswered | LegEnded] = []
    for message in Framer().feed(recorded):
        body = message.body
        if f"Event-Name: {name}".encode() not in body or b"Call-Direction: outbound" not in body:
            continue
        ours = f"variable_pbxbill_session: {SESSION}\nvariable_pbxbill_caller: somebody-else\n".encode()
        headers = Headers(body.rstrip(b"\n") + b"\n" + ours + b"\n")
        event = parse_event(type("Event", (), {"name": name, "headers": headers})())
        assert isinstance(event, LegAnswered | LegEnded)
        found.append(event)
    return found


@pytest.mark.parametrize(
    "recorded, gateway",
    [("01_plain_bridged", "carrier_ok"), ("03_plain_busy", "carrier_busy"), ("13b_freeswitch", "carrier_ok")],
)
def test_a_recorded_leg_names_its_gateway(
    recording: Callable[[str], bytes], recorded: str, gateway: str
) -> None:
    ended = charged(recording(recorded), "CHANNEL_HANGUP_COMPLETE")
    assert {event.leg.gateway for event in ended} == {gateway}


def test_a_recorded_answer_names_its_gateway(recording: Callable[[str], bytes]) -> None:
    (answered,) = charged(recording("01_plain_bridged"), "CHANNEL_ANSWER")
    assert answered.leg.gateway == "carrier_ok"


@pytest.mark.parametrize(
    "variable, channel, gateway",
    [
        ("carrier", "sofia/external/33155512345", "carrier"),
        ("", "sofia/external/33155512345@sip.carrier.example", "sip.carrier.example"),
        ("", "sofia/external/33155512345@192.0.2.7:5080", "192.0.2.7"),
        ("", "sofia/external/sip:33155512345@carrier.example;transport=tcp", "carrier.example"),
        ("", "sofia/external/33155512345@[2001:db8::1]:5060", "[2001:db8::1]"),
        ("", "sofia/external/33155512345", "external"),
        ("", "sofia/external/33155512345@", "external"),
        ("", "loopback/33155512345-a", ""),
        ("", "user/1001", ""),
        ("", "", ""),
        ("", "sofia/", ""),
        ("a\r\nb\0c\u202e", "", "abc"),
        ("x" * 500, "", "x" * 64),
        ("", f"sofia/external/1@{'y' * 500}", "y" * 64),
        ("Träger Süd", "", "Träger Süd"),
    ],
)
def test_what_a_channel_says_of_its_gateway(variable: str, channel: str, gateway: str) -> None:
    assert gateway_name(variable, channel) == gateway


@pytest.mark.parametrize("start", range(64))
def test_any_name_is_short_and_printable(start: int) -> None:
    hostile = "".join(map(chr, range(start * 1000, start * 1000 + 1000))).replace("/", "")
    for name in (gateway_name(hostile, ""), gateway_name("", f"sofia/{hostile}/1@{hostile}")):
        assert len(name) <= 64
        assert name.isprintable()


def test_a_call_is_answered_and_settled_with_its_gateway(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    paid = call.connect()
    paid.variables["sip_gateway_name"] = "carrier"
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert getattr(settle, "gateway", None) == "carrier"


def test_the_cdr_log_says_it_too(tmp_path: Path) -> None:
    variables = {
        "uuid": "bbbbbbbb-leg",
        "direction": "outbound",
        "pbxbill_session": SESSION,
        "pbxbill_caller": "aaaaaaaa-leg",
        "start_uepoch": "1000000",
        "answer_uepoch": "2000000",
        "end_uepoch": "3000000",
        "hangup_cause": "NORMAL_CLEARING",
        "sip_gateway_name": "carrier%0A",
    }
    (tmp_path / "bbbbbbbb-leg.cdr.json").write_text(json.dumps({"variables": variables}))
    (record,) = CdrLog(str(tmp_path), SystemClock()).read(0).records
    assert record.gateway == "carrier"


def test_lines_of_the_older_template_are_read_as_well(tmp_path: Path) -> None:
    fields = csv_line().rstrip("\n").split(",")
    old, new = fields[:OLD_COLUMNS], [*fields[:OLD_COLUMNS], '"carrier"']
    new[0], new[2] = '"cccccccc-leg"', f'"{"f" * 32}"'
    (tmp_path / "Master.csv").write_text("\n".join([",".join(old), ",".join(new), ""]))
    reading = CdrLog(str(tmp_path), SystemClock()).read(0)
    assert reading.broken == 0
    assert sorted(record.gateway for record in reading.records) == ["", "carrier"]
