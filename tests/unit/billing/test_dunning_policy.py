"""When levels come: days after the due day, quiet days, zones; never before the former level allows."""

from datetime import UTC, date, datetime

import pytest

from pbxbill.billing.dunning.dunning_policy import (
    Action,
    DunningPolicy,
    Reached,
    Standing,
    Waits,
    WorkingDays,
    decide,
)
from pbxbill.billing.dunning.dunning_text import policy_from_json, policy_from_toml, policy_to_json, said_in
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import Unit

EUR = Unit("EUR")
UNITS = {"EUR": EUR}
WHOLE = """\
minimum = { EUR = "5.00" }
hour = 9
quiet_weekdays = ["saturday", "sunday"]
quiet_holidays = true
quiet_days = ["12-24", 2026-03-06]
penalty = "interest"
promise_days = 7
brake = "12.5"
brake_accounts = 4

[[level]]
days = 3
notice = "overdue"

[[level]]
days = 7
after = "level"
action = "fee"
penalty = "reminder"
words = { en = "{open} of {number}", de = "{open} von {number}" }

[[level]]
days = 21
action = "bar_outgoing"
"""


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_US


DUE_US = us("2026-02-15 23:59:59")


def policy(text: str = WHOLE) -> DunningPolicy:
    return policy_from_toml(text, UNITS)


def days(text: str = WHOLE, zone: str = "UTC") -> WorkingDays:
    return WorkingDays(policy(text), zone, frozenset({date(2026, 2, 18)}))


def at(text: str, level: int = 0, former: str = "", **facts: int) -> Standing:
    return Standing("EUR", facts.get("overdue", 10_000_000), DUE_US, level, us(former) if former else None)


@pytest.mark.parametrize(
    "level, former, comes",
    [
        (1, None, "2026-02-19 09:00"),  # the 18th is a holiday
        (2, "2026-02-19 09:00", "2026-02-26 09:00"),
        (2, "2026-02-20 17:00", "2026-02-27 09:00"),
        (2, "2026-02-27 10:00", "2026-03-09 09:00"),  # the 6th is quiet, the 7th a Saturday
        (3, "2026-02-26 09:00", "2026-03-09 09:00"),
        (
            3,
            "2026-03-20 09:00",
            "2026-03-31 09:00",
        ),  # eleven days after the second, though the due day is long gone
        (4, "2026-03-31 09:00", None),
    ],
)
def test_when_a_level_comes(level: int, former: str | None, comes: str | None) -> None:
    found = days().level_us(level, DUE_US, us(former) if former else None)
    assert found == (us(comes) if comes else None)


def test_days_are_those_of_the_account() -> None:
    text = "hour = 8\n[[level]]\ndays = 1\n"
    due_us = us("2026-02-15 10:59:59")  # the end of the 15th in Auckland
    assert days(text, "Pacific/Auckland").level_us(1, due_us, None) == us("2026-02-15 19:00")
    assert days(text, "America/New_York").level_us(1, us("2026-02-16 04:59:59"), None) == us(
        "2026-02-16 13:00"
    )


@pytest.mark.parametrize(
    "hour, day, begins",
    [
        (8, "2026-10-24", "2026-10-24 06:00"),
        (8, "2026-10-25", "2026-10-25 07:00"),  # a day of 25 hours
        (2, "2026-10-25", "2026-10-25 00:00"),  # two o'clock comes twice: the first
        (8, "2026-03-29", "2026-03-29 06:00"),  # a day of 23 hours
        (2, "2026-03-29", "2026-03-29 01:00"),  # two o'clock is skipped: it is three then
        (0, "2026-03-29", "2026-03-28 23:00"),
    ],
)
def test_the_hour_is_that_of_the_clock_on_the_wall(hour: int, day: str, begins: str) -> None:
    text = f"hour = {hour}\n[[level]]\ndays = 1\n"
    assert days(text, "Europe/Berlin").begin_us(date.fromisoformat(day)) == us(begins)


def test_what_is_decided() -> None:
    assert decide(days(), at("", 0), us("2026-02-19 08:59")) == Waits(
        us("2026-02-19 09:00"), "level 1 comes then"
    )
    assert decide(days(), at("", 0), us("2026-02-19 09:00")) == Reached(1)
    # Found late on a quiet day it waits for the next one that is not.
    assert decide(days(), at("", 0), us("2026-02-21 12:00")) == Waits(
        us("2026-02-23 09:00"), "level 1 comes then"
    )
    assert isinstance(decide(days(), at("", 0, overdue=4_990_000), us("2026-02-23 12:00")), Waits)
    assert decide(days(), at("", 3, "2026-03-09 09:00"), us("2026-08-01 12:00")) == Waits(
        None, "all levels are done"
    )


def test_a_policy_is_kept_as_it_was_written() -> None:
    made = policy()
    assert policy_from_json(policy_to_json(made)) == made
    assert made.brake_ppm == 125_000
    assert (made.brake(8), made.brake(100)) == (4, 12)
    assert made.levels[2].action is Action.BAR_OUTGOING


def test_words_are_filled_in_for_who_reads_them() -> None:
    level = policy().levels[1]
    facts: dict[str, str | int] = {"open": "€5", "number": "R-1"}
    assert said_in(level, "de-AT", facts) == "€5 von R-1"
    assert said_in(level, "fr", facts) == "€5 of R-1"


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "a policy has 1 to 20"),
        ("[[level]]\naction = 'remind'", "days is missing"),
        ("[[level]]\ndays = 0", "at least one day after the due day"),
        ("[[level]]\ndays = 5\n[[level]]\ndays = 5", "level 2: it comes at least one day after level 1"),
        ("[[level]]\ndays = 5\naction = 'fee'", "go together"),
        ("[[level]]\ndays = 5\naction = 'shout'", "one of remind, fee"),
        ("[[level]]\ndays = 5\naction = 'collection'\n[[level]]\ndays = 9", "make it the last level"),
        ("[[level]]\ndays = 5\nwords = { en = '{amount}' }", "there is no {amount}"),
        ("quiet_weekdays = ['someday']\n[[level]]\ndays = 5", "a list of monday"),
        ("quiet_days = ['13-01']\n[[level]]\ndays = 5", "a list of days like"),
        ("minimum = { USD = '5' }\n[[level]]\ndays = 5", "there is no key 'USD'"),
        ("brake = '101'\n[[level]]\ndays = 5", "from 0 to 100"),
        ("hour = 24\n[[level]]\ndays = 5", "hour is 0 to 22"),
        ("colour = 1", "there is no key 'colour'"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputRefused, match=says.replace("{", "\\{").replace("}", "\\}")):
        policy(text)
