"""Tariff terms and rates: the frozen facts from which every charge follows."""

from dataclasses import dataclass, field
from enum import StrEnum
from math import gcd
from typing import NamedTuple

from pbxbill.money import PRICE_SCALE, Rounding, Unit
from pbxbill.rating.bands import BandCalendar

PPM = 1_000_000

SECONDS_PER_PRICE = 60
"""A price of call time is one per minute."""


class TaxMode(StrEnum):
    """How a tariff's prices relate to tax."""

    NONE = "none"
    EXCLUSIVE = "exclusive"
    """Tax is added to the prices."""
    INCLUSIVE = "inclusive"
    """The prices contain the tax."""


class Step(NamedTuple):
    """From this second of the call on, counted from its answer, another price holds."""

    from_s: int
    price_per_min: int


class BandPrice(NamedTuple):
    """What a rate costs in one band instead of its own prices."""

    price_per_min: int
    connection_fee: int = 0
    minimum_charge: int = 0
    initial_increment_s: int = 1
    following_increment_s: int = 1
    free_s: int = 0
    steps: tuple[Step, ...] = ()


class RateTerms(NamedTuple):
    """What only some rates have; a rate without any of it has none of these."""

    steps: tuple[Step, ...] = ()
    """By from_s, each above 0; they change the rate's own price."""
    bands: tuple[tuple[str, BandPrice], ...] = ()
    """By name of the band in the tariff's calendar; at other times the rate's own prices hold."""
    banded_only: bool = False
    """The sheet gave no price outside the bands: a calendar must leave no gap between them."""
    maximum_charge: int | None = None
    """A call costs no more than this, before tax."""
    ends_at_maximum: bool = False
    """The call ends where the maximum charge is reached, instead of going on for nothing."""
    calendar: BandCalendar | None = None
    """Of a rate that a mark-up made: that of the tariff above. A tariff's own calendar counts before it."""


class Rate(NamedTuple):
    """One prefix row of a rate deck. Prices are integers of money.PRICE_SCALE digits, per currency unit.

    In a deck that measures something else than seconds, minutes and seconds mean its pieces: price_per_min
    is the price of Tariff.per pieces, increments and free_s count pieces.
    """

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
    terms: RateTerms | None = None

    def effective_at(self, at_us: int) -> bool:
        """Whether the row is in force at a moment; from is included, to is not."""
        return (self.effective_from_us is None or self.effective_from_us <= at_us) and (
            self.effective_to_us is None or at_us < self.effective_to_us
        )


class Opening(NamedTuple):
    """What is the same for every call of a rate without terms by a tariff."""

    slice_us: int
    """The end of the increment that the tariff's slice ends in."""
    slice_total: int
    """What a call of that length costs."""
    longest_total: int
    """What the tariff's longest call costs."""


class MarkUp(NamedTuple):
    """Prices made from those that the account above pays: price x (1 + ppm) + absolute, then rounded."""

    ppm: int = 0
    """Millionths of the price above; below zero it is a discount."""
    absolute: int = 0
    """Added to a price per minute, in PRICE_SCALE digits."""
    rounding_step: int = 1
    """A price is rounded up to a multiple of this, in PRICE_SCALE digits."""


class CycleStepKind(StrEnum):
    """How prices depend on what an account has used in a cycle."""

    GRADUATED = "graduated"
    """Each piece costs what its own step says."""
    VOLUME = "volume"
    """All pieces of the cycle cost what the step says that the sum has reached."""


@dataclass(frozen=True, slots=True)
class CycleSteps:
    """Prices by what the account has used in the cycle, for chosen destinations."""

    kind: CycleStepKind
    cycle: str
    """A cycle as rating.cycles knows it: day, week, month, quarter, year."""
    zone: str
    steps: tuple[Step, ...]
    """By from_s, the first from 0: seconds (or pieces) used in the cycle."""
    destinations: tuple[str, ...] = ()
    """Names or classes of destinations; empty: all."""


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
    calendar: BandCalendar | None = None
    measure: str = "seconds"
    """What its prices are for: seconds, messages, bytes or items."""
    per: int = SECONDS_PER_PRICE
    """How many of them a price is for."""
    mark_up: MarkUp | None = None
    """Its prices follow those of the account above; deck_id is 0 then."""
    refuse_loss: bool = False
    """A call that costs the account above more than it brings is refused."""
    cycle_steps: CycleSteps | None = None
    tariff_id: int = 0
    """Whose version this is; its cycle steps count by it."""
    gross_ratio: tuple[int, int] = field(init=False, repr=False, compare=False)
    """What exact prices are multiplied and divided by to become the unit's smallest steps, with tax."""
    openings: dict[int, tuple[Rate, Opening]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What rater.opening() remembers, by rate."""

    def __post_init__(self) -> None:
        factor, denominator = 10**self.unit.scale, self.per * 10**PRICE_SCALE
        if self.tax_mode is TaxMode.EXCLUSIVE:
            factor, denominator = factor * (PPM + self.tax_ppm), denominator * PPM
        common = gcd(factor, denominator)  # in lowest terms, since arithmetic with long integers takes longer
        object.__setattr__(self, "gross_ratio", (factor // common, denominator // common))
