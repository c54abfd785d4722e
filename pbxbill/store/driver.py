"""Raw statements for the charging path: a whole batch reads and writes each table with one statement.

One Driver is one connection, used by one thread. Statements are written once, with {any_text},
{any_int}, {one_int} (the only number of a list) and {lock:alias}, which each database has its own words for.
"FROM {each_of}table WHERE column {is_each_text}" finds the same rows as {any_text} does; SQLite then looks
up each value of the list as it comes, in half the time, and returns a row twice for one that is listed twice.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import BigInteger, Boolean, Table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from pbxbill.errors import ConfigurationError, StoreUnavailable

Row = tuple[Any, ...]

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000
ROWS_TOGETHER = (32, 8)
"""A statement's rows; those of the widest table stay below the 999 values that an old SQLite takes."""


class Driver(Protocol):
    """A connection to the database, as the charging engine uses it."""

    @property
    def connection(self) -> object:
        """The database's own, for whoever ends its statements from outside."""
        ...

    def begin(self) -> None:
        """Start a transaction that may write."""
        ...

    def begin_snapshot(self) -> None:
        """Start a transaction that reads one moment of a live database without locks; rollback() ends it."""
        ...

    def commit(self) -> None:
        """Make it durable."""
        ...

    def rollback(self) -> None:
        """Undo it, whatever state the connection is in."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...

    def foreign_version(self) -> int | None:
        """Within a transaction: stays as long as no other connection has written; None: nobody can tell."""
        ...

    def select(self, statement: str, *lists: Sequence[Any]) -> list[Row]:
        """All rows of a statement; each list fills one {any_...}."""
        ...

    def stream(self, statement: str, *lists: Sequence[Any]) -> Iterable[Row]:
        """The rows of a statement in bounded memory."""
        ...

    def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add rows."""
        ...

    def update(self, table: Table, key: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Set columns of existing rows; each row holds the columns' values, then the key's."""
        ...


def connect(url: str) -> Driver:
    """Open the database at an SQLAlchemy URL: sqlite:///FILE or postgresql://..."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDriver.open(parsed)
    if parsed.get_backend_name() == "postgresql":
        return PostgresDriver.open(parsed)
    raise ConfigurationError(f"database URL {parsed!r}: use sqlite:///FILE or postgresql://USER@HOST/NAME")


def driver_within(session: Session, *, reading: bool = False) -> Driver:
    """The connection of a session's transaction, for statements that belong to it; the session ends it.

    reading: rows are not locked, whatever the statements say.
    """
    session.flush()
    connection = session.connection().connection.driver_connection
    if isinstance(connection, sqlite3.Connection):
        return SqliteDriver(connection)
    assert isinstance(connection, psycopg.Connection)
    return PostgresDriver(connection, reading=reading)


def rows_within(session: Session, statement: str, values: Mapping[str, Any]) -> list[Row]:
    """Rows of a statement with :names, in a session's transaction: in a fifth of SQLAlchemy's time."""
    session.flush()
    connection = session.connection().connection.driver_connection
    try:
        if isinstance(connection, sqlite3.Connection):
            return connection.execute(statement, values).fetchall()
        assert isinstance(connection, psycopg.Connection)
        return connection.execute(_psycopg_names(statement), values).fetchall()
    except (sqlite3.OperationalError, psycopg.OperationalError) as error:
        raise StoreUnavailable(str(error)) from error


@lru_cache(maxsize=200)
def _psycopg_names(statement: str) -> bytes:
    return re.sub(r"(?<![:\w]):(\w+)", r"%(\1)s", statement.replace("%", "%%")).encode()


def row_lock(session: Session, words: str = "FOR UPDATE") -> str:
    """What locks the rows that a statement finds; SQLite has locked the whole database."""
    return "" if session.get_bind().dialect.name == "sqlite" else f" {words}"


def is_in(session: Session, found: str) -> str:
    """The condition that a column is in what a subquery finds, each value of which is looked up by index.

    A plan that PostgreSQL keeps for all values takes any range of time for a few rows: with IN it reads all
    of that.
    """
    return f"IN ({found})" if session.get_bind().dialect.name == "sqlite" else f"= ANY(ARRAY({found}))"


def set_pragmas(connection: sqlite3.Connection) -> None:
    """What every SQLite connection of the product runs with: durable commits, a bounded wait for the lock."""
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={STATEMENT_TIMEOUT_MS // 2}",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


class _Translated:
    """Caches each statement in the database's own words."""

    def __init__(self, words: dict[str, str], lock: str) -> None:
        self._words = words
        self._lock = lock
        self._cache: dict[str, str] = {}

    def __call__(self, statement: str) -> str:
        translated = self._cache.get(statement)
        if translated is None:
            translated = re.sub(r"\{lock:(\w+)\}", self._lock, statement)
            for word, replacement in self._words.items():
                translated = translated.replace(word, replacement)
            self._cache[statement] = translated
        return translated


_JSON_LIST = "IN (SELECT value FROM json_each(?))"
_SQLITE_WORDS = {
    "{any_text}": _JSON_LIST,
    "{any_int}": _JSON_LIST,
    "{one_int}": "(SELECT value FROM json_each(?))",
    "{each_of}": "json_each(?) AS each_of CROSS JOIN ",
    "{is_each_text}": "= each_of.value",
}
_ARRAY = "= ANY(%s::text[])"
_POSTGRES_WORDS = {
    "{any_text}": _ARRAY,
    "{any_int}": "= ANY(%s::bigint[])",
    "{one_int}": "(%s::bigint[])[1]",
    "{each_of}": "",
    "{is_each_text}": _ARRAY,
}


class SqliteDriver:
    """SQLite in WAL mode; BEGIN IMMEDIATE makes the whole transaction exclusive."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._translate = _Translated(_SQLITE_WORDS, "")

    @property
    def connection(self) -> sqlite3.Connection:
        return self._connection

    @classmethod
    def open(cls, url: URL) -> "SqliteDriver":
        """A connection of its own."""
        path = url.database or ""
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            set_pragmas(connection)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot open {Path(path).absolute()}: {error}") from error
        return cls(connection)

    def begin(self) -> None:
        self._guarded(self._connection.execute, "BEGIN IMMEDIATE")

    def begin_snapshot(self) -> None:
        self._guarded(self._connection.execute, "BEGIN")
        self.select("SELECT 1 FROM catalogue")  # the first read fixes the moment

    def commit(self) -> None:
        self._guarded(self._connection.execute, "COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._guarded(self._connection.execute, "ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def foreign_version(self) -> int | None:
        (version,) = self._guarded(self._connection.execute, "PRAGMA data_version").fetchone()
        return int(version)

    def select(self, statement: str, *lists: Sequence[Any]) -> list[Row]:
        try:
            return self._cursor(statement, lists).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"SQLite: {error}") from error

    def stream(self, statement: str, *lists: Sequence[Any]) -> Iterable[Row]:
        try:
            yield from self._cursor(statement, lists)
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"SQLite: {error}") from error

    def _cursor(self, statement: str, lists: Sequence[Sequence[Any]]) -> sqlite3.Cursor:
        parameters = [json.dumps(list(values)) for values in lists]
        return self._connection.execute(self._translate(statement), parameters)

    def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        # Many rows a statement take two thirds of the time that one a statement takes.
        start = 0
        for together in ROWS_TOGETHER:
            while len(rows) - start >= together:
                values = list(chain.from_iterable(rows[start : start + together]))
                statement = _insertion(table.name, tuple(columns), together)
                self._guarded(self._connection.execute, statement, values)
                start += together
        if start < len(rows):
            statement = _insertion(table.name, tuple(columns), 1)
            self._guarded(self._connection.executemany, statement, rows[start:])

    def update(self, table: Table, key: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> None:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        condition = " AND ".join(f"{column} = ?" for column in key)
        statement = f"UPDATE {table.name} SET {assignments} WHERE {condition}"  # noqa: S608 names are ours
        self._guarded(self._connection.executemany, statement, rows)

    @staticmethod
    def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except sqlite3.OperationalError as error:  # locked, disk full, file gone
            raise StoreUnavailable(f"SQLite: {error}") from error


class PostgresDriver:
    """PostgreSQL through psycopg; row locks are taken by the statements that name {lock:...}."""

    def __init__(self, connection: psycopg.Connection[Row], *, reading: bool = False) -> None:
        self._connection = connection
        self._locking = _Translated(_POSTGRES_WORDS, r"FOR UPDATE OF \1")
        self._lockless = _Translated(_POSTGRES_WORDS, "")  # a read-only transaction may take no row locks
        self._translate = self._lockless if reading else self._locking

    @property
    def connection(self) -> psycopg.Connection[Row]:
        return self._connection

    @classmethod
    def open(cls, url: URL) -> "PostgresDriver":
        """A connection of its own."""
        conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            connection = psycopg.connect(
                conninfo,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                # Always by index: a plan made while a table was empty would scan it for ever. And compiling a
                # statement takes longer than any of ours should run; planning it anew each time took as long.
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC "
                "-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan",
                keepalives_idle=10,
                prepare_threshold=2,
            )
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"PostgreSQL: {error}") from error
        return cls(connection)

    def begin(self) -> None:
        self._translate = self._locking
        self._run("BEGIN")

    def begin_snapshot(self) -> None:
        self._translate = self._lockless
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Whole tables are read: by scanning them, and for longer than a statement may take that holds locks.
        self._run("SET LOCAL statement_timeout = 0")
        self._run("SET LOCAL enable_seqscan = on")
        self._run("SET LOCAL work_mem = '64MB'")

    def commit(self) -> None:
        self._run("COMMIT")

    def rollback(self) -> None:
        if not self._connection.closed:
            self._run("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    def foreign_version(self) -> int | None:
        return None

    def select(self, statement: str, *lists: Sequence[Any]) -> list[Row]:
        return self._run(self._translate(statement), [_array_text(values) for values in lists]).fetchall()

    def stream(self, statement: str, *lists: Sequence[Any]) -> Iterable[Row]:
        cursor = self._connection.cursor()
        try:
            arrays = [_array_text(values) for values in lists]
            yield from cursor.stream(self._translate(statement), arrays, size=5000)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"PostgreSQL: {error}") from error
        finally:
            cursor.close()

    def insert(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        # COPY takes half the time of an INSERT from arrays, which takes half of one from a list of values.
        statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN"
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"PostgreSQL: {error}") from error

    def update(self, table: Table, key: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> None:
        names = [*columns, *key]
        assignments = ", ".join(f"{column} = new.{column}" for column in columns)
        condition = " AND ".join(f"{table.name}.{column} = new.{column}" for column in key)
        statement = (
            f"UPDATE {table.name} SET {assignments} "  # noqa: S608 names are ours
            f"FROM {_unnest(table, names)} AS new ({', '.join(names)}) WHERE {condition}"
        )
        self._run(statement, [_array_text(values) for values in zip(*rows, strict=True)])

    def _run(self, statement: str, parameters: list[Any] | None = None) -> psycopg.Cursor[Row]:
        try:
            return self._connection.execute(statement.encode(), parameters)
        except psycopg.OperationalError as error:  # connection lost, deadlock, time-out, disk full
            raise StoreUnavailable(f"PostgreSQL: {error}") from error


@lru_cache(maxsize=100)
def _insertion(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 names are ours


def _array_text(values: Sequence[Any]) -> str:
    """A list as PostgreSQL reads it; psycopg's own way looks at each element several times."""
    return "{" + ",".join([_element_text(value) for value in values]) + "}"


def _element_text(value: str | int | None) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "NULL" if value is None else str(value)


def _unnest(table: Table, columns: Sequence[str]) -> str:
    def array(column: str) -> str:
        kind = table.columns[column].type
        if isinstance(kind, BigInteger):
            return "%s::bigint[]"
        return "%s::boolean[]" if isinstance(kind, Boolean) else "%s::text[]"

    return f"unnest({', '.join(array(column) for column in columns)})"
