"""A child process that writes a log, is waited for until it is ready, and is always stopped and reaped.

setpriv gives it a parent-death signal, so that nothing is left behind even when this process is killed.
The kernel ties that signal to the thread which started the child: start servers from a thread that
outlives them, such as the main one.
"""

import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_S = 0.02


class ServerFailed(RuntimeError):
    """A server could not be installed, did not come up, or did not do as it was told; says why."""


def find_program(name: str, hint: str, *folders: Path) -> Path:
    """The program on the PATH or in one of the folders; ServerFailed with the hint otherwise."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))
    if found is None:
        raise ServerFailed(f"{name} is not installed: {hint}")
    return Path(found)


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, for a message."""
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Return as soon as the condition is true of something; ServerFailed when it does not in time."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            raise ServerFailed(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)


class ChildProcess:
    """One program in a session of its own, its output appended to a log file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Start it; user: become that user first (this process must be root)."""
        self.log = log
        self.command = [str(part) for part in command]
        become = ["--reuid", user, "--regid", _group_of(user), "--clear-groups"] if user else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *become, "--", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=directory,
                start_new_session=True,  # Ctrl-C reaches the demo only, which stops its servers in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def running(self) -> bool:
        return self.returncode is None

    def wait_ready(self, ready: Callable[[], object], timeout_s: float) -> None:
        """Wait for a server to serve; when it does not, end it and show the end of its log."""

        def ready_or_dead() -> bool:
            return not self.running() or bool(ready())

        name = Path(self.command[0]).name
        try:
            wait_until(ready_or_dead, timeout_s, f"{name} did not come up")
            if not self.running():
                raise ServerFailed(f"{name} ended with {self.returncode} while it was starting")
        except ServerFailed as fault:
            self.kill()
            raise ServerFailed(f"{fault}; the end of {self.log}:\n{tail(self.log)}") from None

    def children(self) -> list[int]:
        """The processes that it started itself and that still run."""
        try:
            pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return [int(pid) for pid in pids.split()]
        except FileNotFoundError:
            return []

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; ServerFailed when it does not come in time (it goes on running)."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"{Path(self.command[0]).name} still runs after {timeout_s:g} s") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> int:
        """Ask it to end, make it end, and leave nothing of its session behind."""
        if self.running():
            self._process.send_signal(number)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._reap()

    def kill(self) -> int:
        """kill -9, as a crash would be."""
        if self.running():
            self._process.kill()
        return self._reap()

    def _reap(self) -> int:
        returncode = self._process.wait()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # what it may have started itself
        except ProcessLookupError:
            pass  # the usual case: nothing was left
        return returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
