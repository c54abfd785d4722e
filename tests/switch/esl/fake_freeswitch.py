"""An event socket server that behaves as the recordings in tests/data/freeswitch do, in plain threads.

It holds channels with variables, timers with FreeSWITCH's semantics (a second timer does not replace the
first, sched_del empties the group, a moment in the past never fires), a dialplan of one step (ask the
daemon, then dial), and can be made slow, mute, half-dead or hostile.
"""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

ANSWER_EVENTS = ("CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE")


def now_us() -> int:
    return time.time_ns() // 1000


def frame(headers: dict[str, str], body: bytes = b"") -> bytes:
    """One message."""
    if body:
        headers = {"Content-Length": str(len(body)), **headers}
    return "".join(f"{name}: {value}\n" for name, value in headers.items()).encode() + b"\n" + body


def event_block(headers: dict[str, str]) -> bytes:
    """An event's headers, percent-encoded value by value as FreeSWITCH does."""
    lines = (f"{name}: {quote(value, safe='/,.-_~')}\n" for name, value in headers.items())
    return "".join(lines).encode() + b"\n"


@dataclass
class Channel:
    """One leg."""

    direction: str
    number: str
    caller: str
    variables: dict[str, str] = field(default_factory=dict)
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    other: str = ""
    created_us: int = field(default_factory=now_us)
    answered_us: int = 0
    bridged_us: int = 0
    ended_us: int = 0
    timers: list[threading.Timer] = field(default_factory=list)

    def headers(self, name: str, core_uuid: str) -> dict[str, str]:
        """What an event of this channel says."""
        headers = {
            "Event-Name": name,
            "Core-UUID": core_uuid,
            "Event-Date-Timestamp": str(now_us()),
            "Unique-ID": self.uuid,
            "Call-Direction": self.direction,
            "Answer-State": "answered" if self.answered_us else "ringing",
            "Caller-Caller-ID-Number": self.caller,
            "Caller-Destination-Number": self.number,
            "Caller-Channel-Answered-Time": str(self.answered_us),
        }
        if self.other:
            headers["Other-Leg-Unique-ID"] = self.other
        return headers | {f"variable_{name}": value for name, value in self.variables.items()}


@dataclass
class Faults:
    """How this switch misbehaves."""

    silent: bool = False
    """Accepts connections and says nothing."""
    mute_commands: tuple[str, ...] = ()
    """Commands that are never answered."""
    deaf_to_kill: int = 0
    """So many uuid_kill say +OK and do nothing."""
    drop_events: tuple[str, ...] = ()
    """Events that are lost."""
    twice: bool = False
    """Each event comes twice."""
    answer_loses_timer: bool = False


