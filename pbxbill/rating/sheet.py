"""Reads a rate sheet: CSV with our own column names, comma or semicolon, UTF-8 with or without BOM.

One line is one row. A row that cannot be used is kept aside with its line number and a reason that a
person can act on; write_refused() writes these rows so that they can be corrected and read again.
Nothing is lost: every line below the header that is not blank comes out, accepted or refused.

Rows pass one by one; only the prefixes with their periods stay in memory, to find overlaps.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, TextIO, TypeVar

from pbxbill.errors import InputRefused
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.deck import is_prefix
from pbxbill.rating.destination import E164_MAX_DIGITS
from pbxbill.rating.tariff import Rate

MAX_LINE_BYTES = 4096
MAX_ROWS = 5_000_000
MAX_DESTINATION_LENGTH = 100
MAX_SECONDS = 86_400
MAX_PERIODS = 100
"""Effective periods of one prefix in one sheet; each new row is compared with all of them."""

DEFAULT_ROUTE = "*"
"""What the prefix cell of the default route holds: an empty one is more likely a mistake."""

REQUIRED_COLUMNS = ("prefix", "destination", "price_per_min")
OPTIONAL_COLUMNS = (
    "connection_fee",
    "initial_increment",
    "following_increment",
    "minimum_charge",
    "free_seconds",
    "effective_from",
    "effective_to",
)
REFUSAL_COLUMNS = ("refused_line", "refused_reason")
"""What write_refused() puts before a row; skipped when the file is read again."""

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SheetRate:
    """An accepted row; prices are compiled, moments are UTC microseconds."""

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

    def rate(self, id: int) -> Rate:
        """The row as a rate of a deck."""
        return Rate(
            id=id,
            prefix=self.prefix,
            destination=self.destination,
            price_per_min=self.price_per_min,
            connection_fee=self.connection_fee,
            minimum_charge=self.minimum_charge,
            initial_increment_s=self.initial_increment_s,
            following_increment_s=self.following_increment_s,
            free_s=self.free_s,
            effective_from_us=self.effective_from_us,
            effective_to_us=self.effective_to_us,
        )


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row kept aside: where it stands, all that is wrong with it, and its cells as they were written."""

    line: int
    reason: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Period:
    from_us: int | None
    to_us: int | None
    line: int

    def overlaps(self, other: "_Period") -> bool:
        return _before(self.from_us, other.to_us) and _before(other.from_us, self.to_us)


