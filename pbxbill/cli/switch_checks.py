"""What `pbxbill doctor` asks a switch: over plain sockets, one question at a time, each with a time-out."""

import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from xml.etree import ElementTree as ET

from pbxbill.ami.wire import AmiMessage, check_field, parse_message, timestamp_us
from pbxbill.ami.wire import Framer as AmiFramer
from pbxbill.cli.finding import Finding, Verdict
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, SwitchError
from pbxbill.esl.wire import Framer as EslFramer
from pbxbill.esl.wire import Message, WireError, single_line
from pbxbill.sections import AsteriskSection, FreeSwitchSection
from pbxbill.settings import asterisk_settings, freeswitch_settings

TIMEOUT_S = 5.0
ROUTES_CONTEXT = "pbxbill_routes"
DIALLING = ("bridge", "att_xfer", "set", "export")
"""What may name a gateway: a bridge, or a variable that another extension bridges to."""
SHOWN_ROUTES = 5
CLOCK_WARNING_US = SECOND_US // 2
CLOCK_FAILURE_US = 30 * SECOND_US


class _Line:
    """A connection with a deadline for every answer."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), TIMEOUT_S)
        self._socket.settimeout(TIMEOUT_S)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Some bytes; SwitchError at the end of the connection."""
        data = self._socket.recv(65536)
        if not data:
            raise SwitchError("the switch closed the connection")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


# --- FreeSWITCH -----------------------------------------------------------------------------------


def check_freeswitch(section: FreeSwitchSection, clock: Clock) -> Iterator[Finding]:
    """Everything about one FreeSWITCH."""
    where = f"{section.host}:{section.port}"
    try:
        with _Line(section.host, section.port) as line:
            yield from _ask_freeswitch(section, line, clock)
    except (ConnectionRefusedError, socket.gaierror) as error:
        remedy = "load mod_event_socket; compare host and port with event_socket.conf.xml"
        yield Finding(section.name, Verdict.FAIL, f"no event socket at {where}: {error.strerror}", remedy)
    except TimeoutError:
        remedy = "a firewall drops packets, or the switch hangs (`fs_cli -x status`)"
        yield Finding(section.name, Verdict.FAIL, f"{where} does not answer within {TIMEOUT_S:g} s", remedy)
    except (OSError, SwitchError) as error:
        yield Finding(section.name, Verdict.FAIL, f"{where}: {error}", "is this FreeSWITCH's event socket?")
    yield _listener(section.name, "event socket", section.outbound_host, section.outbound_port, "esl")
    yield _freeswitch_sounds(section)
    yield _folder(section.name, section.cdr_dir, "cdr_dir")


class _EventSocket:
    def __init__(self, line: _Line) -> None:
        self._line = line
        self._framer = EslFramer()
        self._messages: list[Message] = []

    def next(self) -> Message:
        while not self._messages:
            self._messages += self._framer.feed(self._line.receive())
        return self._messages.pop(0)

    def ask(self, command: str) -> str:
        self._line.send(f"{single_line(command)}\n\n".encode())
        message = self.next()
        while message.content_type not in {"command/reply", "api/response"}:
            message = self.next()
        return message.reply.strip()


