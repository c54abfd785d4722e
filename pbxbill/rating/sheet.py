"""Reads a rate sheet, CSV or XLSX, row by row, in bounded memory.

A row that cannot be used is kept aside with its line number and a reason that a person can act on;
write_refused() writes such rows so that they can be corrected and read again. Nothing is lost: every
line below the header that is not blank comes out, accepted or refused. A row may stand for several
prefixes. Whether rows of one prefix contradict each other is seen later: sheet_fold.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, TextIO

from pbxbill.errors import InputRefused
from pbxbill.rating.rate_terms import checked_terms
from pbxbill.rating.sheet_cells import CellReader, band_name, checked_steps, prefixes, yes_or_no
from pbxbill.rating.sheet_guard import guarded
from pbxbill.rating.sheet_profile import MAX_STEPS, REFUSAL_COLUMNS, Profile
from pbxbill.rating.sheet_table import Cell, Record, open_table
from pbxbill.rating.tariff import Rate, RateTerms, Step


class SheetRate(NamedTuple):
    """An accepted row, for one prefix; prices are compiled, moments are UTC microseconds."""

    line: int
    prefix: str
    destination: str
    price_per_min: int
    connection_fee: int
    minimum_charge: int
    initial_increment_s: int
    following_increment_s: int
    free_s: int
    effective_from_us: int | None
    effective_to_us: int | None
    band: str = ""
    """Empty: the price outside of bands."""
    steps: tuple[Step, ...] = ()
    maximum_charge: int | None = None
    ends_at_maximum: bool = False

    def rate(self, id: int) -> Rate:
        """The row as a rate of a deck; its band is left to sheet_fold."""
        terms = None
        if self.steps or self.maximum_charge is not None:
            terms = RateTerms(
                self.steps, maximum_charge=self.maximum_charge, ends_at_maximum=self.ends_at_maximum
            )
        return Rate(id, *self[1:11], terms)


class RefusedRow(NamedTuple):
    """A row kept aside: where it stands, all that is wrong with it, and its cells as they were written."""

    line: int
    reason: str
    cells: tuple[str, ...]


class RateSheet:
    """A rate sheet being read: the header at once, the rows as rows() is consumed."""

    def __init__(self, stream: BinaryIO, profile: Profile | None = None) -> None:
        self._profile = profile or Profile()
        self._table = open_table(stream, self._profile)
        self.layout = self._table.layout
        self.delimiter = self._table.delimiter
        self.encoding = self._table.encoding
        self.described = self._table.described
        self.unit: str | None = None
        """Code of the deck's unit; rows whose currency cell says another one are refused."""
        self._skipped = {at for at, ours in enumerate(self.layout.columns) if ours in REFUSAL_COLUMNS}
        self.last_line: int | None = None
        """Of a file whose last row has no line end, once rows() came to it: it may be cut there."""
        self._reader = CellReader(self._profile, epoch_1904=self._table.epoch_1904)
        self._positions = {
            ours: at for at, ours in enumerate(self.layout.columns) if ours and ours not in REFUSAL_COLUMNS
        }
        self._named_by = [at for at, ours in enumerate(self.layout.columns) if ours == "destination"]
        self._step_positions = [
            (self._positions.get(f"step_from{suffix}"), self._positions.get(f"step_price{suffix}"), suffix)
            for suffix in ("", *(f"_{number}" for number in range(2, MAX_STEPS + 1)))
        ]
        self._has_steps = any(low is not None or price is not None for low, price, _ in self._step_positions)

    @property
    def columns(self) -> tuple[str, ...]:
        """The header as it is written."""
        return self.layout.names

    def rows(self) -> Iterator[SheetRate | RefusedRow]:
        """Every row below the header in the order of the file; one that lists codes gives several rates.

        InputRefused at the end if the sheet as a whole cannot be trusted: two decimal marks.
        """
        for _, rows in self.rows_with_cells():
            yield from rows

    def rows_with_cells(self) -> Iterator[tuple[tuple[str, ...], list[SheetRate] | list[RefusedRow]]]:
        """The same, each row of the file with its cells as they were written."""
        width = len(self.layout.names)
        for record in self._table.records():
            own = self._own_cells(record.cells)
            if record.fault is not None:
                yield own, [RefusedRow(record.line, record.fault, own)]
                continue
            if len(record.cells) != width:
                yield own, [RefusedRow(record.line, self._wrong_width(record, width), own)]
                continue
            problems: list[str] = []
            rates = self._parse_row(record, problems)
            yield own, [RefusedRow(record.line, "; ".join(problems), own)] if problems else rates
        self.last_line = self._table.unended or None
        self._reader.check_one_mark()

    def _wrong_width(self, record: Record, width: int) -> str:
        reason = f"the row has {len(record.cells)} cells, the header {width}"
        if self._table.unended == record.line and len(record.cells) < width:
            reason += "; it is the last one and has no line end: the file seems to be cut, get it again"
        return reason

    def _own_cells(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        # Without the line and the reason of an earlier refusal.
        kept = [cell for at, cell in enumerate(cells) if at not in self._skipped] if self._skipped else cells
        return tuple([cell if type(cell) is str else _written(cell) for cell in kept])

    def _parse_row(self, record: Record, problems: list[str]) -> list[SheetRate]:
        # All problems of a row are named at once, so that one correction is enough.
        cells = record.cells
        positions = self._positions
        reader = self._reader

        def parsed(column: str, parse: Callable[[Cell], Any], blank: Any, *, required: bool = False) -> Any:
            at = positions.get(column)
            if at is None or (cells[at] == "" and not required):
                return blank
            try:
                return parse(cells[at])
            except InputRefused as refusal:
                problems.append(f"{column}: {refusal}")
                return blank

        found = self._prefixes(cells, parsed, problems)
        name = cells[self._named_by[0]]
        if len(self._named_by) > 1:
            name = ", ".join(str(cells[at]) for at in self._named_by if cells[at] != "")
        destination = parsed("destination", lambda _: reader.destination(name), "", required=True)
        per_second = self._profile.price_per == "second"
        price_per_min = parsed(
            "price_per_min", reader.price_per_second if per_second else reader.price, 0, required=True
        )
        if "price_per_second" in positions:
            price_per_min = parsed("price_per_second", reader.price_per_second, 0, required=True)
        fees = [parsed(column, reader.price, 0) for column in ("connection_fee", "minimum_charge")]
        first_s, next_s = parsed("increments", reader.increments, self._profile.default_increments)
        increments = (
            parsed("initial_increment", reader.increment, first_s),
            parsed("following_increment", reader.increment, next_s),
        )
        free_s = parsed("free_seconds", reader.seconds, 0)
        from_us = parsed("effective_from", reader.moment, None)
        to_us = parsed("effective_to", reader.end, None)
        if from_us is not None and to_us is not None and to_us <= from_us:
            problems.append("effective_to is not after effective_from")
        self._check_currency(cells, problems)
        band = parsed("band", band_name, "")
        steps = parsed("steps", reader.steps, ())
        if self._has_steps:
            steps = self._steps(cells, problems)
        maximum = parsed("maximum_charge", reader.price, None)
        ends = parsed("ends_at_maximum", yes_or_no, False)
        if maximum is not None or ends:
            _check_maximum(maximum, ends, fees[0], problems)
        if problems:
            return []
        rest = (price_per_min, *fees, *increments, free_s, from_us, to_us, band, steps, maximum, ends)
        return [SheetRate(record.line, prefix, destination, *rest) for prefix in found]

    def _prefixes(self, cells: Sequence[Cell], parsed: Callable[..., Any], problems: list[str]) -> list[str]:
        if "prefix" in self._positions:
            found: list[str] = parsed("prefix", prefixes, [], required=True)
            return found
        country = cells[self._positions["country_code"]]
        at = self._positions.get("codes")
        try:
            return self._reader.codes(country, "" if at is None else cells[at])
        except InputRefused as refusal:
            problems.append(f"{'country_code' if at is None or country == '' else 'codes'}: {refusal}")
            return []

    def _steps(self, cells: Sequence[Cell], problems: list[str]) -> tuple[Step, ...]:
        steps = []
        try:
            for low, price, suffix in self._step_positions:
                from_s = "" if low is None else cells[low]
                step_price = "" if price is None else cells[price]
                if from_s == "" and step_price == "":
                    continue
                if from_s == "" or step_price == "":
                    raise InputRefused(f"step_from{suffix} and step_price{suffix} belong together")
                steps.append(self._reader.step(from_s, step_price))
            return checked_steps(steps)
        except InputRefused as refusal:
            problems.append(f"step_from: {refusal}")
            return ()

    def _check_currency(self, cells: Sequence[Cell], problems: list[str]) -> None:
        at = self._positions.get("currency")
        if at is None or cells[at] == "":
            return
        if self.unit is not None and str(cells[at]).upper() != self.unit:
            problems.append(f"currency: {str(cells[at])[:20]!r} is not {self.unit}, which the deck is in")


def write_refused(stream: TextIO, sheet: RateSheet, refused: Iterable[RefusedRow]) -> int:
    """Write refused rows as CSV, each behind its line number and reason; returns how many.

    The file can be corrected and read again as it is. stream is opened with newline="".
    """
    writer = csv.writer(stream, delimiter=sheet.delimiter, lineterminator="\n")
    pairs = zip(sheet.layout.names, sheet.layout.columns, strict=True)
    names = (guarded(name) for name, ours in pairs if ours not in REFUSAL_COLUMNS)
    writer.writerow((*REFUSAL_COLUMNS, *names))
    count = 0
    for row in refused:
        writer.writerow((row.line, guarded(row.reason), *map(guarded, row.cells)))
        count += 1
    return count


def _check_maximum(maximum: int | None, ends: bool, fee: int, problems: list[str]) -> None:
    try:
        checked_terms(RateTerms(maximum_charge=maximum, ends_at_maximum=ends), fee)
    except InputRefused as refusal:
        problems.append(f"maximum_charge: {refusal}")


def _written(cell: Cell) -> str:
    return f"{cell:f}" if not isinstance(cell, str) and not hasattr(cell, "isoformat") else str(cell)
