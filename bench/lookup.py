"""Longest-prefix lookups per second as a deck grows to a million prefixes, and what such a deck costs.

Decks of all sizes are asked in turns, each with numbers below its own prefixes in random order.
"""

import gc
import sys
import time
import tracemalloc
from random import Random
from statistics import median

from bench.figures import Figures, progress, run
from bench.site import made_up_prefixes
from pbxbill.rating.deck import CompiledDeck, RateRow

ABOUT = "longest-prefix lookups per second at 1 thousand, 100 thousand and 1 million prefixes"
SIZES = {"1k": 1_000, "100k": 100_000, "1M": 1_000_000}
GOAL = 0.5
LOOKUPS = 20_000
AT_US = 1_767_225_600_000_000


def rows(count: int) -> list[RateRow]:
    """The rows of a deck, as the store returns them."""
    prefixes = made_up_prefixes(count)
    return [
        (id, prefix, f"Zone {prefix[:3]}", 10**10, 0, 0, 60, 60, 0, None, None)
        for id, prefix in enumerate(prefixes, 1)
    ]


def compile_deck(figures: Figures, name: str, count: int) -> tuple[CompiledDeck, list[str]]:
    """A deck, how long compiling it took and what it keeps; and numbers to ask it for."""
    source = rows(count)
    began = time.perf_counter()
    CompiledDeck.from_rows(1, source)
    took_s = time.perf_counter() - began
    gc.collect()
    tracemalloc.start()
    deck = CompiledDeck.from_rows(1, source)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    figures.add(
        f"deck.{name}", prefixes=len(deck), compile_s=took_s, kept_mb=kept / 2**20, peak_mb=peak / 2**20
    )
    random = Random(3)
    numbers = [f"{random.choice(source)[1]}{random.randrange(10**6):06}" for _ in range(LOOKUPS)]
    return deck, numbers


def lookups_per_s(deck: CompiledDeck, numbers: list[str]) -> float:
    """One round."""
    began = time.perf_counter()
    missed = sum(deck.find(number, AT_US) is None for number in numbers)
    took_s = time.perf_counter() - began
    if missed:
        sys.exit(f"{missed} numbers have no rate, though each begins with a prefix of the deck")
    return len(numbers) / took_s


def measure(figures: Figures, quick: bool) -> None:
    """All sizes."""
    decks = {}
    for name, count in SIZES.items():
        progress(f"compiling {count:,} prefixes")
        decks[name] = compile_deck(figures, name, count)
    rounds = [{name: lookups_per_s(*deck) for name, deck in decks.items()} for _ in range(5 if quick else 25)]
    for name in SIZES:
        figures.add(f"lookup.{name}", per_s=median(found[name] for found in rounds))
    for name in ("100k", "1M"):
        ratio = median(found[name] / found["1k"] for found in rounds)
        figures.at_least(f"lookup.{name}.ratio_to_1k", ratio, GOAL)


if __name__ == "__main__":
    run("lookup", ABOUT, measure)
