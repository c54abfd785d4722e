"""Which roll-ups a stretch of time is read from, and what of it is read from the records. Pure.

Months and days are used where they lie wholly inside and hold, hours for the rest, records for what is not
rolled up, and for the broken hours at the ends that zones with half hours have.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pbxbill.clock import SECOND_US
from pbxbill.store.rollup_marks import HOUR_US

DAY_US = 24 * HOUR_US
RECORDS = "records"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Part(NamedTuple):
    """Time that is read from one kind of rows."""

    grain: str
    """hour, day, month or records."""
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Which roll-ups hold."""

    until_us: int = 0
    """Hours before it hold, unless they are marked."""
    marked: frozenset[int] = field(default_factory=frozenset)
    days: frozenset[int] = field(default_factory=frozenset)
    months: frozenset[int] = field(default_factory=frozenset)
    """The hours, days, months by their beginnings."""


def month_of(at_us: int) -> tuple[int, int]:
    """The UTC month that a moment lies in: its beginning and its end."""
    at = _EPOCH + timedelta(seconds=at_us // SECOND_US)
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (first + timedelta(days=32)).replace(day=1)
    return (first - _EPOCH) // timedelta(microseconds=1), (after - _EPOCH) // timedelta(microseconds=1)


def cover(from_us: int, to_us: int, standing: Standing) -> list[Part]:
    """The parts that make up [from_us, to_us), in order, neighbours of one grain together."""
    marked_days = {hour // DAY_US * DAY_US for hour in standing.marked}
    marked_months = {month_of(hour)[0] for hour in standing.marked}
    days, months = standing.days - marked_days, standing.months - marked_months
    parts: list[Part] = []
    for part in _steps(from_us, to_us, standing, days, months):
        if parts and parts[-1].grain == part.grain and parts[-1].to_us == part.from_us:
            parts[-1] = Part(part.grain, parts[-1].from_us, part.to_us)
        else:
            parts.append(part)
    return parts


def _steps(
    at_us: int, to_us: int, standing: Standing, days: frozenset[int], months: frozenset[int]
) -> Iterator[Part]:
    while at_us < to_us:
        part = _step(at_us, to_us, standing, days, months)
        yield part
        at_us = part.to_us


def _step(at_us: int, to_us: int, standing: Standing, days: frozenset[int], months: frozenset[int]) -> Part:
    hour_us = at_us // HOUR_US * HOUR_US
    if hour_us >= standing.until_us:
        return Part(RECORDS, at_us, to_us)
    end_us = hour_us + HOUR_US
    if at_us != hour_us or end_us > to_us or hour_us in standing.marked:
        return Part(RECORDS, at_us, min(end_us, to_us))
    if at_us in months and month_of(at_us)[1] <= to_us:
        return Part("month", at_us, month_of(at_us)[1])
    if at_us in days and at_us + DAY_US <= to_us:
        return Part("day", at_us, at_us + DAY_US)
    return Part("hour", at_us, end_us)
