"""Mark-ups along a reseller chain: percent, absolute, rounding."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.money import Unit
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import BandPrice, MarkUp, Rate, RateTerms, Step, Tariff
from tests.unit.rating.test_walk import rates

CENT = 10**10
ABOVE = Tariff(1, "wholesale", 1, Unit("EUR"))
HOURS = BandCalendar(
    1, "hours", "UTC", (BandRule("day", to_s=43_200), BandRule("night", from_s=43_200, to_s=86_400))
)
NIGHTS = BandCalendar(2, "nights", "UTC", (BandRule("night"),))
BANDED = Rate(
    1,
    "49",
    "Germany",
    10 * CENT,
    terms=RateTerms(bands=(("day", BandPrice(12 * CENT)), ("night", BandPrice(6 * CENT))), banded_only=True),
)


def rate_of(price: int) -> Rate:
    return Rate(1, "49", "Germany", price)


@pytest.mark.parametrize(
    "mark_up, price",
    [
        (MarkUp(), 123),
        (MarkUp(ppm=200_000), 148),  # 147.6
        (MarkUp(ppm=200_000, rounding_step=10), 150),
        (MarkUp(absolute=7), 130),
        (MarkUp(ppm=200_000, absolute=7, rounding_step=5), 155),
        (MarkUp(ppm=-500_000), 62),  # 61.5: up, even in a discount
        (MarkUp(absolute=-200), 0),
        (MarkUp(ppm=-1_500_000), 0),
        (MarkUp(rounding_step=100), 200),
    ],
)
def test_a_price_is_raised_and_rounded_up(mark_up: MarkUp, price: int) -> None:
    assert marked_up(rate_of(123), mark_up, ABOVE).price_per_min == price


def test_every_price_is_raised_and_only_those_of_a_minute_by_what_is_added() -> None:
    terms = RateTerms(
        (Step(600, 50),),
        (("night", BandPrice(30, 20, 10, 6, 5, 4, (Step(60, 10),))),),
        True,
        maximum_charge=1000,
        ends_at_maximum=True,
    )
    rate = Rate(1, "49", "Germany", 100, 200, 300, 60, 30, 5, 1, 2, terms)
    raised = marked_up(rate, MarkUp(ppm=100_000, absolute=1), ABOVE)
    assert raised == Rate(
        1,
        "49",
        "Germany",
        111,
        220,
        330,
        60,
        30,
        5,
        1,
        2,
        RateTerms(
            (Step(600, 56),),
            (("night", BandPrice(34, 22, 11, 6, 5, 4, (Step(60, 12),))),),
            True,
            maximum_charge=1100,
            ends_at_maximum=True,
        ),
    )


def test_a_chain_of_mark_ups_is_raised_level_by_level() -> None:
    """0.10 a minute; the first reseller takes 15 %, the second half a cent, to whole tenths of a cent."""
    first = marked_up(rate_of(10 * CENT), MarkUp(ppm=150_000), ABOVE)
    second = marked_up(first, MarkUp(absolute=CENT // 2, rounding_step=CENT // 10), ABOVE)
    assert (first.price_per_min, second.price_per_min) == (115 * CENT // 10, 12 * CENT)


@given(rates(), st.integers(0, 10**7), st.integers(0, 10**9), st.sampled_from([1, 7, 1000]))
def test_a_mark_up_never_makes_anything_cheaper(rate: Rate, ppm: int, absolute: int, step: int) -> None:
    raised = marked_up(rate, MarkUp(ppm, absolute, step), ABOVE)
    assert raised.price_per_min >= rate.price_per_min
    assert raised.connection_fee >= rate.connection_fee
    assert raised.minimum_charge >= rate.minimum_charge
    assert raised.price_per_min % step == 0
    assert marked_up(rate, MarkUp(), ABOVE) == rate


@pytest.mark.parametrize("calendar, total", [(None, 90_000), (NIGHTS, 90_000), (HOURS, 90_000)])
def test_bands_are_those_of_the_tariff_above_unless_the_own_one_names_a_calendar(
    calendar: BandCalendar | None, total: int
) -> None:
    """A minute at 13:00 is night: 6 cents and half more, not the 12 cents of the day or the rate's own."""
    above = replace(ABOVE, calendar=HOURS)
    own = replace(ABOVE, version_id=2, mark_up=MarkUp(ppm=500_000), calendar=calendar)
    rate = marked_up(BANDED, MarkUp(ppm=500_000), above)
    one_o_clock_us = 13 * 3600 * 1_000_000
    assert charge(rate, own, 60_000_000, one_o_clock_us).total == total


def test_an_own_calendar_counts_before_the_one_above() -> None:
    above = replace(ABOVE, calendar=HOURS)
    own = replace(ABOVE, version_id=2, mark_up=MarkUp(), calendar=NIGHTS)
    rate = marked_up(BANDED, MarkUp(), above)
    assert charge(rate, own, 60_000_000, 3600 * 1_000_000).total == 60_000  # night all day
    assert charge(rate, above, 60_000_000, 3600 * 1_000_000).total == 120_000


def test_a_mark_up_on_a_mark_up_keeps_the_calendar() -> None:
    above = replace(ABOVE, calendar=HOURS)
    middle = replace(ABOVE, version_id=2, mark_up=MarkUp(ppm=500_000))
    rate = marked_up(marked_up(BANDED, MarkUp(ppm=500_000), above), MarkUp(absolute=CENT), middle)
    assert charge(rate, middle, 60_000_000, 3600 * 1_000_000).total == 190_000
