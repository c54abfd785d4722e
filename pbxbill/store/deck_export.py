"""Writes a deck version as a rate sheet, CSV or XLSX, that `rates import` reads back to the same deck."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.sheet_cells import DEFAULT_ROUTE
from pbxbill.rating.sheet_guard import guarded
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms, Step
from pbxbill.store.engine import reading
from pbxbill.store.models import RateRow

COLUMNS = (
    *("prefix", "destination", "band", "price_per_min", "connection_fee", "initial_increment"),
    *("following_increment", "minimum_charge", "maximum_charge", "ends_at_maximum", "free_seconds", "steps"),
    *("effective_from", "effective_to"),
)
EXACT_DIGITS = 15
"""A spreadsheet keeps no more; prices with more digits are written as text."""
ROWS_READ = 10_000
CHUNK_LENGTH = 64 * 1024
MAX_XLSX_ROWS = 100_000
"""Rates that a workbook is made of while somebody waits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_sheet(database: Engine, version_id: int, file: Path) -> int:
    """Write every rate of a version; returns how many rows that took."""
    writers: dict[str, Callable[[Path, Iterator[tuple[Any, ...]]], int]] = {".csv": _csv, ".xlsx": _xlsx}
    write = writers.get(file.suffix.lower())
    if write is None:
        raise InputRefused(f"{file.name}: a rate sheet ends in .csv or .xlsx")
    partial = file.with_name(file.name + ".partial")
    try:
        count = write(partial, _rows(database, version_id))
        partial.replace(file)
    except OSError as error:
        raise InputRefused(f"{file} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return count


def write_sheet_as(database: Engine, version_id: int, path: str) -> int:
    """Write every rate of a version as XLSX into a file that is there; returns how many rows that took."""
    return _xlsx(Path(path), _rows(database, version_id))


def csv_lines(database: Engine, version_id: int) -> Iterator[str]:
    """Every rate of a version as CSV, some thousands of rows at a time."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(database, version_id):
        writer.writerow(_csv_row(row))
        if text.tell() > CHUNK_LENGTH:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def sheet_of(rates: Iterable[Rate]) -> bytes:
    """A few rates as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rate in rates:
        writer.writerows(_csv_row(row) for row in _rows_of(rate))
    return text.getvalue().encode()


def _csv(path: Path, rows: Iterator[tuple[Any, ...]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(_csv_row(row))
            count += 1
    return count


def _csv_row(row: tuple[Any, ...]) -> list[str]:
    return [guarded(f"{x:f}" if isinstance(x, Decimal) else str(x)) for x in row]


def _xlsx(path: Path, rows: Iterator[tuple[Any, ...]]) -> int:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Rates")
    sheet.append(COLUMNS)
    count = 0
    for row in rows:
        sheet.append([_xlsx_cell(cell) for cell in row])
        count += 1
        if count == 1_048_575:
            raise InputRefused("a worksheet has no more than 1,048,576 rows; export the deck as CSV")
    book.save(path)
    return count


def _xlsx_cell(cell: Any) -> Any:
    if isinstance(cell, Decimal) and len(cell.as_tuple().digits) > EXACT_DIGITS:
        return f"{cell:f}"
    # A text that begins like a formula would be stored as one, or become one where it is saved as CSV.
    return guarded(cell) if isinstance(cell, str) else cell


def _rows(database: Engine, version_id: int) -> Iterator[tuple[Any, ...]]:
    query = (
        select(
            *(RateRow.id, RateRow.prefix, RateRow.destination, RateRow.price_per_min, RateRow.connection_fee),
            *(RateRow.minimum_charge, RateRow.initial_increment_s, RateRow.following_increment_s),
            *(RateRow.free_s, RateRow.effective_from_us, RateRow.effective_to_us, RateRow.terms),
        )
        .where(RateRow.deck_version_id == version_id)
        .order_by(RateRow.id)  # as it was written: by prefix
    )
    with reading(database).connect() as connection:
        for row in connection.execution_options(yield_per=ROWS_READ).execute(query):
            yield from _rows_of(Rate._make((*row[:11], terms_from_json(row[11]))))


def _rows_of(rate: Rate) -> Iterator[tuple[Any, ...]]:
    terms = rate.terms or RateTerms()
    if not terms.banded_only:
        yield _row(rate, "", BandPrice(*rate[3:9], terms.steps), terms)
    for name, price in terms.bands:
        yield _row(rate, name, price, terms)


def _row(rate: Rate, band: str, price: BandPrice, terms: RateTerms) -> tuple[Any, ...]:
    return (
        rate.prefix or DEFAULT_ROUTE,
        rate.destination,
        band,
        _price(price.price_per_min),
        _price(price.connection_fee),
        price.initial_increment_s,
        price.following_increment_s,
        _price(price.minimum_charge),
        "" if terms.maximum_charge is None else _price(terms.maximum_charge),
        "yes" if terms.ends_at_maximum else "",
        price.free_s,
        " ".join(_step(step) for step in price.steps),
        _moment(rate.effective_from_us),
        _moment(rate.effective_to_us),
    )


def _price(price: int) -> Decimal:
    return to_decimal(price, PRICE_SCALE).normalize() + 0


def _moment(at_us: int | None) -> str:
    if at_us is None:
        return ""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


def _step(step: Step) -> str:
    return f"{step.from_s}:{_price(step.price_per_min):f}"
