"""Reads a list of DIDs: CSV with the columns number and perhaps country.

    number;country
    4930555001;DE
    +33 1 84 88 00 00;FR

A row that cannot be used comes out with its line and a reason, to be corrected and read again.
"""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, TextIO

from pbxbill.errors import InputRefused
from pbxbill.rating.small_sheet import MAX_LINE_BYTES, cells_of, lines_of, text_of, write_refused

MAX_ROWS = 1_000_000
NUMBER_COLUMNS = ("number", "did")
COUNTRY_COLUMNS = ("country",)

_BETWEEN_DIGITS = re.compile(r"[\s().\-/]")
_NUMBER = re.compile(r"\+?[0-9]{2,15}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class DidLine(NamedTuple):
    """A row that can be used."""

    line: int
    number: str
    country: str
    cells: tuple[str, ...]


class RefusedDid(NamedTuple):
    """A row that cannot, with its cells as they were written."""

    line: int
    reason: str
    cells: tuple[str, ...]


def checked_number(text: str) -> str:
    """A DID without what people write between digits; InputRefused if it is no number."""
    number = _BETWEEN_DIGITS.sub("", text)
    if _NUMBER.fullmatch(number) is None:
        raise InputRefused(f"{text[:40]!r} is no number; a DID has 2 to 15 digits, perhaps a + before them")
    return number


def checked_country(text: str) -> str:
    """A country code; empty: not said."""
    country = text.strip().upper()
    if country and _COUNTRY.fullmatch(country) is None:
        raise InputRefused(f"country {text[:20]!r}: write two letters as in ISO 3166, e.g. DE")
    return country


class DidSheet:
    """The rows of a list, one by one; InputRefused if it is no such list at all."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = enumerate(lines_of(stream), start=1)
        _, first = next(self._lines, (1, b""))
        header = text_of(first)
        if header is None or not header.strip():
            raise InputRefused("line 1 must name the columns: number, and perhaps country")
        self.delimiter = max(",;\t", key=header.count)
        self.columns = tuple(cells_of(header, self.delimiter))
        names = [name.strip().lower() for name in self.columns]
        numbers = [at for at, name in enumerate(names) if name in NUMBER_COLUMNS]
        if len(numbers) != 1:
            raise InputRefused(f"line 1: the column 'number' must be there once; found are {names}"[:300])
        self._number = numbers[0]
        self._country = next((at for at, name in enumerate(names) if name in COUNTRY_COLUMNS), None)

    def rows(self) -> Iterator[DidLine | RefusedDid]:
        """Every row below the header that is not blank."""
        for count, (line, raw) in enumerate(self._lines):
            if count >= MAX_ROWS:
                raise InputRefused(f"line {line}: a list has at most {MAX_ROWS:,} rows")
            text = text_of(raw)
            if text is None:
                yield RefusedDid(line, f"the line is longer than {MAX_LINE_BYTES} bytes, or not UTF-8", ())
            elif text.strip(" ,;\t\r\n"):
                yield self._row(line, text)

    def _row(self, line: int, text: str) -> DidLine | RefusedDid:
        cells = tuple(cells_of(text, self.delimiter))
        if len(cells) != len(self.columns):
            return RefusedDid(line, f"the row has {len(cells)} cells, the header {len(self.columns)}", cells)
        try:
            number = checked_number(cells[self._number])
            country = "" if self._country is None else checked_country(cells[self._country])
        except InputRefused as refused:
            return RefusedDid(line, str(refused), cells)
        return DidLine(line, number, country, cells)

    def write_refused(self, stream: TextIO, rows: Iterable[RefusedDid]) -> None:
        """Write rows that were refused, with line and reason, to be corrected and read again."""
        write_refused(stream, self.columns, rows, self.delimiter)