def _ask_freeswitch(section: FreeSwitchSection, line: _Line, clock: Clock) -> Iterator[Finding]:
    name = section.name
    talk = _EventSocket(line)
    try:
        first = talk.next().content_type
    except WireError:
        yield Finding(name, Verdict.FAIL, "what answers is no event socket", "compare host and port")
        return
    if first == "text/rude-rejection":
        remedy = "let apply-inbound-acl in event_socket.conf.xml permit this machine's address"
        yield Finding(name, Verdict.FAIL, "the event socket's access list refuses this machine", remedy)
        return
    if not talk.ask(f"auth {freeswitch_settings(section).password}").startswith("+OK"):
        remedy = "compare password with the one in event_socket.conf.xml"
        yield Finding(name, Verdict.FAIL, "the event socket's password is wrong", remedy)
        return
    yield Finding(name, Verdict.OK, f"event socket answers: {talk.ask('api version')[:80]}")
    before_us = clock.now_us()
    told = talk.ask("api strmicroepoch")
    if not told.isdigit():
        told = talk.ask("api strepoch") + "000000"
    if told.isdigit():
        yield _clock(name, int(told) - (before_us + clock.now_us()) // 2)
    modules = [m for m in ("mod_json_cdr", "mod_cdr_csv") if talk.ask(f"api module_exists {m}") == "true"]
    if modules:
        yield Finding(name, Verdict.OK, f"writes CDRs by {' and '.join(modules)}")
    else:
        remedy = "load mod_json_cdr with the configuration that `pbxbill install freeswitch` writes"
        yield Finding(name, Verdict.WARN, "neither mod_json_cdr nor mod_cdr_csv is loaded", remedy)
    yield _routes(name, talk.ask("api xml_locate dialplan"))


def _routes(name: str, dialplan: str) -> Finding:
    """Whether a gateway can be reached on another way than behind the verdict."""
    try:
        section = ET.fromstring(dialplan)  # noqa: S314  # the administrator's own, from his own switch
    except ET.ParseError:
        # A dialplan may come from elsewhere (mod_xml_curl, Lua), where nobody can look it up.
        return Finding(name, Verdict.OK, "its dialplan cannot be read: gateway routes were not looked for")
    open_routes = [
        f"{context.get('name')}/{extension.get('name')}"
        for context in section.iter("context")
        if context.get("name") != ROUTES_CONTEXT
        for extension in context.iter("extension")
        if any(_dials_gateway(action) for action in extension.iter("action"))
    ]
    if not open_routes:
        return Finding(name, Verdict.OK, f"gateways are named in the context {ROUTES_CONTEXT} alone")
    shown = ", ".join(open_routes[:SHOWN_ROUTES])
    shown += f" and {len(open_routes) - SHOWN_ROUTES} more" if len(open_routes) > SHOWN_ROUTES else ""
    remedy = (
        f"move them to dialplan/{ROUTES_CONTEXT}/: calls on these routes are neither asked about nor charged"
    )
    return Finding(name, Verdict.WARN, f"extensions dial gateways without a verdict: {shown}", remedy)


def _dials_gateway(action: ET.Element) -> bool:
    return action.get("application") in DIALLING and "sofia/gateway/" in action.get("data", "")


def _freeswitch_sounds(section: FreeSwitchSection) -> Finding:
    from pbxbill.esl.announce import find_voices

    voices = find_voices(section.sounds_dir)
    if voices:
        return Finding(section.name, Verdict.OK, f"sounds for {', '.join(sorted(voices))}")
    remedy = "set sounds_dir to the folder that holds en/us/callie, e.g. /usr/share/freeswitch/sounds"
    return Finding(section.name, Verdict.WARN, "no sounds are known; callers hear tones", remedy)


# --- Asterisk -------------------------------------------------------------------------------------


def check_asterisk(section: AsteriskSection, clock: Clock) -> Iterator[Finding]:
    """Everything about one Asterisk."""
    where = f"{section.host}:{section.port}"
    try:
        with _Line(section.host, section.port) as line:
            yield from _ask_asterisk(section, line, clock)
    except (ConnectionRefusedError, socket.gaierror) as error:
        remedy = "set enabled = yes in manager.conf; compare host and port with it"
        yield Finding(section.name, Verdict.FAIL, f"no manager at {where}: {error.strerror}", remedy)
    except TimeoutError:
        remedy = "a firewall drops packets, or Asterisk hangs (`asterisk -rx 'core show uptime'`)"
        yield Finding(section.name, Verdict.FAIL, f"{where} does not answer within {TIMEOUT_S:g} s", remedy)
    except (OSError, SwitchError, InputRefused) as error:
        yield Finding(section.name, Verdict.FAIL, f"{where}: {error}", "is this Asterisk's manager port?")
    yield _listener(section.name, "FastAGI", section.agi_host, section.agi_port, "ami")
    yield _asterisk_sounds(section)
    yield _cdr_file(section)


class _Manager:
    def __init__(self, line: _Line) -> None:
        self._line = line
        self._framer = AmiFramer()
        self._events: list[AmiMessage] = []
        self._responses: deque[AmiMessage] = deque()

    def ask(self, action: str, **fields: str) -> AmiMessage:
        """Send an action; its response. Events that come meanwhile are kept."""
        pairs = {"Action": action, **fields}
        for name, value in pairs.items():
            check_field(name, value)
        self._line.send("".join(f"{name}: {value}\r\n" for name, value in pairs.items()).encode() + b"\r\n")
        while not self._responses:
            self._receive()
        return self._responses.popleft()

    def wait_for(self, event: str) -> AmiMessage | None:
        """The first event of that name; None if it does not come in time."""
        try:
            while not (found := [message for message in self._events if message.event == event]):
                self._receive()
        except TimeoutError:
            return None
        return found[0]

    def _receive(self) -> None:
        for block in self._framer.feed(self._line.receive()):
            message = parse_message(block)
            if "response" in message.fields and not message.event:
                self._responses.append(message)
            else:
                self._events.append(message)


def _ask_asterisk(section: AsteriskSection, line: _Line, clock: Clock) -> Iterator[Finding]:
    name = section.name
    talk = _Manager(line)
    secret = asterisk_settings(section).secret
    if talk.ask("Login", Username=section.username, Secret=secret).get("response") != "Success":
        remedy = (
            f"compare username and secret with [{section.username}] in manager.conf, its permit and deny "
            "with this machine's address; then `asterisk -rx 'manager reload'`"
        )
        yield Finding(name, Verdict.FAIL, "the manager refuses user, secret or address", remedy)
        return
    before_us = clock.now_us()
    pong = talk.ask("Ping")
    told_us = timestamp_us(pong.get("timestamp"))
    settings = talk.ask("CoreSettings")
    yield Finding(name, Verdict.OK, f"manager answers: Asterisk {settings.get('asteriskversion') or '?'}")
    if told_us is not None:
        yield _clock(name, told_us - (before_us + clock.now_us()) // 2)
    booted = talk.wait_for("FullyBooted")
    if booted is None:
        remedy = "give the manager user read = call,system"
        yield Finding(name, Verdict.FAIL, "the manager user may not read system events", remedy)
    # func_config may not be loaded: then even "enabled" has no value, and nothing is said.
    readable, stamps = (
        talk.ask("Getvar", Variable=f"AST_CONFIG(manager.conf,general,{option})").get("value")
        for option in ("enabled", "timestampevents")
    )
    last_line = "AST_CONFIG(manager.conf,general,channelvars,-1)"
    named = talk.ask("Getvar", Variable=last_line).get("value").split(",")
    missing = {"PBXBILL_SESSION", "PBXBILL_PAID", "PBXBILL_INBOUND"} - {name.strip() for name in named}
    if readable and missing:
        remedy = "install manager_pbxbill.conf again (`pbxbill install asterisk`), then `manager reload`"
        yield Finding(name, Verdict.FAIL, f"events do not name {', '.join(sorted(missing))}", remedy)
    if readable and stamps not in {"yes", "true", "on", "1"}:
        remedy = "set timestampevents = yes in manager.conf, or run `pbxbill install asterisk`"
        yield Finding(name, Verdict.FAIL, "events carry no time stamps, which charges follow", remedy)
    if talk.ask("ShowDialPlan", Context="pbxbill").get("response") == "Success":
        yield Finding(name, Verdict.OK, "the dialplan has the context pbxbill")
    else:
        remedy = "run `pbxbill install asterisk` and reload the dialplan; the user needs write = reporting"
        yield Finding(name, Verdict.FAIL, "the context pbxbill is not in the dialplan", remedy)


def _asterisk_sounds(section: AsteriskSection) -> Finding:
    folder = section.sounds_dir
    if folder is None:
        return Finding(section.name, Verdict.OK, "sounds are taken to be complete (sounds_dir is empty)")
    languages = sorted(path.parent.parent.name for path in folder.glob("*/digits/1.*"))
    if languages:
        return Finding(section.name, Verdict.OK, f"sounds for {', '.join(dict.fromkeys(languages))}")
    remedy = "install asterisk-core-sounds-en, or set sounds_dir to the folder that holds en/"
    return Finding(section.name, Verdict.WARN, f"no sounds in {folder}; callers hear tones", remedy)


def _cdr_file(section: AsteriskSection) -> Finding:
    path = section.cdr_file
    if path is None:
        remedy = (
            "set cdr_file, e.g. /var/log/asterisk/cdr-custom/pbxbill.csv: without it calls that end while "
        )
        return Finding(
            section.name, Verdict.WARN, "no CDR log is configured", f"{remedy}pbxbill is down are estimated"
        )
    try:
        with path.open("rb"):
            return Finding(section.name, Verdict.OK, f"{path} is readable")
    except FileNotFoundError:
        remedy = "it appears with the first call; if not, see cdr_custom in docs/asterisk.md"
        return Finding(section.name, Verdict.WARN, f"{path} is not there yet", remedy)
    except OSError as error:
        remedy = "let pbxbill's user read it, e.g. by the group asterisk"
        return Finding(section.name, Verdict.FAIL, f"{path}: {error.strerror}", remedy)


# --- both -----------------------------------------------------------------------------------------


def _clock(name: str, ahead_us: int) -> Finding:
    detail = f"its clock is {abs(ahead_us) // 1000} ms {'ahead' if ahead_us > 0 else 'behind'}"
    if abs(ahead_us) <= CLOCK_WARNING_US:
        return Finding(name, Verdict.OK, detail)
    verdict = Verdict.WARN if abs(ahead_us) <= CLOCK_FAILURE_US else Verdict.FAIL
    return Finding(name, verdict, detail, "run an NTP client (chrony) on both machines")


def _listener(name: str, what: str, host: str, port: int, command: str) -> Finding:
    try:
        socket.create_connection((host, port), 2).close()
    except OSError as error:
        remedy = (
            f"start `pbxbill {command}` or `pbxbill run`; until then the failure policy decides every call"
        )
        return Finding(name, Verdict.WARN, f"no daemon at {host}:{port} ({what}): {error.strerror}", remedy)
    return Finding(name, Verdict.OK, f"the daemon listens at {host}:{port} ({what})")


def _folder(name: str, folder: str, option: str) -> Finding:
    if not folder:
        remedy = f"set {option}: without it calls that end while pbxbill is down are estimated"
        return Finding(name, Verdict.WARN, "no CDR log is configured", remedy)
    try:
        next(Path(folder).iterdir(), None)
    except OSError as error:
        remedy = "compare with the switch's configuration, and let pbxbill's user read it"
        return Finding(name, Verdict.FAIL, f"{folder}: {error.strerror}", remedy)
    return Finding(name, Verdict.OK, f"{folder} is readable")
