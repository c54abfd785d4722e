"""What a part of a period costs: by its whole local days, or by its seconds.

A day belongs to what is in force when it ends. So the day of a change is the new plan's, the first day of
a subscription is paid whole, the one on which it ends or is paused is not, and no day is counted twice. A
part is measured against the true length of its period: 28 to 31 days of a month, 366 of a leap year's.

What is rounded is what the period costs up to a moment, and a part costs what lies between its two ends:
so the parts of a period, however it is cut, add up to the whole to the last step of the unit.
"""

from enum import StrEnum
from typing import NamedTuple

from pbxbill.billing.period import Period, days_between
from pbxbill.clock import SECOND_US
from pbxbill.errors import check
from pbxbill.money import Rounding, round_ratio


class Proration(StrEnum):
    """What parts of periods are measured in."""

    DAY = "day"
    SECOND = "second"
    NONE = "none"
    """A period that has begun costs all of it, and nothing is given back."""


class Prorated(NamedTuple):
    """A part of an amount, and why it is that much: `used` of `of` days or seconds."""

    amount: int
    used: int
    of: int
    by: Proration


class Portion(NamedTuple):
    """Where in a period a part of it lies: from `begin` to `end` of its `of` days or seconds."""

    begin: int
    end: int
    of: int
    by: Proration

    def share(self, amount: int) -> Prorated:
        """What the part costs where the period costs the amount."""
        share = _share(abs(amount), self.end, self.of) - _share(abs(amount), self.begin, self.of)
        return Prorated(share if amount >= 0 else -share, self.end - self.begin, self.of, self.by)


def portion(part: Period, whole: Period, zone: str, by: Proration) -> Portion:
    """Measure a part of a period. It has its ends in the period."""
    check(
        whole.from_us <= part.from_us <= part.to_us <= whole.to_us,
        "the part {} of a period lies outside of it, {}",
        part,
        whole,
    )
    if by is Proration.NONE:
        return Portion(0, int(part.from_us < part.to_us), 1, by)
    of = _measured(whole.from_us, whole.to_us, zone, by)
    check(of > 0, "the period {} is too short to be measured by the {}", whole, by)
    begin = 0 if part.from_us == whole.from_us else _measured(whole.from_us, part.from_us, zone, by)
    end = of if part.to_us == whole.to_us else _measured(whole.from_us, part.to_us, zone, by)
    return Portion(begin, end, of, by)


def prorated(amount: int, part: Period, whole: Period, zone: str, by: Proration) -> Prorated:
    """What a part of a period costs that costs the amount as a whole."""
    return portion(part, whole, zone, by).share(amount)


def _measured(from_us: int, to_us: int, zone: str, by: Proration) -> int:
    if by is Proration.DAY:
        return days_between(from_us, to_us, zone)
    return to_us // SECOND_US - from_us // SECOND_US


def _share(amount: int, used: int, of: int) -> int:
    return round_ratio(amount * used, of, Rounding.HALF_UP)
