"""Rows of any table, for tests that only ask whose they are: what must stand in them is made up."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, Integer, LargeBinary, inspect, text
from sqlalchemy.orm import DeclarativeBase, Session

from pbxbill.ids import new_id, new_number

SELLERS = ("issuer_id", "scope_id", "seller_id", "owner_id")
"""Columns that name who sells; every other column with an account names the customer."""
WORDS = {"measure": "seconds"}
"""Columns whose words every reader must know."""


def begin_making(session: Session) -> None:
    """Rows that are made up need not agree with each other. Of SQLite."""
    session.connection().exec_driver_sql("PRAGMA ignore_check_constraints = ON")
    session.execute(text("PRAGMA defer_foreign_keys = ON"))


def made_row(session: Session, model: type[DeclarativeBase], owners: Mapping[str, int]) -> Any:
    """A row of a table. owners: ids of the "customer", of his "seller" and of one of his "user"s."""
    values: dict[str, Any] = {}
    for attribute in inspect(model).column_attrs:
        column: Any = attribute.columns[0]
        target = next((key.column.table.name for key in column.foreign_keys), "")
        if target == "accounts":
            values[attribute.key] = owners["seller" if attribute.key in SELLERS else "customer"]
        elif target == "users":
            values[attribute.key] = owners["user"]
        elif attribute.key in SELLERS and target == "":
            values[attribute.key] = owners["seller"]
        elif attribute.key == "account_id":
            values[attribute.key] = owners["customer"]
        elif _is_made_by_itself(column):
            continue
        elif target:
            values[attribute.key] = _other(session, column, owners)
        else:
            values[attribute.key] = _value(column)
    row = model(**values)
    session.add(row)
    session.flush()
    return row


def _is_made_by_itself(column: Column[Any]) -> bool:
    is_number = column.primary_key and isinstance(column.type, Integer) and not column.foreign_keys
    numbered = is_number and len(column.table.primary_key.columns) == 1
    return bool(numbered or column.nullable or column.server_default is not None)


def _other(session: Session, column: Any, owners: Mapping[str, int]) -> Any:
    target = next(iter(column.foreign_keys)).column
    if target.table.name == "units":
        return "EUR"
    for mapper in _mappers(session):
        if mapper.local_table is target.table:
            return getattr(made_row(session, mapper.class_, owners), target.name)
    raise AssertionError(f"nobody maps {target.table.name}")


def _mappers(session: Session) -> Any:
    from pbxbill.store.models import Base

    return Base.registry.mappers


def _value(column: Column[Any]) -> Any:
    if column.name in WORDS:
        return WORDS[column.name]
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, LargeBinary):
        return new_id().encode()
    if column.type.python_type is int:
        return new_number() >> 22
    length = getattr(column.type, "length", None) or 32
    return new_id()[::-1][:length]
