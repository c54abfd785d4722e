"""What invoices come to: worked by hand, and EN 16931's sums on any invoice."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.charge import Collection
from pbxbill.billing.invoices.totals import TaxRounding, TotalLine, Totals, total
from pbxbill.billing.taxes.tax import PPM, AppliedTax, taxed
from pbxbill.errors import InputRefused, InvariantBroken
from pbxbill.money import MAX_AMOUNT, Unit, format_amount, minor_step, parse_amount

EUR = Unit("EUR")
JPY = Unit("JPY", scale=6, digits=0)
KWD = Unit("KWD", scale=6, digits=3)
WHOLE_YEN = Unit("JPY", scale=0, digits=0)
PERCENT = Unit("percent", scale=4)


def tax(name: str, percent: str, category: str = "S", *, compound: bool = False) -> AppliedTax:
    return AppliedTax(name, parse_amount(percent, PERCENT), category, compound, inclusive=False)


VAT19, VAT7 = tax("VAT", "19"), tax("VAT", "7")
GST, PST, QST = tax("GST", "5"), tax("PST", "7"), tax("QST", "9.975")
OLD_QST = tax("QST", "9.5", compound=True)
EXEMPT = AppliedTax("VAT", 0, "E", compound=False, inclusive=False, reason="Exempt: charity")


@dataclass(frozen=True)
class Worked:
    """An invoice: lines as "net taken" with their taxes, and what comes out by hand."""

    lines: list[tuple[str, tuple[AppliedTax, ...]]]
    nets: str
    taxes: list[str]
    """name percent category: base tax"""
    total: str
    net_rounding: str
    unit: Unit = EUR
    rounding: TaxRounding = TaxRounding.INVOICE


WORKED = {
    # Thirds of 100: each 33.33; tax 19 % of 100.000000 = 19.00, though 19 % of 99.99 is 18.9981.
    "three thirds, tax once": Worked(
        [("33.333333", (VAT19,)), ("33.333333", (VAT19,)), ("33.333334", (VAT19,))],
        "33.33 33.33 33.33",
        ["VAT 19 S: 99.99 19.00"],
        "118.99",
        "-0.01",
    ),
    # 19 % of a third is 6.33333: 6.33 three times is 18.99.
    "three thirds, tax on each line": Worked(
        [("33.333333", (VAT19,)), ("33.333333", (VAT19,)), ("33.333334", (VAT19,))],
        "33.33 33.33 33.33",
        ["VAT 19 S: 99.99 18.99"],
        "118.98",
        "-0.01",
        rounding=TaxRounding.LINE,
    ),
    # 10.005 -> 10.01 (half up), 4.994999 -> 4.99; 19 %: 1.90095 -> 1.90; 7 %: 0.34964993 -> 0.35.
    "two rates": Worked(
        [("10.005", (VAT19,)), ("4.994999", (VAT7,))],
        "10.01 4.99",
        ["VAT 19 S: 10.01 1.90", "VAT 7 S: 4.99 0.35"],
        "17.25",  # 15.00 + 2.25
        "0.000001",  # 15.00 - 14.999999
    ),
    # British Columbia: 49.99 x 5 % = 2.4995 -> 2.50; x 7 % = 3.4993 -> 3.50.
    "GST and PST": Worked(
        [("49.99", (GST, PST))], "49.99", ["GST 5 S: 49.99 2.50", "PST 7 S: 49.99 3.50"], "55.99", "0"
    ),
    # Books: GST alone. GST 5 % of 69.98 = 3.499 -> 3.50; QST 9.975 % of 49.99 = 4.9865 -> 4.99.
    "a line under two taxes and one under one": Worked(
        [("19.99", (GST,)), ("49.99", (GST, QST))],
        "19.99 49.99",
        ["GST 5 S: 69.98 3.50", "QST 9.975 S: 49.99 4.99"],
        "78.47",
        "0",
    ),
    # Quebec until 2012: GST 5.00, QST 9.5 % of 105.00 = 9.975 -> 9.98.
    "compound": Worked(
        [("100", (GST, OLD_QST))], "100.00", ["GST 5 S: 100.00 5.00", "QST 9.5 S: 105.00 9.98"], "114.98", "0"
    ),
    # Of 29.90 are given back 10.335 -> 10.34; (29.90 - 10.335) x 19 % = 3.71735 -> 3.72.
    "something given back": Worked(
        [("29.90", (VAT19,)), ("-10.335", (VAT19,))],
        "29.90 -10.34",
        ["VAT 19 S: 19.56 3.72"],
        "23.28",
        "-0.005",
    ),
    # A credit alone mirrors the charge: 10.335 x 19 % = 1.96365 -> 1.96.
    "only given back": Worked(
        [("-10.335", (VAT19,))], "-10.34", ["VAT 19 S: -10.34 -1.96"], "-12.30", "-0.005"
    ),
    # 19 % of 5.70 is 1.083, but each call's tax was rounded when it was taken: 1.088. With 19.00: 20.088.
    "tax that the wallet paid call by call": Worked(
        [("5.70 1.088", (VAT19,)), ("100", (VAT19,))],
        "5.70 100.00",
        ["VAT 19 S: 105.70 20.09"],
        "125.79",
        "0",
    ),
    # 2.02 taken of 10 under 5 % + 7 %, where the rates say 1.20: shared out 5 to 7, 0.841667 and 1.178333.
    "taken tax of two taxes": Worked(
        [("10 2.02", (GST, PST))], "10.00", ["GST 5 S: 10.00 0.84", "PST 7 S: 10.00 1.18"], "12.02", "0"
    ),
    # Exempt is a tax of its own, with its reason, and nothing to pay.
    "exempt beside taxed": Worked(
        [("50", (EXEMPT,)), ("50", (VAT19,))],
        "50.00 50.00",
        ["VAT 0 E: 50.00 0.00", "VAT 19 S: 50.00 9.50"],
        "109.50",
        "0",
    ),
    "no tax at all": Worked([("12.344999", ())], "12.34", [], "12.34", "-0.004999"),
    "nothing": Worked([], "", [], "0.00", "0"),
    # Yen have no minor unit: 1234.5 -> 1235; 10 % of 1234.5 = 123.45 -> 123.
    "yen": Worked([("1234.5", (tax("Tax", "10"),))], "1235", ["Tax 10 S: 1235 123"], "1358", "0.5", JPY),
    # Kept in whole yen too: 3 x 33 = 99, 10 % of it 9.9 -> 10.
    "whole yen": Worked(
        [("33", (tax("Tax", "10"),))] * 3, "33 33 33", ["Tax 10 S: 99 10"], "109", "0", WHOLE_YEN
    ),
    # Dinars have 1000 fils: 1.23456 -> 1.235; 5 % of 1.23456 = 0.061728 -> 0.062.
    "dinars": Worked(
        [("1.23456", (tax("VAT", "5"),))], "1.235", ["VAT 5 S: 1.235 0.062"], "1.297", "0.00044", KWD
    ),
}


def reckoned(worked: Worked) -> Totals:
    lines = []
    for amounts, taxes in worked.lines:
        net, _, taken = amounts.partition(" ")
        lines.append(
            TotalLine(
                parse_amount(net, worked.unit),
                taxes,
                parse_amount(taken or "0", worked.unit),
                Collection.WALLET if taken else Collection.INVOICE,
            )
        )
    return total(lines, minor_step(worked.unit), worked.rounding)


@pytest.mark.parametrize("worked", WORKED.values(), ids=WORKED.keys())
def test_an_invoice_worked_by_hand(worked: Worked) -> None:
    found = reckoned(worked)

    def said(amount: int) -> str:
        return format_amount(amount, worked.unit)

    assert " ".join(map(said, found.nets)) == worked.nets
    assert [
        f"{x.tax.name} {format_amount(x.tax.ppm, Unit('percent', 4, 0))} {x.tax.category}: "
        f"{said(x.base)} {said(x.amount)}"
        for x in found.taxes
    ] == worked.taxes
    assert said(found.total) == worked.total
    assert found.net_rounding == parse_amount(worked.net_rounding, worked.unit)


def test_what_the_wallet_paid_is_known_to_the_step() -> None:
    found = total(
        [
            TotalLine(1_008_403, (VAT19,), 191_597, Collection.WALLET),
            TotalLine(500_000, (VAT19,), 0, Collection.WALLET),
            TotalLine(10_000_000, (VAT19,)),
        ],
        minor_step(EUR),
        TaxRounding.INVOICE,
    )
    assert found.wallet_exact == 1_008_403 + 191_597 + 500_000
    assert found.tax_taken_exact == 191_597


def test_a_price_with_tax_in_it_is_the_same_tax_as_one_without() -> None:
    """11.90 with the tax in it and 10.00 without: one tax over both."""
    inside = VAT19._replace(inclusive=True)
    lines = [TotalLine(taxed(11_900_000, [inside]).net, (inside,)), TotalLine(10_000_000, (VAT19,))]
    found = total(lines, minor_step(EUR), TaxRounding.INVOICE)
    assert [(x.tax, x.base, x.amount) for x in found.taxes] == [(VAT19, 20_000_000, 3_800_000)]


def test_a_compound_tax_stands_after_the_tax_that_it_is_reckoned_on() -> None:
    first_line_has_it_alone = [TotalLine(1_000_000, (OLD_QST,)), TotalLine(1_000_000, (GST, OLD_QST))]
    found = total(first_line_has_it_alone, minor_step(EUR), TaxRounding.INVOICE)
    assert [x.tax.name for x in found.taxes] == ["GST", "QST"]


def test_tax_taken_under_no_rate_is_a_fault() -> None:
    with pytest.raises(InvariantBroken, match="no rate stands for"):
        total([TotalLine(100, (EXEMPT,), 19)], 1, TaxRounding.INVOICE)


applied = st.builds(
    AppliedTax,
    st.sampled_from(["GST", "PST", "VAT"]),
    st.integers(1, PPM),
    st.just("S"),
    st.booleans(),
    st.booleans(),
)
lines = st.builds(
    TotalLine,
    st.integers(-(10**11), 10**11),
    st.lists(applied, min_size=1, max_size=3, unique_by=lambda x: x.name).map(tuple),
    st.integers(0, 10**9),
    st.sampled_from(Collection),
)
minors = st.sampled_from([1, 10, 1_000, 10_000, 1_000_000])


@given(st.lists(lines, max_size=12), minors, st.sampled_from(TaxRounding))
def test_sums_of_en_16931(given_lines: list[TotalLine], minor: int, rounding: TaxRounding) -> None:
    found = total(given_lines, minor, rounding)
    assert found.net == sum(found.nets)  # BR-CO-10
    assert found.tax == sum(x.amount for x in found.taxes)  # BR-CO-14
    assert found.total == found.net + found.tax  # BR-CO-15
    assert all(
        amount % minor == 0
        for amount in (*found.nets, *(y for x in found.taxes for y in (x.base, x.amount)), found.total)
    )
    for tax_total in found.taxes:  # BR-S-08: a tax's base is the sum of its lines' nets
        if not tax_total.tax.compound:
            under = [
                net
                for net, line in zip(found.nets, given_lines, strict=True)
                if tax_total.tax in [x._replace(inclusive=False) for x in line.taxes]
            ]
            assert tax_total.base == sum(under)
    # The books agree: nothing but what net_rounding says lies between the lines and the invoice.
    assert found.total == found.net_exact + found.net_rounding + found.tax
    assert abs(found.net_rounding) * 2 <= minor * len(given_lines)


@given(st.lists(lines, max_size=12), minors)
def test_a_tax_is_rounded_once(given_lines: list[TotalLine], minor: int) -> None:
    """It is nowhere further than half a minor unit from its exact value, however many lines there are."""
    exact = total(given_lines, 1, TaxRounding.INVOICE)
    found = total(given_lines, minor, TaxRounding.INVOICE)
    for one, other in zip(found.taxes, exact.taxes, strict=True):
        assert one.tax == other.tax
        assert abs(one.amount - other.amount) * 2 <= minor + 1


@given(st.lists(lines, max_size=12), minors, st.sampled_from(TaxRounding))
def test_giving_all_back_is_the_invoice_below_zero(
    given_lines: list[TotalLine], minor: int, rounding: TaxRounding
) -> None:
    back = [line._replace(net_exact=-line.net_exact, tax_exact=-line.tax_exact) for line in given_lines]
    forth, returned = total(given_lines, minor, rounding), total(back, minor, rounding)
    assert returned.nets == tuple(-net for net in forth.nets)
    assert returned.total == -forth.total


def test_what_no_row_could_hold_is_refused() -> None:
    most = TotalLine(MAX_AMOUNT - MAX_AMOUNT % 10_000)
    assert total([most], 10_000, TaxRounding.INVOICE).total == most.net_exact
    taxed_too = most._replace(taxes=(tax("VAT", "19"),))
    for too_much in ([most, most], [taxed_too], [TotalLine(MAX_AMOUNT * 2)]):
        with pytest.raises(InputRefused, match="more than any amount may be"):
            total(too_much, 10_000, TaxRounding.INVOICE)
