"""Taxes as they apply to one amount, and what they come to: exact, with one rounding at the end.

Every tax is a share of the net. One that is not compound is its rate; a compound one is its rate of the net
and the taxes before it. A price contains its inclusive taxes, which are taken out of it; the others come on
top. Which taxes apply is said by billing.tax_rules, what they come to on an invoice by billing.totals.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from pbxbill.money import half_up

PPM = 1_000_000


class AppliedTax(NamedTuple):
    """A tax as a line falls under it; kept with the line, whatever becomes of the rate later."""

    name: str
    ppm: int
    category: str
    """UNCL 5305: S, Z, E, AE, G, O, K, L, M."""
    compound: bool
    inclusive: bool
    reason: str = ""


class Taxed(NamedTuple):
    """A price apart from its taxes, in the unit's steps."""

    net: int
    tax: int
    """The sum of parts."""
    parts: tuple[int, ...]
    """Of each tax, in their order."""

    @property
    def gross(self) -> int:
        """What is paid."""
        return self.net + self.tax


@lru_cache(maxsize=1024)
def shares(taxes: tuple[AppliedTax, ...]) -> tuple[Fraction, ...]:
    """What each tax is of the net."""
    found: list[Fraction] = []
    for tax in taxes:
        base = 1 + sum(found) if tax.compound else Fraction(1)
        found.append(base * Fraction(tax.ppm, PPM))
    return tuple(found)


def taxed(amount: int, taxes: Sequence[AppliedTax]) -> Taxed:
    """Net and taxes of one price. The price is paid to the last step: net and inclusive taxes add up to it.

    Each tax is rounded half-up at the unit's step, once, from its exact value; a price below zero (something
    given back) is taxed as the same price above zero is.
    """
    of_net = shares(tuple(taxes))
    included = 1 + sum((x for x, tax in zip(of_net, taxes, strict=True) if tax.inclusive), Fraction(0))
    parts = tuple(_rounded(amount * share / included) for share in of_net)
    inside = sum(part for part, tax in zip(parts, taxes, strict=True) if tax.inclusive)
    return Taxed(amount - inside, sum(parts), parts)


def percent(ppm: int) -> str:
    """A rate for people: "19", "9.975"."""
    whole, part = divmod(ppm, 10_000)
    digits = f"{part:04d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _rounded(exact: Fraction) -> int:
    return half_up(exact.numerator, exact.denominator)
