"""The terms of a plan: what it costs, how often, in advance or in arrears, and what else it brings.

A plan's terms are never changed once somebody has them; a new version is. plan.py reads them from TOML
and keeps them as JSON; due_charges.py says what is owed by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.period import check_cycle
from pbxbill.billing.proration import Proration
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.money import MAX_AMOUNT, Unit, parse_amount

MAX_CHARGES = 50
MAX_STEPS = 50
MAX_NAME = 40
MAX_QUANTITY = 1_000_000
MAX_TRIAL_DAYS = 366
MAX_TERM = 240
WHOLE_PPM = 1_000_000


class PlanKind(StrEnum):
    """What can be subscribed to by it."""

    SERVICE = "service"
    DID = "did"
    """What a telephone number costs that an account gets."""


class Anchoring(StrEnum):
    """On what days its periods begin."""

    SIGN_UP = "sign_up"
    """On days like the one on which paid service begins."""
    FIXED_DAY = "fixed_day"
    """On days like the plan's own, for all accounts."""
    INVOICE_DAY = "invoice_day"
    """On days like those on which the account is invoiced."""


class Timing(StrEnum):
    """When a period is charged."""

    ADVANCE = "advance"
    ARREARS = "arrears"


class ChangeAt(StrEnum):
    """When a change to another plan, or of the quantity, takes effect unless something else is asked for."""

    NOW = "now"
    CYCLE_END = "cycle_end"


class Renewal(StrEnum):
    """What happens when the minimum term is over, or without one a period."""

    CYCLE = "cycle"
    """It goes on from period to period."""
    TERM = "term"
    """It goes on for another minimum term."""
    ENDS = "ends"


class Unpaid(StrEnum):
    """What a prepaid account has of it whose wallet could not pay a period."""

    BAR = "bar"
    """Nothing until it is paid, and the time until then costs nothing."""
    KEEP = "keep"
    """All of it; the time is owed."""


class ChargeType(StrEnum):
    """How often a charge of a plan is due."""

    RECURRING = "recurring"
    SET_UP = "set_up"
    ONE_TIME = "one_time"


class FeeKind(StrEnum):
    """What leaving before the end of the minimum term costs."""

    FIXED = "fixed"
    REMAINING = "remaining"
    """A share of the recurring charges of the months that remain; those begun count whole."""
    SLIDING = "sliding"
    """An amount that falls evenly, day by day, to nothing at the end of the term."""


class TermUnit(StrEnum):
    """What a minimum term is counted in."""

    CYCLES = "cycles"
    MONTHS = "months"


class PriceStep(NamedTuple):
    """A graduated price: for the pieces from this one on, until the next step's."""

    from_quantity: int
    price: int


class PricedPart(NamedTuple):
    """So many pieces at one price; first_piece is above 1 in the later steps of a graduated price."""

    first_piece: int
    quantity: int
    unit_price: int


@dataclass(frozen=True, slots=True)
class PlanCharge:
    """One line of a plan's price list."""

    name: str
    price: int
    """For one, in the unit's steps; 0 where it has steps."""
    type: ChargeType = ChargeType.RECURRING
    counted: bool = True
    """For each piece of the subscription's quantity; else once, whatever the quantity, zero as well."""
    steps: tuple[PriceStep, ...] = ()
    product_class: str = "service"
    """What taxes it falls under."""

    def parts(self, quantity: int, agreed_price: int | None = None) -> tuple[PricedPart, ...]:
        """What so many pieces cost for a whole period. A price agreed with the account replaces all steps."""
        if not self.counted:
            quantity = 1
        if agreed_price is not None or not self.steps:
            price = self.price if agreed_price is None else agreed_price
            return (PricedPart(1, quantity, price),) if quantity else ()
        ends = [step.from_quantity - 1 for step in self.steps[1:]] + [quantity]
        return tuple(
            PricedPart(step.from_quantity, min(end, quantity) - step.from_quantity + 1, step.price)
            for step, end in zip(self.steps, ends, strict=True)
            if step.from_quantity <= quantity
        )


