"""What is wrong with a file that a person wrote in TOML, in sentences: which key, and what it may be.

Pydantic finds the faults; its own words speak of Python.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

SHOWN = 10
"""Faults that are told at once."""

_WANTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "string_too_short": "at least one character",
    "string_too_long": "shorter",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": 'a list, like ["a", "b"]',
    "dict_type": 'a table, like { "a" = "b" }',
}


class Written(BaseModel):
    """A table of such a file; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ALSO: ClassVar[tuple[str, ...]] = ()
    """Keys that are another way to write the others."""
    ALLOWED: ClassVar[str] = ""
    """What else than a table may stand there."""


def sentences(error: ValidationError, model: type[Written]) -> Iterator[str]:
    """One for each fault, the first SHOWN of them."""
    for found in error.errors()[:SHOWN]:
        place = _place(found["loc"], model)
        said = _said(dict(found), model)
        yield f"{place}: {said}" if place else said


def _said(found: dict[str, Any], model: type[Written]) -> str:
    place, kind, context = found["loc"], found["type"], found.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        table = _table_at(model, place)
        return f"is missing; its keys are {', '.join(_keys(table))}" if table is not None else "is missing"
    if kind == "extra_forbidden":
        return _unknown(str(place[-1]), _keys(_table_at(model, place[:-1]) or model))
    return f"must be {_wanted(found, model)}{_instead_of(found['input'])}"


def _unknown(key: str, keys: list[str]) -> str:
    near = get_close_matches(key, keys, 1)
    meant = f" (perhaps {near[0]} is meant)" if near else ""
    return f"there is no such key{meant}; there are {', '.join(keys)}"


def _wanted(found: dict[str, Any], model: type[Written]) -> str:
    place, kind, context = found["loc"], found["type"], found.get("ctx", {})
    if kind in {"literal_error", "enum"}:
        return str(context["expected"])
    table = _table_at(model, place)
    if table is not None and kind == "tuple_type":
        return f"written as [[{place[-1]}]], each with {', '.join(_keys(table))}"
    if table is not None:
        return table.ALLOWED or f"a table with {', '.join(_keys(table))}"
    if kind == "greater_than_equal":
        return f"{context['ge']} or more"
    if kind == "less_than_equal":
        return f"{context['le']} or less"
    field = (_table_at(model, place[:-1]) or model).model_fields.get(str(place[-1]))
    described = field.description if field is not None else None
    return described or _WANTED.get(kind, "written in another way")


def _instead_of(value: Any) -> str:
    if isinstance(value, bool):
        return f", not {str(value).lower()}"
    if isinstance(value, str):
        return f", not {value[:40]!r}"
    return f", not {value}" if isinstance(value, int | float) else ""


def _place(location: tuple[int | str, ...], model: type[Written]) -> str:
    """A key as the file shows it: name, [file] delimiter, [[filter]] 2 column."""
    if not location:
        return ""
    first, *rest = location
    shown = str(first)
    if _table_at(model, (first,)) is not None:
        shown = f"[[{first}]]" if get_origin(model.model_fields[shown].annotation) is tuple else f"[{shown}]"
    return " ".join([shown, *(str(part + 1) if isinstance(part, int) else part for part in rest)])


def _keys(table: type[Written]) -> list[str]:
    return [*table.ALSO, *(field.alias or name for name, field in table.model_fields.items())]


def _table_at(model: type[Written], location: tuple[int | str, ...]) -> type[Written] | None:
    """The table that may stand at a place; None: no table may."""
    table: type[Written] | None = model
    for part in location:
        if table is None:
            return None
        if isinstance(part, int):
            continue
        named = {field.alias or name: field for name, field in table.model_fields.items()}
        table = _table_in(named[part].annotation) if part in named else None
    return table


def _table_in(annotation: Any) -> type[Written] | None:
    if isinstance(annotation, type) and issubclass(annotation, Written):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
