"""How a text begins, asked so that an index on its column serves it, on PostgreSQL and on SQLite.

PostgreSQL has an operator class of indexes for LIKE (varchar_pattern_ops). SQLite's LIKE knows no case, so no
index of its serves it: there a range says the same.
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_LAST = "\U0010ffff"
"""Sorts after whatever may follow."""


class _BeginsWith(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


def begins_with(column: Any, text: str) -> ColumnElement[bool]:
    """The condition that a column's text begins so, in the case written."""
    escaped = "".join(f"!{x}" if x in "!%_" else x for x in text)
    return _BeginsWith(column, literal(f"{escaped}%"), literal(text), literal(text + _LAST))


@compiles(_BeginsWith)
def _by_pattern(element: _BeginsWith, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern, _from, _to = element.clauses
    return f"{compiler.process(column, **options)} LIKE {compiler.process(pattern, **options)} ESCAPE '!'"


@compiles(_BeginsWith, "sqlite")
def _by_range(element: _BeginsWith, compiler: SQLCompiler, **options: Any) -> str:
    column, _pattern, first, last = element.clauses
    shown = compiler.process(column, **options)
    first_, last_ = (compiler.process(x, **options) for x in (first, last))
    return f"({shown} >= {first_} AND {shown} < {last_})"
