"""What an invoice comes to: nets of lines, taxes, total, and what rounding added or took.

The rules, in the order of EN 16931's (BG-22, BG-23): a line's net is rounded to the minor unit once; the net
is the sum of these; a tax is rounded once per tax and invoice, from its exact amounts on all lines, or on
each line, where the law of the issuer wants it; total = net + taxes, with nothing rounded after it. Halves
are rounded away from zero, on lines that give something back too.

Amounts of lines are without tax: inclusive taxes have been taken out of a price by taxes.tax.taxed. Where the
wallet paid tax already, call by call, that is what is owed of it, and not what the rate makes of the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from pbxbill.billing.charge import Collection
from pbxbill.billing.taxes.tax import AppliedTax, shares
from pbxbill.errors import InputRefused, check
from pbxbill.money import MAX_AMOUNT, half_up


class TaxRounding(StrEnum):
    """Where taxes are rounded to the minor unit."""

    INVOICE = "invoice"
    """Once per tax, from unrounded amounts."""
    LINE = "line"
    """On each line."""


class TotalLine(NamedTuple):
    """A line before it is rounded, in the unit's steps. Below zero: it gives something back."""

    net_exact: int
    taxes: tuple[AppliedTax, ...] = ()
    tax_exact: int = 0
    """Taken already with the charge, from the wallet; 0: none was, and the rates say what is owed."""
    collection: Collection = Collection.INVOICE


class TaxTotal(NamedTuple):
    """A tax of the invoice, in whole minor units."""

    tax: AppliedTax
    base: int
    """The lines' nets as they are printed; of a compound tax: with the taxes before it."""
    amount: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Whole minor units, but for what ends in exact."""

    nets: tuple[int, ...]
    """Of each line."""
    taxes: tuple[TaxTotal, ...]
    net: int
    tax: int
    total: int
    net_exact: int
    tax_taken_exact: int
    """Of the tax, what wallets have paid with their charges."""
    wallet_exact: int
    """What wallets paid, tax included."""

    @property
    def net_rounding(self) -> int:
        """What rounding added to the nets: net == net_exact + net_rounding."""
        return self.net - self.net_exact


def total(lines: Sequence[TotalLine], minor: int, tax_rounding: TaxRounding) -> Totals:
    """Reckon an invoice; minor: money.minor_step of its unit. InputRefused where no row could hold it."""
    nets = tuple(half_up(line.net_exact, 1, minor) for line in lines)
    groups: dict[AppliedTax, _Group] = {}
    for line, net in zip(lines, nets, strict=True):
        _collect(groups, line, net, minor, tax_rounding)
    taxes = tuple(group.total(tax, minor) for tax, group in _in_order(groups))
    net, tax = sum(nets), sum(x.amount for x in taxes)
    wallet = [line for line in lines if line.collection is Collection.WALLET]
    reckoned = Totals(
        nets,
        taxes,
        net,
        tax,
        net + tax,
        net_exact=sum(line.net_exact for line in lines),
        tax_taken_exact=sum(line.tax_exact for line in lines),
        wallet_exact=sum(line.net_exact + line.tax_exact for line in wallet),
    )
    amounts = (reckoned.net, reckoned.tax, reckoned.total, reckoned.net_exact, reckoned.wallet_exact)
    of_parts = (*nets, *(x.base for x in taxes), *(x.amount for x in taxes))
    if any(abs(amount) > MAX_AMOUNT for amount in (*amounts, *of_parts)):
        raise InputRefused("it comes to more than any amount may be: take lines or charges off it")
    check(reckoned.total % minor == 0, "an invoice over {} is in no whole minor units", reckoned.total)
    return reckoned


@dataclass(slots=True)
class _Group:
    """One tax over the lines that fall under it."""

    net: int = 0
    before: Fraction = Fraction(0)
    """Taxes before it that it is reckoned on."""
    exact: Fraction = Fraction(0)
    rounded: int = 0
    """Sum of what was rounded on lines."""

    def total(self, tax: AppliedTax, minor: int) -> TaxTotal:
        base = self.net + _rounded(self.before, minor)
        return TaxTotal(tax, base, self.rounded + _rounded(self.exact, minor))


def _collect(
    groups: dict[AppliedTax, _Group], line: TotalLine, net: int, minor: int, tax_rounding: TaxRounding
) -> None:
    of_net = shares(line.taxes)
    factor = sum(of_net, Fraction(0))
    check(not line.tax_exact or factor > 0, "a tax of {} was taken that no rate stands for", line.tax_exact)
    before = Fraction(0)
    for tax, share in zip(line.taxes, of_net, strict=True):
        # What was taken is shared out as the rates would have it.
        exact = line.tax_exact * share / factor if line.tax_exact and factor else line.net_exact * share
        # Whether its price contained a tax is no matter to the invoice: it is one tax with one sum.
        group = groups.setdefault(tax._replace(inclusive=False), _Group())
        group.net += net
        if tax.compound:
            group.before += before
        if tax_rounding is TaxRounding.LINE:
            group.rounded += _rounded(exact, minor)
        else:
            group.exact += exact
        before += exact


def _in_order(groups: dict[AppliedTax, _Group]) -> list[tuple[AppliedTax, _Group]]:
    """As lines name them first; compound taxes after those that they are reckoned on."""
    return sorted(groups.items(), key=lambda item: item[0].compound)


def _rounded(exact: Fraction, minor: int) -> int:
    return half_up(exact.numerator, exact.denominator, minor)
