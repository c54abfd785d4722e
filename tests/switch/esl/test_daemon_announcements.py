"""What callers hear from the daemon, on a switch that behaves as recorded."""

from pathlib import Path

import pytest

from pbxbill.charging.events import (
    Announcement,
    Void,
)

from .fake_call import FakeCall
from .fake_engine import FakeAccount
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


def test_an_account_that_is_to_hear_nothing_is_denied_in_silence(site: Site) -> None:
    site.engine.accounts["2001"] = FakeAccount(0, announcement=Announcement(denial=False))
    site.start()
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "deny"
    site.switch.wait_gone(call.caller)
    assert call.executed == []
    assert call.caller.variables["hangup_cause"] == "CALL_REJECTED"


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A recording of the operator's own for each prompt, so that each can be told from the others."""
    voice = tmp_path / "sounds" / "en" / "us" / "callie"
    for file in ("digits/0", "pbxbill/not_enough_credit", "pbxbill/service_denied"):
        path = voice / f"{file}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "sounds"


def test_a_denied_caller_hears_why(site: Site, sounds: Path) -> None:
    site.engine.accounts["2001"] = FakeAccount(0)
    site.start(sounds_dir=str(sounds))
    call = FakeCall.place(site.switch, "33155512345", "2001")
    assert call.ask() == "deny"
    assert [Path(path).stem for path in call.played] == ["not_enough_credit"]


@pytest.mark.parametrize("spoken", [True, False])
def test_a_caller_from_outside_does_not_hear_what_the_owner_lacks(
    site: Site, sounds: Path, spoken: bool
) -> None:
    site.engine.accounts["did-owner"] = FakeAccount(0, announcement=Announcement(denial=spoken))
    site.start(sounds_dir=str(sounds))
    call = FakeCall.place(site.switch, "4930123", caller="777", pbxbill_direction="inbound")
    assert call.ask() == "deny"
    site.switch.wait_gone(call.caller)
    assert [Path(path).stem for path in call.played] == (["service_denied"] if spoken else [])


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
    assert call.ask() == "allow"
    assert site.metrics.counts["announcement_too_long"] == 1
