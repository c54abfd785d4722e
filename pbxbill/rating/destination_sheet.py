"""Reads a list of destinations: CSV with the columns name, class and prefixes.

    name;class;prefixes
    Germany mobile;mobile;49151 49152 4916
    Germany premium;premium;49900, +49 137

One line is one row, and a destination may have several. A row that cannot be used is kept aside with its line
and a reason, as a rate sheet's is; write_refused() writes these so that they can be corrected and read again.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, TextIO

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import E164_MAX_DIGITS
from pbxbill.rating.number_plan import KINDS
from pbxbill.rating.sheet_guard import guarded, unguarded

MAX_LINE_BYTES = 65_536
MAX_PREFIXES = 1_000_000
MAX_NAME_LENGTH = 100
COLUMNS = ("name", "class", "prefixes")
REFUSAL_COLUMNS = ("refused_line", "refused_reason")
_OTHER_NAMES = {"destination": "name", "kind": "class", "prefix": "prefixes", "codes": "prefixes"}


class DestinationLine(NamedTuple):
    """An accepted row."""

    line: int
    name: str
    kind: str
    prefixes: tuple[str, ...]


class RefusedLine(NamedTuple):
    """A row kept aside, with its cells as they were written."""

    line: int
    reason: str
    cells: tuple[str, ...]


def read_list(content: bytes) -> tuple[list[DestinationLine], list[RefusedLine]]:
    """The rows of a list that can be used, and those that cannot; InputRefused if it is no list."""
    accepted: list[DestinationLine] = []
    refused: list[RefusedLine] = []
    for line in DestinationSheet(io.BytesIO(content)).rows():
        if isinstance(line, RefusedLine):
            refused.append(line)
        else:
            accepted.append(line)
    return accepted, refused


class DestinationSheet:
    """A list of destinations being read: the header at once, the rows as rows() is consumed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._columns, self.delimiter = _read_header(stream.readline(MAX_LINE_BYTES + 1))
        self._line_of_prefix: dict[str, int] = {}
        self._kind_of_name: dict[str, tuple[str, str, int]] = {}

    def rows(self) -> Iterator[DestinationLine | RefusedLine]:
        """Every row below the header that is not blank, in the order of the file."""
        line = 1
        while raw := self._stream.readline(MAX_LINE_BYTES + 1):
            line += 1
            if len(raw) > MAX_LINE_BYTES:
                piece = raw
                while piece and not piece.endswith(b"\n"):
                    piece = self._stream.readline(MAX_LINE_BYTES)
                yield RefusedLine(line, f"the line is longer than {MAX_LINE_BYTES} bytes; write several", ())
            elif raw.strip():
                yield self._read_row(line, raw)

    def _read_row(self, line: int, raw: bytes) -> DestinationLine | RefusedLine:
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            reason = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
            return RefusedLine(line, reason, (raw.decode("latin-1").rstrip("\r\n"),))
        try:
            cells = _split(text, self.delimiter)
        except csv.Error as error:
            return RefusedLine(line, f"the quotes are broken ({error})", (text,))
        if len(cells) != len(self._columns):
            reason = f"the row has {len(cells)} cells, the header {len(self._columns)}"
            if len(cells) > len(self._columns):
                reason += '; put prefixes with a comma between them in quotes: "49151,49152"'
            return RefusedLine(line, reason, tuple(cells))
        by_name = dict(zip(self._columns, cells, strict=True))
        own = tuple(by_name[name] for name in COLUMNS)
        try:
            return self._accepted(line, *own)
        except InputRefused as refusal:
            return RefusedLine(line, str(refusal), own)

    def _accepted(self, line: int, name: str, kind: str, prefixes: str) -> DestinationLine:
        wanted = kind.lower().replace("-", "_").replace(" ", "_")
        if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise InputRefused(f"name: {name[:40]!r} is not 1 to {MAX_NAME_LENGTH} printable characters")
        if name.removeprefix("+").isdigit() or name.casefold() in KINDS:
            raise InputRefused(f"name: {name[:40]!r} would be taken for a prefix or a class; choose another")
        if wanted not in KINDS:
            raise InputRefused(f"class: {kind[:40]!r} is none of {', '.join(KINDS)}")
        found = _prefixes(prefixes)
        spelled, known_kind, known_line = self._kind_of_name.get(name.casefold(), (name, wanted, line))
        if (spelled, known_kind) != (name, wanted):
            raise InputRefused(
                f"{name!r} was written {spelled!r} with class {known_kind} in line {known_line}"
            )
        for prefix in found:
            if prefix in self._line_of_prefix:
                raise InputRefused(
                    f"prefixes: {prefix} stands in line {self._line_of_prefix[prefix]} already"
                )
        self._kind_of_name[name.casefold()] = (name, wanted, known_line)
        self._line_of_prefix.update(dict.fromkeys(found, line))
        if len(self._line_of_prefix) > MAX_PREFIXES:
            raise InputRefused(f"there are more than {MAX_PREFIXES} prefixes")
        return DestinationLine(line, name, wanted, found)


