"""Amounts as Stripe counts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.gateways.currencies import iso_digits
from pbxbill.gateways.stripe_facts import from_stripe, stripe_step, to_stripe

CURRENCIES = [
    "EUR",
    "USD",
    "GBP",
    "HUF",
    "TWD",
    "JPY",
    "KRW",
    "XOF",
    "MGA",
    "ISK",
    "UGX",
    "KWD",
    "BHD",
    "JOD",
    "OMR",
    "TND",
    "MRU",
]


@pytest.mark.parametrize(
    "currency, amount, as_stripe",
    [
        ("EUR", 10_00, 10_00),
        ("JPY", 500, 500),
        ("KWD", 5_120, 5_120),
        ("ISK", 5, 500),
        ("UGX", 5, 500),
        ("MGA", 500_00, 500),
        ("HUF", 10_45, 10_45),
        ("TWD", 800_45, 800_45),
    ],
)
def test_examples_of_its_documentation(currency: str, amount: int, as_stripe: int) -> None:
    assert to_stripe(amount, currency) == as_stripe
    assert from_stripe(as_stripe, currency) == amount


@pytest.mark.parametrize(
    "currency, step", [("EUR", 1), ("JPY", 1), ("KWD", 10), ("ISK", 1), ("UGX", 1), ("MGA", 100), ("HUF", 1)]
)
def test_what_amounts_are_multiples_of(currency: str, step: int) -> None:
    assert stripe_step(currency) == step


@given(currency=st.sampled_from(CURRENCIES), steps=st.integers(1, 10**9))
def test_every_amount_that_it_takes_comes_back_as_it_went(currency: str, steps: int) -> None:
    amount = steps * stripe_step(currency)
    told = to_stripe(amount, currency)
    assert from_stripe(told, currency) == amount
    # As Stripe's page on currencies has it: the last digit of three is 0, fractions of ISK and UGX are none.
    assert iso_digits(currency) != 3 or told % 10 == 0
    assert currency not in {"ISK", "UGX"} or told % 100 == 0


@given(currency=st.sampled_from(CURRENCIES), first=st.integers(1, 10**9), second=st.integers(1, 10**9))
def test_a_larger_amount_is_larger_there(currency: str, first: int, second: int) -> None:
    step = stripe_step(currency)
    assert (first < second) is (to_stripe(first * step, currency) < to_stripe(second * step, currency))
