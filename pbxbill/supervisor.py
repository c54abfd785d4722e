"""`pbxbill run`: one operating-system process per daemon, started, watched, restarted, stopped in order.

A daemon that ends is started again, each time after a longer wait. One that ends for its configuration is
tried again too, since a switch's files may be mended meanwhile; only when every daemon of a switch says so,
or where there is no switch yet every daemon, the supervisor gives up. Daemons read a pipe from here and end
with it, so that none is left steering. They also say again and again that they work, as to systemd: one that
falls silent is killed and started anew.
"""

import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from pbxbill.clock import SECOND_US, Clock
from pbxbill.notice import ADDRESS, ALIVE, READY, STOPPING, WATCHDOG, WATCHDOG_PID, Notifier

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
STEADY_US = 60 * SECOND_US
"""A daemon that ran for so long is started again without the longer wait."""
STOP_TIMEOUT_S = 15.0
BAD_CONFIGURATION = 2
SILENCE_S = 60.0
"""A daemon that was ready and says nothing for so long stands still."""
LISTEN_S = 0.5
"""How long one look for notices lasts."""
_CREDENTIALS = struct.Struct("3i")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DaemonProcess:
    """What is to be run."""

    name: str
    command: tuple[str, ...]
    steers: bool = True
    """It steers a switch; where there are such, there is no point in going on without them."""


class Supervisor:
    """Runs daemons until it is told to stop."""

    def __init__(
        self,
        daemons: Sequence[DaemonProcess],
        clock: Clock,
        *,
        silence_s: float = SILENCE_S,
        notifier: Notifier | None = None,
    ) -> None:
        self._watches = [_Watch(daemon, clock, self._look, silence_s) for daemon in daemons]
        self._notifier = notifier or Notifier()
        self._stop = threading.Event()

    def run(self) -> int:
        """Start all, watch until stop(), stop all; the exit code of the whole."""
        for watch in self._watches:
            watch.start()
        self._notifier.send(READY)
        while not self._stop.wait(self._notifier.interval_s):
            ready = sum(watch.ready for watch in self._watches)
            if all(watch.watching for watch in self._watches):
                self._notifier.send(ALIVE, f"STATUS={ready} of {len(self._watches)} daemons work")
        self._notifier.send(STOPPING)
        for watch in self._watches:
            watch.ask_to_stop()
        clean = [watch.join(STOP_TIMEOUT_S) for watch in self._watches]
        if self._hopeless():
            return BAD_CONFIGURATION
        return 0 if all(clean) else 1

    def stop(self) -> None:
        """Make run() stop everything and return; from any thread or signal handler."""
        self._stop.set()

    def _hopeless(self) -> bool:
        needed = [watch for watch in self._watches if watch.steers] or self._watches
        return all(watch.misconfigured for watch in needed)

    def _look(self) -> None:
        if self._hopeless():
            _log.error("no_daemon_can_run")
            self._stop.set()


class _Watch:
    """One daemon: its process and the thread that waits for it."""

    def __init__(
        self, daemon: DaemonProcess, clock: Clock, ended: Callable[[], None], silence_s: float
    ) -> None:
        self._daemon = daemon
        self._silence_us = int(silence_s * SECOND_US)
        self._clock = clock
        self._ended = ended
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"watch-{daemon.name}", daemon=True)
        self._clean = True
        self.steers = daemon.steers
        self.misconfigured = False
        """Its last end was for its configuration."""
        self.ready = False
        """It said that it works, and has not fallen silent."""

    @property
    def watching(self) -> bool:
        """Whether somebody still looks after the daemon."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        with self._lock:
            self._stopping.set()
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end, forced if need be; whether it was clean."""
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._process is not None:
            _log.error("daemon_killed", daemon=self._daemon.name, after_s=timeout_s)
            self._process.kill()
            self._thread.join(5)
            return False
        return self._clean

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            started_us = self._clock.monotonic_us()
            code = self._once()
            if self._stopping.is_set():
                # One that had not begun yet ends by the signal itself.
                self._clean = code in {0, -signal.SIGTERM}
                return
            self.misconfigured = code == BAD_CONFIGURATION
            if self._clock.monotonic_us() - started_us > STEADY_US:
                wait_s = FIRST_WAIT_S
            _log.warning("daemon_ended", daemon=self._daemon.name, exit_code=code, restart_in_s=wait_s)
            self._ended()
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _once(self) -> int:
        # Without a name in the file system nothing is left behind; the kernel chooses one.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind("")
            notices.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            notices.settimeout(LISTEN_S)
            return self._one_life(notices)

    def _one_life(self, notices: socket.socket) -> int:
        environment = {name: value for name, value in os.environ.items() if name != WATCHDOG_PID}
        environment[ADDRESS] = "@" + notices.getsockname()[1:].decode()
        environment[WATCHDOG] = str(self._silence_us)
        with self._lock:
            if self._stopping.is_set():
                return 0
            # A session of its own: Ctrl-C reaches the supervisor alone, which stops daemons in order.
            self._process = process = subprocess.Popen(
                self._daemon.command, stdin=subprocess.PIPE, start_new_session=True, env=environment
            )
        _log.info("daemon_started", daemon=self._daemon.name, pid=process.pid)
        listener = threading.Thread(target=self._listen, args=(notices, process), daemon=True)
        listener.start()
        with process:
            code = process.wait()
        listener.join()
        return code

    def _listen(self, notices: socket.socket, process: subprocess.Popen[bytes]) -> None:
        heard_us = None  # none before it is ready: to begin may take long
        while process.poll() is None:
            words = _notice(notices, process.pid)
            now_us = self._clock.monotonic_us()
            if words:
                self.ready = self.ready or READY in words
                heard_us = now_us if self.ready else None
            elif heard_us is not None and now_us - heard_us > self._silence_us:
                _log.error("daemon_stands_still", daemon=self._daemon.name, pid=process.pid)
                process.kill()
                break
        self.ready = False


def _notice(notices: socket.socket, pid: int) -> list[str]:
    """What the daemon says next; nothing if it is silent, or if another process speaks."""
    try:
        data, ancillary, _, _ = notices.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
    except TimeoutError:
        return []
    for level, kind, content in ancillary:
        is_sender = level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS
        if is_sender and _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0] == pid:
            return data.decode(errors="replace").splitlines()
    return []
