"""Charges against an exact rational reference, the inverse against the charge, and the trade's examples."""

from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.clock import SECOND_US
from pbxbill.money import Rounding, Unit
from pbxbill.rating.rater import Charge, affordable, billable_seconds, charge, increment_end, opening
from pbxbill.rating.tariff import PPM, Rate, Tariff, TaxMode

EUR = Unit("EUR")
PRICE = 10**12
"""1.00 per minute or per call, as compiled."""


def rate_of(**terms: Any) -> Rate:
    return Rate(id=1, prefix="49", destination="Germany", price_per_min=0)._replace(**terms)


def tariff_of(**terms: object) -> Tariff:
    return Tariff(version_id=1, name="Retail", deck_id=1, **{"unit": EUR, **terms})  # type: ignore[arg-type]


# Small prices meet the edges of rounding; large ones those of the range.
prices = st.one_of(
    st.just(0),
    st.integers(1, 2000),
    st.integers(0, 5 * PRICE),
    st.integers(0, 500).map(lambda x: x * PRICE // 1000),
)
seconds = st.one_of(st.just(0), st.integers(0, 7), st.integers(0, 300))
increments = st.one_of(st.sampled_from([1, 6, 30, 60]), st.integers(1, 200))
rates = st.builds(
    rate_of,
    price_per_min=prices,
    connection_fee=prices,
    minimum_charge=prices,
    initial_increment_s=increments,
    following_increment_s=increments,
    free_s=seconds,
)
tariffs = st.builds(
    tariff_of,
    unit=st.sampled_from([EUR, Unit("BTC", 8, 8), Unit("JPY", 0, 0), Unit("XYZ", 12, 2)]),
    tax_mode=st.sampled_from(TaxMode),
    tax_ppm=st.one_of(st.just(0), st.just(190_000), st.integers(0, 2 * PPM)),
    rounding=st.sampled_from(Rounding),
    rounding_step=st.sampled_from([1, 3, 100, 10_000]),
)
durations = st.one_of(
    st.integers(0, 1000).map(lambda s: s * SECOND_US),
    st.builds(lambda s, d: max(0, s * SECOND_US + d), st.integers(0, 1000), st.sampled_from([-1, 1])),
    st.integers(0, 200_000 * SECOND_US),
)


def reference_total(rate: Rate, tariff: Tariff, duration_us: int) -> int:
    """The charge as the documentation words it, in fractions of a currency unit."""
    if duration_us <= 0:
        return 0
    beyond = Fraction(duration_us, SECOND_US) - rate.free_s
    exact = Fraction(rate.connection_fee, PRICE)
    if beyond > 0:
        billable = rate.initial_increment_s
        while billable < beyond:
            missing = ceil((beyond - billable) / rate.following_increment_s)
            billable += missing * rate.following_increment_s
        exact += Fraction(rate.price_per_min, PRICE) / 60 * billable
        exact = max(exact, Fraction(rate.minimum_charge, PRICE))
    if tariff.tax_mode is TaxMode.EXCLUSIVE:
        exact *= 1 + Fraction(tariff.tax_ppm, PPM)
    steps = exact * 10**tariff.unit.scale / tariff.rounding_step
    whole: dict[Rounding, int] = {
        Rounding.HALF_UP: floor(steps + Fraction(1, 2)),
        Rounding.UP: ceil(steps),
        Rounding.DOWN: floor(steps),
    }
    return whole[tariff.rounding] * tariff.rounding_step


@given(rates, tariffs, durations)
def test_a_charge_equals_the_exact_reference(rate: Rate, tariff: Tariff, duration_us: int) -> None:
    assert charge(rate, tariff, duration_us).total == reference_total(rate, tariff, duration_us)


@given(rates, tariffs, durations)
def test_the_tax_is_the_part_that_the_total_contains(rate: Rate, tariff: Tariff, duration_us: int) -> None:
    result = charge(rate, tariff, duration_us)
    assert result.total == result.net + result.tax
    assert 0 <= result.tax <= result.total
    taxed = tariff.tax_ppm if tariff.tax_mode is not TaxMode.NONE else 0
    assert abs(result.tax - Fraction(result.total * taxed, PPM + taxed)) <= Fraction(1, 2)


@given(rates, tariffs, durations, st.integers(0, 100 * SECOND_US))
def test_a_longer_call_never_costs_less(rate: Rate, tariff: Tariff, duration_us: int, more_us: int) -> None:
    shorter, longer = charge(rate, tariff, duration_us), charge(rate, tariff, duration_us + more_us)
    assert shorter.total <= longer.total
    assert shorter.billable_s <= longer.billable_s


@given(rates, tariffs, st.integers(-1000, 50 * 10**6), st.one_of(seconds, st.integers(0, 200_000)))
def test_affordable_is_the_inverse_of_charge(rate: Rate, tariff: Tariff, funds: int, limit_s: int) -> None:
    duration_us = affordable(rate, tariff, funds, limit_s)
    assert 0 <= duration_us <= limit_s * SECOND_US
    assert duration_us == 0 or charge(rate, tariff, duration_us).total <= funds
    if duration_us < limit_s * SECOND_US:
        assert charge(rate, tariff, duration_us + 1).total > funds
        assert increment_end(rate, duration_us) == duration_us


@given(rates, tariffs, durations)
def test_funds_of_exactly_the_charge_last_that_long(rate: Rate, tariff: Tariff, duration_us: int) -> None:
    limit_s = 300_000
    funds = charge(rate, tariff, duration_us).total
    assert affordable(rate, tariff, funds, limit_s) >= duration_us
    if funds and duration_us:
        assert affordable(rate, tariff, funds - 1, limit_s) < duration_us


@given(rates, tariffs, st.integers(0, 10**9), st.integers(1, 14_400))
def test_what_is_remembered_of_a_rate_is_what_would_be_reckoned(
    rate: Rate, tariff: Tariff, funds: int, limit_s: int
) -> None:
    known = opening(rate, tariff)
    assert opening(rate, tariff) is known
    assert known.slice_us == increment_end(rate, tariff.slice_s * SECOND_US)
    assert known.slice_total == charge(rate, tariff, known.slice_us).total
    for enough in (known.longest_total, known.longest_total + funds):
        assert affordable(rate, tariff, enough, limit_s) == limit_s * SECOND_US


@given(rates, tariffs, st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 90_000))
def test_more_funds_never_last_shorter(
    rate: Rate, tariff: Tariff, funds: int, more: int, limit_s: int
) -> None:
    assert affordable(rate, tariff, funds, limit_s) <= affordable(rate, tariff, funds + more, limit_s)


