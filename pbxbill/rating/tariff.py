"""Tariff terms and rates: the frozen facts from which every charge follows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pbxbill.money import Rounding, Unit

PPM = 1_000_000


class TaxMode(StrEnum):
    """How a tariff's prices relate to tax."""

    NONE = "none"
    EXCLUSIVE = "exclusive"
    """Tax is added to the prices."""
    INCLUSIVE = "inclusive"
    """The prices contain the tax."""


class Rate(NamedTuple):
    """One prefix row of a rate deck. Prices are integers of money.PRICE_SCALE digits, per currency unit."""

    id: int
    prefix: str
    destination: str
    price_per_min: int
    connection_fee: int = 0
    minimum_charge: int = 0
    initial_increment_s: int = 1
    following_increment_s: int = 1
    free_s: int = 0
    effective_from_us: int | None = None
    """The row counts from here, UTC microseconds; None: since ever."""
    effective_to_us: int | None = None
    """The row counts until just before; None: for ever."""

    def effective_at(self, at_us: int) -> bool:
        """Whether the row is in force at a moment; from is included, to is not."""
        return (self.effective_from_us is None or self.effective_from_us <= at_us) and (
            self.effective_to_us is None or at_us < self.effective_to_us
        )


@dataclass(frozen=True, slots=True)
class Tariff:
    """One immutable version of a tariff: a deck and the terms that apply to all of its rates."""

    version_id: int
    name: str
    deck_id: int
    unit: Unit
    tax_mode: TaxMode = TaxMode.NONE
    tax_ppm: int = 0
    """Tax rate in millionths: 19 % is 190_000."""
    rounding: Rounding = Rounding.HALF_UP
    rounding_step: int = 1
    """A charge is a multiple of this many of the unit's steps."""
    slice_s: int = 60
    renew_before_s: int = 15
    max_call_s: int = 14_400
    announce_balance: bool = True
    announce_minutes: bool = True
    announce_warning: bool = True
    announce_denial: bool = True
