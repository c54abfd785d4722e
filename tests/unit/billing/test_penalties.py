"""Penalties by hand: what paying late costs."""

from datetime import date

import pytest

from pbxbill.billing.dunning.penalties import (
    late_periods,
    penalty,
    penalty_from_json,
    penalty_from_toml,
    penalty_to_json,
)
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, parse_amount

EUR = Unit("EUR")


def terms(text: str):
    return penalty_from_toml('unit = "EUR"\n' + text.replace("; ", "\n"), {"EUR": EUR})


@pytest.mark.parametrize(
    "text, overdue, periods, charged, costs",
    [
        ('fixed = "5"', "100", 1, "0", "5.00"),
        ('percent = "1.5"', "100", 1, "0", "1.50"),
        ('percent = "1.5"', "33.33", 1, "0", "0.50"),  # 0.49995
        ('percent = "1.5"', "100", 3, "0", "4.50"),
        ('percent = "1"; fixed = "2"', "250", 1, "0", "4.50"),
        ('percent = "1"; minimum = "3"', "100", 1, "0", "3.00"),
        ('percent = "10"; cap = "40"', "1000", 1, "0", "40.00"),
        ('percent = "10"; cap = "40"', "200", 1, "25", "15.00"),
        ('percent = "10"; cap = "40"', "200", 1, "40", "0.00"),
        ('percent = "0.02"', "1000", 31, "0", "6.20"),  # by the day
        ('fixed = "5"', "0", 1, "0", "0.00"),
    ],
)
def test_what_it_costs(text: str, overdue: str, periods: int, charged: str, costs: str) -> None:
    found = penalty(
        terms(text), parse_amount(overdue, EUR), periods, charged=parse_amount(charged, EUR), unit=EUR
    )
    assert found == parse_amount(costs, EUR)


@pytest.mark.parametrize(
    "every, begins, counted_to, today, count, to_day",
    [
        ("once", "2026-02-16", None, "2026-02-15", 0, None),
        ("once", "2026-02-16", None, "2026-02-16", 1, "2026-02-16"),
        ("once", "2026-02-16", "2026-02-16", "2027-02-16", 0, None),
        ("month", "2026-01-31", None, "2026-02-27", 0, None),
        ("month", "2026-01-31", None, "2026-02-28", 1, "2026-02-28"),
        ("month", "2026-01-31", "2026-02-28", "2026-04-30", 2, "2026-04-30"),
        ("week", "2026-02-16", None, "2026-03-08", 2, "2026-03-02"),
        ("year", "2024-02-29", None, "2026-03-01", 2, "2026-02-28"),
        ("day", "2026-02-16", None, "2026-03-15", 0, None),
        ("day", "2026-02-16", None, "2026-03-16", 28, "2026-03-16"),
        ("day", "2026-02-16", "2026-03-16", "2026-04-20", 31, "2026-04-16"),
        ("month", "2026-02-10", "2026-02-20", "2026-05-01", 1, "2026-04-10"),
    ],
)
def test_which_periods_are_over(
    every: str, begins: str, counted_to: str | None, today: str, count: int, to_day: str | None
) -> None:
    found = late_periods(
        terms(f'fixed = "1"; period = "{every}"'),
        date.fromisoformat(begins),
        None if counted_to is None else date.fromisoformat(counted_to),
        date.fromisoformat(today),
    )
    assert (0 if found is None else found.count) == count
    assert (None if found is None else found.to_day.isoformat()) == to_day


def test_a_class_is_kept_as_it_was_written() -> None:
    made = terms('percent = "1.5"; period = "month"; cap = "40"; grace_days = 5; per = "customer"')
    assert penalty_from_json(penalty_to_json(made)) == made


@pytest.mark.parametrize(
    "text, says",
    [
        ("grace_days = 3", "costs nothing"),
        ('percent = "101"', "percent is 0 to 100"),
        ('fixed = "0.001"', "whole coins"),
        ('fixed = "5"; cap = "1"; minimum = "2"', "cap is below minimum"),
        ('fixed = "5"; period = "hour"', "one of once, day"),
        ('fixed = "5"; grace_days = 1000', "grace_days is 0 to 366"),
        ('fixed = "5"; rate = 3', "there is no key 'rate'"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputRefused, match=says):
        terms(text)
