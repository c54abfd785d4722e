"""What callers hear from the daemon, on a switch that behaves as recorded."""

import pytest

from pbxbill.charging.events import (
    Announcement,
    Void,
)

from .fake_call import FakeCall
from .harness import Site


@pytest.mark.parametrize(
    "account,number,verdict_cause",
    [
        ("nobody", "33155512345", "CALL_REJECTED"),
        ("2001", "not-a-number", "UNALLOCATED_NUMBER"),
        ("", "33155512345", "CALL_REJECTED"),
    ],
)
def test_a_denial_is_heard_and_ends_with_its_cause(
    site: Site, account: str, number: str, verdict_cause: str
) -> None:
    site.start()
    call = FakeCall.place(site.switch, number, account)
    assert call.ask() == "deny"
    site.switch.wait_gone(call.caller)
    assert call.executed == ["pre_answer", "playback"]
    assert call.caller.answered_us == 0
    assert call.caller.variables["hangup_cause"] == verdict_cause
    assert call.caller.variables["pbxbill_cause"] == verdict_cause


def test_balance_and_minutes_are_said_in_early_media_before_the_bridge(site: Site) -> None:
    site.engine.accounts["2001"].announcement = Announcement("fr", balance=True, minutes=True)
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "allow"
    assert call.executed == ["pre_answer", "playback"]
    assert call.caller.answered_us == 0
    call.hang_up()
    assert isinstance(site.engine.wait_closed()[0], Void)


def test_an_announcement_that_never_ends_does_not_hold_the_call(site: Site) -> None:
    site.engine.accounts["2001"].announcement = Announcement(balance=True)
    site.start(announce_timeout_s=0.3)
    call = FakeCall.place(site.switch, "33155512345", "2001")
    call.play_s = 60
    assert call.ask(timeout_s=5) == "allow"
    assert site.metrics.counts["announcement_too_long"] == 1
