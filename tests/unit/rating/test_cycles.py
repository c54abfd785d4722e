"""Cycles in time zones: where they begin and end, through changes of the clocks."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.rating.cycles import CYCLES, cycle_of


def us(zone: str, *moment: int) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_US  # type: ignore[misc, arg-type]


def local(at_us: int, zone: str) -> str:
    return datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def days_of(cycle: str, zone: str, *moment: int, anchor: int | None = None) -> tuple[str, str]:
    begin_us, end_us = cycle_of(cycle, zone, us(zone, *moment), anchor)
    return local(begin_us, zone), local(end_us, zone)


@pytest.mark.parametrize(
    "cycle, begin, end",
    [
        ("day", "2026-05-13 00:00", "2026-05-14 00:00"),
        ("week", "2026-05-11 00:00", "2026-05-18 00:00"),
        ("month", "2026-05-01 00:00", "2026-06-01 00:00"),
        ("quarter", "2026-04-01 00:00", "2026-07-01 00:00"),
        ("year", "2026-01-01 00:00", "2027-01-01 00:00"),
    ],
)
def test_the_cycles_of_a_wednesday_in_may(cycle: str, begin: str, end: str) -> None:
    assert days_of(cycle, "Europe/Berlin", 2026, 5, 13, 23, 59) == (begin, end)


@pytest.mark.parametrize("day, hours", [((2026, 3, 29), 23), ((2026, 3, 30), 24), ((2026, 10, 25), 25)])
def test_days_are_as_long_as_their_clocks_make_them(day: tuple[int, int, int], hours: int) -> None:
    begin_us, end_us = cycle_of("day", "Europe/Berlin", us("Europe/Berlin", *day, 12))
    assert end_us - begin_us == hours * 3600 * SECOND_US


def test_a_day_whose_midnight_is_skipped_begins_at_one() -> None:
    assert days_of("day", "America/Sao_Paulo", 2018, 11, 4, 12) == ("2018-11-04 01:00", "2018-11-05 00:00")


def test_a_day_that_was_skipped_belongs_to_no_cycle() -> None:
    """Samoa went from 29 to 31 December 2011."""
    assert days_of("day", "Pacific/Apia", 2011, 12, 29, 12) == ("2011-12-29 00:00", "2011-12-31 00:00")
    assert days_of("day", "Pacific/Apia", 2011, 12, 31, 12) == ("2011-12-31 00:00", "2012-01-01 00:00")


@pytest.mark.parametrize(
    "moment, begin, end",
    [
        ((2026, 1, 30), "2025-12-31", "2026-01-31"),
        ((2026, 1, 31), "2026-01-31", "2026-02-28"),
        ((2026, 2, 27), "2026-01-31", "2026-02-28"),
        ((2026, 2, 28), "2026-02-28", "2026-03-31"),
        ((2028, 2, 28), "2028-01-31", "2028-02-29"),
        ((2026, 4, 30), "2026-04-30", "2026-05-31"),
    ],
)
def test_a_month_from_the_31st_begins_on_the_last_day_of_shorter_ones(
    moment: tuple[int, int, int], begin: str, end: str
) -> None:
    anchor = us("Europe/Berlin", 2025, 8, 31, 15)
    expected = (f"{begin} 00:00", f"{end} 00:00")
    assert days_of("month", "Europe/Berlin", *moment, 12, anchor=anchor) == expected


@pytest.mark.parametrize(
    "cycle, begin, end",
    [
        ("week", "2026-05-07", "2026-05-14"),
        ("quarter", "2026-02-15", "2026-05-15"),
        ("year", "2025-08-15", "2026-08-15"),
    ],
)
def test_an_anchor_moves_the_other_cycles_too(cycle: str, begin: str, end: str) -> None:
    anchor = us("UTC", 2024, 8, 15)  # a Thursday
    assert days_of(cycle, "UTC", 2026, 5, 13, anchor=anchor) == (f"{begin} 00:00", f"{end} 00:00")


zones = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/St_Johns",
        "America/Havana",
        "Pacific/Apia",
        "Asia/Beirut",
        "America/Sao_Paulo",
    ]
)
moments = st.integers(us("UTC", 1970, 1, 1), us("UTC", 2040, 1, 1))


@settings(deadline=None)
@given(st.sampled_from(CYCLES), zones, moments, st.none() | moments)
def test_cycles_lie_end_to_end(cycle: str, zone: str, at_us: int, anchor_us: int | None) -> None:
    begin_us, end_us = cycle_of(cycle, zone, at_us, anchor_us)
    assert begin_us <= at_us < end_us
    assert cycle_of(cycle, zone, begin_us, anchor_us) == (begin_us, end_us)
    assert cycle_of(cycle, zone, end_us - 1, anchor_us) == (begin_us, end_us)
    assert cycle_of(cycle, zone, end_us, anchor_us)[0] == end_us


def test_a_clock_put_back_over_midnight_stays_in_one_cycle() -> None:
    # At 00:01 of 30 October 2005, 02:31 UTC, the clocks of Newfoundland went back to 23:01.
    begin_us, end_us = cycle_of("day", "America/St_Johns", us("UTC", 2005, 10, 30, 3))
    assert begin_us <= us("UTC", 2005, 10, 30, 3) < end_us
    assert end_us - begin_us == timedelta(hours=25) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "cycle, zone, at_us, sentence",
    [
        (
            "fortnight",
            "UTC",
            0,
            "there is no cycle 'fortnight'; a cycle is a day, week, month, quarter, year",
        ),
        ("day", "Mars/Olympus", 0, "there is no time zone 'Mars/Olympus'"),
        ("year", "UTC", 2**62, "so far away"),
    ],
)
def test_what_has_no_cycle_is_refused(cycle: str, zone: str, at_us: int, sentence: str) -> None:
    with pytest.raises(InputRefused, match=sentence):
        cycle_of(cycle, zone, at_us)


def test_the_first_day() -> None:
    assert cycle_of("day", "UTC", 0) == (0, 86_400 * SECOND_US)
