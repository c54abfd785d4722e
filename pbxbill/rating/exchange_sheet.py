"""Reads a sheet of exchange rates: CSV with the columns from, to, rate and perhaps effective_from.

Comma or semicolon, with or without BOM. A row that cannot be used comes out with its line and a reason,
so that it can be kept aside, corrected and read again; every row below the header comes out.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple, TextIO

from pbxbill.errors import InputRefused
from pbxbill.rating.small_sheet import MAX_LINE_BYTES, cells_of, lines_of, text_of, write_refused

REQUIRED_COLUMNS = ("from", "to", "rate")
COLUMNS = (*REQUIRED_COLUMNS, "effective_from")
MAX_ROWS = 100_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExchangeCells(NamedTuple):
    """One row as it was written; None where the sheet says no date."""

    line: int
    from_unit: str
    to_unit: str
    rate: str
    effective_from_us: int | None


class RefusedCells(NamedTuple):
    """A row that cannot be used."""

    line: int
    reason: str
    cells: tuple[str, ...]


class ExchangeSheet:
    """The rows of a sheet, one by one; InputRefused if it is no such sheet at all."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = enumerate(lines_of(stream), start=1)
        _, first = next(self._lines, (1, b""))
        header = text_of(first)
        if header is None:
            raise InputRefused("line 1 is no text: the sheet must be CSV in UTF-8")
        if not header.strip():
            raise InputRefused("the first line is empty; it names the columns from, to, rate")
        self._delimiter = ";" if header.count(";") > header.count(",") else ","
        self.columns = tuple(cells_of(header, self._delimiter))
        names = [name.strip().lower() for name in self.columns]
        missing = [name for name in REQUIRED_COLUMNS if names.count(name) != 1]
        if missing:
            raise InputRefused(
                f"line 1: the column {missing[0]!r} must be there once; found are {', '.join(names)[:200]}"
            )
        self._positions = {name: names.index(name) for name in COLUMNS if name in names}

    def rows(self) -> Iterator[ExchangeCells | RefusedCells]:
        """Every row below the header that is not blank."""
        for count, (line, raw) in enumerate(self._lines):
            if count >= MAX_ROWS:
                raise InputRefused(f"line {line}: a sheet has at most {MAX_ROWS:,} rows")
            text = text_of(raw)
            if text is None:
                reason = f"the line is longer than {MAX_LINE_BYTES} bytes, or is not UTF-8"
                yield RefusedCells(line, reason, ())
            elif text.strip(" ,;\r\n"):
                yield self._row(line, cells_of(text, self._delimiter))

    def _row(self, line: int, cells: list[str]) -> ExchangeCells | RefusedCells:
        if len(cells) != len(self.columns):
            reason = f"the row has {len(cells)} cells, the header {len(self.columns)}"
            return RefusedCells(line, reason, tuple(cells))
        from_unit, to_unit, rate = (cells[self._positions[name]].strip() for name in REQUIRED_COLUMNS)
        if self._delimiter == ";" and "." not in rate:
            rate = rate.replace(",", ".")  # where cells end with semicolons, fractions begin with commas
        at = self._positions.get("effective_from")
        moment = "" if at is None else cells[at].strip()
        try:
            from_us = _moment_us(moment) if moment else None
        except ValueError:
            reason = f"effective_from: {moment[:40]!r} is no date; write 2026-01-31 or 2026-01-31T08:00:00Z"
            return RefusedCells(line, reason, tuple(cells))
        return ExchangeCells(line, from_unit.upper(), to_unit.upper(), rate, from_us)

    def refused(self, row: ExchangeCells, reason: str) -> RefusedCells:
        """A row that read well and cannot be used nevertheless."""
        moment = "" if row.effective_from_us is None else _written(row.effective_from_us)
        cells = {"from": row.from_unit, "to": row.to_unit, "rate": row.rate, "effective_from": moment}
        by_position = {at: cells[name] for name, at in self._positions.items()}
        return RefusedCells(
            row.line, reason, tuple(by_position.get(at, "") for at in range(len(self.columns)))
        )

    def write_refused(self, stream: TextIO, rows: list[RefusedCells]) -> None:
        """Write rows that were refused, with line and reason, to be corrected and read again."""
        write_refused(stream, self.columns, rows, self._delimiter)


def _moment_us(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - _EPOCH) // timedelta(microseconds=1)


def _written(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat()
