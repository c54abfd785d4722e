"""Where an import is prepared: a temporary SQLite file, so that a million rows of a
sheet, of the deck before it and of a sales deck are sorted and compared without being held in memory.

Nothing is written to the database before a person has seen what would change.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Engine, select

from pbxbill.errors import StoreUnavailable
from pbxbill.rating.deck_change import Plan, PrefixChange, compare
from pbxbill.rating.rate_terms import terms_from_json, terms_to_json
from pbxbill.rating.sheet import RateSheet, RefusedRow, SheetRate
from pbxbill.rating.sheet_fold import fold
from pbxbill.rating.tariff import Rate, Step
from pbxbill.store.engine import reading
from pbxbill.store.models import RateRow

_T = TypeVar("_T")

CHUNK = 5_000
CACHE_KIB = 16_384
RATES_READ = 10_000
"""Rows of a deck that the database hands over at a time."""

_SCHEMA = """
CREATE TABLE row (prefix TEXT, line INTEGER, destination TEXT, price INTEGER, fee INTEGER, minimum INTEGER,
  initial INTEGER, following INTEGER, free INTEGER, from_us INTEGER, to_us INTEGER, band TEXT, steps TEXT,
  maximum INTEGER, ends INTEGER);
CREATE TABLE written (line INTEGER PRIMARY KEY, cells TEXT) WITHOUT ROWID;
CREATE TABLE refused (line INTEGER, reason TEXT, cells TEXT);
CREATE TABLE rate (deck TEXT, id INTEGER, prefix TEXT, destination TEXT, price INTEGER, fee INTEGER,
  minimum INTEGER, initial INTEGER, following INTEGER, free INTEGER, from_us INTEGER, to_us INTEGER,
  terms TEXT);
CREATE TABLE kept (id INTEGER, prefix TEXT, destination TEXT, price INTEGER, fee INTEGER, minimum INTEGER,
  initial INTEGER, following INTEGER, free INTEGER, from_us INTEGER, to_us INTEGER, terms TEXT);
