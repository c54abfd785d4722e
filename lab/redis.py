"""A private Redis that keeps nothing: pbxbill only sends news through it."""

import shutil
import signal
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.ports import free_port
from lab.process import ChildProcess, ServerFailed, find_program

START_TIMEOUT_S = 10.0


class PrivateRedis:
    """Redis on 127.0.0.1, on the same port after each start."""

    def __init__(self, directory: Path | None = None) -> None:
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="pbxbill-redis-"))
        self.port = free_port()
        self._program = find_program("redis-server", "`make test` installs redis-server", Path("/usr/sbin"))
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed("this Redis has not been started")
        return self._process.pid

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty."""
        if self._process is not None and self._process.running():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = ChildProcess(
            [self._program, *options, "--dir", self.directory, "--daemonize", "no"],
            self.directory / "redis.log",
        )
        self._process.wait_ready(self._answers, START_TIMEOUT_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing, until thaw()."""
        if self._process is not None:
            self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send(signal.SIGCONT)

    def restart(self) -> None:
        """Stop, and start again on the same port."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        self.stop()
        self._leave()

    def _leave(self) -> None:
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
