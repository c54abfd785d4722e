"""Lines of a draft, made of what was gathered. Pure.

Usage is one line per class of destination and tax; charges, readings and adjustments have lines of their own.
Usage of a tariff with tax keeps the tax that was taken with it; what was charged without tax falls under the
issuer's taxes, which the invoice asks for, or which are inside the price where they are inclusive.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pbxbill.billing.charge import QUANTITY_SCALE, ChargeKind, Collection, income_of
from pbxbill.billing.invoices.gathered_items import GatheredCharge, GatheredItem
from pbxbill.billing.invoices.gathering import Gathered, UsageKey, UsageSum
from pbxbill.billing.invoices.line_words import ENGLISH, Facts, facts_of_charge
from pbxbill.billing.invoices.totals import TotalLine
from pbxbill.billing.period import Period
from pbxbill.billing.taxes.tax import PPM, AppliedTax, percent, taxed
from pbxbill.money import half_up


class Taxes(Protocol):
    """What lines of this buyer's fall under."""

    def at(self, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        """The taxes of a class of products at a moment."""
        ...

    def taken(self, ppm: int, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        """The tax that the wallet paid with its charges."""
        ...

    def conflict(self, ppm: int | None, product_class: str, at_us: int) -> str:
        """How that tax differs from what this buyer owes; empty where it does not."""
        ...


MAX_DESCRIPTION = 300
USAGE_CLASS, READING_CLASS = "usage", "reading"

_ORDER = ("outbound", "inbound", "usage", "volume", "correction")


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A line to be written; amounts in the unit's steps."""

    kind: ChargeKind
    product_class: str
    description: str
    quantity: int
    """In millionths."""
    measure: str
    unit_price: int | None
    net_exact: int
    tax_exact: int
    taxes: tuple[AppliedTax, ...]
    collection: Collection
    from_us: int | None = None
    to_us: int | None = None
    charge_id: int | None = None
    entries: list[str] = field(default_factory=list)
    """What of the wallet it shows."""
    told: Facts | None = None
    """What it is about; None: somebody wrote the description."""
    gives_back: str = ""
    """Of a credit: the kind of the charge that it gives back."""
    tax_conflict: str = ""
    """That its tariff took another tax than the buyer owes, in a sentence."""

    @property
    def ledger_code(self) -> str:
        """Whose income it is."""
        return income_of(self.kind, self.gives_back).value

    @property
    def for_total(self) -> TotalLine:
        """What the invoice's sums need of it."""
        return TotalLine(self.net_exact, self.taxes, self.tax_exact, self.collection)


def lines_of(gathered: Gathered, period: Period, taxes: Taxes) -> list[DraftLine]:
    """Charges first, as they began; then usage, readings, adjustments."""
    return [
        *_charges(gathered, taxes),
        *(_usage(key, gathered.usage[key], period, taxes) for key in sorted(gathered.usage, key=_place)),
        *(_item(item, taxes) for item in gathered.items),
    ]


def _place(key: UsageKey) -> tuple[int, str, str, int, int]:
    what = _ORDER.index(key.what) if key.what in _ORDER else len(_ORDER)
    return what, key.where, key.measure, key.ppm or 0, key.epoch


def _charges(gathered: Gathered, taxes: Taxes) -> Iterator[DraftLine]:
    for charge in sorted(gathered.charges, key=lambda x: (x.from_us or x.at_us, x.id)):
        yield _charge(charge, taxes)


def _charge(charge: GatheredCharge, taxes: Taxes) -> DraftLine:
    applied = taxes.at(charge.product_class, charge.at_us)
    from_wallet = charge.entry_id is not None
    if from_wallet and charge.tax and not any(tax.ppm for tax in applied):
        # Its tax was taken, and nobody owes one of that kind any more.
        applied = taxes.taken(_implied_ppm(charge.net, charge.tax), charge.product_class, charge.at_us)
    return DraftLine(
        ChargeKind(charge.kind),
        charge.product_class,
        charge.description[:MAX_DESCRIPTION],
        charge.quantity,
        "items",
        charge.unit_price,
        charge.net,
        charge.tax if from_wallet else 0,
        applied,
        Collection.WALLET if from_wallet else Collection.INVOICE,
        charge.from_us,
        charge.to_us,
        charge.id,
        [charge.entry_id] if charge.entry_id is not None else [],
        facts_of_charge(charge.kind, charge.explanation),
        charge.gives_back,
    )


def _usage(key: UsageKey, found: UsageSum, period: Period, taxes: Taxes) -> DraftLine:
    facts: Facts = {
        "of": "usage",
        "what": key.what,
        "where": key.where,
        "measure": key.measure,
        "count": found.calls,
    }
    pieces = found.pieces
    if key.what == "volume":
        pieces = 1
    net, tax, applied = _taxed_in_wallet(found, key.ppm, USAGE_CLASS, found.first_us, taxes)
    return DraftLine(
        ChargeKind.USAGE,
        USAGE_CLASS,
        ENGLISH.description(facts),
        pieces * 10**QUANTITY_SCALE,
        key.measure,
        None,
        net,
        tax,
        applied,
        Collection.WALLET,
        period.from_us,
        period.to_us,
        None,
        found.entries,
        facts,
        tax_conflict=_conflict(key.ppm, USAGE_CLASS, found.first_us, taxes) if found.tax else "",
    )


def _item(item: GatheredItem, taxes: Taxes) -> DraftLine:
    product_class = READING_CLASS if item.kind is ChargeKind.READING else item.kind.value
    net, tax = item.gross, 0
    applied: tuple[AppliedTax, ...] = ()
    conflict = ""
    if not item.untaxed:
        ppm = item.ppm or (_implied_ppm(item.gross - item.tax, item.tax) if item.tax else None)
        net, tax, applied = _taxed_in_wallet(item, ppm, product_class, item.at_us, taxes)
        if item.kind is ChargeKind.READING and item.tax:
            # A rate that is known from the amounts alone is known too roughly to be compared.
            conflict = _conflict(item.ppm, product_class, item.at_us, taxes)
    return DraftLine(
        item.kind,
        product_class,
        item.description[:MAX_DESCRIPTION],
        item.quantity,
        item.measure,
        None,
        net,
        tax,
        applied,
        Collection.WALLET,
        item.from_us,
        item.at_us if item.from_us is not None else None,
        None,
        [item.entry_id],
        item.told,
        tax_conflict=conflict,
    )


def _taxed_in_wallet(
    taken: UsageSum | GatheredItem, ppm: int | None, product_class: str, at_us: int, taxes: Taxes
) -> tuple[int, int, tuple[AppliedTax, ...]]:
    """Net, the tax that is inside what the wallet gave, and the taxes that the line falls under."""
    if ppm is not None:
        return taken.gross - taken.tax, taken.tax, taxes.taken(ppm, product_class, at_us)
    applied = taxes.at(product_class, at_us)
    if any(x.ppm for x in applied) and all(x.inclusive for x in applied):
        inside = taxed(taken.gross, applied)
        return inside.net, inside.tax, applied
    return taken.gross, 0, applied


def _conflict(ppm: int | None, product_class: str, at_us: int, taxes: Taxes) -> str:
    owed = taxes.conflict(ppm, product_class, at_us)
    rate = "tax" if ppm is None else f"{percent(ppm)} % tax"
    return f"{rate} was taken by a tariff, but {owed}" if owed else ""


def _implied_ppm(net: int, tax: int) -> int:
    """The rate behind a tax that was taken, to a hundredth of a percent."""
    return max(100, half_up(abs(tax) * PPM, abs(net) or 1, 100))
