"""What the call through day and evening must cost, reckoned here once more, without the product.

Takes the sheets that the decks were made from, the times of the call's record, and the evening's beginning.
"""

import csv
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from demo import site
from demo.script import KENYA

MICRO = 1_000_000
TAX = 1 + Fraction(site.BALTIC_RETAIL.tax_percent) / 100
MARK_UP = 1 + Fraction(site.BALTIC_RETAIL.mark_up_percent) / 100
MARK_UP_STEP = Fraction(site.BALTIC_RETAIL.mark_up_rounding)


@dataclass(frozen=True, slots=True)
class Times:
    """A call in milliseconds since 1970, as its record says them."""

    answered_ms: int
    talked_ms: int
    evening_ms: int

    @property
    def crosses(self) -> bool:
        """Whether the evening began while they talked, and after the bundle was used up."""
        return self.answered_ms + site.BUNDLE_S * 1000 < self.evening_ms < self.answered_ms + self.talked_ms


@dataclass(frozen=True, slots=True)
class Price:
    """One band of a destination."""

    fee: Fraction
    per_min: Fraction
    step_from_s: int
    step_per_min: Fraction
    first_s: int
    next_s: int

    def marked_up(self) -> "Price":
        """As the reseller sells it."""
        fee, per_min, step = map(_marked_up, (self.fee, self.per_min, self.step_per_min))
        return Price(fee, per_min, self.step_from_s, step, self.first_s, self.next_s)


@dataclass(frozen=True, slots=True)
class Owed:
    """What one level of a call comes to, without tax."""

    net: Fraction
    billable_s: int
    """Bundle seconds included."""
    text: str
    """Its increments, to be read."""


def bands() -> dict[str, Price]:
    """What the sheet asks for the destination, by band."""
    rows = [row for row in _rows(site.DECKS["by-time"], ",") if row["prefix"] == KENYA[: len("2547")]]
    return {
        row["band"]: Price(
            fee=Fraction(row["connection_fee"]),
            per_min=Fraction(row["price_per_min"]),
            step_from_s=int(row["step_from"]),
            step_per_min=Fraction(row["step_price"]),
            first_s=int(row["initial_increment"]),
            next_s=int(row["following_increment"]),
        )
        for row in rows
    }


def owed(times: Times, prices: dict[str, Price], bundle_s: int = 0) -> Owed:
    """One level: increment after increment, each at the price in force where it begins."""
    price = _price_at(times, prices, 0)
    net, at_s = price.fee, bundle_s
    length_s = price.next_s if bundle_s else price.first_s
    parts = [f"fee {_amount(price.fee)}"] + ([f"{bundle_s} s bundle"] if bundle_s else [])
    while at_s * 1000 < times.talked_ms:
        price = _price_at(times, prices, at_s)
        per_min = price.step_per_min if at_s >= price.step_from_s else price.per_min
        net += per_min * length_s / 60
        parts.append(f"{length_s} s at {_amount(per_min)}")
        at_s, length_s = at_s + length_s, price.next_s
    return Owed(net, at_s, ", ".join(_counted(parts)))


def carrier_cost(talked_ms: int) -> Fraction:
    """What the carrier asks, by its own increments."""
    (row,) = (row for row in _rows(site.DECKS["atlantic"], ";") if row["Code"] == KENYA[: len("2547")])
    first_s, next_s = map(int, row["Billing Increment"].split("/"))
    further = max(0, ceil(Fraction(talked_ms - first_s * 1000, next_s * 1000)))
    return Fraction(row["Rate"].replace(",", ".")) * (first_s + further * next_s) / 60


def rounded(exact: Fraction) -> Fraction:
    """To the smallest step of a wallet, half up."""
    return Fraction(floor(exact * MICRO + Fraction(1, 2)), MICRO)


def _price_at(times: Times, prices: dict[str, Price], at_s: int) -> Price:
    return prices["day" if times.answered_ms + at_s * 1000 < times.evening_ms else "evening"]


def _marked_up(price: Fraction) -> Fraction:
    return ceil(price * MARK_UP / MARK_UP_STEP) * MARK_UP_STEP


def _rows(sheet: Path, delimiter: str) -> list[dict[str, str]]:
    with sheet.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _counted(parts: list[str]) -> list[str]:
    """Equal ones that follow each other become one: "3 x 2 s at 0.75"."""
    counted: list[tuple[str, int]] = []
    for part in parts:
        if counted and counted[-1][0] == part:
            counted[-1] = (part, counted[-1][1] + 1)
        else:
            counted.append((part, 1))
    return [part if count == 1 else f"{count} x {part}" for part, count in counted]


def _amount(value: Fraction) -> str:
    return f"{float(value):g}"
