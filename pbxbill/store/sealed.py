"""Columns of secrets: rows hold them as they are, the database as they were sealed.

Who opens an engine says what seals (seal_with); texts from before that are plain are read as they stand,
and sealed when they are next written, or by seal_plain().
"""

from typing import Any, Protocol

from sqlalchemy import Dialect, Engine, Text, func, select, type_coerce, update
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator

from pbxbill.errors import ConfigurationError
from pbxbill.store.models import Base

MARK = "sealed:"
"""What is sealed begins with it."""
BATCH = 500
_KEEPER = "pbxbill_keeper"


class SecretKeeper(Protocol):
    """What seals: a key file's (access/sealing.py)."""

    def seal(self, text: str) -> str:
        """The text as it may be kept; begins with MARK."""

    def open(self, sealed: str) -> str:
        """The text again."""


class Sealed(TypeDecorator[str]):
    """A text that is sealed at rest. It is found by no condition: each sealing differs."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As it is kept. An engine that nobody gave a keeper keeps it as it is: tests, tools of ours."""
        keeper = _keeper(dialect)
        return value if keeper is None or not value else keeper.seal(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was before."""
        if value is None or not value.startswith(MARK):
            return value
        keeper = _keeper(dialect)
        if keeper is None:
            raise ConfigurationError("a secret in the database is sealed, and nothing here opens it")
        return keeper.open(value)


def seal_with(engine: Engine, keeper: SecretKeeper) -> None:
    """Have secrets that go through this engine sealed and opened by it."""
    setattr(engine.dialect, _KEEPER, keeper)


def count_sealed(session: Session, *, plain: bool) -> int:
    """How many secrets stand in the database as they are (plain), or sealed."""
    found = 0
    for table, column in _columns():
        text = type_coerce(column, Text)
        wanted = text.not_like(MARK + "%") if plain else text.like(MARK + "%")
        found += session.scalar(select(func.count()).select_from(table).where(text != "", wanted)) or 0
    return found


def seal_plain(session: Session) -> int:
    """Seal all that stands there as it is; says how many there were."""
    sealed = 0
    for table, column in _columns():
        text = type_coerce(column, Text)
        keys = list(table.primary_key.columns)
        plain = select(*keys, text.label("plain")).where(text != "", text.not_like(MARK + "%")).limit(BATCH)
        while rows := session.execute(plain).all():
            for *values, secret in rows:
                same = [key == value for key, value in zip(keys, values, strict=True)]
                session.execute(update(table).where(*same, text == secret).values({column: secret}))
            sealed += len(rows)
    return sealed


def _columns() -> list[tuple[Any, Any]]:
    tables = Base.metadata.sorted_tables
    return [
        (table, column) for table in tables for column in table.columns if isinstance(column.type, Sealed)
    ]


def _keeper(dialect: Dialect) -> SecretKeeper | None:
    found: SecretKeeper | None = getattr(dialect, _KEEPER, None)
    return found