class RateSheet:
    """A rate sheet being read: the header at once, the rows as rows() is consumed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.columns, self.delimiter = _read_header(stream.readline(MAX_LINE_BYTES + 1))
        self._periods: dict[str, tuple[_Period, ...]] = {}

    def rows(self) -> Iterator[SheetRate | RefusedRow]:
        """Every row below the header, once, in the order of the file."""
        line = 1
        while raw := self._stream.readline(MAX_LINE_BYTES + 1):
            line += 1
            if line > MAX_ROWS:
                raise InputRefused(f"the rate sheet has more than {MAX_ROWS} lines; split it")
            too_long = len(raw) > MAX_LINE_BYTES
            if too_long:
                self._skip_to_end_of_line(raw)
            elif not raw.strip():
                continue
            yield self._read_row(line, raw, too_long)

    def _skip_to_end_of_line(self, piece: bytes) -> None:
        while piece and not piece.endswith(b"\n"):
            piece = self._stream.readline(MAX_LINE_BYTES)

    def _read_row(self, line: int, raw: bytes, too_long: bool) -> SheetRate | RefusedRow:
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            text = raw.decode("latin-1").rstrip("\r\n")  # most likely what was meant; a person looks at it
            if not too_long:  # a long line is cut, perhaps inside a character
                reason = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
                return RefusedRow(line, reason, self._own_cells(_split_leniently(text, self.delimiter)))
        if too_long:
            return RefusedRow(
                line, f"the line is longer than {MAX_LINE_BYTES} bytes; it is cut here", (text,)
            )
        try:
            cells = _split(text, self.delimiter)
        except csv.Error as error:
            return RefusedRow(line, f"the quotes are broken ({error})", (text,))
        own = self._own_cells(cells)
        if len(cells) != len(self.columns):
            reason = f"the row has {len(cells)} cells, the header {len(self.columns)}"
            return RefusedRow(line, reason, own)
        problems: list[str] = []
        rate = _parse_row(line, dict(zip(self.columns, cells, strict=True)), problems)
        if rate is not None:
            problems = self._refuse_overlap(rate)
        if rate is None or problems:
            return RefusedRow(line, "; ".join(problems), own)
        return rate

    def _own_cells(self, cells: list[str]) -> tuple[str, ...]:
        # Without the line and the reason of an earlier refusal.
        skipped = {self.columns.index(name) for name in REFUSAL_COLUMNS if name in self.columns}
        return tuple(cell for position, cell in enumerate(cells) if position not in skipped)

    def _refuse_overlap(self, rate: SheetRate) -> list[str]:
        period = _Period(rate.effective_from_us, rate.effective_to_us, rate.line)
        known = self._periods.get(rate.prefix, ())
        shown = rate.prefix or DEFAULT_ROUTE
        if len(known) >= MAX_PERIODS:
            return [f"prefix {shown} has more than {MAX_PERIODS} effective periods"]
        for other in known:
            if (period.from_us, period.to_us) == (other.from_us, other.to_us):
                return [f"prefix {shown} is a duplicate of line {other.line}"]
            if period.overlaps(other):
                return [f"the effective period of prefix {shown} overlaps with line {other.line}"]
        self._periods[rate.prefix] = (*known, period)
        return []


def write_refused(stream: TextIO, sheet: RateSheet, refused: Iterable[RefusedRow]) -> int:
    """Write refused rows as CSV, each behind its line number and reason; returns how many.

    The file can be corrected and read again as it is. stream is opened with newline="".
    """
    writer = csv.writer(stream, delimiter=sheet.delimiter, lineterminator="\n")
    writer.writerow((*REFUSAL_COLUMNS, *(name for name in sheet.columns if name not in REFUSAL_COLUMNS)))
    count = 0
    for row in refused:
        writer.writerow((row.line, row.reason, *row.cells))
        count += 1
    return count


def _read_header(raw: bytes) -> tuple[tuple[str, ...], str]:
    known = f"known columns: {', '.join(REQUIRED_COLUMNS + OPTIONAL_COLUMNS)}"
    if not raw.strip():
        raise InputRefused(f"the rate sheet is empty or begins with a blank line; {known}")
    if len(raw) > MAX_LINE_BYTES:
        raise InputRefused(
            f"the first line is longer than {MAX_LINE_BYTES} bytes; is this a CSV file? {known}"
        )
    try:
        text = raw.decode("utf-8-sig").rstrip("\r\n")
        delimiter = ";" if text.count(";") > text.count(",") else ","
        columns = tuple(name.lower() for name in _split(text, delimiter))
    except UnicodeDecodeError:
        raise InputRefused("line 1 is not UTF-8; save the file as CSV in UTF-8") from None
    except csv.Error as error:
        raise InputRefused(f"the quotes of line 1 are broken ({error}); {known}") from None
    for name in columns:
        if name not in REQUIRED_COLUMNS + OPTIONAL_COLUMNS + REFUSAL_COLUMNS:
            raise InputRefused(f"line 1: unknown column {name[:40]!r}; {known}")
        if columns.count(name) > 1:
            raise InputRefused(f"line 1: column {name!r} appears twice")
    if missing := [name for name in REQUIRED_COLUMNS if name not in columns]:
        raise InputRefused(f"line 1: column {missing[0]!r} is missing; {known}")
    return columns, delimiter


def _split(text: str, delimiter: str) -> list[str]:
    # One line alone, so that a quote left open spoils one row and not all that follow.
    rows = list(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True))
    return [cell.strip() for cell in rows[0]] if rows else []


def _split_leniently(text: str, delimiter: str) -> list[str]:
    try:
        return _split(text, delimiter)
    except csv.Error:
        return [text]


def _parse_row(line: int, cells: dict[str, str], problems: list[str]) -> SheetRate | None:
    # All problems of a row are named at once, so that one correction is enough.
    def parsed(column: str, parse: Callable[[str], _T], blank: _T) -> _T:
        cell = cells.get(column, "")
        if cell or column in REQUIRED_COLUMNS:
            try:
                return parse(cell)
            except InputRefused as refusal:
                problems.append(f"{column}: {refusal}")
        return blank

    from_us = parsed("effective_from", _parse_moment, None)
    to_us = parsed("effective_to", _parse_moment, None)
    if from_us is not None and to_us is not None and to_us <= from_us:
        problems.append("effective_to is not after effective_from")
    rate = SheetRate(
        line=line,
        prefix=parsed("prefix", _parse_prefix, ""),
        destination=parsed("destination", _parse_destination, ""),
        price_per_min=parsed("price_per_min", _parse_price, 0),
        connection_fee=parsed("connection_fee", _parse_price, 0),
        minimum_charge=parsed("minimum_charge", _parse_price, 0),
        initial_increment_s=parsed("initial_increment", _parse_increment, 1),
        following_increment_s=parsed("following_increment", _parse_increment, 1),
        free_s=parsed("free_seconds", _parse_seconds, 0),
        effective_from_us=from_us,
        effective_to_us=to_us,
    )
    return None if problems else rate


def _parse_prefix(cell: str) -> str:
    if cell == DEFAULT_ROUTE:
        return ""
    digits = cell.removeprefix("+")
    if not digits:
        raise InputRefused(f"is empty; write {DEFAULT_ROUTE} for the default route")
    if not is_prefix(digits):
        raise InputRefused(f"{cell[:40]!r} is not made of up to {E164_MAX_DIGITS} digits")
    if digits.startswith("00"):
        raise InputRefused(f"{cell!r} begins with 00; write the country code alone")
    return digits


def _parse_destination(cell: str) -> str:
    if not cell:
        raise InputRefused("is empty")
    if len(cell) > MAX_DESTINATION_LENGTH:
        raise InputRefused(f"is longer than {MAX_DESTINATION_LENGTH} characters")
    for character in cell:
        if not character.isprintable():
            raise InputRefused(f"holds the invisible character U+{ord(character):04X}")
    return cell


def _parse_price(cell: str) -> int:
    return compile_price(parse_decimal(cell))


def _parse_seconds(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 9 and int(cell) <= MAX_SECONDS):
        raise InputRefused(f"{cell[:40]!r} is not a whole number of seconds up to {MAX_SECONDS}")
    return int(cell)


def _parse_increment(cell: str) -> int:
    seconds = _parse_seconds(cell)
    if seconds < 1:
        raise InputRefused("an increment is at least 1 second")
    return seconds


def _parse_moment(cell: str) -> int:
    try:
        moment = datetime.fromisoformat(cell if cell.isascii() else "")
    except ValueError:
        raise InputRefused(
            f"{cell[:40]!r} is no date; write it like 2026-01-31 or 2026-01-31T08:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _before(start_us: int | None, end_us: int | None) -> bool:
    return start_us is None or end_us is None or start_us < end_us
