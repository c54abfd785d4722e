"""A call on the fake switch: the dialplan's `socket` application, and what follows it."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field

from .fake_freeswitch import Channel, FakeFreeSwitch, event_block, frame, read_commands


@dataclass
class FakeCall:
    """A caller's channel that asks the daemon, and the channels it dials afterwards."""

    switch: FakeFreeSwitch
    caller: Channel
    paid: Channel | None = None
    played: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    play_s: float = 0.05
    resumed: bool = False

    @classmethod
    def place(
        cls, switch: FakeFreeSwitch, number: str, account: str = "", caller: str = "100", **variables: str
    ) -> "FakeCall":
        """INVITE: the channel exists and the dialplan begins."""
        channel = Channel("inbound", number, caller, {"sip_network_ip": "192.0.2.7", **variables})
        if account:
            channel.variables["accountcode"] = account
        switch.channels[channel.uuid] = channel
        return cls(switch, channel)

    @property
    def verdict(self) -> str:
        """What the dialplan reads; "" if the daemon left none."""
        return self.caller.variables.get("pbxbill_verdict", "")

    def ask(self, timeout_s: float = 30) -> str:
        """The `socket` application: talk to the daemon until it lets go; the verdict."""
        with socket.create_connection(("127.0.0.1", self.switch.desk_port), timeout_s) as sock:
            sock.settimeout(timeout_s)
            with contextlib.suppress(ConnectionError):
                for lines in read_commands(sock):
                    self._serve(sock, lines)
        assert self.resumed, "without resume the channel would be parked for ever"
        return self.verdict

    def _serve(self, sock: socket.socket, lines: list[str]) -> None:
        name, _, argument = lines[0].partition(" ")
        match name:
            case "connect":
                data = event_block(self.caller.headers("CHANNEL_DATA", self.switch.core_uuid))
                reply = b"Content-Type: command/reply\nReply-Text: %2BOK%0A\n"
                reply += b"Socket-Mode: async\nControl: full\n\n"
                sock.sendall(data.rstrip(b"\n") + b"\n" + reply)
                return
            case "resume":
                self.resumed = True
                text = "+OK"
            case "api":
                sock.sendall(frame({"Content-Type": "api/response"}, self.switch.api(argument).encode()))
                return
            case "myevents":
                text = "+OK Events Enabled"
            case "sendmsg":
                text = "+OK"
                threading.Thread(target=self._execute, args=(sock, lines), daemon=True).start()
            case _:
                text = "-ERR command not found"
        sock.sendall(frame({"Content-Type": "command/reply", "Reply-Text": text}))

    def _execute(self, sock: socket.socket, lines: list[str]) -> None:
        message = dict(line.split(": ", 1) for line in lines[1:])
        application = message["execute-app-name"]
        self.executed.append(application)
        if application == "playback":
            self.played.append(message["execute-app-arg"])
            time.sleep(self.play_s)
        headers = self.caller.headers("CHANNEL_EXECUTE_COMPLETE", self.switch.core_uuid)
        headers |= {"Application": application, "Application-UUID": message.get("Event-UUID", "")}
        with contextlib.suppress(OSError):
            sock.sendall(frame({"Content-Type": "text/event-plain"}, event_block(headers)))

    # --- what follows -----------------------------------------------------------------------------

    def dial(self, number: str = "carrier") -> Channel:
        """bridge: a channel with what the caller's exports."""
        channel = Channel("outbound", number, self.caller.caller, other=self.caller.uuid)
        for name in filter(None, self.caller.variables.get("export_vars", "").split(",")):
            channel.variables[name.removeprefix("nolocal:")] = self.caller.variables.get(name, "")
        self.switch.channels[channel.uuid] = channel
        return channel

    def connect(self) -> Channel:
        """Dial, and the carrier answers."""
        self.paid = self.dial()
        self.answer(self.paid)
        return self.paid

    def answer(self, paid: Channel) -> None:
        """The carrier answers, the caller's channel is answered and bridged."""
        self.paid = paid
        self.switch.answer(paid)
        self.caller.other = paid.uuid
        self.caller.bridged_us = paid.bridged_us = paid.answered_us
        self.caller.variables["originate_disposition"] = "SUCCESS"
        if not self.caller.answered_us:
            self.switch.answer(self.caller)

    def hang_up(self) -> None:
        """The caller hangs up; the other leg follows."""
        self.switch.hang_up(self.caller)

    def transfer_away(self) -> None:
        """REFER by the caller: its channel ends, the paid leg lives on."""
        self.caller.variables["_keeps_other"] = "true"
        self.switch.hang_up(self.caller)
