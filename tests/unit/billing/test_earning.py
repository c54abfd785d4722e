"""Deferred revenue month by month, worked by hand; however often it is looked at, it comes to the same."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.books.earning import DeferredCharge, Earning, earnings, month_start_us
from pbxbill.billing.period import Period
from tests.small_operator import eur

NEVER = "2100-01-01"


def at(text: str, zone: str = "UTC") -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(local.astimezone(UTC).timestamp()) * 1_000_000


def charge(amount: str, begins: str, ends: str, posted: str = "", zone: str = "UTC") -> DeferredCharge:
    service = Period(at(begins, zone), at(ends, zone))
    return DeferredCharge(eur(amount), 0, service, at(posted or begins, zone))


def told(charge: DeferredCharge, until: str = NEVER, zone: str = "UTC") -> list[tuple[str, int]]:
    return [(x.month, x.amount) for x in earnings(charge, at(until, zone), zone)]


def after(charge: DeferredCharge, until_us: int, zone: str) -> tuple[DeferredCharge, list[Earning]]:
    """The charge as it is kept once it was looked at."""
    found = list(earnings(charge, until_us, zone))
    earned = charge.earned + sum(x.amount for x in found)
    return replace(charge, earned=earned, earned_to_us=until_us), found


def test_a_quarter_of_ninety_days() -> None:
    # January to March 2026: 31 + 28 + 31 = 90 days at 1.00.
    quarter = charge("90", "2026-01-01", "2026-04-01")
    assert told(quarter) == [("2026-01", eur("31")), ("2026-02", eur("28")), ("2026-03", eur("31"))]


def test_only_what_is_over_is_earned() -> None:
    quarter = charge("90", "2026-01-01", "2026-04-01")
    assert told(quarter, "2026-01-01 23:59") == []
    assert told(quarter, "2026-01-02") == [("2026-01", eur("1"))]
    assert told(quarter, "2026-02-11 12:00") == [("2026-01", eur("31")), ("2026-02", eur("10"))]


def test_a_year_that_begins_within_a_month() -> None:
    # 366 EUR for 2028-01-16 to 2029-01-16, 366 days with 29 February: 16 in January, 29, ..., 15 in January.
    year = charge("366", "2028-01-16", "2029-01-16")
    days = [16, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 15]
    assert [amount for _, amount in told(year)] == [eur(str(n)) for n in days]


def test_a_third_is_rounded_as_it_adds_up() -> None:
    # 10 EUR over 2026-01-31 to 2026-02-03, 3 days: 3.333333 in January, 6.666667 in February.
    assert told(charge("10", "2026-01-31", "2026-02-03")) == [
        ("2026-01", 3_333_333),
        ("2026-02", 6_666_667),
    ]


def test_what_is_given_back_lessens_what_is_earned() -> None:
    # A plan of 31.00 for January, left on the 21st: 11 days are given back.
    assert told(charge("-11", "2026-01-21", "2026-02-01")) == [("2026-01", -eur("11"))]


def test_nothing_is_earned_before_it_is_in_the_books() -> None:
    # Served since 1 January, on an invoice of 10 February: January's part is February's income in the books.
    late = charge("90", "2026-01-01", "2026-04-01", posted="2026-02-10 09:00")
    assert told(late, "2026-02-01") == []
    assert told(late) == [("2026-02", eur("59")), ("2026-03", eur("31"))]
    assert told(replace(late, posted_us=at("2026-06-05"))) == [("2026-06", eur("90"))]


def test_a_note_took_back_a_part() -> None:
    # 90 EUR, 31 earned by February; a note of 30 leaves 60: at the end of February 59/90 of that are earned.
    credited = DeferredCharge(
        eur("60"), eur("31"), Period(at("2026-01-01"), at("2026-04-01")), at("2026-01-01"), at("2026-02-01")
    )
    assert told(credited) == [("2026-02", 39_333_333 - eur("31")), ("2026-03", eur("60") - 39_333_333)]


def test_a_note_that_took_all_that_was_left() -> None:
    quarter = Period(at("2026-01-01"), at("2026-04-01"))
    assert told(DeferredCharge(eur("31"), eur("31"), quarter, quarter.from_us, at("2026-02-01"))) == []


def test_what_was_earned_is_never_unearned() -> None:
    # 31 of 90 are earned, a note leaves 45: by days 29.50 were earned at the end of February, which is less.
    credited = DeferredCharge(
        eur("45"), eur("31"), Period(at("2026-01-01"), at("2026-04-01")), at("2026-01-01"), at("2026-02-01")
    )
    assert told(credited) == [("2026-03", eur("14"))]


def test_service_within_one_day_is_earned_when_it_ends() -> None:
    assert told(charge("1", "2026-01-31 08:00", "2026-01-31 20:00")) == [("2026-01", eur("1"))]
    assert told(charge("1", "2026-01-31 08:00", "2026-01-31 20:00"), "2026-01-31 20:00") == [
        ("2026-01", eur("1"))
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati"])
def test_months_are_the_issuers(zone: str) -> None:
    # March 2026 has an hour less in Europe and America; a day is a day.
    found = told(charge("61", "2026-03-01", "2026-05-01", zone=zone), zone=zone)
    assert found == [("2026-03", eur("31")), ("2026-04", eur("30"))]


def test_an_entry_is_of_the_last_moment_that_it_reckons() -> None:
    (january, february) = earnings(charge("59", "2026-01-01", "2026-03-01"), at("2026-02-11"), "UTC")
    assert (january.at_us, february.at_us) == (at("2026-02-01") - 1, at("2026-02-11") - 1)


DAY_US = 86_400_000_000
MOMENTS = st.integers(at("2024-01-01"), at("2027-01-01"))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"])


@given(
    st.integers(-(10**12), 10**12).filter(bool),
    MOMENTS,
    st.integers(1, 800 * DAY_US),
    st.integers(-40 * DAY_US, 400 * DAY_US),
    st.lists(MOMENTS, max_size=6),
    ZONES,
)
def test_catching_up_is_the_same_as_month_by_month(
    amount: int, from_us: int, long_us: int, late_us: int, looks: list[int], zone: str
) -> None:
    service = Period(from_us, from_us + long_us)
    whole = DeferredCharge(amount, 0, service, from_us + late_us)
    until_us = month_start_us(at("2029-06-15"), zone)
    caught_up, at_once = after(whole, until_us, zone)
    assert caught_up.earned == amount
    assert all(abs(x.amount) <= abs(amount) and (x.amount > 0) == (amount > 0) for x in at_once)
    assert len({x.month for x in at_once}) == len(at_once)

    monthly: list[Earning] = []
    step = whole
    bounds = {
        month_start_us(at(f"{year}-{month:02}-20"), zone)
        for year in range(2023, 2030)
        for month in range(1, 13)
    }
    for bound_us in sorted(x for x in bounds if x <= until_us):
        step, found = after(step, bound_us, zone)
        monthly += found
    assert monthly == at_once

    by_day: dict[str, int] = {}
    step = whole
    for look_us in [*sorted(looks), until_us]:
        step, found = after(step, look_us, zone)
        for x in found:
            by_day[x.month] = by_day.get(x.month, 0) + x.amount
    assert by_day == {x.month: x.amount for x in at_once}
