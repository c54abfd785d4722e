"""Mark-ups along a reseller chain: percent, absolute, rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.tariff import BandPrice, MarkUp, Rate, RateTerms, Step
from tests.unit.rating.test_walk import rates

CENT = 10**10


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
    assert marked_up(rate_of(123), mark_up).price_per_min == price


def test_every_price_is_raised_and_only_those_of_a_minute_by_what_is_added() -> None:
    terms = RateTerms(
        (Step(600, 50),),
        (("night", BandPrice(30, 20, 10, 6, 5, 4, (Step(60, 10),))),),
        True,
        maximum_charge=1000,
        ends_at_maximum=True,
    )
    rate = Rate(1, "49", "Germany", 100, 200, 300, 60, 30, 5, 1, 2, terms)
    raised = marked_up(rate, MarkUp(ppm=100_000, absolute=1))
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
    first = marked_up(rate_of(10 * CENT), MarkUp(ppm=150_000))
    second = marked_up(first, MarkUp(absolute=CENT // 2, rounding_step=CENT // 10))
    assert (first.price_per_min, second.price_per_min) == (115 * CENT // 10, 12 * CENT)


@given(rates(), st.integers(0, 10**7), st.integers(0, 10**9), st.sampled_from([1, 7, 1000]))
def test_a_mark_up_never_makes_anything_cheaper(rate: Rate, ppm: int, absolute: int, step: int) -> None:
    raised = marked_up(rate, MarkUp(ppm, absolute, step))
    assert raised.price_per_min >= rate.price_per_min
    assert raised.connection_fee >= rate.connection_fee
    assert raised.minimum_charge >= rate.minimum_charge
    assert raised.price_per_min % step == 0
    assert marked_up(rate, MarkUp()) == rate