@given(rates, tariffs, durations)
def test_all_of_an_increment_costs_the_same(rate: Rate, tariff: Tariff, duration_us: int) -> None:
    end_us = increment_end(rate, duration_us)
    assert end_us >= duration_us
    assert charge(rate, tariff, end_us) == charge(rate, tariff, duration_us)
    if duration_us > rate.free_s * SECOND_US:
        assert charge(rate, tariff, end_us + 1).billable_s > charge(rate, tariff, duration_us).billable_s


@given(rates, durations, st.sampled_from(Rounding), st.integers(0, PPM), st.sampled_from([1, 10_000]))
def test_prices_that_contain_the_tax_cost_what_those_without_it_cost_plus_tax(
    rate: Rate, duration_us: int, rounding: Rounding, tax_ppm: int, step: int
) -> None:
    def grossed_up(price: int) -> int:
        return price * (PPM + tax_ppm)

    net = tariff_of(tax_mode=TaxMode.EXCLUSIVE, tax_ppm=tax_ppm, rounding=rounding, rounding_step=step)
    gross = tariff_of(tax_mode=TaxMode.INCLUSIVE, tax_ppm=tax_ppm, rounding=rounding, rounding_step=step)
    # PPM-fold prices on both sides keep the gross ones whole.
    net_rate = rate_of(**{name: getattr(rate, name) * PPM for name in PRICED}, **timing(rate))
    gross_rate = rate_of(**{name: grossed_up(getattr(rate, name)) for name in PRICED}, **timing(rate))
    assert charge(net_rate, net, duration_us) == charge(gross_rate, gross, duration_us)


