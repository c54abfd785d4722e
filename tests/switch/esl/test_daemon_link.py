"""The link, the switch or the daemon breaks in the middle of calls."""

from typing import Any

import gevent
import pytest

from pbxbill.charging.events import (
    Evidence,
    Settle,
)
from pbxbill.errors import StoreUnavailable
from pbxbill.esl.connection import EslConnection

from .fake_call import FakeCall
from .fake_engine import FakeAccount
from .harness import Site


def test_a_call_that_ended_while_the_link_was_down_is_settled(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.cut_links()
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert settle.evidence is Evidence.ESTIMATE


def test_an_answer_that_fell_into_a_broken_link_is_found(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    site.switch.faults.drop_events = ("CHANNEL_ANSWER",)
    paid = call.connect()
    site.switch.faults.drop_events = ()
    site.switch.cut_links()
    site.engine.wait_for(lambda engine: list(engine.answered_us.values()) == [paid.answered_us])


def test_a_killed_switch_ends_its_calls(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.switch.kill()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)


def test_a_new_daemon_takes_live_calls_up_and_cuts_them_in_time(site: Site) -> None:
    site.engine.accounts["2002"] = FakeAccount(6)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    site.stop()
    assert len(paid.timers) == 1, "the timer stays armed without a daemon"
    site.start()
    assert site.metrics.counts["taken_up"] == 1
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, Settle)
    assert 6_000_000 <= paid.ended_us - paid.answered_us < 6_450_000


def test_a_channel_that_nobody_pays_for_is_ended(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.ask()
    call.connect()
    site.engine.wait_for(lambda engine: bool(engine.answered_us))
    call.transfer_away()
    stray = call.dial("second carrier")
    stray.other = ""
    call.answer(stray)
    site.switch.wait_gone(stray)


@pytest.mark.parametrize("fault", [StoreUnavailable("the database is gone"), KeyError("a fault of ours")])
def test_a_reconciliation_that_fails_comes_round_again(site: Site, fault: Exception) -> None:
    site.reconciler.faults = [fault]
    site.start()
    assert site.metrics.counts["synchronise_failed"] == 1
    assert len(site.reconciler.runs) == 1


@pytest.mark.parametrize("fault", [KeyError("a fault of ours"), gevent.Timeout(1)])
def test_a_link_that_breaks_by_a_fault_of_ours_is_made_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    subscribe, faults = EslConnection.subscribe, [fault]

    def broken_once(connection: EslConnection, *arguments: Any) -> None:
        if faults:
            raise faults.pop()
        subscribe(connection, *arguments)

    monkeypatch.setattr(EslConnection, "subscribe", broken_once)
    site.start()
    assert site.metrics.counts["link_broke"] == 1
    assert site.metrics.up


@pytest.mark.parametrize("mute", ["api sched_hangup", "api strepoch", "api show"])
def test_a_half_dead_switch_is_left_and_tried_again(site: Site, mute: str) -> None:
    site.engine.accounts["2001"] = FakeAccount(3600, slice_s=2, renew_before_s=1.8)
    site.switch.faults.mute_commands = (mute,)
    site.start(ready=mute == "api sched_hangup", keepalive_s=0.2, command_timeout_s=0.3)
    if mute == "api sched_hangup":
        call = FakeCall.place(site.switch, "33155512345", "2001")
        call.ask()
        call.connect()
    site.metrics.wait_for(lambda metrics: metrics.counts["link_lost"] >= 1)
    site.switch.faults.mute_commands = ()
    site.metrics.wait_for(lambda metrics: metrics.up)


def test_calls_are_answered_while_the_event_link_is_down(site: Site) -> None:
    site.switch.faults.silent = True
    site.start(ready=False)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
