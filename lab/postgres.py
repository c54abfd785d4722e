"""A private PostgreSQL: its own data directory, a free port; as durable as in production, or not at all."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from lab.memory import fleeting_directory
from lab.ports import free_port
from lab.process import ChildProcess, ServerFailed, find_program, wait_until
from lab.server import PrivateServer

START_TIMEOUT_S = 20.0

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 100
shared_buffers = 64MB
autovacuum_naptime = 20s
"""
DURABLE = """
fsync = on
synchronous_commit = on
"""
# It lies in memory: a power cut leaves nothing of it either way, and kill -9 no less than on a disk.
FLEETING = """
fsync = off
full_page_writes = off
max_wal_size = 128MB
min_wal_size = 32MB
"""


def postgres_binaries() -> Path:
    """The newest installed PostgreSQL's folder of programs."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0),
    )
    if folders:
        return folders[-1]
    return find_program("initdb", "`make test` installs postgresql").parent


class PrivatePostgres(PrivateServer):
    """PostgreSQL on 127.0.0.1 with user pbxbill and no password; stop, kill and start keep the data.

    One that is not durable keeps it in memory and makes databases at a fifth of the cost.
    """

    def __init__(self, directory: Path | None = None, *, durable: bool = True) -> None:
        self._own_directory = directory is None
        self._durable = durable
        # Not below the tests' own directories: those are closed to the user that the server runs as.
        self.directory = directory or (
            Path(tempfile.mkdtemp(prefix="pbxbill-pg-")) if durable else fleeting_directory()
        )
        self.port = free_port()
        self._binaries = postgres_binaries()
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        self._templates: set[str] = set()
        self._serial = 0
        self._kept: psycopg.Connection | None = None

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://pbxbill@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """An autocommitting connection, for tests that look behind the store's back."""
        return psycopg.connect(f"postgresql://pbxbill@127.0.0.1:{self.port}/{database}", autocommit=True)

    def start(self) -> None:
        """Start the server, making its data directory first if there is none; about 2 s, then 0.2 s."""
        if self._process is not None and self._process.running():
            return
        data = self.directory / "data"
        if not data.exists():
            self._init(data)
        self._process = ChildProcess(
            [self._binaries / "postgres", "-D", data, "-p", str(self.port), "-k", self.directory],
            self.directory / "postgres.log",
            user=self._user,
            directory=self.directory,
        )
        self._process.wait_ready(self._accepts, START_TIMEOUT_S)

    def stop(self) -> None:
        """An orderly end that cuts the clients (fast shutdown)."""
        self._forget()
        if self._process is not None:
            self._process.stop(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of the whole server, as a power cut would be; start() then recovers."""
        if self._process is None or not self._process.running():
            return
        self._forget()
        children = self._process.children()
        self._process.kill()
        for pid in children:
            _kill(pid)
        # Those are not ours to reap, and a new server refuses to start beside one of them.
        wait_until(lambda: not any(map(_is_alive, children)), 10, "the backends of a killed PostgreSQL end")

    def create_database(self, template: str = "template1") -> str:
        """A new database, a copy of the template; returns its name."""
        self._serial += 1
        name = f"pbxbill_{self._serial}"
        with self._administering() as connection:
            self._copy(connection, template, name)
        return name

    def template(self, name: str, fill: Callable[[str], object], base: str = "template1") -> str:
        """A database that is filled once (fill gets its URL) and then copied by create_database(name)."""
        if name not in self._templates:
            with self._administering() as connection:
                self._copy(connection, base, name)
            fill(self.url(name))
            self._templates.add(name)
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, cutting whoever is still connected to it."""
        with self._administering() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    @contextmanager
    def _administering(self) -> Iterator[psycopg.Connection]:
        """A connection that makes and removes databases: of a server of thousands the same for all."""
        if self._durable:
            with self.connect() as connection:
                yield connection
            return
        if self._kept is None:
            self._kept = self.connect()
        yield self._kept

    def _forget(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _copy(self, connection: psycopg.Connection, template: str, name: str) -> None:
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        # Copying files asks for two checkpoints, which cost nothing without a disk; writing every page to
        # the log, as it is done otherwise, costs more than the files.
        if not self._durable and connection.info.server_version >= 150000:
            command += sql.SQL(" STRATEGY file_copy")
        connection.execute(command)

    def _init(self, data: Path) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        options = ["--auth", "trust", "--username", "pbxbill", "--encoding", "UTF8", "--locale", "C.UTF-8"]
        # --no-sync spares initdb's own fsync only, not that of the server.
        command: list[str | Path] = [self._binaries / "initdb", "--no-sync", "-D", data, *options]
        log = self.directory / "initdb.log"
        with ChildProcess(command, log, user=self._user, directory=self.directory) as initdb:
            if initdb.wait(60) != 0:
                raise ServerFailed(f"initdb failed:\n{log.read_text(errors='replace')}")
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(SETTINGS + (DURABLE if self._durable else FLEETING))

    def _accepts(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False

    def _leave(self) -> None:
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it had ended by itself when it saw the postmaster gone


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
