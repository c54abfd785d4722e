"""Billing periods: month ends, leap days, every N of them, and clocks east and west."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.billing.period import (
    MOST_OF_A_CYCLE,
    BillingCycle,
    Period,
    day_start_us,
    days_between,
    local_date,
    months_after,
)
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused

HOUR_US = 3600 * SECOND_US


def us(moment: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_US


def local(at_us: int, zone: str) -> str:
    text = datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")


@pytest.mark.parametrize(
    "unit, every, anchor, begins",
    [
        # The 31st clamps to the ends of February, April, June and comes back in March, May, July.
        ("month", 1, "2026-01-31", "2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31 2026-06-30"),
        ("month", 1, "2026-01-30", "2026-01-30 2026-02-28 2026-03-30 2026-04-30 2026-05-30"),
        ("month", 1, "2028-01-29", "2028-01-29 2028-02-29 2028-03-29"),
        ("month", 1, "2027-01-29", "2027-01-29 2027-02-28 2027-03-29"),
        # An anchor that lies later counts backwards as well.
        ("month", 1, "2030-08-31", "2026-01-31 2026-02-28 2026-03-31"),
        ("month", 2, "2025-12-31", "2025-12-31 2026-02-28 2026-04-30 2026-06-30 2026-08-31"),
        ("month", 5, "2026-01-15", "2026-01-15 2026-06-15 2026-11-15 2027-04-15"),
        ("quarter", 1, "2025-11-30", "2025-11-30 2026-02-28 2026-05-30 2026-08-30"),
        # The leap day: the last of February in other years, itself in 2028.
        ("year", 1, "2024-02-29", "2025-02-28 2026-02-28 2027-02-28 2028-02-29 2029-02-28"),
        ("year", 2, "2024-07-01", "2024-07-01 2026-07-01 2028-07-01"),
        ("week", 1, "2026-05-07", "2026-05-07 2026-05-14 2026-05-21"),
        ("week", 2, "2026-05-07", "2026-05-07 2026-05-21 2026-06-04"),
        # Days are counted from the anchor, over the ends of months: no period is short.
        ("day", 10, "2026-01-25", "2026-01-25 2026-02-04 2026-02-14 2026-02-24 2026-03-06"),
        ("day", 1, "2026-02-27", "2026-02-27 2026-02-28 2026-03-01"),
    ],
)
@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "Pacific/Auckland", "Pacific/Kiritimati", "America/Santiago"]
)
def test_when_periods_begin(unit: str, every: int, anchor: str, begins: str, zone: str) -> None:
    days = [date.fromisoformat(day) for day in begins.split()]
    cycle = BillingCycle(unit, every, date.fromisoformat(anchor), zone)
    starts = [day_start_us(day, zone) for day in days]
    assert list(cycle.periods(starts[0], starts[-1])) == [Period(*pair) for pair in pairwise(starts)]


@pytest.mark.parametrize(
    "zone, day, begin_utc, hours",
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28 23:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24 22:00", 25),
        ("Pacific/Auckland", "2026-09-27", "2026-09-26 12:00", 23),  # clocks forward in the southern spring
        ("Pacific/Auckland", "2026-04-05", "2026-04-04 11:00", 25),
        ("Pacific/Kiritimati", "2026-01-01", "2025-12-31 10:00", 24),  # the first place on Earth
        ("Pacific/Pago_Pago", "2026-01-01", "2026-01-01 11:00", 24),  # and one of the last
        (
            "America/Sao_Paulo",
            "2018-11-04",
            "2018-11-04 03:00",
            23,
        ),  # no midnight: 23:59 is followed by 01:00
        ("America/Santiago", "2026-09-06", "2026-09-06 04:00", 23),  # the same
        ("Asia/Kolkata", "2026-01-01", "2025-12-31 18:30", 24),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03 13:30", 23.5),  # clocks forward by half an hour
    ],
)
def test_days_of_the_world(zone: str, day: str, begin_utc: str, hours: float) -> None:
    period = BillingCycle("day", 1, date(2000, 1, 1), zone).period_of_day(date.fromisoformat(day))
    assert period == Period(us(begin_utc), us(begin_utc) + int(hours * HOUR_US))
    assert local_date(period.from_us, zone) == local_date(period.to_us - 1, zone) == date.fromisoformat(day)


def test_a_month_with_a_change_of_the_clocks_is_an_hour_shorter_or_longer() -> None:
    cycle = BillingCycle("month", 1, date(2026, 1, 1), "Europe/Berlin")
    march, october = cycle.period_of(us("2026-03-15")), cycle.period_of(us("2026-10-15"))
    assert march.to_us - march.from_us == (31 * 24 - 1) * HOUR_US
    assert october.to_us - october.from_us == (31 * 24 + 1) * HOUR_US
    assert days_between(*march, "Europe/Berlin") == days_between(*october, "Europe/Berlin") == 31


def test_the_month_of_sao_paulo_that_begins_without_midnight() -> None:
    """On 4 November 2018 the clocks went from 23:59 to 01:00; the anchor is that day."""
    cycle = BillingCycle("month", 1, date(2018, 11, 4), "America/Sao_Paulo")
    period = cycle.period_of(us("2018-11-20"))
    assert [local(at_us, "America/Sao_Paulo") for at_us in period] == ["2018-11-04 01:00", "2018-12-04"]
    assert cycle.period_of(period.from_us - 1) == Period(us("2018-10-04 03:00"), period.from_us)


def test_a_day_that_a_country_left_out_is_no_period() -> None:
    """Samoa went from 29 to 31 December 2011."""
    cycle = BillingCycle("day", 1, date(2011, 1, 1), "Pacific/Apia")
    noon = us("2011-12-29 12:00", "Pacific/Apia")
    begins = [local(p.from_us, "Pacific/Apia") for p in cycle.periods(noon, noon + 48 * HOUR_US)]
    assert begins == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_a_clock_put_back_over_midnight_begins_no_second_day() -> None:
    # At 00:01 of 30 October 2005, 02:31 UTC, the clocks of Newfoundland went back to 23:01 of the 29th.
    assert local_date(us("2005-10-30 02:30:59"), "America/St_Johns") == date(2005, 10, 30)
    assert local_date(us("2005-10-30 03:00"), "America/St_Johns") == date(2005, 10, 30)


@pytest.mark.parametrize(
    "day, months, expected",
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2026-01-31", 3, "2026-04-30"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2026-11-15", 2, "2027-01-15"),
    ],
)
def test_months_after_a_day(day: str, months: int, expected: str) -> None:
    assert months_after(date.fromisoformat(day), months) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    "unit, every, zone, sentence",
    [
        (
            "fortnight",
            1,
            "UTC",
            "there is no cycle 'fortnight'; a cycle is a day, week, month, quarter, year",
        ),
        ("month", 0, "UTC", "a period has 1 to 120 months, not 0"),
        ("day", 400, "UTC", "a period has 1 to 366 days, not 400"),
        ("day", 1, "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
    ],
)
def test_what_is_no_cycle_is_refused(unit: str, every: int, zone: str, sentence: str) -> None:
    with pytest.raises(InputRefused, match=sentence):
        BillingCycle(unit, every, date(2026, 1, 1), zone)


@pytest.mark.parametrize("at_us", [2**62, -(2**62), us("9999-12-31 23:59")])
def test_a_moment_beyond_the_calendar_is_refused(at_us: int) -> None:
    with pytest.raises(InputRefused, match="far away"):
        BillingCycle("year", 10, date(2026, 1, 1), "UTC").period_of(at_us)


ZONES = (
    *("UTC", "Europe/Berlin", "America/St_Johns", "America/Havana", "America/Santiago", "Asia/Beirut"),
    *("Pacific/Apia", "Pacific/Kiritimati", "Pacific/Auckland"),
)
cycles = st.sampled_from(sorted(MOST_OF_A_CYCLE)).flatmap(
    lambda unit: st.builds(
        BillingCycle,
        st.just(unit),
        st.integers(1, MOST_OF_A_CYCLE[unit]),
        st.dates(date(1990, 1, 1), date(2040, 1, 1)),
        st.sampled_from(ZONES),
    )
)


@settings(deadline=None)
@given(cycles, st.integers(us("1990-01-01"), us("2040-01-01")))
def test_periods_lie_end_to_end(cycle: BillingCycle, at_us: int) -> None:
    period = cycle.period_of(at_us)
    assert period.holds(at_us)
    assert cycle.period_of(period.from_us) == cycle.period_of(period.to_us - 1) == period
    assert cycle.period_of(period.to_us).from_us == period.to_us
    days = days_between(*period, cycle.zone)
    if cycle.unit in ("day", "week"):
        assert days == cycle.every * {"day": 1, "week": 7}[cycle.unit]
    first = local_date(period.from_us, cycle.zone)
    if cycle.unit == "month":
        assert first.day == min(
            cycle.anchor.day, (months_after(first.replace(day=1), 1) - timedelta(days=1)).day
        )
