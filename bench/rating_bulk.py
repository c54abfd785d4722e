"""Bulk rating beside a bare join: the same calls, from their text, joined with the same ranges and no more.

Both sort the calls' numbers and find each one's longest prefix; rating then charges them too. Decks of all
sizes take turns. A third figure is the join alone of keys that are ready, which no source of calls has.
"""

import time
from statistics import median

import polars as pl

from bench.figures import Figures, progress
from bench.lookup import rows
from pbxbill.clock import SECOND_US
from pbxbill.mediation.bulk import CHUNK_CALLS, BulkTariff, FlatDeck, number_key
from pbxbill.money import Unit
from pbxbill.rating.deck import CompiledDeck
from pbxbill.rating.tariff import Tariff, TaxMode

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}
CALLS = 5_000_000
QUICK_CALLS = 1_000_000
FLAT = 0.5
"""Within a factor of two."""
THIRD = 0.333
AT_US = 1_767_225_600_000_000
TARIFF = Tariff(1, "Retail", 1, Unit("EUR"), tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000)


def made_up_calls(prefixes: list[str], count: int) -> pl.DataFrame:
    """Calls to numbers below a deck's prefixes in random order, of up to an hour."""
    prefix = pl.Series("prefix", prefixes).sample(count, with_replacement=True, seed=1)
    numbers = pl.int_range(count, dtype=pl.Int64).shuffle(2)
    tail = (numbers % 1_000_000 + 1_000_000).cast(pl.String).str.slice(1)
    return pl.DataFrame({"prefix": prefix}).select(
        called=(pl.col("prefix") + tail).str.slice(0, 15),
        started_us=AT_US + numbers,
        answered_us=AT_US + 5 * SECOND_US + numbers,
        billed_us=numbers % 3600 * SECOND_US + numbers % 1000,
    )


def joined(calls: pl.DataFrame, ranges: pl.DataFrame) -> int:
    """The bare join, in chunks as rating takes them."""
    found = 0
    for chunk in calls.iter_slices(CHUNK_CALLS):
        keys = chunk.with_columns(number_key("called").alias("key")).sort("key")
        found += keys.join_asof(ranges, on="key", check_sortedness=False).height
    return found


def measure(figures: Figures, *, quick: bool) -> None:
    """All sizes in turns."""
    count = QUICK_CALLS if quick else CALLS
    sides: dict[str, tuple[pl.DataFrame, BulkTariff, pl.DataFrame]] = {}
    for name, size in SIZES.items():
        progress(f"flattening {size:,} prefixes")
        source = rows(size)
        deck = CompiledDeck.from_rows(1, source)
        began = time.perf_counter()
        flat = FlatDeck(deck)
        ranges = flat.ranges(AT_US).select("key", "rate_id")
        figures.add(f"bulk deck.{name}", ranges=ranges.height, flatten_s=time.perf_counter() - began)
        calls = made_up_calls([row[1] for row in source], count)
        sides[name] = (calls, BulkTariff(TARIFF, [(0, flat)]), ranges)
    progress(f"rating {count:,} calls at a time")
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in SIZES}
    for _ in range(3 if quick else 5):
        for name, (calls, tariff, ranges) in sides.items():
            rounds[name].append(_one_round(calls, tariff, ranges))
    for name, found in rounds.items():
        figures.add(f"bulk.{name}", **{what: median(x[what] for x in found) for what in found[0]})
        ratio = median(x["rated_per_s"] / x["joined_per_s"] for x in found)
        figures.at_least(f"bulk.{name}.ratio_to_join", ratio, THIRD)
    for name in ("10k", "100k", "1M"):
        pairs = zip(rounds[name], rounds["1k"], strict=True)
        ratio = median(large["rated_per_s"] / small["rated_per_s"] for large, small in pairs)
        figures.at_least(f"bulk.{name}.ratio_to_1k", ratio, FLAT)


def _one_round(calls: pl.DataFrame, tariff: BulkTariff, ranges: pl.DataFrame) -> dict[str, float]:
    began = time.perf_counter()
    joined(calls, ranges)
    join_s = time.perf_counter() - began
    began = time.perf_counter()
    total = sum(tariff.charged(chunk)["total"].sum() for chunk in calls.iter_slices(CHUNK_CALLS))
    rate_s = time.perf_counter() - began
    assert total > 0
    keys = calls.select(key=number_key("called"))
    began = time.perf_counter()
    keys.sort("key").join_asof(ranges, on="key", check_sortedness=False)
    ready_s = time.perf_counter() - began
    return {
        "rated_per_s": calls.height / rate_s,
        "joined_per_s": calls.height / join_s,
        "joined_ready_keys_per_s": calls.height / ready_s,
    }
