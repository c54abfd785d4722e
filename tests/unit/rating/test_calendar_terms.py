"""Calendars as people write them, and as they are kept."""

import pytest

from pbxbill.errors import InputRefused
from pbxbill.rating.bands import BandRule
from pbxbill.rating.calendar_terms import calendar_from_json, calendar_from_toml, calendar_to_json
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, MarkUp, Step
from pbxbill.rating.tariff_terms import (
    cycle_steps_from_json,
    cycle_steps_to_json,
    mark_up_from_json,
    mark_up_to_json,
)

OFFICE = """
zone = "Europe/Berlin"
holidays = "DE-BY"
holiday_years = [2026, 2027]
extra_holidays = ["2026-12-31"]

[[band]]
name = "day"
days = ["mon-thu", "fri"]
from = "08:00"
to = "18:00:30"
priority = 1

[[band]]
name = "night"

[[band]]
name = "holiday"
holidays = true
dates = ["--12-24"]
priority = 2
"""


def test_a_calendar() -> None:
    calendar = calendar_from_toml("office", OFFICE, 2026)
    assert calendar.zone == "Europe/Berlin"
    assert calendar.rules == (
        BandRule("day", frozenset(range(5)), 28_800, 64_830, priority=1),
        BandRule("night"),
        BandRule("holiday", dates=("--12-24",), holidays=True, priority=2),
    )
    assert {"2026-01-06", "2027-12-25", "2026-12-31"} <= calendar.holidays  # Epiphany: Bavaria's own
    assert calendar_from_json(0, "office", calendar_to_json(calendar)) == calendar


def test_days_run_over_the_end_of_the_week() -> None:
    calendar = calendar_from_toml("c", '[[band]]\nname = "w"\ndays = "sat-mon"\n', 2026)
    assert calendar.rules[0].weekdays == {5, 6, 0}


@pytest.mark.parametrize(
    "text, message",
    [
        ("x", "the calendar is no TOML"),
        ("", "1 to 200 rules"),
        ('colour = 1\n[[band]]\nname = "a"', "a calendar has no setting 'colour'"),
        ('zone = "Mars"\n[[band]]\nname = "a"', "'Mars' is no time zone"),
        ('[[band]]\ndays = "mon"', "band rule 1 needs a name"),
        ('[[band]]\nname = "a,b"', "without a comma"),
        ('[[band]]\nname = "a"\ndays = "someday"', r"band rule 1 \(a\): 'someday' is no weekday"),
        ('[[band]]\nname = "a"\nfrom = "8"', "'8' is no time of day"),
        ('[[band]]\nname = "a"\nto = "25:00"', "'25:00' is no time of day"),
        ('[[band]]\nname = "a"\nfrom = "24:00"', "begins before 24:00"),
        ('[[band]]\nname = "a"\nholidays = true', "the calendar knows none"),
        ('holidays = "XX"\n[[band]]\nname = "a"', "no public holidays are known for 'XX'"),
        ('holidays = "DE"\nholiday_years = [2030]\n[[band]]\nname = "a"', "the first and the last year"),
        ('extra_holidays = ["soon"]\n[[band]]\nname = "a"', "'soon' is no date"),
    ],
)
def test_a_calendar_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        calendar_from_toml("c", text, 2026)


def test_mark_ups_and_cycle_steps_are_kept_as_text() -> None:
    mark_up = MarkUp(-50_000, 10**9, 10**8)
    assert mark_up_from_json(mark_up_to_json(mark_up)) == mark_up
    steps = CycleSteps(CycleStepKind.VOLUME, "month", "Europe/Berlin", (Step(0, 5), Step(60, 4)), ("mobile",))
    assert cycle_steps_from_json(cycle_steps_to_json(steps)) == steps
    with pytest.raises(InputRefused, match="the first from 0"):
        cycle_steps_to_json(CycleSteps(CycleStepKind.VOLUME, "month", "UTC", (Step(1, 5),)))
    with pytest.raises(InputRefused, match="between -100 and"):
        mark_up_to_json(MarkUp(-1_000_001))
