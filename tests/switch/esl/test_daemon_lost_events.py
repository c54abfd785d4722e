"""Events that lie, come twice, or never: the call is charged once, by what is true."""

import json
from pathlib import Path

import pytest

from pbxbill.charging.events import (
    Answer,
    Evidence,
    Settle,
)

from .fake_call import FakeCall
from .fake_engine import FakeAccount
from .fake_freeswitch import frame
from .harness import Site


def test_events_that_come_twice_charge_once(site: Site) -> None:
    site.switch.faults.twice = True
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    call.hang_up()
    site.engine.wait_closed()
    assert len(site.engine.of_type(Settle)) == 1
    assert len(site.engine.of_type(Answer)) == 1


def test_a_lost_answer_is_made_up_for_by_the_end(site: Site) -> None:
    site.switch.faults.drop_events = ("CHANNEL_ANSWER",)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    paid = call.connect()
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert (settle.answered_us, settle.ended_us) == (paid.answered_us, paid.ended_us)


def test_a_lost_end_is_found_in_the_cdr(site: Site, tmp_path: Path) -> None:
    site.engine.accounts["2002"] = FakeAccount(1)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.faults.drop_events = ("CHANNEL_HANGUP_COMPLETE",)
    call.hang_up()
    variables = {**paid.variables, "uuid": paid.uuid}
    (tmp_path / f"{paid.uuid}.cdr.json").write_text(json.dumps({"variables": variables}))
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert (settle.ended_us, settle.evidence) == (paid.ended_us, Evidence.CDR_LOG)
    assert site.metrics.counts["hung_up_again"] <= 1, "what finds no channel is looked into, not repeated"


def test_a_lost_end_without_a_cdr_is_an_estimate_and_no_more_than_granted(site: Site) -> None:
    site.engine.accounts["2002"] = FakeAccount(1)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.faults.drop_events = ("CHANNEL_HANGUP_COMPLETE",)
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.evidence is Evidence.ESTIMATE
    assert settle.ended_us <= paid.answered_us + 1_000_000
    assert site.metrics.counts["hung_up_again"] <= 1, "what finds no channel is looked into, not repeated"


@pytest.mark.parametrize(
    "garbage",
    [
        frame({"Content-Type": "text/event-plain"}, b"Event-Name: CHANNEL_ANSWER\n\xff\xfe\n\n"),
        frame(
            {"Content-Type": "text/event-plain"},
            b"Event-Name: CHANNEL_HANGUP_COMPLETE\nUnique-ID: a b\n"
            b"variable_pbxbill_session: " + b"0" * 32 + b"\n\n",
        ),
        frame(
            {"Content-Type": "text/event-plain"},
            b"Event-Name: CHANNEL_ANSWER\nUnique-ID: aaaaaaaa-1\nCaller-Channel-Answered-Time: soon\n"
            b"variable_pbxbill_session: " + b"0" * 32 + b"\n\n",
        ),
        frame({"Content-Type": "text/event-json"}, b'{"broken'),
        frame({"Content-Type": "log/data"}, b"whatever\n"),
    ],
)
def test_a_bad_event_costs_itself_only(site: Site, garbage: bytes) -> None:
    site.start()
    site.switch.emit_raw("CHANNEL_ANSWER", garbage)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    call.hang_up()
    site.engine.wait_closed()
    assert site.metrics.counts["link_lost"] == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"Content-Length: -5\nContent-Type: x\n\n",
        b"no protocol at all\n\n",
        b"Content-Length: 99999999999\n\n",
    ],
)
def test_what_cannot_be_framed_closes_the_link_and_it_comes_back(site: Site, garbage: bytes) -> None:
    site.start()
    site.switch.emit_raw("CHANNEL_ANSWER", garbage)
    site.metrics.wait_for(lambda metrics: metrics.counts["link_lost"] >= 1)
    site.metrics.wait_for(lambda metrics: metrics.up)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"


def test_a_daemon_that_is_new_bounds_lost_calls_by_the_switchs_start(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.stop()
    site.switch.kill()
    site.start()
    assert site.reconciler.last_seen[-1] == pytest.approx(site.switch.started_us, abs=100_000)


def test_a_switch_that_does_not_say_when_it_was_started_bounds_nothing(site: Site) -> None:
    site.switch.started_us = None
    site.start()
    assert site.reconciler.last_seen == [None]
