"""Price lists as text, for tests that read as the domain does.

    49    Germany   0.12  fee 0.00  min 0.00  1/1   free 10   step 30 0.06   max 0.50 ends
          ... band evening 0.06 0.05 60/60

A band names its price, its connection fee and its increments.
"""

from collections.abc import Iterable, Iterator

from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms, Step

RETAIL = """
    49    Germany   0.12  fee 0.00  min 0.00  1/1
    33    France    0.30  fee 0.05  min 0.00  60/60
    1     America   0.60  fee 0.00  min 0.25  30/6
    800   Freephone 0.00  fee 0.00  min 0.00  1/1
    44    Britain   0.12  fee 0.00  min 0.00  1/1    free 10
    7700  Deluxe    6.00  fee 1.00  min 0.00  60/60
"""
WHOLESALE = """
    49    Germany   0.06  fee 0.00  min 0.00  1/1
    33    France    0.15  fee 0.00  min 0.00  60/60
    1     America   0.30  fee 0.00  min 0.00  60/60
    800   Freephone 0.00  fee 0.00  min 0.00  1/1
    44    Britain   0.06  fee 0.00  min 0.00  1/1
    7700  Deluxe    3.00  fee 0.00  min 0.00  60/60
"""
INBOUND = "4930 Berlin 0.02 fee 0.00 min 0.00 1/1"


def price(text: str) -> int:
    """A price as people write it."""
    return compile_price(parse_decimal(text))


def rates_of(table: str, ids: Iterable[int]) -> list[Rate]:
    """The rows of a price list as it stands above."""
    lines = [line.split() for line in table.strip().splitlines()]
    return [_rate(id, iter(words)) for id, words in zip(ids, lines, strict=False)]


def _rate(id: int, words: Iterator[str]) -> Rate:
    prefix, name, per_min = next(words), next(words), price(next(words))
    fee, minimum, increments, free_s = 0, 0, (1, 1), 0
    steps: list[Step] = []
    bands: list[tuple[str, BandPrice]] = []
    maximum: int | None = None
    ends = False
    for word in words:
        match word:
            case "fee":
                fee = price(next(words))
            case "min":
                minimum = price(next(words))
            case "free":
                free_s = int(next(words))
            case "step":
                steps.append(Step(int(next(words)), price(next(words))))
            case "max":
                maximum = price(next(words))
            case "ends":
                ends = True
            case "band":
                band = next(words)
                amounts = price(next(words)), price(next(words))
                bands.append((band, BandPrice(*amounts, 0, *_increments(next(words)))))
            case _:
                increments = _increments(word)
    terms = None
    if steps or bands or maximum is not None:
        terms = RateTerms(tuple(steps), tuple(bands), False, maximum, ends)
    return Rate(id, prefix, name, per_min, fee, minimum, *increments, free_s, terms=terms)


def _increments(text: str) -> tuple[int, int]:
    initial_s, following_s = map(int, text.split("/"))
    return initial_s, following_s
