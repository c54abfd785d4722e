"""Hours, days and months of a time zone in which spending is limited, right across changes of its clocks."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pbxbill.clock import SECOND_US

WINDOWS = ("hour", "day", "month")
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def spend_window(window: str, zone: str, at_us: int) -> tuple[int, int]:
    """The local hour, day or month around a moment, [from, to).

    Where clocks go back and a time comes twice its hour comes twice, and a day has 25 of them.
    """
    # Every edge is a whole minute of UTC, since all zones keep whole minutes to it.
    return _window(window, zone, at_us // MINUTE_US)


@lru_cache(maxsize=10_000)
def _window(window: str, zone: str, minute: int) -> tuple[int, int]:
    local = ZoneInfo(zone)
    at_us = minute * MINUTE_US
    of_month = window == "month"
    day = (_EPOCH + timedelta(minutes=minute)).astimezone(local).date()
    day = day.replace(day=1) if of_month else day
    # Where midnight itself comes twice or never, the local date alone does not say it.
    while at_us < _midnight_us(day, local):
        day = _shifted(day, -1, of_month=of_month)
    while at_us >= _midnight_us(_shifted(day, 1, of_month=of_month), local):
        day = _shifted(day, 1, of_month=of_month)
    from_us, to_us = _midnight_us(day, local), _midnight_us(_shifted(day, 1, of_month=of_month), local)
    if window == "hour":
        # Counted from midnight, so that hours never overlap, even where clocks move by half of one.
        from_us = at_us - (at_us - from_us) % HOUR_US
        to_us = min(to_us, from_us + HOUR_US)
    return from_us, to_us


def _shifted(day: date, count: int, *, of_month: bool) -> date:
    if not of_month:
        return day + timedelta(days=count)
    months = day.year * 12 + day.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    return (datetime.combine(day, time.min, zone) - _EPOCH) // timedelta(microseconds=1)
