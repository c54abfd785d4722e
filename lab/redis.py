"""A private Redis that keeps nothing: pbxbill only sends news through it."""

import shutil
import socket
import tempfile
from pathlib import Path

from lab.ports import free_port
from lab.process import ChildProcess, find_program
from lab.server import PrivateServer

START_TIMEOUT_S = 10.0


class PrivateRedis(PrivateServer):
    """Redis on 127.0.0.1, on the same port after each start."""

    def __init__(self, directory: Path | None = None) -> None:
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="pbxbill-redis-"))
        self.port = free_port()
        self._program = find_program("redis-server", "`make test` installs redis-server", Path("/usr/sbin"))

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

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _leave(self) -> None:
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