"""
_FOLDED = "DROP TABLE row; DROP TABLE written"
_STAGE_ROW = "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TAKE_RATE = "INSERT INTO rate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_KEEP_RATE = "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FROM_DECK = [
    *(RateRow.id, RateRow.prefix, RateRow.destination, RateRow.price_per_min, RateRow.connection_fee),
    *(RateRow.minimum_charge, RateRow.initial_increment_s, RateRow.following_increment_s, RateRow.free_s),
    *(RateRow.effective_from_us, RateRow.effective_to_us, RateRow.terms),
]


class RateStage:
    """The rows of one import; used as a context, after which nothing is left of it."""

    def __init__(self) -> None:
        # Without a name it is a file that SQLite has deleted already: a killed import leaves nothing.
        self._database = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}", "temp_store=FILE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(_SCHEMA)
        self.sheet_rate_count = 0
        """Rates that the sheet stands for, once those that contradict each other are refused."""
        self.refused_count = 0
        self.rate_count = 0
        """Rates of the new version."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def read(self, sheet: RateSheet, progress: Callable[[int], None] = lambda count: None) -> None:
        """Take in every row of a sheet, then bring the rows of each prefix together.

        progress hears of each chunk how many rows it had.
        """
        for chunk in _chunked(sheet.rows_with_cells()):
            rates: list[tuple[Any, ...]] = []
            written: list[tuple[int, str]] = []
            refused: list[RefusedRow] = []
            for cells, rows in chunk:
                for row in rows:
                    if isinstance(row, RefusedRow):
                        refused.append(row)
                    else:
                        rates.append(_staged(row))
                if rows and not isinstance(rows[0], RefusedRow):
                    written.append((rows[0].line, json.dumps(cells)))
            with self._written():
                self._database.executemany(_STAGE_ROW, rates)
                self._database.executemany("INSERT OR REPLACE INTO written VALUES (?, ?)", written)
            self._refuse(refused)
            progress(len(chunk))
        self._fold()

    def refused(self) -> Iterator[RefusedRow]:
        """The rows kept aside, in the order of the file."""
        cursor = self._database.execute("SELECT line, reason, cells FROM refused ORDER BY line, rowid")
        for line, group in groupby(cursor, key=itemgetter(0)):
            rows = list(islice(group, 20))  # a row that lists many codes may be wrong in each
            reason = "; ".join(dict.fromkeys(reason for _, reason, _ in rows))
            yield RefusedRow(line, reason, tuple(json.loads(rows[0][2])))

    def take_deck(self, database: Engine, version_id: int, name: str) -> None:
        """Copy the rates of a deck version, under a name, to be compared with."""
        query = select(*_FROM_DECK).where(RateRow.deck_version_id == version_id)
        with reading(database).connect() as connection:
            result = connection.execution_options(yield_per=RATES_READ).execute(query)
            for rows in result.partitions():
                with self._written():
                    self._insert_rates(name, (tuple(row) for row in rows))

    def compare(self, plan: Plan, watch: Callable[[PrefixChange], None]) -> None:
        """Compare with the decks "old" and "sales", telling each prefix; keep what the new version holds."""
        for chunk in _chunked(compare(plan, *(self._sorted(name) for name in ("old", "new", "sales")))):
            rows: list[tuple[Any, ...]] = []
            for change in chunk:
                watch(change)
                rows += (_columns(rate) for rate in change.rates)
            self.rate_count += len(rows)
            with self._written():
                self._database.executemany(_KEEP_RATE, rows)

    def rates(self) -> Iterator[Rate]:
        """What the new version holds, by prefix."""
        for row in self._database.execute("SELECT * FROM kept ORDER BY rowid"):
            yield Rate._make((*row[:11], terms_from_json(row[11])))

    def _sorted(self, name: str) -> Iterator[Rate]:
        query = "SELECT * FROM rate WHERE deck = ? ORDER BY prefix, from_us, id"
        for row in self._database.execute(query, (name,)):
            yield Rate._make((*row[1:12], terms_from_json(row[12])))

    def _fold(self) -> None:
        rows = self._database.execute("SELECT * FROM row ORDER BY prefix, line, rowid")
        for chunk in _chunked(fold(map(_sheet_rate, rows))):
            contradictions = [x for _, refused in chunk for x in refused]
            self._refuse([RefusedRow(line, reason, self._cells(line)) for line, reason in contradictions])
            taken = [_columns(rate) for rates, _ in chunk for rate in rates]
            self.sheet_rate_count += len(taken)
            with self._written():
                self._insert_rates("new", taken)
        self._database.executescript(_FOLDED)
        # A line that lists many codes may be refused in several of them, and counts once.
        self.refused_count = self._database.execute("SELECT COUNT(DISTINCT line) FROM refused").fetchone()[0]

    def _cells(self, line: int) -> tuple[str, ...]:
        found = self._database.execute("SELECT cells FROM written WHERE line = ?", (line,)).fetchone()
        return tuple(json.loads(found[0])) if found else ()

    def _refuse(self, rows: Iterable[RefusedRow]) -> None:
        columns = [(row.line, row.reason, json.dumps(row.cells)) for row in rows]
        if columns:
            with self._written():
                self._database.executemany("INSERT INTO refused VALUES (?, ?, ?)", columns)

    def _insert_rates(self, deck: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._database.executemany(_TAKE_RATE, ((deck, *row) for row in rows))

    def _written(self) -> "_Transaction":
        return _Transaction(self._database)


class _Transaction:
    """Rows written together; a full disk is said as such."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN")

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None:
            self._database.execute("COMMIT")
        elif isinstance(fault, sqlite3.Error):
            raise StoreUnavailable(f"the temporary file of the import cannot be written: {fault}") from fault


def _staged(row: SheetRate) -> tuple[Any, ...]:
    steps = json.dumps(row.steps) if row.steps else None
    return (row.prefix, row.line, *row[2:12], steps, row.maximum_charge, row.ends_at_maximum)


def _sheet_rate(row: tuple[Any, ...]) -> SheetRate:
    steps = tuple(Step(*step) for step in json.loads(row[12])) if row[12] else ()
    return SheetRate._make((row[1], row[0], *row[2:12], steps, row[13], bool(row[14])))


def _columns(rate: Rate) -> tuple[Any, ...]:
    return (*rate[:11], terms_to_json(rate.terms))


def _chunked(rows: Iterable[_T]) -> Iterator[list[_T]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk
