"""Calendars of bands: by the wall clock through both nights of the year, and what is refused."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.rating.band_checks import checked, first_gap
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.calendar_text import calendar_from_json, calendar_from_toml, calendar_to_json
from tests.unit.rating.reference_rater import band_by_the_clock
from tests.unit.rating.test_walk import calendars, moments, us

HOUR_S = 3600
HOUR_US = HOUR_S * SECOND_US


@settings(deadline=None)
@given(calendars, moments)
def test_a_moment_belongs_to_what_the_wall_clock_shows(calendar: BandCalendar, moment_us: int) -> None:
    assert calendar.band_at(moment_us) == band_by_the_clock(calendar, moment_us)


@settings(deadline=None)
@given(calendars, moments, st.integers(0, 72 * HOUR_US))
def test_edges_are_where_the_band_changes_and_nowhere_else(
    calendar: BandCalendar, from_us: int, length_us: int
) -> None:
    to_us = from_us + length_us
    edges = list(calendar.edges(from_us, to_us))
    assert all(from_us <= at_us < to_us for at_us, _ in edges)
    for at_us, band in edges:
        assert calendar.band_at(at_us) == band != calendar.band_at(at_us - 1)
    bounds = [from_us, *(at_us for at_us, _ in edges), to_us]
    for begin_us, end_us in pairwise(bounds):
        for part in range(8):
            moment_us = begin_us + (end_us - begin_us) * part // 8
            if moment_us < end_us:
                assert band_by_the_clock(calendar, moment_us) == calendar.band_at(begin_us)


def nights(from_s: int, to_s: int) -> BandCalendar:
    rules = (BandRule("night", from_s=from_s, to_s=to_s), BandRule("rest", priority=-1))
    return checked(BandCalendar(1, "Nights", "Europe/Berlin", rules))


def hours_of(calendar: BandCalendar, band: str, from_us: int, to_us: int) -> list[tuple[int, int]]:
    """Minutes after from_us between which a band holds."""
    found = []
    while from_us < to_us:
        name, edge_us = calendar.span_at(from_us, to_us)
        if name == band:
            found.append((from_us, edge_us))
        from_us = edge_us
    return found


@pytest.mark.parametrize(
    "day, hours",
    [((2026, 3, 28), 7), ((2026, 3, 27), 8), ((2026, 10, 24), 9)],
    ids=["clocks go forward", "as ever", "clocks go back"],
)
def test_a_night_is_as_long_as_it_is(day: tuple[int, int, int], hours: int) -> None:
    ((from_us, to_us),) = hours_of(
        nights(22 * HOUR_S, 6 * HOUR_S), "night", us(*day, 12), us(*day, 12) + 24 * HOUR_US
    )
    assert to_us - from_us == hours * HOUR_US


def test_an_hour_that_comes_twice_belongs_to_its_band_twice() -> None:
    # 02:00-02:30 on 25 October 2026 is 00:00-00:30 and 01:00-01:30 in UTC.
    found = hours_of(
        nights(2 * HOUR_S, 2 * HOUR_S + 1800), "night", us(2026, 10, 24, 22), us(2026, 10, 25, 22)
    )
    assert found == [
        (us(2026, 10, 25, 0), us(2026, 10, 25, 0, 30)),
        (us(2026, 10, 25, 1), us(2026, 10, 25, 1, 30)),
    ]


def test_an_hour_that_is_skipped_belongs_to_no_call() -> None:
    day = (us(2026, 3, 28, 23), us(2026, 3, 29, 22))
    assert hours_of(nights(2 * HOUR_S, 3 * HOUR_S), "night", *day) == []
    # From 02:30 to 04:00: it begins at three, when the clock shows more than half past two.
    assert hours_of(nights(2 * HOUR_S + 1800, 4 * HOUR_S), "night", *day) == [
        (us(2026, 3, 29, 1), us(2026, 3, 29, 2))
    ]


def test_a_rule_over_midnight_counts_for_the_morning_after_its_days() -> None:
    friday = (BandRule("night", frozenset({4}), 22 * HOUR_S, 6 * HOUR_S),)
    calendar = checked(BandCalendar(1, "Friday night", "UTC", friday))
    assert hours_of(calendar, "night", us(2026, 3, 23), us(2026, 3, 30)) == [
        (us(2026, 3, 27, 22), us(2026, 3, 28, 6))
    ]


def test_dates_yearly_dates_and_ranges_of_both() -> None:
    rules = (
        BandRule("once", dates=("2026-07-01", "2026-07-10/2026-07-12")),
        BandRule("yearly", dates=("--02-29", "--12-30/--01-02")),
    )
    calendar = checked(BandCalendar(1, "Dates", "UTC", rules))
    days = {
        (2026, 7, 1): "once",
        (2027, 7, 1): None,
        (2026, 7, 9): None,
        (2026, 7, 10): "once",
        (2026, 7, 12): "once",
        (2026, 7, 13): None,
        (2028, 2, 29): "yearly",
        (2027, 3, 1): None,
        (2026, 12, 29): None,
        (2026, 12, 30): "yearly",
        (2027, 1, 2): "yearly",
        (2027, 1, 3): None,
    }
    assert {day: calendar.band_at(us(*day, 12)) for day in days} == days


def test_a_calendar_forgets_days_rather_than_growing() -> None:
    calendar = nights(22 * HOUR_S, 6 * HOUR_S)
    for day in range(4000):
        calendar.band_at(us(2020, 1, 1) + day * 24 * HOUR_US)
    assert len(calendar._segments) <= 1_500


def test_a_moment_out_of_all_calendars_is_refused() -> None:
    with pytest.raises(InputRefused, match="lies in no calendar"):
        nights(22 * HOUR_S, 6 * HOUR_S).band_at(10**18)


GERMANY = """
name = "Germany"
zone = "Europe/Berlin"
holidays = { country = "DE", subdivision = "BY", years = "2026-2027" }
extra_holidays = ["2026-12-24"]

