"""When deferred revenue is earned: by the whole local days of a charge's service, told month by month. Pure.

What is rounded is what is earned up to a moment, so it makes no difference how often somebody looks, and a
charge is earned to the last step when its service is over. A day is earned when it is over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from pbxbill.billing.period import Period, day_start_us, days_between, local_date, months_after
from pbxbill.billing.proration import Proration, prorated


@dataclass(frozen=True, slots=True)
class DeferredCharge:
    """A charge of which something is not earned yet."""

    deferred: int
    """Below zero: something given back, which lessens what is earned."""
    earned: int
    service: Period
    posted_us: int
    """When it came into the books: nothing is earned in them before."""
    earned_to_us: int | None = None


class Earning(NamedTuple):
    """What of a charge is earned in a month of the books."""

    month: str
    """YYYY-MM."""
    at_us: int
    """The last moment of it that is reckoned."""
    amount: int


def month_start_us(at_us: int, zone: str) -> int:
    """The first moment of the local month that a moment lies in."""
    return day_start_us(local_date(at_us, zone).replace(day=1), zone)


def earnings(charge: DeferredCharge, until_us: int, zone: str) -> Iterator[Earning]:
    """What is earned until just before a moment beyond what was before, by the months of the books.

    What was served before the charge came into the books is of the month in which it did.
    """
    if charge.posted_us >= until_us:
        return
    reached = charge.earned
    begins_us = max(charge.posted_us, charge.service.from_us, charge.earned_to_us or 0)
    for month, ends_us in _months(begins_us, min(until_us, max(begins_us + 1, charge.service.to_us)), zone):
        at_us = min(ends_us, until_us)
        now = _earned_to(charge, at_us, zone, reached)
        if now != reached:
            yield Earning(f"{month:%Y-%m}", at_us - 1, now - reached)
            reached = now


def _months(from_us: int, to_us: int, zone: str) -> Iterator[tuple[date, int]]:
    """Local months that have a moment in common with this time, and when each ends."""
    month = local_date(from_us, zone).replace(day=1)
    ends_us = from_us
    while ends_us < to_us:
        following = months_after(month, 1)
        ends_us = day_start_us(following, zone)
        yield month, ends_us
        month = following


def _earned_to(charge: DeferredCharge, at_us: int, zone: str, reached: int) -> int:
    """What is earned up to a moment. A note may have left less than was reached: that is never unearned."""
    service = charge.service
    if at_us >= service.to_us:
        return charge.deferred
    if at_us <= service.from_us or not days_between(*service, zone):
        return reached
    part = Period(service.from_us, at_us)
    earned = prorated(charge.deferred, part, service, zone, Proration.DAY).amount
    return max(earned, reached) if charge.deferred > 0 else min(earned, reached)
