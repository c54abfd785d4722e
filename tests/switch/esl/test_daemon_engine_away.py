"""Calls while the engine is away, mute or overrun, and callers who do not wait for it."""

import time

import pytest

from pbxbill.charging.control import LiveCall
from pbxbill.charging.events import (
    Answer,
    FailurePolicy,
    Granted,
    SettleOffline,
    Void,
)

from .fake_call import FakeCall
from .harness import Site


def test_without_the_engine_a_closed_account_is_refused(site: Site) -> None:
    site.start()
    site.engine.away = True
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "deny"
    site.switch.wait_gone(call.caller)
    assert call.caller.variables["hangup_cause"] == "NORMAL_TEMPORARY_FAILURE"


def test_without_the_engine_an_open_account_passes_and_is_charged_when_it_is_back(site: Site) -> None:
    site.engine.accounts["2001"].failure_policy = FailurePolicy.OPEN
    site.start()
    site.engine.away = True
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
    assert call.caller.variables["pbxbill_offline"] == "true"
    paid = call.connect()
    site.engine.away = False
    call.hang_up()
    (settle,) = site.engine.wait_closed()
    assert isinstance(settle, SettleOffline)
    assert (settle.request.account_code, settle.request.dialled) == ("2001", "33155512345")
    assert (settle.answered_us, settle.ended_us) == (paid.answered_us, paid.ended_us)


def test_a_call_that_was_granted_from_memory_is_not_steered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    steered: list[Granted] = []
    begin = LiveCall.__init__

    def note(live: LiveCall, granted: Granted) -> None:
        steered.append(granted)
        begin(live, granted)

    monkeypatch.setattr(LiveCall, "__init__", note)
    site.engine.accounts["2002"].failure_policy = FailurePolicy.OPEN
    site.engine.offline_allowance_s = 1
    site.start()
    site.engine.away = True
    call = FakeCall.place(site.switch, "33155512345", "2002")
    call.ask()
    paid = call.connect()
    site.engine.away = False
    site.switch.cut_links()  # nor when the switch is compared
    site.metrics.wait_for(lambda metrics: metrics.counts["link_lost"] >= 1)
    site.engine.wait_closed()
    assert paid.variables["hangup_cause"] == "ALLOTTED_TIMEOUT", "by the timer that it was given"
    assert steered == []
    assert site.engine.of_type(Answer) == []


def test_a_mute_engine_does_not_hold_the_caller(site: Site) -> None:
    site.start(authorize_timeout_s=0.2)
    site.engine.mute = True
    call = FakeCall.place(site.switch, "33155512345", "2001")
    began = time.monotonic()
    assert call.ask() == "deny"
    assert time.monotonic() - began < 5  # and not the 10 s that this site would give it


def test_too_many_calls_at_once_get_no_verdict(site: Site) -> None:
    site.start(max_sessions=0)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == ""
    assert site.metrics.counts["over_capacity"] == 1


def test_a_caller_who_is_gone_before_the_verdict_holds_no_money(site: Site) -> None:
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    del site.switch.channels[call.caller.uuid]
    call.ask()
    (void,) = site.engine.wait_closed()
    assert isinstance(void, Void)
