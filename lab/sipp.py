"""SIPp as the phones and as the carrier: places calls, answers them, and says what it saw to the microsecond.

The scenarios are files beside this one; `<part name="..."/>` and the @WORDS@ in them are filled in when a
run starts, and the result is kept in the run's directory together with the log of SIP messages.
"""

import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.ports import free_port
from lab.process import ChildProcess, ServerFailed, find_program

SCENARIOS = Path(__file__).with_name("scenarios")
KEY_MS = 400
"""How long SIPp takes for a key: 200 ms of it, and as long a gap."""
INSTALL_HINT = "`make test` installs sip-tester"
STATUS_TEXTS = {
    404: "Not Found",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    503: "Service Unavailable",
    603: "Decline",
}


class Calling(StrEnum):
    """What a caller does."""

    HANG_UP = "call-hang-up"
    """Talks for hold_ms, then hangs up."""
    WAIT = "call-wait"
    """Talks until the switch hangs up."""
    CANCEL = "call-cancel"
    """Lets it ring for hold_ms, then gives up."""
    REJECTED = "call-rejected"
    """Expects one of `rejections`."""
    TRANSFER = "call-transfer"
    """Talks for hold_ms, then sends the far end on to refer_to and is let go."""
    KEYS = "call-keys"
    """Presses `keys`, then hangs up after hold_ms; with hold_ms 0 it waits until the switch hangs up."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be called, how often, and how."""

    number: str
    caller: str
    """The user part of From; private switches know their phones by it."""
    calling: Calling = Calling.HANG_UP
    hold_ms: int = 1000
    count: int = 1
    rate_per_s: int = 50
    password: str = ""
    """Set: answer the switch's challenge."""
    display: str = ""
    """Put before the address in From, as it is: '"Ada" ', or something hostile."""
    rejections: tuple[int, ...] = (403,)
    refer_to: str = ""
    numbered: bool = False
    """Each call dials a number of its own: its place in the run, from 1, is put behind `number`."""
    keys: tuple[tuple[int, str], ...] = ()
    """What is pressed: after so many milliseconds these keys, one after the other."""
    own_phones: bool = False
    """Each call comes from a phone of its own: its place in the run is put behind `caller`."""


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call as one SIPp saw it; moments in UTC microseconds."""

    call_id: str
    number: str
    invited_us: int
    status: int | None = None
    """The last final answer to the INVITE."""
    ringing_us: int | None = None
    answered_us: int | None = None
    ended_us: int | None = None
    """The BYE, the CANCEL, or the refusal."""
    ended_here: bool = False
    """This SIPp hung up, not the switch."""

    @property
    def talked_us(self) -> int | None:
        """From the answer to the BYE."""
        if self.answered_us is None or self.ended_us is None:
            return None
        return self.ended_us - self.answered_us


@dataclass(frozen=True, slots=True)
class SippResult:
    """How a caller's run ended."""

    successful: int
    """Calls that went exactly as the scenario says."""
    failed: int
    calls: tuple[SeenCall, ...]
    log: str
    """The end of SIPp's own error log: what it had not expected."""


