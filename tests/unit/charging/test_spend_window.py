"""Hours, days and months as the people of a zone count them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.charging.spend_window import HOUR_US, WINDOWS, spend_window
from pbxbill.clock import SECOND_US

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "America/St_Johns",
    "Pacific/Apia",
    "Asia/Gaza",
    "America/Havana",
    "Africa/Casablanca",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "window, zone, at, begin, end",
    [
        ("hour", "UTC", "2026-01-31T08:59:59Z", "2026-01-31T08:00Z", "2026-01-31T09:00Z"),
        ("hour", "Asia/Kathmandu", "2026-01-31T08:20Z", "2026-01-31T08:15Z", "2026-01-31T09:15Z"),
        ("day", "Europe/Berlin", "2026-01-31T22:59:59Z", "2026-01-30T23:00Z", "2026-01-31T23:00Z"),
        ("day", "Europe/Berlin", "2026-01-31T23:00:00Z", "2026-01-31T23:00Z", "2026-02-01T23:00Z"),
        # 23 and 25 hours.
        ("day", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("day", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        # Two o'clock comes twice.
        ("hour", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"),
        ("hour", "Europe/Berlin", "2026-10-25T01:30Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"),
        # Midnight does not exist: the day begins at one.
        ("day", "Asia/Beirut", "2022-03-27T12:00Z", "2022-03-26T22:00Z", "2022-03-27T21:00Z"),
        ("month", "Europe/Berlin", "2026-03-31T21:59Z", "2026-02-28T23:00Z", "2026-03-31T22:00Z"),
        ("month", "Europe/Berlin", "2026-12-31T22:59Z", "2026-11-30T23:00Z", "2026-12-31T23:00Z"),
        ("month", "UTC", "2024-02-29T12:00Z", "2024-02-01T00:00Z", "2024-03-01T00:00Z"),
    ],
)
def test_a_window_is_that_of_the_zone(window: str, zone: str, at: str, begin: str, end: str) -> None:
    assert spend_window(window, zone, us(at)) == (us(begin), us(end))


MOMENTS = st.integers(min_value=us("1990-01-01T00:00Z"), max_value=us("2035-01-01T00:00Z"))


@given(st.sampled_from(WINDOWS), st.sampled_from(ZONES), MOMENTS)
def test_windows_follow_each_other_without_gap_or_overlap(window: str, zone: str, at_us: int) -> None:
    from_us, to_us = spend_window(window, zone, at_us)
    assert from_us <= at_us < to_us
    assert spend_window(window, zone, from_us) == (from_us, to_us)
    assert spend_window(window, zone, to_us - 1) == (from_us, to_us)
    assert spend_window(window, zone, to_us)[0] == to_us
    assert spend_window(window, zone, from_us - 1)[1] == from_us
    longest = {"hour": 1, "day": 50, "month": 32 * 24}[window]
    assert to_us - from_us <= longest * HOUR_US


@given(st.sampled_from(ZONES), MOMENTS)
def test_a_day_holds_one_date(zone: str, at_us: int) -> None:
    from_us, to_us = spend_window("day", zone, at_us)
    if zone in ("Asia/Gaza", "America/St_Johns"):
        return  # their clocks once went back over midnight: one date came twice
    dates = {
        (EPOCH + timedelta(microseconds=moment)).astimezone(ZoneInfo(zone)).date()
        for moment in range(from_us, to_us, 30 * 60 * SECOND_US)
    }
    assert len(dates) == 1
