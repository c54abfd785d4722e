"""A fake switch and a fake engine with the real daemon between them, and recordings of a real switch."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.freeswitch import PrivateFreeSwitch
from pbxbill.esl.settings import FreeSwitchSettings

from .fake_engine import FakeAccount, FakeEngine
from .fake_freeswitch import FakeFreeSwitch
from .harness import RunningDaemon, Site
from .real_switch import Place, placing, running_daemon

# Debian has no FreeSWITCH to install, so a machine has one only if somebody says where. Without it these
# tests are not collected: a skipped test would look as if something had been proved. See tests/README.md.
collect_ignore = (
    []
    if os.environ.get("FREESWITCH_BIN")
    else [path.name for path in Path(__file__).parent.glob("test_real_*.py")]
)

RECORDINGS = Path(__file__).parents[2] / "data" / "freeswitch"


@pytest.fixture
def recording() -> Callable[[str], bytes]:
    """The bytes of a recording, by the beginning of its name."""

    def read(name: str) -> bytes:
        (path,) = RECORDINGS.glob(f"{name}*.recv")
        return path.read_bytes()

    return read


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A switch and a daemon that serves the accounts 2001 (rich) and 2002 (three seconds)."""
    switch = FakeFreeSwitch()
    engine = FakeEngine(
        {"2001": FakeAccount(3600), "2002": FakeAccount(3), "did-owner": FakeAccount(3600, wallet_id=9)},
        dids={"4930123": "did-owner"},
    )
    settings = FreeSwitchSettings(
        name="fs1",
        port=switch.port,
        password=switch.password,
        outbound_port=0,
        cdr_dir=str(tmp_path),
        connect_timeout_s=10,
        command_timeout_s=10,
        authorize_timeout_s=10,
        announce_timeout_s=10,
        keepalive_s=1,
        retry_first_s=0.05,
        retry_most_s=0.2,
    )
    site = Site(switch, engine, settings)
    try:
        yield site
    finally:
        site.stop()
        switch.stop()
        engine.stop()


@pytest.fixture
def daemon(freeswitch: PrivateFreeSwitch, engine: FakeEngine) -> Iterator[RunningDaemon]:
    """The daemon beside the real switch of a module."""
    with running_daemon(freeswitch, engine) as running:
        yield running


@pytest.fixture
def place(freeswitch: PrivateFreeSwitch) -> Iterator[Place]:
    """What places calls at it."""
    with placing(freeswitch) as place:
        yield place
