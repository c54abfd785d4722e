"""SQLAlchemy engines for everything but the charging path, and the schema's migrations."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from pbxbill.errors import ConfigurationError, StoreUnavailable
from pbxbill.ledger.journal import JournalEntry
from pbxbill.store.driver import CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_MS, set_pragmas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str, *, plan_each: bool = False) -> Engine:
    """An engine with the product's time-outs; on SQLite whoever may write locks from the start.

    plan_each: PostgreSQL plans a statement each time for its values. Else it keeps a plan for all values of
    one that is run again and again, which is quicker where the values are alike, as in a billing run (by a
    fifth). Pages ask for a minute or a year, one account or all: a kept plan looks up no index on how a text
    begins, and reads all calls of a month for a few.
    """
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"isolation_level": None})
        event.listen(engine, "connect", lambda connection, _record: set_pragmas(connection))
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "handle_error", _leave_read_only)
        return engine
    if url.startswith("postgresql"):
        # To compile a statement of a page takes longer than to run it.
        options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC -c jit=off"
        if plan_each:
            options += " -c plan_cache_mode=force_custom_plan"
        arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options}
        return create_engine(url, connect_args=arguments, pool_size=5, max_overflow=5, pool_pre_ping=True)
    raise ConfigurationError("the database URL must start with sqlite:/// or postgresql://")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later may find that it cannot: take the lock at once.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _leave_read_only(context: ExceptionContext) -> None:
    # A connection that was opened while the file could not be written never can: others are opened.
    error = context.original_exception
    if isinstance(error, sqlite3.OperationalError):
        context.is_disconnect |= error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY


def reading(engine: Engine) -> Engine:
    """The engine for transactions that only read: on SQLite they need no write lock."""
    return engine.execution_options(reading=True)


def one_moment(engine: Engine) -> Engine:
    """The engine for transactions that only read, and whose statements all see the same moment."""
    if engine.dialect.name == "sqlite":
        return reading(engine)
    return reading(engine).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


ON_POSTED = "on_posted"
OnPosted = Callable[[Sequence[JournalEntry]], None]
"""Under that name in a session's info: hears which entries are posted, which no row of the session shows."""


class Teller(Protocol):
    """Tells of a transaction what it changed, in the same transaction."""

    def __call__(self, session: Session, *, money: bool) -> AbstractContextManager[None]:
        """From its beginning to its end. money: it is one in which money moves, which no row here shows."""


def told_by(engine: Engine, teller: Teller) -> Engine:
    """The engine, all of whose transactions that write are told of."""
    return engine.execution_options(pbxbill_teller=teller)


def moving_money(engine: Engine) -> Engine:
    """The engine for transactions in which money moves."""
    return engine.execution_options(pbxbill_money=True)


def _told(engine: Engine, session: Session) -> AbstractContextManager[None]:
    options = engine.get_execution_options()
    teller: Teller | None = options.get("pbxbill_teller")
    if teller is None or options.get("reading"):
        return nullcontext()
    return teller(session, money=bool(options.get("pbxbill_money")))


@contextmanager
def transaction(engine: Engine) -> "Iterator[Session]":
    """One transaction: committed at the end, undone on a fault; StoreUnavailable if the database is away."""
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin(), _told(engine, session):
            yield session
    except OperationalError as error:
        raise StoreUnavailable(str(error.orig)) from error
    except PoolExhausted as error:
        raise StoreUnavailable("all connections of this process are in use") from error


def _alembic(url: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the schema to the newest revision; an empty database is filled."""
    from alembic import command

    try:
        command.upgrade(_alembic(url), "head")
    except DBAPIError as error:
        raise StoreUnavailable(f"the schema cannot be brought up to date: {error.orig}") from error


@cache
def newest_revision() -> str:
    """The revision that this program knows: each one's file begins with its name."""
    # To load Alembic, and every migration, takes longer than most commands.
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def pending_revision(engine: Engine) -> str | None:
    """The newest revision if the database does not stand at it; None if the schema is up to date."""
    with reading(engine).connect() as connection:
        begun = inspect(connection).has_table("alembic_version")
        current = connection.scalar(text("SELECT version_num FROM alembic_version")) if begun else None
    return None if current == newest_revision() else newest_revision()