class SippCaller:
    """Places calls; the run begins when it is made and is over when wait() returns."""

    def __init__(
        self, call: Call, port: int, directory: Path | None = None, *, timeout_s: float = 60
    ) -> None:
        """port: the switch's SIP port; timeout_s: when the whole run is given up."""
        self.call = call
        self.port = free_port()
        self._files = _RunFiles(call.calling, directory)
        self._timeout_s = timeout_s
        scenario = self._files.write_scenario(
            {
                "CSEQ": "2" if call.password else "1",
                "REJECTIONS": _expected_rejections(call.rejections),
                "KEYS": "".join(_pressed(after_ms, keys) for after_ms, keys in call.keys),
                "END": _hang_up(call.hold_ms),
            },
            _invite(call),
            [word for word, wanted in (("service", call.numbered), ("caller", call.own_phones)) if wanted],
        )
        keys = {
            "caller": call.caller,
            "display": call.display,
            "refer_to": call.refer_to,
        }
        command = _sipp(self._files, scenario, self.port)
        command += ["-s", call.number, "-d", str(call.hold_ms), "-m", str(call.count), "-l", str(call.count)]
        command += ["-r", str(call.rate_per_s), "-timeout", f"{timeout_s:.0f}s", "-timeout_error"]
        command += ["-au", call.caller, "-ap", call.password] if call.password else []
        command += ["-trace_stat", "-stf", str(self._files.statistics)]
        command += [part for name, value in keys.items() for part in ("-key", name, value)]
        self._process = ChildProcess([*command, f"127.0.0.1:{port}"], self._files.output)

    def running(self) -> bool:
        return self._process.running()

    def calls(self) -> tuple[SeenCall, ...]:
        """What was seen so far."""
        return read_messages(self._files.messages)

    def wait(self, timeout_s: float | None = None) -> SippResult:
        """Wait for the last call's end; a run that takes too long is ended, and what it had left failed."""
        try:
            self._process.wait(timeout_s or self._timeout_s + 5)
        except ServerFailed:
            self._process.kill()
        successful, failed = _read_statistics(self._files.statistics)
        return SippResult(
            successful=successful,
            failed=max(failed, self.call.count - successful),
            calls=self.calls(),
            log=self._files.complaints(),
        )

    def kill(self) -> None:
        """Vanish: the calls stay up on the switch, as when a phone loses its network."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._files.leave()


class Answering(StrEnum):
    """What a carrier does with a call."""

    ANSWER = "answer"
    """Answers, and talks until the switch hangs up."""
    ANSWER_HANG_UP = "answer-hang-up"
    """Answers, and hangs up after hold_ms."""
    EARLY_MEDIA = "early-media"
    """The same, but it never rings: it sends early media until it answers."""
    RING = "ring"
    """Rings until the switch gives up."""
    REJECT = "reject"
    """Rings, then refuses with `status`."""


class SippServer:
    """A carrier (or a phone that is called) on a UDP port of 127.0.0.1."""

    def __init__(
        self,
        answering: Answering = Answering.ANSWER,
        directory: Path | None = None,
        *,
        port: int | None = None,
        rings_ms: tuple[int, int] = (0, 100),
        hold_ms: int = 1000,
        status: int = 486,
    ) -> None:
        """rings_ms: after how long it rings, and for how long."""
        silent_ms, ring_ms = rings_ms
        self.answering = answering
        self.port = port or free_port()
        self._files = _RunFiles(answering, directory)
        self._scenario = self._files.write_scenario(
            {
                "SILENCE": _silence(silent_ms),
                "RING_MS": str(ring_ms),
                "STATUS": f"{status} {STATUS_TEXTS.get(status, 'Refused')}",
            },
            {},
        )
        self._hold_ms = hold_ms
        self._process: ChildProcess | None = None

    def start(self) -> None:
        """Start it; a second start after stop() takes the same port."""
        command = [*_sipp(self._files, self._scenario, self.port), "-d", str(self._hold_ms)]
        self._process = ChildProcess(command, self._files.output)
        self._process.wait_ready(lambda: _udp_port_is_open(self.port), 10)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(signal.SIGKILL)  # SIGTERM would make it wait for its calls

    def calls(self) -> tuple[SeenCall, ...]:
        """The calls that reached it so far."""
        return read_messages(self._files.messages)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._files.leave()


def place(call: Call, port: int, directory: Path | None = None, *, timeout_s: float = 60) -> SippResult:
    """Place calls to the switch at that port and wait for their end."""
    with SippCaller(call, port, directory, timeout_s=timeout_s) as caller:
        return caller.wait()


class _RunFiles:
    """The files of one run of SIPp."""

    def __init__(self, name: str, directory: Path | None) -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        self._is_temporary = directory is None
        self.directory = Path(tempfile.mkdtemp(prefix=f"pbxbill-{name}-", dir=directory))
        self.name = name
        self.output = self.directory / "screen.log"
        self.messages = self.directory / "messages.log"
        self.errors = self.directory / "errors.log"
        self.statistics = self.directory / "statistics.csv"

    def write_scenario(
        self, words: dict[str, str], parts: dict[str, str], counted: Sequence[str] = ()
    ) -> Path:
        def part(match: re.Match[str]) -> str:
            name = parts.get(match[1], match[1])
            return (SCENARIOS / "parts" / f"{name}.xml").read_text().rstrip("\n")

        text = (SCENARIOS / f"{self.name}.xml").read_text()
        text = re.sub(r' *<part name="([\w-]+)"/>', part, text)
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        for keyword in counted:
            text = text.replace(f"[{keyword}]", f"[{keyword}][call_number]")
        path = self.directory / "scenario.xml"
        path.write_text(text)
        return path

    def leave(self) -> None:
        """Remove the files, unless somebody named a place to keep them in."""
        if self._is_temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def complaints(self) -> str:
        text = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        return text[-3000:] or self.output.read_text(errors="replace")[-1000:]


def _sipp(files: _RunFiles, scenario: Path, port: int) -> list[str]:
    program = find_program("sipp", INSTALL_HINT)
    command = [str(program), "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    command += ["-mi", "127.0.0.1", "-mp", str(free_port(run=4))]  # audio, video, and their RTCP
    command += [
        "-trace_shortmsg",
        "-shortmessage_file",
        str(files.messages),
        "-shortmessage_overwrite",
        "false",
    ]
    return [*command, "-trace_err", "-error_file", str(files.errors)]


def _invite(call: Call) -> dict[str, str]:
    """Which INVITE: with a password or without, with keys or without."""
    name = "invite-digest" if call.password else "invite"
    return {"invite": f"{name}-keys" if call.keys else name}


def _pressed(after_ms: int, keys: str) -> str:
    lines = [
        f'<pause milliseconds="{after_ms}"/>',
        f'<nop><action><exec play_dtmf="{keys}"/></action></nop>',
        f'<pause milliseconds="{KEY_MS * len(keys)}"/>',
    ]
    return "".join(f"  {line}\n" for line in lines)


def _silence(silent_ms: int) -> str:
    text = (SCENARIOS / "parts" / "silence.xml").read_text()
    return text.replace("@SILENT_MS@", str(silent_ms)) if silent_ms else ""


def _hang_up(hold_ms: int) -> str:
    part = "bye" if hold_ms else "wait-for-bye"
    return (SCENARIOS / "parts" / f"{part}.xml").read_text()


def _expected_rejections(codes: tuple[int, ...]) -> str:
    *optional, last = codes
    lines = [f'  <recv response="{code}" optional="true" next="9"/>\n' for code in optional]
    return "".join([*lines, f'  <recv response="{last}"/>\n'])


def _udp_port_is_open(port: int) -> bool:
    address = f"0100007F:{port:04X}"
    return any(line.split()[1] == address for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def _read_statistics(path: Path) -> tuple[int, int]:
    if not path.exists():
        return 0, 0
    lines = path.read_text().splitlines()
    if len(lines) < 2:
        return 0, 0
    last = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])


def read_messages(path: Path) -> tuple[SeenCall, ...]:
    """The calls in a log of SIPp's -trace_shortmsg, in the order of their first INVITE."""
    calls: dict[str, SeenCall] = {}
    if path.exists():
        for message in _messages(path):
            known = calls.get(message.call_id)
            seen = _see(known, message)
            if seen is not None:
                calls[message.call_id] = seen
    return tuple(calls.values())


