"""A daemon says that it works only while its loop and engine do; tried with such sockets as systemd has."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from lab.process import wait_until
from pbxbill.ami.daemon import AsteriskDaemon
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.charging.events import Authorize, Denied, Granted, Outcome, UnknownSession
from pbxbill.clock import SystemClock
from pbxbill.errors import EngineBusy, StoreUnavailable
from pbxbill.esl.daemon import FreeSwitchDaemon
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.liveness import Liveness
from pbxbill.notice import Notifier
from pbxbill.supervisor import DaemonProcess, Supervisor
from tests.switch.ami.harness import LocalNews
from tests.switch.ami.small_asterisk import free_port

INTERVAL_S = 0.05


class Engine:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.answer: Outcome | Exception | None = UnknownSession("")
        self.asked = 0

    def submit(self, command: Any, timeout_ms: int | None = None) -> Future[Outcome]:
        self.asked += 1
        future: Future[Outcome] = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        elif self.answer is not None:
            future.set_result(self.answer)
        return future

    def authorize_offline(self, request: Authorize) -> Granted | Denied:
        raise AssertionError(request)


class Reconciler:
    def run(self, *_: object) -> Any:
        raise StoreUnavailable("not asked here")

    def settle_offline(self, *_: object) -> None:
        raise StoreUnavailable("not asked here")


@pytest.fixture(params=["a path", "a name"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify") if request.param == "a path" else "")
        listener.settimeout(10)
        yield listener


def notifier_for(listener: socket.socket, watchdog_us: str = "200000") -> Notifier:
    name = listener.getsockname()
    address = "@" + name[1:].decode() if isinstance(name, bytes) else name
    return Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": watchdog_us})


def silent(listener: socket.socket) -> bool:
    """Whether nothing comes for many intervals, after what is on its way."""
    listener.settimeout(10 * INTERVAL_S)
    for _ in range(5):
        try:
            listener.recv(4096)
        except TimeoutError:
            return True
    return False


def liveness_for(engine: Engine, notifier: Notifier) -> Liveness:
    def tell(first: bool, status: str) -> None:
        notifier.send("READY=1" if first else "WATCHDOG=1", f"STATUS={status}")

    return Liveness(engine, SystemClock(), tell, notifier.interval_s)


@pytest.fixture(params=["gevent", "asyncio"])
def daemon(request: pytest.FixtureRequest, listener: socket.socket) -> Iterator[tuple[Engine, Any]]:
    """Either daemon, without a switch to connect to."""
    engine, clock = Engine(), SystemClock()
    daemon: Any
    if request.param == "gevent":
        from tests.switch.esl.harness import CountingMetrics

        metrics = CountingMetrics()
        settings = FreeSwitchSettings("fs1", port=free_port(), outbound_port=0)
        daemon = FreeSwitchDaemon(settings, engine, LocalNews(), Reconciler(), clock, metrics)
    else:
        from prometheus_client import CollectorRegistry

        ami = AsteriskSettings("pbx1", port=free_port(), agi_port=free_port())
        registry = AsteriskMetrics(CollectorRegistry())
        daemon = AsteriskDaemon(ami, engine, LocalNews(), Reconciler(), clock, registry)
    daemon.liveness = liveness_for(engine, notifier_for(listener))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    yield engine, daemon
    daemon.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_a_daemon_is_ready_and_then_alive_again_and_again(
    daemon: tuple[Engine, Any], listener: socket.socket
) -> None:
    first, *others = [listener.recv(4096).decode().splitlines() for _ in range(4)]
    assert first == ["READY=1", "STATUS=not connected to the switch, 0 calls"]
    assert all(words[0] == "WATCHDOG=1" for words in others)


def test_an_engine_that_stands_still_means_silence(
    daemon: tuple[Engine, Any], listener: socket.socket
) -> None:
    engine, _ = daemon
    listener.recv(4096)
    engine.answer = None
    assert silent(listener)


def test_a_loop_that_stands_still_means_silence(daemon: tuple[Engine, Any], listener: socket.socket) -> None:
    engine, _ = daemon
    listener.recv(4096)
    released = threading.Event()
    submit = engine.submit

    def stand_still(*args: Any) -> Future[Outcome]:
        released.wait(20)
        return submit(*args)

    engine.submit = stand_still  # type: ignore[assignment,method-assign]
    try:
        assert silent(listener)
    finally:
        released.set()


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), ValueError("a fault of its own")])
def test_a_database_that_is_away_is_an_answer(listener: socket.socket, fault: Exception) -> None:
    engine = Engine()
    liveness = liveness_for(engine, notifier_for(listener))
    engine.answer = fault
    liveness.beat("")
    liveness.beat("")
    assert listener.recv(4096).startswith(b"READY=1")


def test_a_full_queue_says_nothing_of_who_works_on_it(listener: socket.socket) -> None:
    engine = Engine()
    liveness = liveness_for(engine, notifier_for(listener))
    engine.answer = EngineBusy("50000 commands are waiting")
    for _ in range(5):
        liveness.beat("")
    assert silent(listener)
    assert engine.asked == 5


def test_nobody_who_listens_is_no_fault(tmp_path: Path) -> None:
    assert not Notifier({}).heard
    Notifier({}).send("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send("READY=1")


@pytest.mark.parametrize(
    "environment, interval_s",
    [
        ({}, 5.0),
        ({"WATCHDOG_USEC": "60000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000"}, 5.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, 5.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "soon"}, 5.0),
    ],
)
def test_the_interval_is_a_part_of_the_watchdogs(environment: dict[str, str], interval_s: float) -> None:
    assert Notifier(environment).interval_s == interval_s


# --- the supervisor -------------------------------------------------------------------------------

CHILD = """
import os, sys, threading, time
sys.path.insert(0, {repository!r})
from pbxbill.notice import Notifier
with open({lives!r}, "a") as lives:
    lives.write(f"{{os.getpid()}}\\n")
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
notifier = Notifier()
notifier.send("READY=1")
for beat in range({beats}):
    notifier.send("WATCHDOG=1")
    time.sleep(0.05)
