"""Brings the rows of one prefix together: bands become one rate, prices of now and later follow each
other, contradictions are refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise
from operator import attrgetter

from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.rating.rate_terms import checked_terms
from pbxbill.rating.sheet import SheetRate
from pbxbill.rating.sheet_cells import DEFAULT_ROUTE
from pbxbill.rating.tariff import BandPrice, Rate, RateTerms

MAX_PERIODS = 100
"""Effective periods of one prefix in one sheet, each in as many bands; all are compared with each other."""
MAX_ROWS_OF_PREFIX = 1_000

Contradiction = tuple[int, str]
"""The line that is refused, and why."""


def fold(rows: Iterable[SheetRate]) -> Iterator[tuple[list[Rate], list[Contradiction]]]:
    """The rates of each prefix, and what is refused; rows come sorted by prefix, then line.

    A rate's id is the line of its first row.
    """
    for prefix, group in groupby(rows, key=attrgetter("prefix")):
        rows_of_prefix = iter(group)
        first = next(rows_of_prefix)
        following = next(rows_of_prefix, None)
        if following is None and not first.band:
            reason = _limits_crossed([first])
            yield ([], [(first.line, reason)]) if reason else ([first.rate(first.line)], [])
        else:
            yield _folded(prefix, first, following, rows_of_prefix)


def _folded(
    prefix: str, first: SheetRate, second: SheetRate | None, rest: Iterator[SheetRate]
) -> tuple[list[Rate], list[Contradiction]]:
    shown = prefix or DEFAULT_ROUTE
    rows = [first, *([] if second is None else [second]), *islice(rest, MAX_ROWS_OF_PREFIX - 2)]
    taken: list[SheetRate] = []
    refused: list[Contradiction] = []
    for row in _in_turn(rows):
        reason = _contradiction(row, taken, shown)
        if reason is None:
            taken.append(row)
        else:
            refused.append((row.line, reason))
    too_many = f"prefix {shown} has more than {MAX_ROWS_OF_PREFIX} rows"
    refused += [(row.line, too_many) for row in rest]
    by_period: dict[tuple[int | None, int | None], list[SheetRate]] = {}
    for row in taken:
        by_period.setdefault((row.effective_from_us, row.effective_to_us), []).append(row)
    rates = []
    for together in by_period.values():
        reason = _limits_crossed(together)
        if reason is not None:
            refused += [(row.line, reason) for row in together]
            continue
        try:
            rates.append(_rate(together))
        except InputRefused as refusal:
            refused += [(row.line, f"prefix {shown}: {refusal}") for row in together]
    rates.sort(key=lambda rate: -1 if rate.effective_from_us is None else rate.effective_from_us)
    return rates, refused


def _in_turn(rows: Sequence[SheetRate]) -> list[SheetRate]:
    """These rows; those of now, without an end, end where those of later, without one either, begin.

    Only where both are of the same bands: otherwise a band would end unseen. A row of later that ends is no
    successor, since nothing says what counts after it.
    """
    of_start: dict[int | None, list[SheetRate]] = {}
    for row in rows:
        of_start.setdefault(row.effective_from_us, []).append(row)
    ends: dict[int | None, int | None] = {}
    for start, later in pairwise(sorted(of_start, key=_start)):
        same_bands = {row.band for row in of_start[start]} == {row.band for row in of_start[later]}
        if same_bands and all(row.effective_to_us is None for row in of_start[later]):
            ends[start] = later
    return [
        row._replace(effective_to_us=ends.get(row.effective_from_us)) if row.effective_to_us is None else row
        for row in rows
    ]


def _start(from_us: int | None) -> tuple[bool, int]:
    return (from_us is not None, from_us or 0)


def _contradiction(row: SheetRate, taken: Sequence[SheetRate], shown: str) -> str | None:
    period = (row.effective_from_us, row.effective_to_us)
    periods = {(other.effective_from_us, other.effective_to_us) for other in taken}
    if len(periods) >= MAX_PERIODS and period not in periods:
        return f"prefix {shown} has more than {MAX_PERIODS} effective periods"
    in_band = f" in band {row.band}" if row.band else ""
    for other in taken:
        same = period == (other.effective_from_us, other.effective_to_us)
        if same and row.band == other.band:
            where = f"line {other.line}" if other.line != row.line else "this line itself"
            return f"prefix {shown}{in_band} is a duplicate of {where}"
        if not same and _overlap(row, other):
            if row.band == other.band:
                return f"the effective period of prefix {shown}{in_band} overlaps with line {other.line}"
            return (
                f"the effective period of prefix {shown} overlaps with that of another band in line "
                f"{other.line}; the bands of a prefix have the same period"
            )
        limits = (row.maximum_charge, row.ends_at_maximum)
        stated = row.maximum_charge is not None and other.maximum_charge is not None
        if same and stated and limits != (other.maximum_charge, other.ends_at_maximum):
            return f"the maximum charge of prefix {shown} differs from line {other.line}"
    return None


def _limits_crossed(together: Sequence[SheetRate]) -> str | None:
    """Why no call could keep the limits of these rows, which become one rate."""
    maximum = next((row.maximum_charge for row in together if row.maximum_charge is not None), None)
    minimum = max(row.minimum_charge for row in together)
    if maximum is None or minimum <= maximum:
        return None
    return (
        f"maximum_charge: {_shown(maximum)} is below the minimum_charge {_shown(minimum)}; "
        "are the two swapped?"
    )


def _rate(rows: Sequence[SheetRate]) -> Rate:
    base = next((row for row in rows if not row.band), None)
    banded = sorted((row for row in rows if row.band), key=attrgetter("band"))
    if not banded:
        return rows[0].rate(rows[0].line)
    bands = tuple((row.band, _band_price(row)) for row in banded)
    limited = next((row for row in rows if row.maximum_charge is not None), rows[0])
    # Without a price outside the bands the dearest band's stands in: the calendar leaves no gap for it.
    shown = base or max(banded, key=attrgetter("price_per_min"))
    terms = RateTerms(
        base.steps if base else (), bands, base is None, limited.maximum_charge, limited.ends_at_maximum
    )
    rate = shown.rate(min(row.line for row in rows))._replace(terms=terms)
    checked_terms(terms, rate.connection_fee)
    return rate


def _band_price(row: SheetRate) -> BandPrice:
    return BandPrice(
        row.price_per_min,
        row.connection_fee,
        row.minimum_charge,
        row.initial_increment_s,
        row.following_increment_s,
        row.free_s,
        row.steps,
    )


def _shown(price: int) -> str:
    return f"{to_decimal(price, PRICE_SCALE).normalize():f}"


def _overlap(one: SheetRate, other: SheetRate) -> bool:
    return _before(one.effective_from_us, other.effective_to_us) and _before(
        other.effective_from_us, one.effective_to_us
    )


def _before(start_us: int | None, end_us: int | None) -> bool:
    return start_us is None or end_us is None or start_us < end_us
