"""One price and its taxes: worked by hand, and what holds for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.taxes.tax import PPM, AppliedTax, Taxed, taxed
from pbxbill.money import Unit, parse_amount

EUR = Unit("EUR")


def eur(text: str) -> int:
    return parse_amount(text, EUR)


def tax(percent: str, *, name: str = "VAT", compound: bool = False, inclusive: bool = False) -> AppliedTax:
    return AppliedTax(name, parse_amount(percent, Unit("percent", scale=4)), "S", compound, inclusive)


@pytest.mark.parametrize(
    "amount, taxes, net, parts",
    [
        # 100 x 19 % = 19
        ("100", [tax("19")], "100", ["19"]),
        # 119 x 19/119 = 19
        ("119", [tax("19", inclusive=True)], "100", ["19"]),
        # 9.99 x 19/119 = 1.5950420...; the price stays 9.99
        ("9.99", [tax("19", inclusive=True)], "8.394958", ["1.595042"]),
        # 0.000003 x 19 % = 0.00000057, half-up at the sixth digit
        ("0.000003", [tax("19")], "0.000003", ["0.000001"]),
        ("0.000002", [tax("19")], "0.000002", ["0"]),
        # a half: 0.00001 x 5 % = 0.0000005 -> 0.000001; given back: -0.000001
        ("0.00001", [tax("5")], "0.00001", ["0.000001"]),
        ("-0.00001", [tax("5")], "-0.00001", ["-0.000001"]),
        # British Columbia: GST 5 % and PST 7 %, both of the net: 5 + 7
        ("100", [tax("5", name="GST"), tax("7", name="PST")], "100", ["5", "7"]),
        # Quebec today: GST 5 %, QST 9.975 % of the net
        ("100", [tax("5", name="GST"), tax("9.975", name="QST")], "100", ["5", "9.975"]),
        # Quebec until 2012: QST 9.5 % of net and GST: 105 x 9.5 % = 9.975
        ("100", [tax("5", name="GST"), tax("9.5", name="QST", compound=True)], "100", ["5", "9.975"]),
        # The same in the price: 114.975 / 1.14975 = 100
        (
            "114.975",
            [tax("5", inclusive=True), tax("9.5", compound=True, inclusive=True)],
            "100",
            ["5", "9.975"],
        ),
        # The price holds 10 %, 2 % of the net come on top: 110 / 1.1 = 100; 10 in it, 2 on it
        ("110", [tax("10", inclusive=True), tax("2")], "100", ["10", "2"]),
        # The same, and the 2 % are of 110: 2.2
        ("110", [tax("10", inclusive=True), tax("2", compound=True)], "100", ["10", "2.2"]),
        ("12.34", [tax("0")], "12.34", ["0"]),
        ("12.34", [], "12.34", []),
        ("0", [tax("19", inclusive=True)], "0", ["0"]),
    ],
)
def test_a_price_worked_by_hand(amount: str, taxes: list[AppliedTax], net: str, parts: list[str]) -> None:
    amounts = tuple(map(eur, parts))
    found = taxed(eur(amount), taxes)
    assert found == Taxed(eur(net), sum(amounts), amounts)
    assert found.gross == eur(net) + sum(amounts)


rates = st.builds(
    AppliedTax,
    st.sampled_from(["GST", "PST", "VAT"]),
    st.integers(0, PPM),
    st.just("S"),
    st.booleans(),
    st.booleans(),
)
amounts = st.integers(-(10**12), 10**12)


@given(amounts, st.lists(rates, max_size=4))
def test_net_and_included_taxes_are_the_price(amount: int, taxes: list[AppliedTax]) -> None:
    found = taxed(amount, taxes)
    inside = sum(part for part, x in zip(found.parts, taxes, strict=True) if x.inclusive)
    assert found.net + inside == amount
    assert sum(found.parts) == found.tax


@given(amounts, st.lists(rates, max_size=4))
def test_what_is_given_back_is_taxed_as_it_was_taken(amount: int, taxes: list[AppliedTax]) -> None:
    forth, back = taxed(amount, taxes), taxed(-amount, taxes)
    assert (back.net, back.tax) == (-forth.net, -forth.tax)


@given(amounts, st.lists(rates, max_size=4))
def test_each_tax_is_its_rate_of_the_net_within_a_step(amount: int, taxes: list[AppliedTax]) -> None:
    found = taxed(amount, taxes)
    before = 0
    for part, x in zip(found.parts, taxes, strict=True):
        base = found.net + (before if x.compound else 0)
        # Up to half a step for every rounding that the base went through, and half a one for the tax.
        assert abs(part * PPM - base * x.ppm) <= x.ppm * len(taxes) + PPM
        before += part


@given(st.integers(0, 10**12), st.integers(0, PPM))
def test_a_call_and_a_charge_agree(amount: int, ppm: int) -> None:
    """Rating takes the tax out of a call's total by the same rule, in integers."""
    found = taxed(amount, [AppliedTax("VAT", ppm, "S", False, True)])
    assert found.tax == (2 * amount * ppm + PPM + ppm) // (2 * (PPM + ppm))
