"""Cuts one line, or one JSON document, into the columns that a mapping reads."""

import csv
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import MAX_LINE_BYTES, Mapping
from pbxbill.mediation.record import Reason, Unusable

Columns = dict[str, str]
"""Of the columns that the mapping reads, those that the record has."""


class Splitter(Protocol):
    """Cuts lines of one file."""

    def __call__(self, raw: bytes) -> Columns | Unusable:
        """The columns of a line, or why it has none."""
        ...

    def whole(self, raw: bytes) -> bool:
        """Whether a last line without an end is complete all the same."""
        ...


def splitter(mapping: Mapping, header: bytes | None, where: str) -> Splitter:
    """What cuts the lines of a file; InputRefused if its header lacks columns that the mapping reads."""
    if mapping.file.type == "json":
        return _Json(mapping)
    if mapping.file.columns:
        return _Csv(mapping, mapping.file.columns)
    if header is None:
        raise InputRefused(f"{where} is empty: mapping {mapping.name} expects a line with the columns' names")
    text = header.decode(mapping.file.encoding, "replace").removeprefix("\ufeff").rstrip("\r\n")
    names = [name.strip() for name in next(csv.reader([text], delimiter=mapping.file.delimiter), [])]
    _refuse_lacking(mapping, names, where)
    return _Csv(mapping, names)


def _refuse_lacking(mapping: Mapping, names: Sequence[str], where: str) -> None:
    """One sentence for every column that no field can do without."""
    used = mapping.columns()
    sources = [*mapping.fields.sources().values(), *mapping.account.sources().values()]
    # A column that stands beside others may be missing as long as one of them is there.
    excused = {
        column
        for source in sources
        if not source.latest and set(source.columns) & set(names)
        for column in source.columns
    } - set(mapping.fingerprint)
    lacking = [column for column in used if column not in names and column not in excused]
    if lacking:
        wanted = ", ".join(f"{column!r} (for {used[column]})" for column in lacking)
        has = ", ".join(repr(name[:40]) for name in names[:30])
        raise InputRefused(
            f"{where}: mapping {mapping.name} does not fit: no column {wanted}; its header has {has}. "
            "Correct the mapping, or take the right file; nothing was posted"
        )


class _Csv:
    def __init__(self, mapping: Mapping, names: Sequence[str]) -> None:
        self._most = len(names)
        self._least = len(names) - mapping.file.may_lack
        self._encoding = mapping.file.encoding
        self._delimiter = mapping.file.delimiter
        positions = {name: position for position, name in reversed(list(enumerate(names)))}
        self._wanted = [(name, positions[name]) for name in mapping.columns() if name in positions]
        self._always = [(name, position) for name, position in self._wanted if position < self._least]
        self._perhaps = [(name, position) for name, position in self._wanted if position >= self._least]
        self._shown = ", ".join(names)[:200]

    def __call__(self, raw: bytes) -> Columns | Unusable:
        text = raw.decode(self._encoding, "replace")
        try:
            (row,) = csv.reader((text,), delimiter=self._delimiter, strict=True)
        except (csv.Error, ValueError) as error:
            return Unusable(Reason.COLUMNS, f"is no CSV row: {error}; correct its quotes, one row per line")
        count = len(row)
        if not self._least <= count <= self._most:
            expected = f"{self._least} to {self._most}" if self._least < self._most else str(self._most)
            return Unusable(
                Reason.COLUMNS, f"has {count} columns instead of {expected}: {self._shown}; correct the line"
            )
        found = {name: row[position] for name, position in self._always}
        for name, position in self._perhaps:
            if position < count:
                found[name] = row[position]
        return found

    def whole(self, raw: bytes) -> bool:
        # Without a closing quote nobody can tell whether the last column's end is missing.
        return raw.rstrip(b"\r").endswith(b'"') and not isinstance(self(raw), Unusable)


class _Json:
    def __init__(self, mapping: Mapping) -> None:
        self._encoding = mapping.file.encoding
        self._paths = [(name, name.split(".")) for name in mapping.columns()]
        self._decode: Callable[[str], str] = unquote if mapping.file.percent_encoded else str

    def __call__(self, raw: bytes) -> Columns | Unusable:
        text = raw.decode(self._encoding, "replace").removeprefix("\ufeff")
        try:
            content = json.loads(
                text, parse_float=str, parse_int=str, object_pairs_hook=_first_wins, strict=False
            )
        except (ValueError, RecursionError) as error:
            return Unusable(Reason.NOT_JSON, f"is no JSON: {str(error)[:80]}; correct or drop it")
        if not isinstance(content, dict):
            return Unusable(Reason.NOT_JSON, "is JSON, but no object with fields; correct or drop it")
        return {name: self._decode(x) for name, path in self._paths if (x := _at(content, path)) is not None}

    def whole(self, raw: bytes) -> bool:
        return not isinstance(self(raw), Unusable)


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A caller's own words may end up in a record: what they repeat does not count.
    return dict(reversed(pairs))


def _at(content: Any, path: Sequence[str]) -> str | None:
    for step in path:
        if isinstance(content, dict):
            content = content.get(step)
        elif isinstance(content, list) and step.isdigit() and int(step) < len(content):
            content = content[int(step)]
        else:
            return None
    match content:
        case str():
            return content
        case True:
            return "true"
        case False:
            return "false"
        case _:
            return None


TOO_LONG = Unusable(
    Reason.TOO_LONG,
    f"is longer than {MAX_LINE_BYTES} bytes, which no record is; drop it, or cut the file anew",
)
CUT = Unusable(
    Reason.CUT,
    "is the last line and has no end: the file may have been cut in the middle; "
    "import the whole file, or retry it if nothing is missing",
)
