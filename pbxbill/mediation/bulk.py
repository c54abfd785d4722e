"""Bulk rating: what many calls cost by one tariff, to the same micro-unit as rating.rater, millions a second.

The compiled deck of the live path is flattened into ranges of left-aligned numbers, so that one ordered join
finds every call's longest prefix, and the charge is the same arithmetic on columns of 64-bit integers. For
each rate it is reckoned up to which billable second nothing leaves these 64 bits. Calls beyond it, and those
of rates with bands, steps or a maximum, are charged one by one by rating.rater.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import polars as pl

from pbxbill.errors import InputRefused
from pbxbill.mediation.column_arithmetic import ColumnArithmetic
from pbxbill.money import MAX_AMOUNT
from pbxbill.rating.deck import BIAS, FOR_EVER, PACKED_FIELDS, CompiledDeck
from pbxbill.rating.destination import E164_MAX_DIGITS
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import Rate, Tariff

CALL_COLUMNS = ("called", "started_us", "answered_us", "billed_us")
"""What a call is rated by: E.164 digits, when it was asked for and answered, and how long it is charged."""

CHUNK_CALLS = 500_000
"""Calls that are rated at once: a chunk's columns take some hundred megabytes."""

MAX_PERIODS = 24
"""Flattenings that a chunk's calls may need, one between each two dates; beyond it they go one by one."""

RANGES_KEPT = 2
"""Flattenings of a deck that stay in memory: each is as large as the deck itself."""

RATED_COLUMNS = {"rate_id": pl.Int64, "billable_s": pl.Int64, "total": pl.Int64, "tax": pl.Int64}
_SPANS = [10 ** (E164_MAX_DIGITS - length) for length in range(E164_MAX_DIGITS + 1)]
_WIDTHS = {"Q": (8, pl.UInt64), "q": (8, pl.Int64), "i": (4, pl.Int32)}
_NOBODY = -1


class FlatDeck:
    """A compiled deck as ranges of numbers, each with the rate that counts there."""

    def __init__(self, deck: CompiledDeck) -> None:
        self.deck = deck
        self._rows = _rows_of(deck)
        dates = pl.concat([self._rows["from"], self._rows["to"]]).unique().to_list()
        self.dates: list[int] = sorted(date - BIAS for date in dates if 0 < date < FOR_EVER)
        """When a row begins or ends."""
        self._flattened = lru_cache(maxsize=RANGES_KEPT)(self._flatten)

    def ranges(self, at_us: int) -> pl.DataFrame:
        """From which key on what counts at a moment, in the keys' order; rate_id null: nothing."""
        passed = bisect_right(self.dates, at_us)
        return self._flattened(self.dates[passed - 1] + BIAS if passed else 0)

    def _flatten(self, moment: int) -> pl.DataFrame:
        rows = self._rows
        if self.dates:
            at = pl.lit(moment, dtype=pl.UInt64)
            rows = rows.filter((pl.col("from") <= at) & (pl.col("to") > at))
        keys, owners = _ranges(rows["key"])
        counting = pl.DataFrame({"key": keys, "row": owners}, schema={"key": pl.Int64, "row": pl.Int32})
        prices = rows.drop("key", "from", "to").with_row_index("row").cast({"row": pl.Int32})
        joined = counting.join(prices, on="row", how="left", maintain_order="left")
        return joined.drop("row").set_sorted("key")