def write_refused(stream: TextIO, sheet: DestinationSheet, refused: Iterable[RefusedLine]) -> None:
    """Write refused rows as CSV, each behind its line and reason; stream is opened with newline=""."""
    writer = csv.writer(stream, delimiter=sheet.delimiter, lineterminator="\n")
    writer.writerow((*REFUSAL_COLUMNS, *COLUMNS))
    for row in refused:
        writer.writerow((row.line, guarded(row.reason), *map(guarded, row.cells)))


def _prefixes(cell: str) -> tuple[str, ...]:
    if not cell.strip():
        raise InputRefused("prefixes: is empty")
    # A space may group digits ("+49 151") only behind a plus sign; else it divides prefixes.
    pieces = re.split(r"[,;|]|\s+(?=\+)", cell)
    found: list[str] = []
    for piece in pieces:
        text = piece.strip()
        parts = ["".join(text.split())] if text.startswith("+") else text.split()
        for part in parts:
            digits = part.removeprefix("+")
            if not (1 <= len(digits) <= E164_MAX_DIGITS and digits.isascii() and digits.isdigit()):
                raise InputRefused(f"prefixes: {part[:40]!r} is not 1 to {E164_MAX_DIGITS} digits")
            if digits.startswith("00"):
                raise InputRefused(f"prefixes: {part!r} begins with 00; write the country code alone")
            if digits in found:
                raise InputRefused(f"prefixes: {digits} stands twice in the row")
            found.append(digits)
    if not found:
        raise InputRefused("prefixes: is empty")
    return tuple(found)


def _read_header(raw: bytes) -> tuple[tuple[str, ...], str]:
    known = f"a list of destinations has the columns {', '.join(COLUMNS)}"
    if not raw.strip():
        raise InputRefused(f"the file is empty or begins with a blank line; {known}")
    if len(raw) > MAX_LINE_BYTES:
        raise InputRefused(
            f"the first line is longer than {MAX_LINE_BYTES} bytes; is this a CSV file? {known}"
        )
    try:
        text = raw.decode("utf-8-sig").rstrip("\r\n")
        delimiter = max(",;\t", key=text.count)
        columns = tuple(_OTHER_NAMES.get(name.lower(), name.lower()) for name in _split(text, delimiter))
    except UnicodeDecodeError:
        raise InputRefused("line 1 is not UTF-8; save the file as CSV in UTF-8") from None
    except csv.Error as error:
        raise InputRefused(f"the quotes of line 1 are broken ({error}); {known}") from None
    for name in columns:
        if name not in COLUMNS + REFUSAL_COLUMNS:
            raise InputRefused(f"line 1: unknown column {name[:40]!r}; {known}")
        if columns.count(name) > 1:
            raise InputRefused(f"line 1: column {name!r} appears twice; {known}")
    if missing := [name for name in COLUMNS if name not in columns]:
        raise InputRefused(f"line 1: column {missing[0]!r} is missing; {known}")
    return columns, delimiter


def _split(text: str, delimiter: str) -> list[str]:
    # One line alone, so that a quote left open spoils one row and not all that follow.
    rows = list(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True))
    return [unguarded(cell.strip()) for cell in rows[0]] if rows else []
