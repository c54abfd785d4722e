"""Post-dial delay on a real Asterisk: carriers and a phone that ring after a known time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.asterisk import PrivateAsterisk
from lab.sipp import Answering, Call, Calling, SippServer, place
from lab.site import Did, Gateway, Phone
from pbxbill.charging.events import Announcement, Answer, Settle, Void
from pbxbill.clock import SECOND_US
from tests.switch.ami.conftest import Site
from tests.switch.ami.harness import Funds, SimpleEngine, running_daemon

Make = Callable[..., SimpleEngine]
SILENT_MS, RING_MS = 800, 600
NEAR_US = 250_000
"""How far Asterisk's moments may lie from SIPp's on a busy machine."""


@pytest.fixture(scope="module")
def site(asterisk_install: Path) -> Iterator[Site]:
    """A carrier that rings late, one that sends media late, one that rings late and refuses, a late phone."""
    late = (SILENT_MS, RING_MS)
    with (
        SippServer(Answering.ANSWER, rings_ms=late) as carrier,
        SippServer(Answering.EARLY_MEDIA, rings_ms=late) as early,
        SippServer(Answering.REJECT, rings_ms=late, status=486) as busy,
        SippServer(Answering.ANSWER, rings_ms=late) as phone,
        PrivateAsterisk(
            phones=[Phone("alice", "acme"), Phone("desk", port=phone.port)],
            gateways=[
                Gateway("gw", carrier.port),
                Gateway("gwearly", early.port, "83"),
                Gateway("gwbusy", busy.port, "86"),
            ],
            dids=[Did("3315550001", phone="desk")],
            install=asterisk_install,
        ) as asterisk,
    ):
        yield Site(asterisk, carrier)


@pytest.mark.parametrize(
    "number, minutes",
    [("1555", False), ("1555", True), ("15583", False)],
    ids=["rings", "rings after an announcement", "early media"],
)
def test_it_is_the_time_until_the_carrier_is_heard(
    site: Site, make_engine: Make, number: str, minutes: bool
) -> None:
    told = Announcement(language="en", balance=False, minutes=minutes)
    engine = make_engine({"acme": Funds(120 * SECOND_US, announcement=told)})
    with running_daemon(site.settings(), engine):
        place(Call(number, caller="alice", hold_ms=300), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    [answer] = engine.of(Answer)
    assert answer.ringing_us == settled.ringing_us == pytest.approx(SILENT_MS * 1000, abs=NEAR_US)


@pytest.mark.parametrize(
    "call",
    [
        Call("15586", caller="alice", calling=Calling.REJECTED, rejections=(486,)),
        Call("1555", caller="alice", calling=Calling.CANCEL, hold_ms=300),
    ],
    ids=["refused", "given up"],
)
def test_a_call_that_nobody_answers_has_it_too(site: Site, make_engine: Make, call: Call) -> None:
    engine = make_engine({"acme": Funds(120 * SECOND_US)})
    with running_daemon(site.settings(), engine):
        result = place(call, site.asterisk.sip_port)
        [voided] = engine.wait_for(Void)
    assert result.successful == 1, result.log
    assert voided.ringing_us == pytest.approx(SILENT_MS * 1000, abs=NEAR_US)


def test_a_call_to_a_did_rings_with_its_phone(site: Site, make_engine: Make) -> None:
    engine = make_engine({"owner": Funds(120 * SECOND_US)}, {"3315550001": "owner"})
    with running_daemon(site.settings(), engine):
        place(Call("3315550001", caller="carrier", hold_ms=300), site.asterisk.sip_port)
        [settled] = engine.wait_for(Settle)
    assert settled.ringing_us == pytest.approx(SILENT_MS * 1000, abs=NEAR_US)
