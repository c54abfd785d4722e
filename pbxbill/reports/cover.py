"""Which roll-ups a stretch of time is read from, and what of it is read from the records. Pure.

Months and days are used where they lie wholly inside and hold, half hours for the rest, records for what is
not rolled up, and for the broken halves at the ends that zones with quarters have.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pbxbill.store.rollup_marks import HOUR_US

DAY_US = 24 * HOUR_US
HALF_US = HOUR_US // 2
_QUARTER_US = HOUR_US // 4
RECORDS = "records"


class Part(NamedTuple):
    """Time that is read from one kind of rows."""

    grain: str
    """half, day, month or records; halves and records may be many in a row."""
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Which roll-ups of a seller and a dimension hold."""

    until_us: int = 0
    """Hours before it hold, unless they are marked."""
    kept_us: int = 0
    """There are halves from there on."""
    marked: frozenset[int] = field(default_factory=frozenset)
    days: Mapping[int, int] = field(default_factory=dict)
    months: Mapping[int, int] = field(default_factory=dict)
    """The end of each, by its beginning."""
    first_us: int = 0
    """The hour of the first call: before it there is nothing to read."""


def cover(from_us: int, to_us: int, standing: Standing) -> list[Part]:
    """The parts that make up [from_us, to_us), in order, but for what lies wholly before the first call."""
    marked = sorted(standing.marked)
    days, months = _unmarked(standing.days, marked), _unmarked(standing.months, marked)
    parts: list[Part] = []
    for part in _steps(from_us, to_us, standing, days, months):
        if part.to_us <= standing.first_us:
            continue
        if part.grain in ("half", RECORDS) and parts and parts[-1].grain == part.grain:
            parts[-1] = Part(part.grain, parts[-1].from_us, part.to_us)
        else:
            parts.append(part)
    return parts


def _unmarked(periods: Mapping[int, int], marked: list[int]) -> dict[int, int]:
    """Without those in which an hour is marked."""
    return {
        start_us: end_us
        for start_us, end_us in periods.items()
        if bisect_right(marked, start_us - HOUR_US) == bisect_right(marked, end_us - 1)
    }


def _steps(
    at_us: int, to_us: int, standing: Standing, days: Mapping[int, int], months: Mapping[int, int]
) -> Iterator[Part]:
    starts = sorted((*days, *months, to_us))
    while at_us < to_us:
        if months.get(at_us, to_us + 1) <= to_us:
            part = Part("month", at_us, months[at_us])
        elif days.get(at_us, to_us + 1) <= to_us:
            part = Part("day", at_us, days[at_us])
        elif at_us < standing.first_us:
            part = Part(RECORDS, at_us, min(starts[bisect_right(starts, at_us)], standing.first_us))
        else:
            part = _short_step(at_us, to_us, standing)
        yield part
        at_us = part.to_us


def _short_step(at_us: int, to_us: int, standing: Standing) -> Part:
    hour_us = at_us // HOUR_US * HOUR_US
    if hour_us >= standing.until_us:
        return Part(RECORDS, at_us, to_us)
    has_halves = hour_us >= standing.kept_us and hour_us not in standing.marked
    if has_halves and at_us % HALF_US == 0 and at_us + HALF_US <= to_us:
        return Part("half", at_us, at_us + HALF_US)
    # Days of every zone begin at a quarter: none is stepped over.
    return Part(RECORDS, at_us, min(at_us // _QUARTER_US * _QUARTER_US + _QUARTER_US, to_us))
