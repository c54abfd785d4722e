"""Which trunk took the paid leg: of recordings, of odd names, and in the CDR log."""

from pathlib import Path

import pytest

from pbxbill.ami.cdr_log import parse_rows
from pbxbill.ami.events import DialAnswered, DialFailed, LegUp
from pbxbill.ami.wire import Framer, parse_message
from pbxbill.charging.events import Answer, Authorize, Settle
from pbxbill.charging.gateway import gateway_of
from pbxbill.errors import InputRefused
from tests.switch.ami.harness import Funds, SimpleEngine
from tests.switch.ami.small_asterisk import small_site
from tests.switch.ami.test_calls import ANSWERED, ASKED, PAID_GONE, T0, UP, S, book_with_call, commands, play
from tests.switch.ami.test_cdr_log import S1, row

RECORDINGS = Path(__file__).parents[2] / "data" / "asterisk"


@pytest.mark.parametrize("recorded", ["ami-10-call-answered-caller-hangs-up", "xfer-02-sip-refer"])
def test_a_recorded_dial_names_its_trunk(recorded: str) -> None:
    channels = set()
    for block in Framer().feed((RECORDINGS / f"{recorded}.raw").read_bytes()):
        message = parse_message(block)
        if message.event == "DialEnd" and message.get("dialstatus") == "ANSWER":
            channels.add(gateway_of(message.get("destchannel")))
    assert channels
    assert all(name and "-" not in name and "/" not in name for name in channels)


@pytest.mark.parametrize(
    "channel, gateway",
    [
        ("PJSIP/gw-0000001", "gw"),
        ("PJSIP/my-trunk-0000001f", "my-trunk"),
        ("PJSIP/gw.example-0000001;2", "gw.example"),
        ("IAX2/carrier-1234", "carrier"),
        ("IAX2/192.0.2.7:4569-1234", "192.0.2.7:4569"),
        ("SIP/peer-0a", "peer"),
        ("DAHDI/i1/33155512345-1", "i1"),
        ("Local/50@phones-0000001;1", ""),
        ("PJSIP/", ""),
        ("PJSIP", ""),
        ("", ""),
        ("PJSIP/a\r\nb\0c-1", "abc"),
        (f"PJSIP/{'x' * 500}-0000001", "x" * 64),
        ("PJSIP/Träger-00000001", "Träger"),
    ],
)
def test_what_a_channel_says_of_its_trunk(channel: str, gateway: str) -> None:
    assert gateway_of(channel) == gateway


@pytest.mark.parametrize("start", range(64))
def test_any_name_is_short_and_printable(start: int) -> None:
    name = gateway_of("PJSIP/" + "".join(map(chr, range(start * 1000, start * 1000 + 1000))) + "-0001")
    assert len(name) <= 64
    assert name.isprintable()


def test_answer_and_settlement_name_it() -> None:
    book, _ = book_with_call()
    answer, settle = commands(play(book, UP, ANSWERED, ASKED, PAID_GONE))
    assert isinstance(answer, Answer)
    assert isinstance(settle, Settle)
    assert (answer.gateway, settle.gateway) == ("gw", "gw")


def test_the_trunk_that_answered_counts_and_not_the_one_that_failed() -> None:
    book, _ = book_with_call()
    failed = DialFailed("pbx1-1.9", S, "CONGESTION")
    second = DialAnswered("pbx1-1.8", "PJSIP/second-3", S, T0 + 900)
    half = DialAnswered("pbx1-1.7", "Local/50@x-1;1", S, T0 + 800)
    (answer,) = commands(play(book, LegUp("pbx1-1.9", "PJSIP/first-2", S, T0), failed, half, second))
    assert isinstance(answer, Answer)
    assert answer.gateway == "second"


@pytest.mark.parametrize(
    "written, gateway",
    [
        (f"{S1}/pbx1-1.2/103.000000", ""),
        (f"{S1}/pbx1-1.2/103.000000/", ""),
        (f"{S1}/pbx1-1.2/103.000000/PJSIP/my-trunk-00000002", "my-trunk"),
        (f"{S1}/pbx1-1.2/103.000000/DAHDI/i1/1555-1", "i1"),
        (f"{S1}/pbx1-1.2/103.000000/Local/1@x-1;1", ""),
        (f"{S1}/pbx1-1.2/103.000000/{'/' * 100}", ""),
    ],
)
def test_the_cdr_log_says_it_too(written: str, gateway: str) -> None:
    [record] = parse_rows(row(a=written))
    assert (record.paid_leg, record.answered_us, record.gateway) == ("pbx1-1.2", 103_000_000, gateway)


@pytest.mark.parametrize(
    "written", [f"{S1}/pbx1-1.2", f"{S1}//103.000000/PJSIP/x-1", f"{S1}/pbx1-1.2/soon/x"]
)
def test_what_names_no_leg_is_refused(written: str) -> None:
    with pytest.raises(InputRefused):
        parse_rows(row(a=written))


def test_a_call_in_shadow_gets_no_order_at_all() -> None:
    engine = SimpleEngine({"acme": Funds(1_000_000)})
    with small_site(engine, shadow=True) as (asterisk, daemon):
        told = asterisk.ask("acme")
        assert (told["PBXBILL_GRANTED"], told["PBXBILL_SHADOW"], told["TIMEOUT(absolute)"]) == (
            "0",
            "yes",
            "0",
        )
        asterisk.answer(told["PBXBILL_SESSION"])
        engine.wait_for(Answer)
        daemon.news.tell()
    assert [request.shadow for request in engine.of(Authorize)] == [True]
    assert asterisk.orders == []
