"""Marks of hours whose roll-ups no longer hold, written with what was written about their calls.

What is written about a call within an hour of its beginning needs none: its hour is rolled up later.
"""

from collections.abc import Iterable

from pbxbill.clock import SECOND_US
from pbxbill.store.driver import Driver
from pbxbill.store.report_models import RollupMarkRow

HOUR_US = 3_600 * SECOND_US
MARKED_AFTER_US = HOUR_US
"""Calls that began so long ago may be in roll-ups."""
ROLLED_AFTER_US = MARKED_AFTER_US + 600 * SECOND_US
"""How long after its end an hour is rolled up at the earliest: clocks differ, and a commit takes its time."""


def mark_hours(driver: Driver, starts_us: Iterable[int], now_us: int) -> None:
    """Mark the hours in which calls began, as far as they may be rolled up."""
    old_us = now_us - MARKED_AFTER_US
    hours = {at_us // HOUR_US for at_us in starts_us if at_us < old_us}
    if hours:
        rows = [(hour * HOUR_US,) for hour in sorted(hours)]
        driver.insert(RollupMarkRow.__table__, ("hour_us",), rows)  # type: ignore[arg-type]