time.sleep(60)
"""


def supervised(tmp_path: Path, beats: int, notifier: Notifier) -> tuple[Supervisor, Path, threading.Thread]:
    lives = tmp_path / "lives"
    lives.touch()
    repository = str(Path(__file__).parents[2])
    code = CHILD.format(repository=repository, lives=str(lives), beats=beats)
    daemon = DaemonProcess("child", (sys.executable, "-c", code))
    supervisor = Supervisor([daemon], SystemClock(), silence_s=0.6, notifier=notifier)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    return supervisor, lives, thread


def test_a_daemon_that_falls_silent_is_started_anew(tmp_path: Path) -> None:
    supervisor, lives, thread = supervised(tmp_path, 3, Notifier({}))
    try:
        wait_until(lambda: len(lives.read_text().split()) >= 2, 30, "a second life")
        first = lives.read_text().split()[0]
        assert not Path(f"/proc/{first}").exists()
    finally:
        supervisor.stop()
        thread.join(30)


def test_a_daemon_that_goes_on_speaking_is_left_alone(tmp_path: Path, listener: socket.socket) -> None:
    supervisor, lives, thread = supervised(tmp_path, 1000, notifier_for(listener, "100000"))
    try:
        heard = [listener.recv(4096).decode().splitlines() for _ in range(60)]
        assert heard[0] == ["READY=1"]
        assert heard[-1] == ["WATCHDOG=1", "STATUS=1 of 1 daemons work"]
        assert len(lives.read_text().split()) == 1
    finally:
        supervisor.stop()
        thread.join(30)


def test_another_process_cannot_speak_for_a_daemon(tmp_path: Path) -> None:
    supervisor, lives, thread = supervised(tmp_path, 3, Notifier({}))
    try:
        wait_until(lambda: bool(lives.read_text()), 30, "a first life")
        pid = lives.read_text().split()[0]
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        stranger = Notifier(dict(line.split("=", 1) for line in environment if "=" in line))

        def restarted() -> bool:
            stranger.send("WATCHDOG=1")
            return len(lives.read_text().split()) >= 2

        wait_until(restarted, 30, "a second life")
    finally:
        supervisor.stop()
        thread.join(30)
