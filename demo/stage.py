"""The switch and the carriers around it, as long as a demonstration lasts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo import site
from demo.product import Switch
from lab.asterisk import PrivateAsterisk
from lab.freeswitch import PrivateFreeSwitch
from lab.process import ServerFailed
from lab.sipp import Answering, SippServer
from lab.site import Gateway

FAR_SIDE_TALKS_MS = 4000


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demonstration plays on."""

    switch: Switch
    version: str

    def channels(self) -> int:
        """How many legs are up."""
        if isinstance(self.switch, PrivateAsterisk):
            return len(self.switch.channels())
        total = self.switch.api("show channels count").split()
        return int(total[0]) if total else 0


@contextmanager
def stage(kind: str, directory: Path) -> Iterator[Stage]:
    """Start the carriers and the switch; kind: asterisk or freeswitch."""
    with ExitStack() as running:

        def carrier(answering: Answering, status: int = 486) -> int:
            server = SippServer(answering, directory, hold_ms=FAR_SIDE_TALKS_MS, status=status)
            return running.enter_context(server).port

        answering = carrier(Answering.ANSWER)
        gateways = [
            Gateway("world", answering),
            Gateway("busy", carrier(Answering.REJECT), site.BUSY_SUFFIX),
            Gateway("ringing", carrier(Answering.RING), site.RINGING_SUFFIX),
            Gateway("brief", carrier(Answering.ANSWER_HANG_UP), site.HANGING_UP_SUFFIX),
        ]
        phones = site.phones(did_port=answering)
        folder = directory / "switch"
        if kind == "asterisk":
            asterisk = PrivateAsterisk(phones=phones, gateways=gateways, dids=site.dids(), directory=folder)
            running.enter_context(asterisk)
            yield Stage(asterisk, asterisk.rx("core show version").split(" built")[0].strip())
        elif kind == "freeswitch":
            freeswitch = PrivateFreeSwitch(
                phones=phones, gateways=gateways, dids=site.dids(), directory=folder
            )
            running.enter_context(freeswitch)
            yield Stage(freeswitch, freeswitch.api("version").strip())
        else:
            raise ServerFailed(f"SWITCH={kind}: use asterisk or freeswitch")
