"""What a meter's consumption costs: per day, fixed, per piece, in stepped ranges; exact, rounded once.

A period lies between two readings. Its components are summed as one fraction, raised to the tariff's minimum,
taxed and rounded, as the price of a call is. Nothing here knows a database or a clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, Rounding, Unit, round_ratio
from pbxbill.rating.tariff import PPM, TaxMode

READING_SCALE = 6
"""Digits after the point that a reading keeps."""
DAY_US = 86_400_000_000


class ComponentKind(StrEnum):
    """How a component follows from a period."""

    PER_DAY = "per_day"
    """A price for each day of the period, parts of days included."""
    FIXED = "fixed"
    """A price for the period, however long it is."""
    PER_PIECE = "per_piece"
    """A price for each piece of the measure."""
    STEPPED = "stepped"
    """Pieces from the first of a range on cost what that range says."""


class Range(NamedTuple):
    """Pieces from this one on cost this much; prices have PRICE_SCALE digits, pieces READING_SCALE."""

    from_quantity: int
    price: int


@dataclass(frozen=True, slots=True)
class Component:
    """One line of what a period costs."""

    name: str
    kind: ComponentKind
    price: int = 0
    """With PRICE_SCALE digits."""
    ranges: tuple[Range, ...] = ()
    minimum: int = 0
    """The component costs no less, with PRICE_SCALE digits."""

    def __post_init__(self) -> None:
        if self.price < 0 or self.minimum < 0 or any(x.price < 0 for x in self.ranges):
            raise InputRefused(f"component {self.name!r}: a price cannot be negative")
        if (self.kind is ComponentKind.STEPPED) != bool(self.ranges):
            raise InputRefused(f"component {self.name!r}: a stepped one has ranges, and no other")
        starts = [x.from_quantity for x in self.ranges]
        if self.ranges and (starts[0] != 0 or starts != sorted(set(starts))):
            raise InputRefused(f"component {self.name!r}: ranges begin with 0 and grow")


@dataclass(frozen=True, slots=True)
class MeterTariff:
    """What a meter's consumption costs."""

    name: str
    unit: Unit
    components: tuple[Component, ...]
    minimum: int = 0
    """A period costs no less before tax, with PRICE_SCALE digits."""
    tax_mode: TaxMode = TaxMode.NONE
    tax_ppm: int = 0
    rounding: Rounding = Rounding.HALF_UP
    rounding_step: int = 1

    def __post_init__(self) -> None:
        if not self.components:
            raise InputRefused(f"meter tariff {self.name!r} has no component")
        if self.minimum < 0:
            raise InputRefused(f"meter tariff {self.name!r}: a minimum cannot be negative")
        if not 0 <= self.tax_ppm <= PPM:
            raise InputRefused("a tax rate lies between 0 and 100 percent")


class Line(NamedTuple):
    """One component of a period's price: exact, with PRICE_SCALE digits, before tax."""

    name: str
    kind: ComponentKind
    parts: tuple[tuple[int, int], ...]
    """(quantity, price) of each range used; days in microseconds, the rest with READING_SCALE digits."""
    amount: Fraction
    raised: bool
    """To its minimum."""


class PeriodCharge(NamedTuple):
    """What a period costs: total in the unit's steps, with tax."""

    total: int
    tax: int
    lines: tuple[Line, ...]
    raised: bool
    """To the tariff's minimum."""


def charge_period(tariff: MeterTariff, consumed: int, lasted_us: int) -> PeriodCharge:
    """The price of what was consumed (with READING_SCALE digits) in a period."""
    if consumed < 0 or lasted_us <= 0:
        raise InputRefused("a period lasts, and consumes no less than nothing")
    lines = tuple(_line(component, consumed, lasted_us) for component in tariff.components)
    net = sum((line.amount for line in lines), Fraction())
    raised = net < tariff.minimum
    net = max(net, Fraction(tariff.minimum))
    factor = Fraction(10**tariff.unit.scale, 10**PRICE_SCALE)
    if tariff.tax_mode is TaxMode.EXCLUSIVE:
        factor *= Fraction(PPM + tariff.tax_ppm, PPM)
    exact = net * factor
    total = round_ratio(exact.numerator, exact.denominator, tariff.rounding, tariff.rounding_step)
    tax = 0
    if tariff.tax_mode is not TaxMode.NONE:
        tax = round_ratio(total * tariff.tax_ppm, PPM + tariff.tax_ppm, Rounding.HALF_UP)
    return PeriodCharge(total, tax, lines, raised)


def _line(component: Component, consumed: int, lasted_us: int) -> Line:
    parts, amount = _parts(component, consumed, lasted_us)
    raised = amount < component.minimum
    return Line(component.name, component.kind, parts, max(amount, Fraction(component.minimum)), raised)


def _parts(
    component: Component, consumed: int, lasted_us: int
) -> tuple[tuple[tuple[int, int], ...], Fraction]:
    pieces = 10**READING_SCALE
    match component.kind:
        case ComponentKind.PER_DAY:
            return ((lasted_us, component.price),), Fraction(component.price * lasted_us, DAY_US)
        case ComponentKind.FIXED:
            return ((pieces, component.price),), Fraction(component.price)
        case ComponentKind.PER_PIECE:
            return ((consumed, component.price),), Fraction(component.price * consumed, pieces)
        case ComponentKind.STEPPED:
            parts = tuple(_stepped(component.ranges, consumed))
            return parts, Fraction(sum(quantity * price for quantity, price in parts), pieces)


def _stepped(ranges: tuple[Range, ...], consumed: int) -> list[tuple[int, int]]:
    ends = [x.from_quantity for x in ranges[1:]] + [consumed]
    return [
        (min(consumed, end) - x.from_quantity, x.price)
        for x, end in zip(ranges, ends, strict=True)
        if consumed > x.from_quantity
    ]


def consumed_between(before: int, after: int, rolls_over_at: int | None) -> int | None:
    """What a meter counted between two readings; None: it shows less than before and cannot have rolled over.

    A meter that rolls over and shows less is taken to have done so once, unless that would be more than half
    of its range: then the reading is rather wrong.
    """
    if after >= before:
        return after - before
    if rolls_over_at is None:
        return None
    consumed = rolls_over_at - before + after
    return consumed if 2 * consumed <= rolls_over_at else None