[[band]]
name = "day"
weekdays = "Mon-Fri"
hours = "08:00-18:00"

[[band]]
name = "evening"
weekdays = ["Mon-Fri"]
hours = ["00:00-08:00", "18:00-24:00"]

[[band]]
name = "weekend"
weekdays = "Sat, Sun"
holidays = true
"""


def test_a_calendar_as_people_write_it() -> None:
    calendar = calendar_from_toml(GERMANY, id=7)
    assert (calendar.id, calendar.name, calendar.zone) == (7, "Germany", "Europe/Berlin")
    assert "2026-01-06" in calendar.holidays  # in Bavaria
    assert "2026-12-24" in calendar.holidays
    assert "2028-01-01" not in calendar.holidays
    moments = {
        (2026, 1, 5, 12): "day",
        (2026, 1, 5, 17): "evening",
        (2026, 1, 6, 12): "weekend",
        (2026, 1, 10, 12): "weekend",
        (2026, 7, 6, 5, 59): "evening",
        (2026, 7, 6, 6): "day",
    }
    assert {moment: calendar.band_at(us(*moment)) for moment in moments} == moments
    assert first_gap(calendar) is None
    assert first_gap(calendar, {"day", "weekend"}) == "Monday 00:00-08:00"


def test_a_calendar_is_kept_as_text() -> None:
    calendar = calendar_from_toml(GERMANY, id=7)
    assert calendar_from_json(calendar_to_json(calendar), id=7) == calendar
    with pytest.raises(InputRefused, match="a kept calendar is broken"):
        calendar_from_json('{"name": 1}')


@given(calendars)
def test_any_calendar_is_kept_as_text(calendar: BandCalendar) -> None:
    assert calendar_from_json(calendar_to_json(calendar), id=1) == calendar


def test_weekdays_may_run_over_the_weekend() -> None:
    text = 'name = "X"\nzone = "UTC"\n[[band]]\nname = "a"\nweekdays = "Sat-Mon"\nhours = "22:00-06:00"'
    assert calendar_from_toml(text).rules == (BandRule("a", frozenset({5, 6, 0}), 22 * HOUR_S, 6 * HOUR_S),)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            ("Europe/Berlin", "Europe/Bonn"),
            "there is no time zone 'Europe/Bonn'; write it like Europe/Berlin",
        ),
        (("Europe/Berlin", "../etc/passwd"), "there is no time zone"),
        (("Europe/Berlin", "Europe"), "there is no time zone"),
        (('zone = "Europe/Berlin"', ""), 'lacks its zone; write zone = "..."'),
        (("Mon-Fri", "Mon-Fry"), "band 'day': 'Mon-Fry' is no weekday"),
        (("08:00-18:00", "8-18"), "band 'day': '8-18' are no hours; write them like 08:00-18:00"),
        (("08:00-18:00", "08:00-24:30"), "are no hours"),
        (("08:00-18:00", "08:00-08:00"), "band 'day': its hours end where they begin"),
        (
            ("08:00-18:00", "08:00-19:00"),
            "the bands 'day' and 'evening' both claim Monday 18:00-19:00 at priority 0; give one of them",
        ),
        (('"DE"', '"XX"'), "holidays: nothing is known of 'XX, BY'"),
        (('"BY"', '"ZZ"'), "holidays: nothing is known of 'DE, ZZ'"),
        (("2026-2027", "next year"), "holidays: years are written like"),
        (("2026-2027", "2027-2026"), "holidays: the years 2027-2026 are not"),
        (("2026-12-24", "24.12.2026"), "extra_holidays: '24.12.2026' is no date"),
        (("2026-12-24", "2026-13-24"), "'2026-13-24' is no date"),
        (('weekdays = "Mon-Fri"', 'colour = "red"'), "band 'day': unknown 'colour'; known are dates, "),
        (('weekdays = "Sat, Sun"', 'dates = "--12-32"'), "band 'weekend': '--12-32' is no date"),
        (('weekdays = "Sat, Sun"', 'dates = "2026-12-24/2026-12-01"'), "end before they begin"),
        (('weekdays = "Sat, Sun"', 'dates = "--12-24/2027-01-01"'), "is no date"),
        (('weekdays = "Sat, Sun"', "priority = 1.5"), "priority is a whole number"),
        (('name = "day"', 'name = ""'), "band number 1 lacks its name"),
        (('name = "Germany"', "name = "), "the calendar is not TOML"),
    ],
)
def test_a_calendar_that_cannot_be_used_says_why(change: tuple[str, str], sentence: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        calendar_from_toml(GERMANY.replace(*change))
    assert sentence in str(refusal.value)


def refusal_of(*rules: BandRule, holidays: frozenset[str] = frozenset()) -> str:
    with pytest.raises(InputRefused) as refusal:
        checked(BandCalendar(1, "X", "UTC", rules, holidays))
    return str(refusal.value)


def test_a_calendar_without_bands_is_refused() -> None:
    assert refusal_of() == "the calendar has no band"


def test_ties_are_found_wherever_they_are() -> None:
    friday = BandRule("a", frozenset({4}), 22 * HOUR_S, 6 * HOUR_S)
    assert "both claim Saturday 05:00-06:00" in refusal_of(
        friday, BandRule("b", frozenset({5}), 5 * HOUR_S, 9 * HOUR_S)
    )
    both = (BandRule("a", dates=("--12-24",)), BandRule("b", dates=("2026-12-20/2026-12-26",)))
    assert "both claim 2026-12-24 00:00-24:00" in refusal_of(*both)
    over_holidays = (BandRule("a", holidays=True), BandRule("b", holidays=True, from_s=HOUR_S))
    assert "both claim 2026-05-01 01:00-24:00" in refusal_of(
        *over_holidays, holidays=frozenset({"2026-05-01"})
    )
    everyday = (BandRule("a"), BandRule("b"), BandRule("c", priority=1))
    assert "both claim Monday 00:00-24:00 at priority 0" in refusal_of(*everyday)


def test_what_differs_in_rank_does_not_tie() -> None:
    rules = (
        BandRule("all"),
        BandRule("workday", frozenset(range(5))),
        BandRule("holiday", holidays=True),
        BandRule("eve", dates=("--12-24",)),
        BandRule("sale", dates=("2026-12-24",), priority=1),
    )
    checked(BandCalendar(1, "X", "UTC", rules, frozenset({"2026-12-25"})))


def test_holidays_of_nobody_are_refused() -> None:
    assert "the calendar has none; say whose" in refusal_of(BandRule("a", holidays=True))


def test_a_calendar_of_endless_dates_is_refused() -> None:
    assert "names more than 5000 days" in refusal_of(BandRule("a", dates=("1990-01-01/2090-01-01",)))


@pytest.mark.parametrize(
    "rules, gap",
    [
        ((BandRule("a"),), None),
        ((BandRule("a", frozenset(range(6))),), "Sunday 00:00-24:00"),
        (
            (BandRule("a", frozenset(range(6))), BandRule("a", frozenset({6}), 8 * HOUR_S)),
            "Sunday 00:00-08:00",
        ),
        (
            (
                BandRule("a", from_s=6 * HOUR_S, to_s=22 * HOUR_S),
                BandRule("b", from_s=22 * HOUR_S, to_s=6 * HOUR_S),
            ),
            None,
        ),
        ((BandRule("a", from_s=0, to_s=86_399),), "Monday 23:59:59-24:00"),
    ],
)
def test_the_first_gap_is_named(rules: tuple[BandRule, ...], gap: str | None) -> None:
    assert first_gap(checked(BandCalendar(1, "X", "UTC", rules))) == gap


def test_a_gap_may_open_on_a_holiday_only() -> None:
    rules = (BandRule("all"), BandRule("holiday", holidays=True, from_s=8 * HOUR_S))
    calendar = checked(BandCalendar(1, "X", "UTC", rules, frozenset({"2026-05-01"})))
    assert first_gap(calendar) is None
    assert first_gap(calendar, {"all"}) == "2026-05-01 08:00-24:00"


def test_bands_of_a_century_ago_are_found() -> None:
    berlin = nights(22 * HOUR_S, 6 * HOUR_S)
    assert berlin.band_at(int(datetime(1947, 6, 1, 3, tzinfo=UTC).timestamp()) * SECOND_US) == "rest"