class BulkTariff:
    """Charges calls by one version of a tariff and the versions of its deck, each from its date on."""

    def __init__(
        self,
        tariff: Tariff,
        versions: Sequence[tuple[int, FlatDeck]],
        reprice: Callable[[Rate], Rate] | None = None,
    ) -> None:
        """versions: effective from, deck. reprice: what a mark-up makes of the deck's rates."""
        self.tariff = tariff
        self._versions = sorted(versions, key=_effective_from)
        self._begins = [from_us for from_us, _ in self._versions]
        self._reprice = reprice
        self._arithmetic = ColumnArithmetic(tariff)

    def charged(self, calls: pl.DataFrame) -> pl.DataFrame:
        """The calls with rate_id, billable_s, total and tax, in any order; rate_id null: no rate."""
        parts = [
            part
            for chunk in calls.iter_slices(CHUNK_CALLS)
            for part in (self._joined(chunk) if self._reprice is None else [self._each(chunk)])
        ]
        return pl.concat(parts, how="vertical") if parts else _unrated(calls)

    def rate_of(self, called: str, started_us: int) -> Rate | None:
        """The rate for a number at a moment, found as the live path finds it."""
        version = bisect_right(self._begins, started_us) - 1
        rate = None if version < 0 else self._versions[version][1].deck.find(called, started_us)
        return rate if rate is None or self._reprice is None else self._reprice(rate)

    def _joined(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        if not calls.height:
            return
        first_us: Any = calls["started_us"].min()
        last_us: Any = calls["started_us"].max()
        edges = self._edges(first_us, last_us)
        if len(edges) > MAX_PERIODS:
            yield self._each(calls)
            return
        for (begin_us, _), part in zip(
            pairwise([first_us, *edges, last_us]), _split(calls, edges), strict=True
        ):
            version = bisect_right(self._begins, begin_us) - 1
            if part.height and version < 0:
                yield _unrated(part)
            elif part.height:
                yield from self._found(part, self._versions[version][1].ranges(begin_us))

    def _edges(self, first_us: int, last_us: int) -> list[int]:
        """Moments after the first call, up to the last, from which on other rows count."""
        edges = {begin_us for begin_us in self._begins if first_us < begin_us <= last_us}
        ends = [*self._begins, last_us + 1][1:]
        for (begin_us, deck), end_us in zip(self._versions, ends, strict=True):
            edges.update(x for x in deck.dates if max(begin_us, first_us) < x < min(end_us, last_us + 1))
        return sorted(edges)

    def _found(self, calls: pl.DataFrame, ranges: pl.DataFrame) -> Iterator[pl.DataFrame]:
        found = calls.with_columns(number_key("called").alias("key")).sort("key")
        found = found.join_asof(ranges, on="key", check_sortedness=False)
        found = found.with_columns(self._arithmetic.billable_s("billed_us").alias("billable_s"))
        # A number that is none has a key that lies before all ranges.
        alone = pl.col("rate_id").is_not_null() & ~self._arithmetic.fits("billable_s")
        rest = found.filter(alone)
        if rest.height:
            found = found.filter(~alone)
            yield self._each(rest.select(calls.columns))
        yield found.select(*calls.columns, "rate_id", *self._arithmetic.charge("billable_s"))

    def _each(self, calls: pl.DataFrame) -> pl.DataFrame:
        rows: list[tuple[int | None, int, int, int]] = []
        for called, started_us, answered_us, billed_us in calls.select(CALL_COLUMNS).iter_rows():
            rate = self.rate_of(called, started_us)
            if rate is None:
                rows.append((None, 0, 0, 0))
            else:
                owed = charge(rate, self.tariff, billed_us, answered_us)
                if owed.total >= MAX_AMOUNT:  # where the rater stops
                    raise InputRefused(
                        f"a call to {called} of {billed_us} microseconds at rate {rate.id} of tariff "
                        f"{self.tariff.name} costs more than any amount can be"
                    )
                rows.append((rate.id, owed.billable_s, owed.total, owed.tax))
        return calls.hstack(pl.DataFrame(rows, schema=RATED_COLUMNS, orient="row"))


def number_key(column: str) -> pl.Expr:
    """The key of an E.164 number as a compiled deck has them; -1 for what is no number."""
    digits = pl.col(column).str.len_bytes()
    spans = pl.lit(pl.Series(_SPANS, dtype=pl.Int64))
    aligned = pl.col(column).cast(pl.Int64, strict=False) * spans.gather(
        pl.min_horizontal(digits, pl.lit(15))
    )
    signed = pl.col(column).str.starts_with("+") | pl.col(column).str.starts_with("-")
    is_number = (digits <= E164_MAX_DIGITS) & ~signed
    return pl.when(is_number).then(aligned * 16 + digits.cast(pl.Int64)).otherwise(None).fill_null(_NOBODY)


def _rows_of(deck: CompiledDeck) -> pl.DataFrame:
    packed = pl.DataFrame({"packed": list(deck.packed_rows())}, schema={"packed": pl.Binary})
    columns, start = {}, 0
    for name, code in PACKED_FIELDS:
        width, kind = _WIDTHS[code]
        part = pl.col("packed").bin.slice(start, width)
        columns[name] = part.bin.reinterpret(dtype=kind, endianness="big")
        start += width
    rows = packed.select(**columns).rename({"id": "rate_id"}).drop("destination")
    plain = [True] * rows.height
    for row in deck.rows_with_terms():
        plain[row] = False
    return rows.cast({"key": pl.Int64, "rate_id": pl.Int64}).with_columns(plain=pl.Series(plain))


def _ranges(keys: pl.Series) -> tuple["array[int]", "array[int]"]:
    """Where prefixes begin and end, and the innermost row from there on; -1: none.

    Keys carry a prefix's length, so that one that begins where a shorter number lies stays behind it.
    """
    begins, owners = array("q"), array("i")
    around: list[tuple[int, int]] = []

    def leave(until: int) -> None:
        while around and around[-1][0] <= until:
            end, _ = around.pop()
            owner = around[-1][1] if around else _NOBODY
            if begins and begins[-1] == end << 4:
                owners[-1] = owner
            else:
                begins.append(end << 4)
                owners.append(owner)

    for row, key in enumerate(keys):
        leave(key >> 4)
        if begins and begins[-1] == key:  # of rows of the same prefix the last one counts
            around.pop()
            owners[-1] = row
        else:
            begins.append(key)
            owners.append(row)
        around.append(((key >> 4) + _SPANS[key & 15], row))
    leave(10**E164_MAX_DIGITS)
    return begins, owners


def _split(calls: pl.DataFrame, edges: Sequence[int]) -> Iterator[pl.DataFrame]:
    """The calls before, between and after moments."""
    if not edges:
        yield calls
        return
    started = pl.col("started_us")
    yield calls.filter(started < edges[0])
    for begin_us, end_us in pairwise(edges):
        yield calls.filter((started >= begin_us) & (started < end_us))
    yield calls.filter(started >= edges[-1])


def _unrated(calls: pl.DataFrame) -> pl.DataFrame:
    nothing = {
        name: pl.lit(None if name == "rate_id" else 0, dtype=kind) for name, kind in RATED_COLUMNS.items()
    }
    return calls.with_columns(**nothing)


def _effective_from(version: tuple[int, FlatDeck]) -> int:
    return version[0]
