"""What consumption costs: examples, and properties that hold for all."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, Rounding, compile_price, parse_decimal
from pbxbill.rating.consumption import (
    DAY_US,
    READING_SCALE,
    Component,
    ComponentKind,
    MeterTariff,
    Range,
    charge_period,
    consumed_between,
)
from pbxbill.rating.tariff import TaxMode
from tests.small_operator import EUR, eur

PIECE = 10**READING_SCALE


def price(text: str) -> int:
    return compile_price(parse_decimal(text))


def stepped(*ranges: tuple[int, str]) -> Component:
    steps = tuple(Range(start * PIECE, price(text)) for start, text in ranges)
    return Component("use", ComponentKind.STEPPED, ranges=steps)


BASE = Component("base", ComponentKind.PER_DAY, price("0.30"))
FIXED = Component("reading", ComponentKind.FIXED, price("2"))
USE = stepped((0, "0.20"), (100, "0.15"), (500, "0.10"))


@pytest.mark.parametrize(
    "consumed,days,total",
    [
        (0, 30, "11.00"),  # 9.00 for the days, 2.00 for the reading
        (100, 30, "31.00"),  # and 100 x 0.20
        (600, 30, "101.00"),  # and 100 x 0.20 + 400 x 0.15 + 100 x 0.10
    ],
)
def test_days_reading_and_steps(consumed: int, days: int, total: str) -> None:
    tariff = MeterTariff("power", EUR, (BASE, FIXED, USE))
    assert charge_period(tariff, consumed * PIECE, days * DAY_US).total == eur(total)


def test_parts_of_days_count_as_such() -> None:
    tariff = MeterTariff("power", EUR, (BASE,))
    assert charge_period(tariff, 0, DAY_US // 2).total == eur("0.15")


def test_a_minimum_of_a_component_and_one_of_the_period() -> None:
    low = Component("use", ComponentKind.PER_PIECE, price("0.01"), minimum=price("1"))
    assert charge_period(MeterTariff("t", EUR, (low,)), 5 * PIECE, DAY_US).total == eur("1")
    least = MeterTariff("t", EUR, (low,), minimum=price("4"))
    charged = charge_period(least, 5 * PIECE, DAY_US)
    assert (charged.total, charged.raised, charged.lines[0].raised) == (eur("4"), True, True)


def test_tax_is_added_and_contained() -> None:
    on_top = MeterTariff("t", EUR, (FIXED,), tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000)
    charged = charge_period(on_top, 0, DAY_US)
    assert (charged.total, charged.tax) == (eur("2.38"), eur("0.38"))
    within = MeterTariff("t", EUR, (FIXED,), tax_mode=TaxMode.INCLUSIVE, tax_ppm=190_000)
    assert charge_period(within, 0, DAY_US)[:2] == (eur("2"), 319_328)


@given(
    st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 400 * DAY_US), st.integers(1, 400 * DAY_US)
)
def test_more_never_costs_less(one: int, two: int, short_us: int, long_us: int) -> None:
    tariff = MeterTariff("t", EUR, (BASE, FIXED, USE), minimum=price("12"))
    less, more = sorted((one, two))
    shorter_us, longer_us = sorted((short_us, long_us))
    assert charge_period(tariff, less, shorter_us).total <= charge_period(tariff, more, shorter_us).total
    assert charge_period(tariff, less, shorter_us).total <= charge_period(tariff, less, longer_us).total


@given(st.integers(0, 10**10))
def test_steps_are_the_sum_of_their_pieces(consumed: int) -> None:
    """Reckoned piece by piece, with nothing rounded before the end."""
    exact = Fraction(0)
    for start, end, cost in ((0, 100, "0.20"), (100, 500, "0.15"), (500, None, "0.10")):
        upper = consumed if end is None else min(consumed, end * PIECE)
        exact += Fraction(max(0, upper - start * PIECE), PIECE) * price(cost)
    tariff = MeterTariff("t", EUR, (USE,), rounding=Rounding.DOWN)
    assert charge_period(tariff, consumed, DAY_US).total == int(exact / 10 ** (PRICE_SCALE - EUR.scale))


@given(st.integers(0, 10**9), st.integers(1, 200 * DAY_US), st.integers(1, 200 * DAY_US))
def test_a_period_in_two_parts_costs_the_same_days(consumed: int, first_us: int, second_us: int) -> None:
    """Per day and per piece are additive but for the rounding of each part."""
    tariff = MeterTariff("t", EUR, (BASE, Component("use", ComponentKind.PER_PIECE, price("0.2"))))
    whole = charge_period(tariff, consumed, first_us + second_us).total
    parts = charge_period(tariff, consumed // 2, first_us).total
    parts += charge_period(tariff, consumed - consumed // 2, second_us).total
    assert abs(whole - parts) <= 1


@pytest.mark.parametrize(
    "before,after,rolls_over_at,consumed",
    [
        (10, 25, None, 15),
        (25, 10, None, None),
        (99_990, 15, 100_000, 25),
        (50_000, 49_000, 100_000, None),  # 99,000 of 100,000: somebody misread it
    ],
)
def test_what_a_meter_counted(
    before: int, after: int, rolls_over_at: int | None, consumed: int | None
) -> None:
    assert consumed_between(before, after, rolls_over_at) == consumed


@pytest.mark.parametrize(
    "make",
    [
        lambda: stepped((10, "1")),
        lambda: stepped((0, "1"), (5, "2"), (5, "3")),
        lambda: Component("x", ComponentKind.FIXED, ranges=(Range(0, 1),)),
        lambda: Component("x", ComponentKind.FIXED, -1),
        lambda: MeterTariff("t", EUR, ()),
        lambda: charge_period(MeterTariff("t", EUR, (BASE,)), -1, DAY_US),
        lambda: charge_period(MeterTariff("t", EUR, (BASE,)), 1, 0),
    ],
)
def test_nonsense_is_refused(make) -> None:
    with pytest.raises(InputRefused):
        make()
