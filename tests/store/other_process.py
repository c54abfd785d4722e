"""Other processes of a test: started, told to go, heard, and ended with it.

Each is forked from one process of the run that has loaded what they need (forking_server.py): to load it
anew takes a second of the processor, and a test of eight processes would do little else. They are processes
as any other: with connections of their own, killed by kill -9, known by how they ended.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.store.forking_server import TOLD

REPOSITORY = Path(__file__).parents[2]
START_S = 30.0


class Process:
    """What a test does with a process; as subprocess.Popen, which speaks of children only."""

    def __init__(self, stdin: int, stdout: int, told: int) -> None:
        self.stdin = os.fdopen(stdin, "w")
        self.stdout = os.fdopen(stdout)
        self._told = told
        self.returncode: int | None = None
        self.pid = self._next_told(START_S)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended; the negative number of a signal that ended it."""
        if self.returncode is None:
            self.returncode = self._next_told(timeout)
        return self.returncode

    def kill(self) -> None:
        """kill -9, if it still runs."""
        try:
            self.wait(0)
        except subprocess.TimeoutExpired:
            # It may end by itself in between.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What else it says until its end."""
        said = self.stdout.read()
        self.wait(timeout)
        return said, None

    def close(self) -> None:
        """Its pipes; it has ended."""
        os.close(self._told)
        self.stdout.close()
        try:
            self.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it read all that it was told

    def _next_told(self, timeout: float | None) -> int:
        if not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("another process", timeout or 0)
        told = os.read(self._told, TOLD.size)
        assert told, "the process that starts others has ended"
        (number,) = TOLD.unpack(told)
        return int(number)


@contextmanager
def started(module: str, *words: object) -> Iterator[Process]:
    """A module of this folder as a process; killed at the end, if it still runs."""
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    ours_told, theirs_told = os.pipe()
    asked = json.dumps([module, *map(str, words)]).encode()
    theirs = [theirs_in, theirs_out, theirs_told]
    try:
        socket.send_fds(_server(), [asked], theirs)
    finally:
        for pipe in theirs:
            os.close(pipe)
    process = Process(ours_in, ours_out, ours_told)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        process.close()


@cache
def _server() -> socket.socket:
    """What forks them; it ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.store.forking_server", str(theirs.fileno())],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        server.wait(START_S)

    atexit.register(end)
    return ours


def line(process: Process) -> str:
    """The next line that it says."""
    return process.stdout.readline().strip()


def go(process: Process) -> None:
    """Let a process begin that waits for a line."""
    process.stdin.write("go\n")
    process.stdin.flush()