@dataclass(frozen=True, slots=True)
class CancellationFee:
    """What leaving early costs."""

    kind: FeeKind
    amount: int = 0
    """Of a fixed or sliding one."""
    share_ppm: int = 0
    """Of the remaining recurring charges, in millionths."""
    product_class: str = "fee"


@dataclass(frozen=True, slots=True)
class MinimumTerm:
    """For how long an account binds itself."""

    length: int
    of: TermUnit
    fee: CancellationFee | None = None


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """One version of a plan."""

    unit: str
    charges: tuple[PlanCharge, ...] = ()
    kind: PlanKind = PlanKind.SERVICE
    cycle: str = "month"
    every: int = 1
    anchoring: Anchoring = Anchoring.SIGN_UP
    fixed_day: date | None = None
    timing: Timing = Timing.ADVANCE
    proration: Proration = Proration.DAY
    collection: Collection = Collection.WALLET
    change: ChangeAt = ChangeAt.NOW
    set_up_on_change: bool = False
    """Who changes to it from another plan pays its set-up and one-time charges."""
    minimum_spend: int = 0
    """Of usage, without tax, in a whole period."""
    term: MinimumTerm | None = None
    renewal: Renewal = Renewal.CYCLE
    unpaid: Unpaid = Unpaid.BAR
    remind_days_before: int = 0
    """Days before a renewal or end at which the account is reminded; 0: never."""
    trial_days: int = 0
    bundles: tuple[str, ...] = ()
    tariff: str = ""
    inbound_tariff: str = ""

    def charge_kind(self, charge: PlanCharge) -> ChargeKind:
        """What a charge is on invoices and in the books."""
        return _KINDS[self.kind, charge.type]


_KINDS = {
    (PlanKind.SERVICE, ChargeType.RECURRING): ChargeKind.RECURRING,
    (PlanKind.SERVICE, ChargeType.SET_UP): ChargeKind.SET_UP,
    (PlanKind.SERVICE, ChargeType.ONE_TIME): ChargeKind.ONE_TIME,
    (PlanKind.DID, ChargeType.RECURRING): ChargeKind.DID_RECURRING,
    (PlanKind.DID, ChargeType.SET_UP): ChargeKind.DID_SET_UP,
    (PlanKind.DID, ChargeType.ONE_TIME): ChargeKind.ONE_TIME,
}


def checked_plan(terms: PlanTerms) -> PlanTerms:
    """These terms if an account can be charged by them; InputRefused says which key to change."""
    try:
        check_cycle(terms.cycle, terms.every)
    except InputRefused as error:
        raise InputRefused(f"cycle, every: {error}") from None
    _check_anchoring(terms)
    if not terms.charges and not terms.tariff and not terms.inbound_tariff and not terms.minimum_spend:
        raise InputRefused(
            "the plan has no price: give it a [[charge]], a tariff, an inbound_tariff or a minimum_spend"
        )
    if len(terms.charges) > MAX_CHARGES:
        raise InputRefused(f"charge: a plan has up to {MAX_CHARGES} of them, not {len(terms.charges)}")
    names = [charge.name for charge in terms.charges]
    for number, charge in enumerate(terms.charges, 1):
        with refused_at("charge", number):
            _check_charge(charge)
        if names.count(charge.name) > 1:
            why = f"charge {charge.name!r}: there are two of this name; each has its own"
            raise TermRefused(why, "charge", number, "name")
    if not 0 <= terms.minimum_spend <= MAX_AMOUNT:
        raise TermRefused("minimum_spend is an amount from 0 on", "minimum_spend")
    if not 0 <= terms.trial_days <= MAX_TRIAL_DAYS:
        raise InputRefused(f"trial_days are 0 to {MAX_TRIAL_DAYS}, not {terms.trial_days}")
    if not 0 <= terms.remind_days_before <= 366:
        raise InputRefused(f"remind_days_before is 0 to 366, not {terms.remind_days_before}")
    if terms.kind is PlanKind.DID and (terms.tariff or terms.bundles or terms.minimum_spend):
        raise InputRefused(
            "a plan of the kind did has no tariff, bundles or minimum_spend: "
            "calls to the number are charged by its inbound_tariff"
        )
    _check_term(terms)
    return terms


def _check_anchoring(terms: PlanTerms) -> None:
    if terms.anchoring is Anchoring.FIXED_DAY and terms.fixed_day is None:
        raise TermRefused('anchor = "fixed_day" needs a fixed_day, e.g. fixed_day = 2026-01-01', "fixed_day")
    if terms.anchoring is not Anchoring.FIXED_DAY and terms.fixed_day is not None:
        raise InputRefused('fixed_day counts with anchor = "fixed_day" only; leave one of them out')


def _check_charge(charge: PlanCharge) -> None:
    if not 0 < len(charge.name) <= MAX_NAME or not charge.name.isprintable() or ":" in charge.name:
        raise InputRefused(
            f"charge: a name has 1 to {MAX_NAME} printable characters and no colon, not {charge.name[:60]!r}"
        )
    where = f"charge {charge.name!r}"
    prices = [charge.price, *(step.price for step in charge.steps)]
    if not all(0 <= price <= MAX_AMOUNT // MAX_QUANTITY for price in prices):
        raise InputRefused(f"{where}: its price is negative or out of range")
    if len(charge.steps) > MAX_STEPS:
        raise InputRefused(f"{where}: up to {MAX_STEPS} steps, not {len(charge.steps)}")
    begins = [step.from_quantity for step in charge.steps]
    if begins and (begins[0] != 1 or begins != sorted(set(begins)) or begins[-1] > MAX_QUANTITY):
        raise InputRefused(
            f"{where}: steps begin one after the other, the first from = 1, up to {MAX_QUANTITY}"
        )
    if charge.steps and (charge.price or not charge.counted):
        raise InputRefused(
            f"{where}: steps are prices by quantity: they need neither a price nor a flat quantity"
        )


def _check_term(terms: PlanTerms) -> None:
    term = terms.term
    if term is None:
        if terms.renewal is Renewal.TERM:
            raise TermRefused('renewal = "term" needs a [term] that is renewed', "renewal")
        return
    if not 1 <= term.length <= MAX_TERM:
        raise TermRefused(f"term: it has 1 to {MAX_TERM} {term.of}, not {term.length}", "term")
    if term.fee is not None and not (
        0 <= term.fee.amount <= MAX_AMOUNT and 0 <= term.fee.share_ppm <= WHOLE_PPM
    ):
        raise TermRefused("term: an amount is not below 0, and a share is 0 to 100 percent", "term", "amount")


def checked_quantity(quantity: int) -> int:
    """How many of it an account has; InputRefused where that cannot be."""
    if not 0 <= quantity <= MAX_QUANTITY:
        raise InputRefused(f"a quantity is 0 to {MAX_QUANTITY}, not {quantity}")
    return quantity


def agreed_prices(terms: PlanTerms, unit: Unit, prices: Mapping[str, str]) -> dict[str, int]:
    """Prices that were agreed with one account, by the names of the plan's charges, as people write them.

    The unit is the plan's, with its digits.
    """
    names = {charge.name for charge in terms.charges}
    agreed = {}
    for name, text in prices.items():
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise InputRefused(f"the plan has no charge {name[:60]!r}; it has: {known}")
        price = parse_amount(text, unit)
        if not 0 <= price <= MAX_AMOUNT // MAX_QUANTITY:
            raise InputRefused(f"the agreed price of {name!r} is negative or out of range")
        agreed[name] = price
    return agreed


def period_price(terms: PlanTerms, quantity: int, agreed: Mapping[str, int]) -> int:
    """What the recurring charges of a whole period come to, without tax."""
    return sum(
        part.quantity * part.unit_price
        for charge in terms.charges
        if charge.type is ChargeType.RECURRING
        for part in charge.parts(quantity, agreed.get(charge.name))
    )
