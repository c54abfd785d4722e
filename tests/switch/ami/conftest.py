"""One Asterisk with carriers for this folder, and a daemon with an engine of a few lines for each test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.asterisk import PrivateAsterisk
from lab.sipp import Answering, SippServer
from lab.site import Did, Gateway, Phone
from pbxbill.ami.settings import AsteriskSettings
from tests.switch.ami.harness import SimpleEngine


@dataclass(frozen=True)
class Site:
    """A switch with a phone per account, carriers, and a DID that rings and one that is forwarded."""

    asterisk: PrivateAsterisk
    carrier: SippServer

    def settings(self, **changes: object) -> AsteriskSettings:
        """A daemon's settings for this switch, with the waits of a test."""
        settings = AsteriskSettings(
            name="pbx1",
            port=self.asterisk.ami_port,
            username=self.asterisk.ami_user,
            secret=self.asterisk.ami_secret,
            agi_port=self.asterisk.agi_port,
            cdr_file=self.asterisk.cdr_log,
            sounds_dir=self.asterisk.sounds,
            sweep_interval_s=1.0,
            cdr_interval_s=0.5,
            reconnect_first_s=0.05,
            reconnect_most_s=0.5,
        )
        return replace(settings, **changes)  # type: ignore[arg-type]

    def log_since(self, mark: int) -> str:
        """What Asterisk logged since mark()."""
        return self.asterisk.log.read_text(errors="replace")[mark:]

    def mark(self) -> int:
        """How much Asterisk has logged so far."""
        return len(self.asterisk.log.read_text(errors="replace"))


@pytest.fixture(scope="module")
def site(asterisk_install: Path) -> Iterator[Site]:
    """Asterisk 22 and its carriers."""
    with (
        SippServer(Answering.ANSWER) as carrier,
        SippServer(Answering.REJECT, status=486) as busy,
        SippServer(Answering.RING) as ringing,
        SippServer(Answering.ANSWER) as phone,
        PrivateAsterisk(
            phones=[
                Phone("alice", "acme"),
                Phone("ann", "alice"),
                Phone("bob", "nobody"),
                Phone("carl", "poor"),
                Phone("olga", "open", open_on_failure=True),
                Phone("desk", "owner", port=phone.port),
            ],
            gateways=[
                Gateway("gw", carrier.port),
                Gateway("gwbusy", busy.port, "86"),
                Gateway("gwring", ringing.port, "80"),
            ],
            dids=[Did("3315550001", phone="desk"), Did("3315550002", forward_to="441555")],
            variables={"PBXBILL_AGI_SECONDS": "1", "PBXBILL_OFFLINE_SECONDS": "2"},
            install=asterisk_install,
        ) as asterisk,
    ):
        yield Site(asterisk, carrier)


@pytest.fixture
def make_engine() -> Iterator[Callable[..., SimpleEngine]]:
    """Engines whose threads end with the test."""
    made: list[SimpleEngine] = []

    def make(*args: object, **kwargs: object) -> SimpleEngine:
        made.append(SimpleEngine(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for engine in made:
        engine.pool.shutdown()