@dataclass(frozen=True, slots=True)
class _Message:
    at_us: int
    sent: bool
    call_id: str
    method: str
    """Of the request, or of the request that is answered."""
    status: int | None
    uri: str


def _messages(path: Path) -> Iterator[_Message]:
    for line in path.read_text(errors="replace").splitlines():
        match line.split("\t"):
            case [_, _, at, "S" | "R" as way, call_id, cseq, first] if "." in at:
                seconds, _, fraction = at.partition(".")
                words = first.split()
                is_answer = first.startswith("SIP/2.0 ") and len(words) > 1
                yield _Message(
                    at_us=int(seconds) * 1_000_000 + int(fraction.ljust(6, "0")[:6]),
                    sent=way == "S",
                    call_id=call_id,
                    method=cseq.split()[-1],
                    status=int(words[1]) if is_answer else None,
                    uri="" if is_answer or len(words) < 2 else words[1],
                )
            case _:
                continue  # the half-written last line of a run that goes on


def _see(call: SeenCall | None, message: _Message) -> SeenCall | None:
    """The call after one more message."""
    match message.method, message.status:
        case "INVITE", None if call is None:
            number = message.uri.removeprefix("sip:").partition("@")[0]
            return SeenCall(message.call_id, number, invited_us=message.at_us)
        case _ if call is None:
            return None
        case "INVITE", 180 if call.ringing_us is None:
            return replace(call, ringing_us=message.at_us)
        case "INVITE", 200 if call.answered_us is None:
            return replace(call, status=200, answered_us=message.at_us)
        case "INVITE", (401 | 407) as status if call.answered_us is None:
            return replace(call, status=status)  # a challenge; the last word only if the caller gives up
        case "INVITE", int(status) if status >= 300 and call.answered_us is None:
            return replace(call, status=status, ended_us=call.ended_us or message.at_us)
        case (("BYE" | "CANCEL"), None) if call.ended_us is None:
            return replace(call, ended_us=message.at_us, ended_here=message.sent)
        case _:
            return call
