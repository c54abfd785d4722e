"""Lines at an access number: what a real switch sent on its outbound socket and was told, played again.

Recorded were both stretches of one line: PIN, number, a call; then, after ##, the menu and a hang-up in it.
"""

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.process import wait_until
from pbxbill.charging.events import Authorize, Void
from pbxbill.errors import StoreUnavailable
from pbxbill.esl.wire import Framer
from pbxbill.ivr.access_number import AccessTerms
from pbxbill.ivr.desk import Lines
from pbxbill.ivr.turns import Act, Card, CardKnown, CheckPin, Cost, Found, PinWrong
from pbxbill.money import Unit

from .fake_engine import FakeAccount
from .fake_freeswitch import read_commands
from .harness import Site

RECORDINGS = Path(__file__).parents[2] / "data" / "freeswitch"
FIRST, AFTER_A_CALL = "30_card_first_stretch", "31_card_after_a_call"
EUR = Unit("EUR")
CARD = Card(1, 7, "card:1", 5_000_000, EUR)


@dataclass
class KnownPin:
    """A desk that knows one card, by the PIN that was recorded."""

    number: str = "33155501"
    max_lines: int = 20
    lines: Lines = field(default_factory=Lines)
    asked: list[Act] = field(default_factory=list)
    away: bool = False
    """Its database is."""

    def terms(self, number: str) -> AccessTerms | None:
        return AccessTerms(pin_digits=8, max_lines=self.max_lines) if number == self.number else None

    def card(self, number: str, card_id: int) -> Card | None:
        return CARD if card_id == 1 else None

    def answer(self, act: Act, number: str, caller: str, card: Card | None) -> Found:
        self.asked.append(act)
        if self.away:
            raise StoreUnavailable("the database is away")
        return CardKnown(CARD) if act == CheckPin("13579246") else PinWrong()

    def is_closed(self, session_id: str) -> bool:
        return True

    def cost(self, card: Card, session_id: str) -> Cost | None:
        return Cost(48_000, EUR)


@pytest.fixture
def desk(site: Site) -> KnownPin:
    """A daemon with this desk, and money on the card."""
    site.engine.accounts["card:1"] = FakeAccount(3600)
    desk = KnownPin()
    site.cards = desk  # type: ignore[assignment]
    site.start()
    return desk


def replayed(site: Site, name: str, until: str = "^$") -> list[str]:
    """The daemon's commands, as the switch of the recording would have got them; until: up to this one."""
    frames = frames_of((RECORDINGS / f"{name}.recv").read_bytes())
    executions = re.findall(rb"Event-UUID: (\w+)", (RECORDINGS / f"{name}.sent").read_bytes())
    told: list[str] = []
    with socket.create_connection(("127.0.0.1", site.switch.desk_port), 30) as sock:
        sock.settimeout(30)
        try:
            for lines in read_commands(sock):
                told.append("\n".join(lines))
                if re.search(until, told[-1]):
                    break
                for line in lines:
                    if line.startswith("Event-UUID: "):
                        ours, recorded = line.split()[1].encode(), executions.pop(0)
                        frames = [frame.replace(recorded, ours) for frame in frames]
                # The reply, and what happened before the next one.
                sock.sendall(frames.pop(0))
                while frames and not is_reply(frames[0]):
                    sock.sendall(frames.pop(0))
        except ConnectionError:
            pass  # the daemon hung up first
    return told


def is_reply(frame: bytes) -> bool:
    head = frame.partition(b"\n\n")[0]
    return b"command/reply" in head or b"api/response" in head


def frames_of(recorded: bytes) -> list[bytes]:
    """The messages of a recording, byte for byte."""
    frames, framer, begin = [], Framer(), 0
    for end in range(1, len(recorded) + 1):
        if framer.feed(recorded[end - 1 : end]):
            frames.append(recorded[begin:end])
            begin = end
    return frames


def plain(command: str) -> str:
    """Without what is another each time: ids, files, and seconds that have passed."""
    command = re.sub(r"(Event-UUID: |pbxbill_session=)\w+", r"\1ID", command)
    command = re.sub(r"(execute-app-arg: \d+ \d+) \S+", r"\1 FILES", command)
    command = re.sub(r"(sched_hangup \+)\d+", r"\1N", command)
    return re.sub(r"pbxbill_account=\w*", "pbxbill_account=CODE", command)


def recorded_commands(name: str) -> list[str]:
    return (RECORDINGS / f"{name}.sent").read_text().strip().split("\n\n")


@pytest.mark.parametrize("name", [FIRST, AFTER_A_CALL])
def test_the_switch_is_told_what_it_was_told_when_it_was_recorded(
    site: Site, desk: KnownPin, name: str
) -> None:
    assert list(map(plain, replayed(site, name))) == list(map(plain, recorded_commands(name)))


def test_a_pin_and_a_number_become_a_call_of_the_card(site: Site, desk: KnownPin) -> None:
    replayed(site, FIRST)
    (asked,) = site.engine.of_type(Authorize)
    assert (asked.account_code, asked.dialled, asked.caller) == ("card:1", "4930123", "carrier")
    assert (asked.source_ip, asked.caller_id) == ("", "")
    assert desk.asked == [CheckPin("13579246")]
    assert desk.lines.enter(desk.number, 1)


def test_nothing_that_was_pressed_stays_on_the_channel(site: Site, desk: KnownPin) -> None:
    commands = replayed(site, FIRST)
    reads = [index for index, command in enumerate(commands) if "execute-app-name: read" in command]
    pin, _listening, number, _minutes = reads
    for index in (pin, number):
        assert re.fullmatch(r"api uuid_setvar [0-9a-f-]+ pbxbill_keys", commands[index + 1])


def test_a_caller_who_hangs_up_in_the_menu_leaves_no_line(site: Site, desk: KnownPin) -> None:
    replayed(site, AFTER_A_CALL)
    assert not site.engine.of_type(Authorize)
    assert not site.engine.of_type(Void)


@pytest.mark.parametrize(
    "change", [lambda desk: setattr(desk, "number", "1"), lambda desk: setattr(desk, "max_lines", 0)]
)
def test_a_line_that_is_not_served_goes_on_without_a_verdict(
    site: Site, desk: KnownPin, change: Callable[[KnownPin], None]
) -> None:
    change(desk)
    commands = replayed(site, FIRST)
    assert [command.split()[0] for command in commands if "pbxbill_verdict=allow" in command] == []
    assert not site.engine.of_type(Authorize)


def test_without_the_database_the_caller_is_told_to_try_later(site: Site, desk: KnownPin) -> None:
    desk.away = True
    said = r"execute-app-arg: 0 1 \S+ pbxbill_keys 50 "
    assert re.search(said, replayed(site, FIRST, until=said)[-1])
    assert not site.engine.of_type(Authorize)
    wait_until(lambda: desk.lines.enter(desk.number, 1), 10, "the end of the line")