PRICED = ("price_per_min", "connection_fee", "minimum_charge")


def timing(rate: Rate) -> dict[str, int]:
    names = ("initial_increment_s", "following_increment_s", "free_s")
    return {name: getattr(rate, name) for name in names}


@pytest.mark.parametrize(
    "increments, duration_us, billable_s",
    [
        ("60/60", 0, 0),
        ("60/60", 1, 60),
        ("60/60", 59_999_999, 60),
        ("60/60", 60_000_000, 60),
        ("60/60", 60_000_001, 120),
        ("60/60", 3_600_000_000, 3600),
        ("30/6", 1, 30),
        ("30/6", 30_000_000, 30),
        ("30/6", 30_000_001, 36),
        ("30/6", 36_000_000, 36),
        ("30/6", 37_000_000, 42),
        ("1/1", 1, 1),
        ("1/1", 1_000_000, 1),
        ("1/1", 1_000_001, 2),
        ("1/1", 61_500_000, 62),
        ("60/1", 60_000_001, 61),
        ("7/13", 20_000_001, 33),
    ],
)
def test_increments_of_the_trade(increments: str, duration_us: int, billable_s: int) -> None:
    initial_s, following_s = map(int, increments.split("/"))
    rate = rate_of(initial_increment_s=initial_s, following_increment_s=following_s)
    assert billable_seconds(rate, duration_us) == billable_s


MINUTE_12_CENT = {"price_per_min": 120_000_000_000}


@pytest.mark.parametrize(
    "terms, duration_s, total",
    [
        pytest.param({}, 0, 0, id="not answered"),
        pytest.param({"connection_fee": PRICE}, 0, 0, id="no connection fee without a call"),
        pytest.param({}, 60, 120_000, id="one minute"),
        pytest.param({}, 61, 122_000, id="by the second"),
        pytest.param({"initial_increment_s": 60, "following_increment_s": 60}, 61, 240_000, id="60/60"),
        pytest.param({"initial_increment_s": 30, "following_increment_s": 6}, 31, 72_000, id="30/6"),
        pytest.param({"connection_fee": 50_000_000_000}, 60, 170_000, id="connection fee"),
        pytest.param({"minimum_charge": 100_000_000_000}, 1, 100_000, id="minimum charge reached up to"),
        pytest.param({"minimum_charge": 100_000_000_000}, 60, 120_000, id="minimum charge exceeded"),
        pytest.param({"free_s": 10}, 10, 0, id="within the free seconds"),
        pytest.param({"free_s": 10}, 11, 2_000, id="one second beyond the free ones"),
        pytest.param({"free_s": 10, "connection_fee": PRICE}, 5, 1_000_000, id="free seconds, yet connected"),
        pytest.param({"free_s": 10, "minimum_charge": PRICE}, 10, 0, id="no minimum within free seconds"),
        pytest.param({"price_per_min": 0}, 86_400, 0, id="toll-free"),
        pytest.param({"price_per_min": 1}, 60, 0, id="finer than the unit"),
    ],
)
def test_charges_of_the_trade(terms: dict[str, Any], duration_s: int, total: int) -> None:
    assert charge(rate_of(**{**MINUTE_12_CENT, **terms}), tariff_of(), duration_s * SECOND_US).total == total


