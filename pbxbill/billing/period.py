"""Periods that accounts and subscriptions are billed for: end to end, from local day to local day.

A cycle is every so many days, weeks, months, quarters or years, counted from its anchor, a local day. An
anchor on the 29th to 31st falls on the last day of shorter months and comes back in longer ones. A day
begins at midnight, or where the clock is put forward over it; it is an hour longer or shorter where
clocks are changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from pbxbill.errors import InputRefused
from pbxbill.rating.band_checks import zone_of
from pbxbill.rating.cycles import CYCLES, clock_day, day_begin_us, day_in_month, days_of_cycle

MOST_OF_A_CYCLE = {"day": 366, "week": 104, "month": 120, "quarter": 40, "year": 10}
"""How many of each a period may have."""


class Period(NamedTuple):
    """From a moment until just before another."""

    from_us: int
    to_us: int

    def common(self, other: "Period") -> "Period":
        """What lies in both; a period without length if nothing does."""
        from_us = max(self.from_us, other.from_us)
        return Period(from_us, max(from_us, min(self.to_us, other.to_us)))

    def holds(self, at_us: int) -> bool:
        """Whether a moment lies in it; its end is the next one's."""
        return self.from_us <= at_us < self.to_us


def local_date(at_us: int, zone: str) -> date:
    """The local day that a moment lies in: the last one that has begun."""
    place = zone_of(zone)
    try:
        today = clock_day(at_us, place)
        tomorrow = today + timedelta(days=1)
        # A clock put back over midnight shows the old day again.
        return tomorrow if day_begin_us(tomorrow, place) <= at_us else today
    except (OverflowError, ValueError):
        raise InputRefused("a moment so far away lies on no day") from None


def day_start_us(day: date, zone: str) -> int:
    """The first moment of a local day."""
    try:
        return day_begin_us(day, zone_of(zone))
    except (OverflowError, ValueError):
        raise InputRefused(f"{day} is too far away to bill") from None


def days_between(from_us: int, to_us: int, zone: str) -> int:
    """Local days from the day of one moment until just before the day of another."""
    return (local_date(to_us, zone) - local_date(from_us, zone)).days


def months_after(day: date, months: int) -> date:
    """The like day so many months later; the last of its month, where that is shorter."""
    try:
        return day_in_month(day.year * 12 + day.month - 1 + months, day.day)
    except ValueError:
        raise InputRefused(f"{months} months after {day} is too far away to bill") from None


@dataclass(frozen=True, slots=True)
class BillingCycle:
    """How periods follow each other."""

    unit: str
    """day, week, month, quarter or year."""
    every: int
    """How many of them a period has."""
    anchor: date
    """A local day on which a period begins."""
    zone: str

    def __post_init__(self) -> None:
        check_cycle(self.unit, self.every)
        zone_of(self.zone)

    def period_of(self, at_us: int) -> Period:
        """The period that a moment lies in."""
        return self.period_of_day(local_date(at_us, self.zone))

    def period_of_day(self, day: date) -> Period:
        """The period that a local day lies in."""
        try:
            first, following = days_of_cycle(self.unit, self.every, self.anchor, day)
        except (OverflowError, ValueError):
            raise InputRefused(f"{day} is too far away to bill") from None
        return Period(day_start_us(first, self.zone), day_start_us(following, self.zone))

    def periods(self, from_us: int, to_us: int) -> Iterator[Period]:
        """All periods, whole, that have a moment in common with this time."""
        while from_us < to_us:
            period = self.period_of(from_us)
            yield period
            from_us = period.to_us


def check_cycle(unit: str, every: int) -> None:
    """Refuse what is no cycle."""
    if unit not in CYCLES:
        raise InputRefused(f"there is no cycle {unit[:40]!r}; a cycle is a {', '.join(CYCLES)}")
    most = MOST_OF_A_CYCLE[unit]
    if not 1 <= every <= most:
        raise InputRefused(f"a period has 1 to {most} {unit}s, not {every}")