class FakeFreeSwitch:
    """The switch. desk_port: where the daemon's outbound socket listens."""

    def __init__(self, password: str = "secret", port: int = 0) -> None:
        self.password = password
        self.desk_port = 0
        self.faults = Faults()
        self.core_uuid = str(uuid.uuid4())
        self.started_us: int | None = now_us()
        self.channels: dict[str, Channel] = {}
        self.commands: list[str] = []
        self.changed = threading.Condition()
        self._clients: list[_Client] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    # --- life -----------------------------------------------------------------------------------

    def stop(self) -> None:
        self._listener.close()
        self.cut_links()
        for channel in list(self.channels.values()):
            self._clear_timers(channel)

    def cut_links(self) -> None:
        """Close every client's connection, as a broken network does."""
        for client in list(self._clients):
            client.close()

    def kill(self) -> None:
        """kill -9 and a new start: no events, no channels, no timers, another Core-UUID."""
        self.cut_links()
        for channel in self.channels.values():
            self._clear_timers(channel)
        self.channels.clear()
        self.core_uuid = str(uuid.uuid4())
        self.started_us = now_us()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            client = _Client(self, sock)
            self._clients.append(client)
            threading.Thread(target=client.serve, daemon=True).start()

    # --- events ---------------------------------------------------------------------------------

    def emit(self, headers: dict[str, str]) -> None:
        """Send an event to who subscribed to it."""
        if headers["Event-Name"] in self.faults.drop_events:
            return
        data = frame({"Content-Type": "text/event-plain"}, event_block(headers))
        self.emit_raw(headers["Event-Name"], data * (2 if self.faults.twice else 1))

    def emit_raw(self, name: str, data: bytes) -> None:
        """Send bytes to who subscribed to events of that name."""
        for client in list(self._clients):
            if name in client.subscribed:
                client.send(data)

    def heartbeat(self) -> None:
        self.emit(
            {"Event-Name": "HEARTBEAT", "Core-UUID": self.core_uuid, "Event-Date-Timestamp": str(now_us())}
        )

    # --- channels -------------------------------------------------------------------------------

    def answer(self, channel: Channel) -> None:
        """200 OK: execute_on_answer runs, CHANNEL_ANSWER goes out."""
        channel.answered_us = now_us()
        for name, value in list(channel.variables.items()):
            if name.startswith("execute_on_answer") and not self.faults.answer_loses_timer:
                application, _, argument = value.partition(" ")
                assert application == "sched_hangup"
                self.schedule(channel, *argument.split())
        self.emit(channel.headers("CHANNEL_ANSWER", self.core_uuid))

    def schedule(self, channel: Channel, when: str, cause: str = "") -> None:
        """sched_hangup: whole seconds with a tick of half a second; the past never fires."""
        known = cause.upper() == "ALLOTTED_TIMEOUT"
        if when.startswith("+") and not when[1:].isdigit():
            return
        seconds = int(when.removeprefix("+")) - (0.5 if when.startswith("+") else 0)
        timer = threading.Timer(
            max(seconds, 0), self.hang_up, (channel, "ALLOTTED_TIMEOUT" if known else "NORMAL_CLEARING")
        )
        timer.daemon = True
        channel.timers.append(timer)
        timer.start()

    def hang_up(self, channel: Channel, cause: str = "NORMAL_CLEARING", disposition: str = "") -> None:
        """The channel ends and its CHANNEL_HANGUP_COMPLETE goes out."""
        with self.changed:
            if self.channels.pop(channel.uuid, None) is None:
                return
            self.changed.notify_all()
        self._clear_timers(channel)
        channel.ended_us = now_us()
        if disposition:
            channel.variables["originate_disposition"] = disposition
        channel.variables |= {
            "answer_uepoch": str(channel.answered_us),
            "bridge_uepoch": str(channel.bridged_us),
            "end_uepoch": str(channel.ended_us),
            "hangup_cause": cause,
            "hangup_cause_q850": "17" if cause == "USER_BUSY" else "16",
            "billsec": "0",
        }
        self.emit(channel.headers("CHANNEL_HANGUP_COMPLETE", self.core_uuid))
        other = self.channels.get(channel.other)
        if other is not None and channel.variables.get("_keeps_other") != "true":
            self.hang_up(other, cause)

    @staticmethod
    def _clear_timers(channel: Channel) -> int:
        for timer in channel.timers:
            timer.cancel()
        count = len(channel.timers)
        channel.timers.clear()
        return count

    def wait_gone(self, channel: Channel, timeout_s: float = 30) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: channel.uuid not in self.channels, timeout_s), "still up"

    # --- the api --------------------------------------------------------------------------------

    def api(self, command: str) -> str:
        """The body that a command is answered with; byte for byte as recorded where it was."""
        name, _, argument = command.partition(" ")
        handler = getattr(self, f"_api_{name}", None)
        return str(handler(argument)) if handler else f"-ERR {name} Command not found!\n"

    def _api_uuid_exists(self, argument: str) -> str:
        return "true" if argument in self.channels else "false"

    def _api_uuid_kill(self, argument: str) -> str:
        target, _, cause = argument.partition(" ")
        channel = self.channels.get(target)
        if channel is None:
            return "-ERR No such channel!\n"
        if self.faults.deaf_to_kill > 0:
            self.faults.deaf_to_kill -= 1
        else:
            threading.Thread(target=self.hang_up, args=(channel, cause or "NORMAL_CLEARING")).start()
        return "+OK\n"

    def _api_sched_hangup(self, argument: str) -> str:
        when, target, *cause = argument.split()
        channel = self.channels.get(target)
        if channel is None:
            return "-ERR No such channel!\n"
        self.schedule(channel, when, *cause)
        return "+OK\n"

    def _api_sched_del(self, argument: str) -> str:
        channel = self.channels.get(argument)
        return f"+OK Deleted: {self._clear_timers(channel) if channel else 0}\n"

    def _api_show(self, argument: str) -> str:
        rows = [{"uuid": uuid_} for uuid_ in self.channels]
        return json.dumps({"row_count": len(rows)} | ({"rows": rows} if rows else {}))

    def _api_uuid_dump(self, argument: str) -> str:
        channel = self.channels.get(argument)
        if channel is None:
            return "-ERR No such channel!\n"
        return event_block(channel.headers("CHANNEL_DATA", self.core_uuid)).decode()

    def _api_uuid_setvar_multi(self, argument: str) -> str:
        target, _, pairs = argument.partition(" ")
        channel = self.channels.get(target)
        if channel is None:
            return "-ERR No such channel!\n"
        channel.variables |= dict(pair.split("=", 1) for pair in pairs.split(";"))
        return "+OK\n"

    def _api_uuid_getvar(self, argument: str) -> str:
        target, _, name = argument.partition(" ")
        if target not in self.channels:
            return "-ERR No such channel!\n"
        return self.channels[target].variables.get(name, "_undef_")

    def _api_uuid_displace(self, argument: str) -> str:
        return (
            "+OK Success\n"
            if argument.split(maxsplit=1)[0] in self.channels
            else "-ERR Cannot locate session!\n"
        )

    def _api_uuid_break(self, argument: str) -> str:
        return "+OK\n"

    def _api_global_getvar(self, argument: str) -> str:
        return self.core_uuid

    def _api_strmicroepoch(self, argument: str) -> str:
        return str(now_us())

    def _api_uptime(self, argument: str) -> str:
        return "-ERR\n" if self.started_us is None else f"{now_us() - self.started_us}\n"

    def _api_strepoch(self, argument: str) -> str:
        return str(now_us() // 1_000_000)


class _Client:
    """One inbound connection."""

    def __init__(self, switch: FakeFreeSwitch, sock: socket.socket) -> None:
        self.subscribed: set[str] = set()
        self._switch = switch
        self._sock = sock
        self._write = threading.Lock()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            if self._switch.faults.silent:
                self._sock.recv(1)  # until the other side gives up
                return
            self.send(frame({"Content-Type": "auth/request"}))
            for lines in read_commands(self._sock):
                self._handle(lines)
        self.close()

    def _handle(self, lines: list[str]) -> None:
        command = lines[0]
        self._switch.commands.append(command)
        name, _, argument = command.partition(" ")
        if any(command.startswith(mute) for mute in self._switch.faults.mute_commands):
            return
        match name:
            case "auth" if argument == self._switch.password:
                self._reply("+OK accepted")
            case "auth":
                self._reply("-ERR invalid")
                self.send(frame({"Content-Type": "text/disconnect-notice"}, b"Disconnected, goodbye.\n"))
                self.close()
            case "event":
                self.subscribed.update(argument.split()[1:])
                self._reply("+OK event listener enabled plain")
            case "api":
                self.send(frame({"Content-Type": "api/response"}, self._switch.api(argument).encode()))
            case _:
                self._reply("-ERR command not found")

    def _reply(self, text: str) -> None:
        self.send(frame({"Content-Type": "command/reply", "Reply-Text": text}))

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError), self._write:
            self._sock.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        if self in self._switch._clients:
            self._switch._clients.remove(self)


def read_commands(sock: socket.socket) -> Iterator[list[str]]:
    """Blocks of lines up to an empty one."""
    buffer = b""
    while data := sock.recv(65536):
        buffer += data
        while b"\n\n" in buffer:
            block, _, buffer = buffer.partition(b"\n\n")
            if lines := block.decode().strip("\n").split("\n"):
                yield lines