def test_19_percent_on_top_of_the_price() -> None:
    tariff = tariff_of(tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000)
    result = charge(rate_of(price_per_min=PRICE), tariff, 60 * SECOND_US)
    assert result == Charge(total=1_190_000, tax=190_000, billable_s=60)
    assert result.net == 1_000_000


def test_19_percent_within_the_price() -> None:
    tariff = tariff_of(tax_mode=TaxMode.INCLUSIVE, tax_ppm=190_000)
    result = charge(rate_of(price_per_min=PRICE), tariff, 60 * SECOND_US)
    assert (result.total, result.net, result.tax) == (1_000_000, 840_336, 159_664)


@pytest.mark.parametrize(
    "rounding, total", [(Rounding.HALF_UP, 10_000), (Rounding.UP, 20_000), (Rounding.DOWN, 10_000)]
)
def test_a_charge_in_cents_carries_the_tax_of_those_cents(rounding: Rounding, total: int) -> None:
    # 0.0119 with tax.
    tariff = tariff_of(tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000, rounding=rounding, rounding_step=10_000)
    result = charge(rate_of(price_per_min=PRICE // 100), tariff, 60 * SECOND_US)
    assert result.total == total
    assert result.tax == round(Fraction(total * 19, 119))


@pytest.mark.parametrize(
    "terms, funds, limit_s, duration_us",
    [
        pytest.param({}, 120_000, 3600, 60_000_000, id="money for a minute"),
        pytest.param({}, 119_999, 3600, 59_000_000, id="one step short of a minute"),
        pytest.param({}, 10**12, 3600, 3_600_000_000, id="the limit cuts"),
        pytest.param({}, 0, 3600, 0, id="no money"),
        pytest.param({}, -1, 3600, 0, id="in debt"),
        pytest.param({}, 120_000, 0, 0, id="no time"),
        pytest.param({}, 120_000, -5, 0, id="less than no time"),
        pytest.param({"price_per_min": 0}, 0, 3600, 3_600_000_000, id="toll-free needs no money"),
        pytest.param({"price_per_min": 0}, -1, 3600, 0, id="toll-free in debt"),
        pytest.param({"free_s": 10}, 0, 3600, 10_000_000, id="the free seconds alone"),
        pytest.param({"free_s": 10}, 0, 5, 5_000_000, id="fewer than the free seconds"),
        pytest.param({"initial_increment_s": 60}, 119_999, 3600, 0, id="first increment too dear"),
        pytest.param(
            {"initial_increment_s": 60}, 120_000, 45, 45_000_000, id="limit within the first increment"
        ),
        pytest.param(
            {"following_increment_s": 60}, 3_000, 3600, 1_000_000, id="the second increment too dear"
        ),
        pytest.param({"connection_fee": PRICE}, 999_999, 3600, 0, id="connection fee too dear"),
        pytest.param({"minimum_charge": PRICE}, 999_999, 3600, 0, id="minimum charge too dear"),
        pytest.param({"minimum_charge": PRICE}, 1_000_000, 3600, 500_000_000, id="minimum charge used up"),
    ],
)
def test_how_long_funds_last(terms: dict[str, Any], funds: int, limit_s: int, duration_us: int) -> None:
    assert affordable(rate_of(**{**MINUTE_12_CENT, **terms}), tariff_of(), funds, limit_s) == duration_us


def test_tax_is_part_of_what_prepaid_funds_must_cover() -> None:
    tariff = tariff_of(tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000)
    assert affordable(rate_of(price_per_min=PRICE), tariff, 1_190_000, 3600) == 60 * SECOND_US
    assert affordable(rate_of(price_per_min=PRICE), tariff, 1_189_999, 3600) == 59 * SECOND_US


def test_a_call_of_weeks_at_the_highest_price_stays_exact() -> None:
    rate = rate_of(price_per_min=2**62)
    assert charge(rate, tariff_of(), 40 * 86_400 * SECOND_US).total == reference_total(
        rate, tariff_of(), 40 * 86_400 * SECOND_US
    )
