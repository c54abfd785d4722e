"""Cycles: the day, week, month, quarter or year of a moment in a time zone, in UTC microseconds.

Cycles lie end to end and begin where a local day begins, so that one with a change of the clocks in it is
an hour longer or shorter. An anchor moves their beginning: a month's to the anchor's day of the month (the
31st is the last day of shorter months), a week's to its weekday, a quarter's and a year's to its day and
month. Cycles of several weeks or months are counted from the anchor itself.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.rating.band_checks import zone_of

CYCLES = ("day", "week", "month", "quarter", "year")
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cycle_of(cycle: str, zone: str, at_us: int, anchor_us: int | None = None) -> tuple[int, int]:
    """The cycle that a moment lies in: where it begins, and where the next one does."""
    if cycle not in CYCLES:
        raise InputRefused(f"there is no cycle {cycle[:40]!r}; a cycle is a {', '.join(CYCLES)}")
    place = zone_of(zone)
    try:
        today = clock_day(at_us, place)
        anchor = date(2001, 1, 1) if anchor_us is None else clock_day(anchor_us, place)  # a Monday
        first, following = days_of_cycle(cycle, 1, anchor, today)
        if day_begin_us(following, place) <= at_us:  # a clock put back over midnight shows the old day again
            first, following = days_of_cycle(cycle, 1, anchor, today + timedelta(days=1))
        return day_begin_us(first, place), day_begin_us(following, place)
    except (OverflowError, ValueError):
        raise InputRefused("a moment so far away lies in no cycle") from None


def days_of_cycle(cycle: str, every: int, anchor: date, today: date) -> tuple[date, date]:
    """First days of the cycle of so many days, weeks, months ... that a day lies in, and of the next one."""
    if cycle in _DAYS:
        length = _DAYS[cycle] * every
        first = today - timedelta(days=(today - anchor).days % length)
        return first, first + timedelta(days=length)
    length = _MONTHS[cycle] * every
    month = today.year * 12 + today.month - 1
    month -= (month - (anchor.year * 12 + anchor.month - 1)) % length
    if day_in_month(month, anchor.day) > today:
        month -= length
    elif day_in_month(month + length, anchor.day) <= today:
        month += length
    return day_in_month(month, anchor.day), day_in_month(month + length, anchor.day)


def day_in_month(month: int, day: int) -> date:
    """A day of a month counted from year 0; the last one, where the month is shorter."""
    year, month0 = divmod(month, 12)
    return date(year, month0 + 1, min(day, monthrange(year, month0 + 1)[1]))


def clock_day(at_us: int, zone: ZoneInfo) -> date:
    """The day that a calendar on the wall shows at a moment."""
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(zone).date()


def day_begin_us(day: date, zone: ZoneInfo) -> int:
    """The first moment of a local day, midnight or where the clock is put forward over it."""
    midnight = datetime.combine(day, time(), zone).astimezone(UTC)
    begin_s = (midnight - _EPOCH) // timedelta(seconds=1)
    if _is_before(begin_s - 1, day, zone) and not _is_before(begin_s, day, zone):
        return begin_s * SECOND_US
    # The clock skips midnight, or more: find where the day before ends.
    low, high = begin_s - 172_800, begin_s + 172_800
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _is_before(middle, day, zone) else (low, middle)
    return high * SECOND_US


def _is_before(at_s: int, day: date, zone: ZoneInfo) -> bool:
    return clock_day(at_s * SECOND_US, zone) < day
