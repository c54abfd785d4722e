"""Amounts: what people write, how they are rounded, how they are shown."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.money import (
    MAX_AMOUNT,
    PRICE_SCALE,
    Rounding,
    Unit,
    ceil_div,
    compile_price,
    format_amount,
    parse_amount,
    parse_decimal,
    round_ratio,
    round_ratio_limit,
    to_decimal,
)

EUR = Unit("EUR")
BTC = Unit("BTC", scale=8, digits=8)
SECONDS = Unit("s", scale=0, digits=0)


@pytest.mark.parametrize(
    "text, unit, amount",
    [
        ("12.50", EUR, 12_500_000),
        ("12.5", EUR, 12_500_000),
        (" 12 ", EUR, 12_000_000),
        ("-0.000001", EUR, -1),
        ("+3.", EUR, 3_000_000),
        (".5", EUR, 500_000),
        ("0.10000000000", EUR, 100_000),
        ("-0", EUR, 0),
        ("0.00000001", BTC, 1),
        ("21000000", BTC, 2_100_000_000_000_000),
        ("90", SECONDS, 90),
    ],
)
def test_an_amount_as_people_write_it(text: str, unit: Unit, amount: int) -> None:
    assert parse_amount(text, unit) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "-",
        "12,50",
        "1 000",
        "1_000",
        "0x10",
        "twelve",
        "NaN",
        "Infinity",
        "-inf",
        "1e",
        "١٢",
        "1\n2",
        "1e999",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputRefused, match=r"is not a number; write it like 12\.50"):
        parse_decimal(text)


@pytest.mark.parametrize("text", ["1e3", "1E3", "5e-1", "-1e0"])
def test_an_amount_is_written_in_digits(text: str) -> None:
    with pytest.raises(InputRefused, match=r"is no amount; write it in digits, like 12\.50"):
        parse_amount(text, EUR)


def test_a_digit_too_many_is_refused_not_rounded() -> None:
    with pytest.raises(InputRefused, match=r"0\.0000001|1E-7 has more than 6 digits"):
        parse_amount("0.0000001", EUR)
    with pytest.raises(InputRefused, match="more than 0 digits"):
        parse_amount("1.5", SECONDS)


@pytest.mark.parametrize("text", ["1" + "0" * 13, "-1" + "0" * 13, "9" * 5000, "0." + "0" * 70 + "1"])
def test_an_amount_beyond_the_ledger_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        parse_amount(text, EUR)


def test_the_greatest_amount() -> None:
    assert parse_amount(format_amount(MAX_AMOUNT, EUR), EUR) == MAX_AMOUNT
    with pytest.raises(InputRefused, match="out of range"):
        parse_amount(format_amount(MAX_AMOUNT + 1, EUR), EUR)


def test_a_price_is_compiled_to_twelve_digits() -> None:
    assert compile_price(Decimal("0.0123")) == 12_300_000_000
    assert compile_price(Decimal(0)) == 0
    assert to_decimal(compile_price(Decimal("0.000000000001")), PRICE_SCALE) == Decimal("0.000000000001")
    with pytest.raises(InputRefused, match="cannot be negative"):
        compile_price(Decimal("-0.01"))
    with pytest.raises(InputRefused, match="more than 12 digits"):
        compile_price(Decimal("0.0000000000001"))


@pytest.mark.parametrize(
    "amount, unit, text",
    [
        (0, EUR, "0.00"),
        (12_500_000, EUR, "12.50"),
        (12_345, EUR, "0.012345"),
        (12_300, EUR, "0.0123"),
        (-1, EUR, "-0.000001"),
        (-12_500_000, EUR, "-12.50"),
        (1, BTC, "0.00000001"),
        (90, SECONDS, "90"),
        (1_500_000, Unit("X", 6, 0), "1.5"),
        (1_000_000, Unit("X", 6, 0), "1"),
    ],
)
def test_an_amount_as_people_read_it(amount: int, unit: Unit, text: str) -> None:
    assert format_amount(amount, unit) == text


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.sampled_from([EUR, BTC, SECONDS, Unit("X", 3, 3)]))
def test_what_is_shown_can_be_read_back(amount: int, unit: Unit) -> None:
    assert parse_amount(format_amount(amount, unit), unit) == amount
    assert to_decimal(amount, unit.scale) == Decimal(format_amount(amount, unit))


@pytest.mark.parametrize(
    "numerator, half_up, up, down",
    [
        (0, 0, 0, 0),
        (1, 0, 1, 0),
        (4, 0, 1, 0),
        (5, 1, 1, 0),
        (9, 1, 1, 0),
        (10, 1, 1, 1),
        (15, 2, 2, 1),
        (25, 3, 3, 2),
    ],
)
def test_tenths_rounded_three_ways(numerator: int, half_up: int, up: int, down: int) -> None:
    assert round_ratio(numerator, 10, Rounding.HALF_UP) == half_up
    assert round_ratio(numerator, 10, Rounding.UP) == up
    assert round_ratio(numerator, 10, Rounding.DOWN) == down


@given(
    st.integers(0, 10**30),
    st.integers(1, 10**20),
    st.sampled_from(Rounding),
    st.sampled_from([1, 3, 100, 10_000]),
)
def test_rounding_moves_by_less_than_a_step(
    numerator: int, denominator: int, rounding: Rounding, step: int
) -> None:
    rounded = round_ratio(numerator, denominator, rounding, step)
    difference = rounded - Fraction(numerator, denominator)
    assert rounded % step == 0
    match rounding:
        case Rounding.HALF_UP:
            assert Fraction(-step, 2) < difference <= Fraction(step, 2)
        case Rounding.UP:
            assert 0 <= difference < step
        case Rounding.DOWN:
            assert -step < difference <= 0


@given(
    st.integers(0, 10**20), st.integers(1, 10**20), st.sampled_from(Rounding), st.sampled_from([1, 3, 10_000])
)
def test_the_limit_is_the_last_numerator_that_fits(
    amount: int, denominator: int, rounding: Rounding, step: int
) -> None:
    limit = round_ratio_limit(amount, denominator, rounding, step)
    assert limit >= 0
    assert round_ratio(limit, denominator, rounding, step) <= amount
    assert round_ratio(limit + 1, denominator, rounding, step) > amount


@given(
    st.integers(-(10**20), -1),
    st.integers(1, 10**20),
    st.sampled_from(Rounding),
    st.sampled_from([1, 3, 10_000]),
)
def test_a_debt_pays_for_nothing(amount: int, denominator: int, rounding: Rounding, step: int) -> None:
    assert round_ratio_limit(amount, denominator, rounding, step) < 0


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**10))
def test_ceil_div(numerator: int, denominator: int) -> None:
    assert 0 <= ceil_div(numerator, denominator) - Fraction(numerator, denominator) < 1
