"""An Asterisk of a few lines for the whole daemon: it asks over FastAGI, keeps channels, notes its orders."""

import asyncio
import datetime as dt
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from pbxbill.ami.settings import AsteriskSettings
from tests.switch.ami.fake_ami import BANNER, FakeAmi, FakeSession
from tests.switch.ami.harness import RunningDaemon, SimpleEngine, running_daemon, wait_until

CALLER, PAID = "pbx1-1.1", "pbx1-1.2"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class SmallAsterisk:
    """Its manager port breaks every connection while it is away."""

    agi_port: int = field(default_factory=free_port)
    port: int = 0
    away: bool = False
    started: str = "12:00:00"
    channels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Uniqueid to channel variables."""
    orders: list[dict[str, str]] = field(default_factory=list)
    _listeners: list[FakeSession] = field(default_factory=list)
    _sessions: list[FakeSession] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread of its own."""
        ready, done = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with FakeAmi(self._script) as ami:
                self.port = ami.port
                ready.set()
                await done.wait()

        def work() -> None:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(serve())

        thread = threading.Thread(target=work, name="small-asterisk")
        thread.start()
        try:
            assert ready.wait(30)
            yield
        finally:
            self._loop.call_soon_threadsafe(done.set)
            thread.join(30)

    async def _script(self, session: FakeSession) -> None:
        if self.away:
            return
        self._sessions.append(session)
        session.writer.write(BANNER)
        while True:
            action = await session.read_action()
            self._obey(session, action)

    def _obey(self, session: FakeSession, action: dict[str, str]) -> None:
        match action["action"]:
            case "Login":
                if action["events"] != "off":
                    self._listeners.append(session)
                session.accept(action)
            case "Ping":
                session.accept(action, Timestamp=f"{time.time():.6f}")
            case "CoreStatus":
                session.accept(action, CoreStartupDate="2026-11-22", CoreStartupTime=self.started)
            case "Status":
                session.accept(action, EventList="start")
                for leg, variables in self.channels.items():
                    lines = "".join(f"Variable: {name}={value}\r\n" for name, value in variables.items())
                    head = f"Event: Status\r\nActionID: {action['actionid']}\r\nUniqueid: {leg}\r\n"
                    head += f"Channel: PJSIP/{leg}\r\nChannelState: 6\r\nVariable: UNIQUEID={leg}\r\n"
                    head += f"Variable: CHANNEL=PJSIP/{leg}\r\nVariable: CHANNEL(state)=Up\r\n"
                    session.writer.write(f"{head}{lines}\r\n".encode())
                session.send(Event="StatusComplete", ActionID=action["actionid"], EventList="Complete")
            case "Getvar" if action["variable"].startswith("STRPTIME("):
                day = dt.datetime.fromisoformat(action["variable"][9:28]).replace(tzinfo=dt.UTC)
                session.accept(action, Variable=action["variable"], Value=str(int(day.timestamp())))
            case _:
                self.orders.append(action)
                if action["channel"] in self.channels:
                    session.accept(action)
                else:
                    session.send(Response="Error", ActionID=action["actionid"], Message="No such channel")

    def go_away(self) -> None:
        """The network breaks; channels live on."""
        self.away = True
        for session in self._sessions:
            self._loop.call_soon_threadsafe(session.writer.close)

    def ask(self, account: str) -> dict[str, str]:
        """A caller's channel asks whether it may dial; the variables that it is told to set."""
        self.channels[CALLER] = {}
        request = {
            "agi_network_script": "outbound",
            "agi_uniqueid": CALLER,
            "agi_channel": "PJSIP/alice-1",
            "agi_callerid": "2001",
            "agi_accountcode": account,
            "agi_arg_1": "1555",
        }
        with socket.create_connection(("127.0.0.1", self.agi_port), 30) as agi, agi.makefile("rw") as lines:
            lines.write("".join(f"{name}: {value}\n" for name, value in request.items()) + "\n")
            lines.flush()
            command = lines.readline()
            lines.write("200 result=1\n")
            lines.flush()
            lines.read()  # until the daemon lets go
        pairs = dict(pair.split("=", 1) for pair in command.split('"')[1].split(","))
        return {name.lstrip("_"): value for name, value in pairs.items()}

    def answer(self, session_id: str) -> None:
        """The carrier takes the call."""
        now = f"{time.time():.6f}"
        variables = {"PBXBILL_SESSION": session_id, "PBXBILL_CALL": CALLER}
        self.channels[CALLER] = variables
        self.channels[PAID] = {**variables, "PBXBILL_PAID": session_id, "CDR(answer,u)": now}
        event = {
            "Event": "DialEnd",
            "Timestamp": now,
            "DestUniqueid": PAID,
            "DestChannel": "PJSIP/gw-2",
            "DestChanVariable": f"PBXBILL_SESSION={session_id}",
            "DialStatus": "ANSWER",
        }
        for session in self._listeners:
            self._loop.call_soon_threadsafe(partial(session.send, **event))

    def hang_up_untold(self) -> None:
        """The channels end, and the events that say so are lost."""
        self.channels.clear()

    def timers_of(self, leg: str) -> list[float]:
        """The seconds that a channel was given, as the orders came."""
        orders = [order for order in self.orders if order["action"] == "AbsoluteTimeout"]
        return [float(order["timeout"]) for order in orders if order["channel"] == leg]


@contextmanager
def small_site(engine: SimpleEngine, **changes: object) -> Iterator[tuple[SmallAsterisk, RunningDaemon]]:
    """A switch of this kind and a connected daemon, which sweeps only when it must."""
    asterisk = SmallAsterisk()
    try:
        with asterisk.running():
            settings: dict[str, object] = {
                "port": asterisk.port,
                "agi_port": asterisk.agi_port,
                "sounds_dir": None,
                "sweep_interval_s": 3600.0,
                "cdr_interval_s": 3600.0,
                "authorize_timeout_s": 10.0,
                "reconnect_first_s": 0.02,
                "reconnect_most_s": 0.1,
            }
            whole = AsteriskSettings("pbx1", **(settings | changes))  # type: ignore[arg-type]
            with running_daemon(whole, engine) as daemon:
                yield asterisk, daemon
    finally:
        engine.pool.shutdown()


def wait_for_link(daemon: RunningDaemon, *, up: bool) -> None:
    """Until the daemon's connection to the switch stands, or is gone."""
    wait_until(lambda: daemon.metric("pbxbill_ami_connected") == up, 30, "the connection to change")
