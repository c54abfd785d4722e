"""Amounts and the only place that rounds them.

An amount is an integer in a Unit's smallest step (EUR has scale 6: 1 EUR = 1_000_000).
Prices are Decimal where people write them and become integers of PRICE_SCALE digits when a
deck is compiled. Everything between is exact integer arithmetic.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pbxbill.errors import InputRefused

PRICE_SCALE = 12
"""Digits after the point that a compiled price keeps."""

MAX_AMOUNT = 2**62
"""Bound of any single amount, well inside a 64-bit column."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Unit:
    """What a wallet counts: a currency, or later seconds, messages, bytes, points."""

    code: str
    scale: int = 6
    digits: int = 2
    """Digits that people are shown and told."""


class Rounding(StrEnum):
    """How an exact charge becomes a whole number of steps."""

    HALF_UP = "half_up"
    UP = "up"
    DOWN = "down"


def ceil_div(numerator: int, denominator: int) -> int:
    """The smallest integer not below numerator / denominator (denominator > 0)."""
    return -(-numerator // denominator)


def round_ratio(numerator: int, denominator: int, rounding: Rounding, step: int = 1) -> int:
    """numerator / denominator, both >= 0, rounded to a multiple of step."""
    divisor = denominator * step
    match rounding:
        case Rounding.HALF_UP:
            return (2 * numerator + divisor) // (2 * divisor) * step
        case Rounding.UP:
            return -(-numerator // divisor) * step
        case Rounding.DOWN:
            return numerator // divisor * step


def half_up(numerator: int, denominator: int, step: int = 1) -> int:
    """numerator / denominator to the nearest multiple of step, halves away from zero.

    So what is given back is rounded as what was taken.
    """
    size = round_ratio(abs(numerator), denominator, Rounding.HALF_UP, step)
    return -size if numerator < 0 else size


def minor_step(unit: Unit) -> int:
    """Steps of a unit's minor unit, in whose multiples invoices are made out: 10_000 for EUR, of 6 digits and
    2 that people are shown."""
    return int(10 ** (unit.scale - unit.digits))


def round_ratio_limit(amount: int, denominator: int, rounding: Rounding, step: int = 1) -> int:
    """The inverse of round_ratio: the greatest numerator that it brings to at most amount."""
    divisor = denominator * step
    steps = amount // step
    match rounding:
        case Rounding.HALF_UP:
            return (divisor * (2 * steps + 1) - 1) // 2
        case Rounding.UP:
            return divisor * steps
        case Rounding.DOWN:
            return divisor * (steps + 1) - 1


def parse_decimal(text: str) -> Decimal:
    """A finite decimal number written with a point; InputRefused otherwise."""
    # Decimal alone takes "1_000", "NaN" and the digits of every script; people mean none of them.
    if _NUMBER.fullmatch(text.strip()) is None:
        raise InputRefused(f"{text[:40]!r} is not a number; write it like 12.50")
    return Decimal(text.strip())


def _scaled(value: Decimal, scale: int) -> int:
    # The digits are shifted as integers: a Decimal context would round beyond its precision.
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or len(digits) + abs(exponent) > 60:
        raise InputRefused(f"{str(value)[:40]} is out of range")
    shift = exponent + scale
    magnitude = int("".join(map(str, digits)))
    power: int = 10 ** abs(shift)
    if shift < 0:
        magnitude, rest = divmod(magnitude, power)
        if rest:
            raise InputRefused(f"{str(value)[:40]} has more than {scale} digits after the point")
    else:
        magnitude *= power
    if magnitude > MAX_AMOUNT:
        raise InputRefused(f"{str(value)[:40]} is out of range")
    return -magnitude if sign else magnitude


def parse_amount(text: str, unit: Unit) -> int:
    """The amount that a person wrote, e.g. "12.50"; InputRefused if it has too many digits or an exponent."""
    if "e" in text.lower():
        raise InputRefused(f"{text[:40]!r} is no amount; write it in digits, like 12.50")
    return _scaled(parse_decimal(text), unit.scale)


def compile_price(price: Decimal) -> int:
    """A price as an integer of PRICE_SCALE digits; InputRefused if it is negative or finer."""
    if price < 0:
        raise InputRefused(f"a price cannot be negative: {price}")
    return _scaled(price, PRICE_SCALE)


def to_decimal(amount: int, scale: int) -> Decimal:
    """The exact value of an amount or a compiled price."""
    return Decimal(amount).scaleb(-scale)


def format_amount(amount: int, unit: Unit) -> str:
    """The exact amount for people and files: at least unit.digits digits, e.g. "12.50", "0.0123"."""
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 10**unit.scale)
    digits = f"{part:0{unit.scale}d}" if unit.scale else ""
    digits = digits[: unit.digits] + digits[unit.digits :].rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
