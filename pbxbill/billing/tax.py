"""Taxes: which apply to a line, and what they come to."""

from typing import NamedTuple


class AppliedTax(NamedTuple):
    """A tax as a line falls under it; kept with the line, whatever becomes of the rate later."""

    name: str
    ppm: int
    category: str
    """UNCL 5305: S, Z, E, AE, G, O, K, L, M."""
    compound: bool
    inclusive: bool
    reason: str = ""
