"""How invoices are met, worked by hand: what the wallet's funds paid, what is due, what the wallet gets."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.billing.invoices.wallet_funds import SplitLine, split
from pbxbill.billing.taxes.tax import AppliedTax
from tests.small_operator import EUR, eur

MINOR = 10_000
VAT19 = AppliedTax("VAT", 190_000, "S", compound=False, inclusive=False)


def taken(net: str, tax: str = "0", *taxes: AppliedTax) -> SplitLine:
    return SplitLine(True, eur(net), eur(tax), taxes)


def asked(net: str) -> SplitLine:
    return SplitLine(False, eur(net), 0, ())


@dataclass(frozen=True)
class Worked:
    total: str
    lines: list[SplitLine]
    funds: str
    """What was there for the wallet's charges after they were taken: below zero is owed."""
    met: str
    """from_wallet due open_wallet into_wallet"""


WORKED = {
    "prepaid": Worked("3.33", [taken("3.333")], "1.70", "3.33 0 0 0"),
    "prepaid to the last step": Worked("3.33", [taken("3.333")], "0", "3.33 0 0 0"),
    # 3.333 owed, 3.33 asked for: the wallet gets the 0.003 that nobody pays.
    "postpaid": Worked("3.33", [taken("3.333")], "-3.333", "0 3.33 3.33 0.003"),
    # Owed before is owed by others: no more than this invoice's own is.
    "postpaid with older debts": Worked("3.33", [taken("3.333")], "-50", "0 3.33 3.33 0.003"),
    # 10 used, 4 owed.
    "half and half": Worked("10", [taken("10")], "-4", "6 4 4 0"),
    # 1.0051 owed of 10: 8.9949 -> 8.99 paid, 1.01 due, which is 0.0049 more than the wallet owes.
    "a part in fractions of cents": Worked("10", [taken("10")], "-1.0051", "8.99 1.01 1.01 -0.0049"),
    # Three lines of 0.004 print as nothing: nothing is due, and the debt of 0.012 is given.
    "less than a coin": Worked("0", [taken("0.004")] * 3, "-0.012", "0 0 0 0.012"),
    # The tariff knew no tax: the funds paid the net, the invoice asks for the tax.
    "untaxed charges": Worked("11.90", [taken("10", "0", VAT19)], "0", "10 1.90 0 0"),
    "untaxed charges, owed": Worked("11.90", [taken("10", "0", VAT19)], "-10", "0 11.90 10 0"),
    "taxed charges": Worked("11.90", [taken("10", "1.9", VAT19)], "0", "11.90 0 0 0"),
    "asked for by the invoice alone": Worked("5", [asked("5")], "0", "0 5 0 0"),
    # A debt that is on no line of it is not its matter.
    "asked for, wallet in debt": Worked("5", [asked("5")], "-7", "0 5 0 0"),
    "both, paid": Worked("15", [taken("10"), asked("5")], "0", "10 5 0 0"),
    "both, half owed": Worked("15", [taken("10"), asked("5")], "-4", "6 9 4 0"),
    # 10 were paid, 3 are given back: 7 stand on the invoice, 3 go into the wallet.
    "more was paid than it comes to": Worked("7", [taken("10"), asked("-3")], "0", "7 0 0 3"),
    # 10 used, 4 owed, 3 given back: 1 is due, and the wallet's debt of 4 shrinks by the 3 to it.
    "given back and owed": Worked("7", [taken("10"), asked("-3")], "-4", "6 1 1 3"),
    # Corrections gave the wallet 2 already; the invoice asks for 5 and comes to 3: 5 are due.
    "the wallet was given back": Worked("3", [taken("-2"), asked("5")], "9", "-2 5 0 0"),
}


@pytest.mark.parametrize("worked", WORKED.values(), ids=WORKED.keys())
def test_worked_examples(worked: Worked) -> None:
    met = split(eur(worked.total), worked.lines, eur(worked.funds), MINOR)
    assert list(met) == [eur(amount) for amount in worked.met.split()]


amounts = st.integers(-20_000_000, 60_000_000)


@given(st.lists(amounts, min_size=1, max_size=5), st.lists(amounts, max_size=3), amounts, st.integers(-9, 9))
def test_who_pays_adds_up(wallet: list[int], invoice: list[int], funds: int, rounding: int) -> None:
    lines = [SplitLine(True, net, 0, ()) for net in wallet] + [
        SplitLine(False, net, 0, ()) for net in invoice
    ]
    exact = sum(line.net_exact for line in lines)
    total = max(0, exact // MINOR + rounding) * MINOR
    met = split(total, lines, funds, MINOR)
    assert met.from_wallet + met.due == total
    assert 0 <= met.open_wallet <= met.due
    assert met.due % MINOR == met.open_wallet % MINOR == 0
    assert EUR.scale == 6
