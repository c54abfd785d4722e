"""Rating, live and in bulk, as a deck grows to a million prefixes that all have bands.

Live is what the daemon does for a call: look its rate up, reckon how long funds and a bundle last, then what
it costs; every other call crosses the edge of a band. Decks of all sizes are asked in turns. Beside them
stands the same call on a rate without terms and with no bundle.
"""

import gc
import sys
import time
from random import Random
from statistics import median

from bench import rating_bulk
from bench.figures import Figures, progress, run
from bench.site import made_up_prefixes
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit
from pbxbill.rating.allotment import Allotment
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.deck import CompiledDeck, RateRow
from pbxbill.rating.rate_terms import terms_to_json
from pbxbill.rating.rater import affordable, charge
from pbxbill.rating.tariff import BandPrice, RateTerms, Tariff, TaxMode

ABOUT = "rating with bands and a bundle at 1 thousand to 1 million prefixes, live and in bulk"
SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}
GOAL = 0.5
"""Flat within a factor of two."""
CALLS = 5_000
WORKDAYS = frozenset(range(5))
FRIDAY_EVENING_US = 1_774_630_680 * SECOND_US
"""17:58 in Berlin on 27 March 2026; the evening begins two minutes later."""
CALENDAR = BandCalendar(
    1,
    "Germany",
    "Europe/Berlin",
    (
        BandRule("day", WORKDAYS, 8 * 3600, 18 * 3600),
        BandRule("evening", WORKDAYS, 18 * 3600, 8 * 3600),
        BandRule("weekend", frozenset({5, 6})),
    ),
)
TARIFF = Tariff(1, "Retail", 1, Unit("EUR"), tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000, calendar=CALENDAR)
BUNDLE = (Allotment(1, 120, 60, 60),)
FUNDS = 5_000_000
PLAIN_PREFIX = "999999999999"
"""Longer than any made-up prefix, so that no banded one lies behind its numbers."""
CENT = 10**10


def banded_rows(count: int) -> list[RateRow]:
    """A deck of which each row has bands, at prices of its own, and one plain row."""
    rows: list[RateRow] = [(0, PLAIN_PREFIX, "Plain", CENT, 0, 0, 60, 6, 0, None, None, None)]
    for id, prefix in enumerate(made_up_prefixes(count), 1):
        price = CENT + id % 5_000 * (CENT // 1_000)
        bands = (
            ("day", BandPrice(price, 0, 0, 60, 6)),
            ("evening", BandPrice(price // 2, 0, 0, 30, 6)),
            ("weekend", BandPrice(price // 3, 0, 0, 1, 1)),
        )
        text = terms_to_json(RateTerms(bands=bands))
        rows.append((id, prefix, f"Zone {prefix[:3]}", price, 0, 0, 60, 6, 0, None, None, text))
    return rows


def made_up_numbers(rows: list[RateRow]) -> list[str]:
    """Numbers to call, below the deck's own prefixes in random order."""
    random = Random(3)
    chosen = random.choices(range(1, len(rows)), k=CALLS)
    return [f"{rows[row][1]}{random.randrange(10**6):06}" for row in chosen]


def live_per_s(deck: CompiledDeck, numbers: list[str], bundle: tuple[Allotment, ...]) -> float:
    """How many calls a second are looked up, bounded and charged."""
    began = time.perf_counter()
    for number, start_us in zip(numbers, range(FRIDAY_EVENING_US, sys.maxsize, SECOND_US), strict=False):
        rate = deck.find(number, start_us)
        if rate is None:
            sys.exit(f"{number} has no rate, though it begins with a prefix of the deck")
        at_us = FRIDAY_EVENING_US + start_us % (240 * SECOND_US)  # half of them end within the day
        lasts_us = affordable(rate, TARIFF, FUNDS, 7_200, at_us, bundle)
        charge(rate, TARIFF, min(lasts_us, 180 * SECOND_US), at_us, bundle)
    return len(numbers) / (time.perf_counter() - began)


def measure_live(figures: Figures, quick: bool) -> None:
    """All sizes in turns; each round gives a ratio to the smallest deck."""
    decks: dict[str, tuple[CompiledDeck, list[str]]] = {}
    for name, count in SIZES.items():
        progress(f"compiling {count:,} prefixes with bands")
        rows = banded_rows(count)
        began = time.perf_counter()
        deck = CompiledDeck.from_rows(1, rows)
        figures.add(f"deck.{name}", prefixes=count, compile_s=time.perf_counter() - began)
        decks[name] = deck, made_up_numbers(rows)
        del rows
        gc.collect()
    plain = [f"{PLAIN_PREFIX}{number % 1000:03}" for number in range(CALLS)]
    rounds = []
    for _ in range(5 if quick else 25):
        found = {name: live_per_s(deck, numbers, BUNDLE) for name, (deck, numbers) in decks.items()}
        found["plain"] = live_per_s(decks["1M"][0], plain, ())
        rounds.append(found)
    for name in SIZES:
        figures.add(f"live.{name}", calls_per_s=median(found[name] for found in rounds))
    figures.add("live.1M.plain rate", calls_per_s=median(found["plain"] for found in rounds))
    for name in ("10k", "100k", "1M"):
        ratio = median(found[name] / found["1k"] for found in rounds)
        figures.at_least(f"live.{name}.ratio_to_1k", ratio, GOAL)


def measure(figures: Figures, quick: bool) -> None:
    """Both parts."""
    measure_live(figures, quick)
    rating_bulk.measure(figures, quick=quick)


if __name__ == "__main__":
    run("rating", ABOUT, measure)
