"""Plans as people write them, in TOML, and as they are kept, in JSON.

    unit = "EUR"                 # of all its prices
    kind = "service"             # or "did": what a telephone number costs
    cycle = "month"              # day, week, month, quarter or year
    every = 1                    # how many of them a period has
    anchor = "sign_up"           # periods begin on days like the first paid one; "invoice_day": like those
                                 # on which the account is invoiced; "fixed_day": like this one:
    # fixed_day = 2026-01-01     # a date; for a month it may be its day: fixed_day = 15
    timing = "advance"           # or "arrears": a period is charged when it begins, or when it has ended
    proration = "day"            # parts of periods by whole local days, by the "second", or "none"
    collection = "wallet"        # charges are taken from the wallet, or asked for on the "invoice"
    change = "now"               # a change takes effect at once, or at "cycle_end"
    set_up_on_change = false     # who changes to this plan pays its set-up and one-time charges, too
    minimum_spend = "10.00"      # of usage in a period, without tax; what is missing is charged
    trial_days = 14              # without any charge
    renewal = "cycle"            # goes on by itself; "term": for another minimum term; "ends": does not
    unpaid = "bar"               # no service while a prepaid wallet cannot pay; "keep": it goes on, owed
    remind_days_before = 14      # before it is renewed or ends; 0: no reminder
    bundles = ["500 minutes"]    # names of bundles that the account gets
    tariff = "retail"            # by which it is charged for calls
    inbound_tariff = "retail-in" # by which calls to it are charged: per minute, per call

    [[charge]]
    name = "Line"
    price = "9.90"               # for one
    type = "recurring"           # or "set_up", "one_time"
    quantity = "counted"         # for each one subscribed to, or "flat": once, whatever the quantity
    product_class = "service"    # what taxes it falls under; of a DID it is "did" unless said

    [[charge]]
    name = "Extension"
    steps = [                    # graduated: each piece costs what its own step says
      { from = 1, price = "4" },
      { from = 11, price = "3" },
    ]

    [term]
    months = 24                  # or cycles = 24: for so long the account binds itself
    fee = "sliding"              # leaving early costs an amount that falls day by day to nothing;
    amount = "240"               # "fixed": always this amount; "remaining": a share of what the remaining
    # share = "50"               # months would cost, in percent
    product_class = "fee"

Only `unit` and something that has a price must be there. What is left out is as above, but for
`minimum_spend`, `trial_days`, `remind_days_before`, `[term]` and names of other things, which are none then.
Amounts may be written as numbers as well: price = 9.90 is exact.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from pbxbill.billing.charge import Collection, checked_product_class
from pbxbill.billing.proration import Proration
from pbxbill.billing.subscriptions.plan_terms import (
    WHOLE_PPM,
    Anchoring,
    CancellationFee,
    ChangeAt,
    ChargeType,
    FeeKind,
    MinimumTerm,
    PlanCharge,
    PlanKind,
    PlanTerms,
    PriceStep,
    Renewal,
    TermUnit,
    Timing,
    Unpaid,
    checked_plan,
)
from pbxbill.billing.terms_table import MAX_TEXT, TermsTable
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.money import Unit, format_amount
from pbxbill.written_toml import TOMLDecodeError, read_toml

_PLAN_KEYS = (
    *("unit", "kind", "cycle", "every", "anchor", "fixed_day", "timing", "proration", "collection", "change"),
    *("set_up_on_change", "minimum_spend", "trial_days", "renewal", "unpaid", "remind_days_before"),
    *("bundles", "tariff", "inbound_tariff", "charge", "term"),
)
_CHARGE_KEYS = ("name", "price", "type", "quantity", "steps", "product_class")
_STEP_KEYS = ("from", "price")
_TERM_KEYS = ("months", "cycles", "fee", "amount", "share", "product_class")
_PERCENT = Unit("percent", scale=4)

__all__ = [
    "PlanTerms",
    "facts_of_plan",
    "plan_from_facts",
    "plan_from_json",
    "plan_from_toml",
    "plan_to_json",
]


class _Counting(StrEnum):
    COUNTED = "counted"
    FLAT = "flat"


def plan_from_toml(text: str, units: Mapping[str, Unit]) -> PlanTerms:
    """The terms that a person wrote; InputRefused names the key that is wrong, and what it may be.

    `units` are those that there are, by their codes: they say how many digits an amount has.
    """
    try:
        # A binary fraction would not be what was written: numbers with a point stay text.
        facts = read_toml(text, parse_float=str)
    except TOMLDecodeError as error:
        raise InputRefused(f"the plan is not TOML: {error}") from None
    return plan_from_facts(facts, units)


def plan_from_facts(facts: dict[str, Any], units: Mapping[str, Unit]) -> PlanTerms:
    """The same of what was read from elsewhere, a form: the keys and values of the TOML."""
    plan = TermsTable(facts, "", _PLAN_KEYS)
    code = plan.text("unit")
    if code not in units:
        raise InputRefused(f"unit: there is no {code!r}; there is {', '.join(sorted(units)) or 'none'}")
    unit = units[code]
    kind = plan.choice("kind", PlanKind.SERVICE)
    cycle = plan.text("cycle", "month")
    anchoring = plan.choice("anchor", Anchoring.FIXED_DAY if "fixed_day" in plan else Anchoring.SIGN_UP)
    bundles = plan.listed("bundles")
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_TEXT for name in bundles):
        raise plan.refused("bundles", 'a list of names, like ["500 minutes"]')
    terms = PlanTerms(
        unit=code,
        charges=tuple(_charge(facts, number, unit, kind) for number, facts in enumerate(_charges(plan), 1)),
        kind=kind,
        cycle=cycle,
        every=plan.whole("every", 1),
        anchoring=anchoring,
        fixed_day=_fixed_day(plan, cycle),
        timing=plan.choice("timing", Timing.ADVANCE),
        proration=plan.choice("proration", Proration.DAY),
        collection=plan.choice("collection", Collection.WALLET),
        change=plan.choice("change", ChangeAt.NOW),
        set_up_on_change=plan.flag("set_up_on_change"),
        minimum_spend=plan.amount("minimum_spend", unit, 0),
        term=_term(plan.facts["term"], unit) if "term" in plan else None,
        renewal=plan.choice("renewal", Renewal.CYCLE),
        unpaid=plan.choice("unpaid", Unpaid.BAR),
        remind_days_before=plan.whole("remind_days_before", 0),
        trial_days=plan.whole("trial_days", 0),
        bundles=tuple(dict.fromkeys(bundles)),
        tariff=plan.text("tariff") if "tariff" in plan else "",
        inbound_tariff=plan.text("inbound_tariff") if "inbound_tariff" in plan else "",
    )
    return checked_plan(terms)


def _charges(plan: TermsTable) -> list[Any]:
    charges = plan.facts.get("charge", [])
    if not isinstance(charges, list):
        raise InputRefused("charge: each charge of the plan begins with [[charge]]")
    return charges


def _charge(facts: Any, number: int, unit: Unit, kind: PlanKind) -> PlanCharge:
    name = facts.get("name") if isinstance(facts, dict) else None
    where = f"charge {name[:40]!r}: " if isinstance(name, str) and name else f"charge {number}: "
    place = ("charge", number)
    charge = TermsTable(facts, where, _CHARGE_KEYS, place)
    steps = tuple(
        PriceStep(step.whole("from", 1), step.amount("price", unit))
        for step in (
            TermsTable(facts, f"{where}steps: ", _STEP_KEYS, (*place, "steps"))
            for facts in charge.listed("steps")
        )
    )
    if "price" not in charge and not steps:
        raise TermRefused(f'{where}it has no price; write price = "9.90" (or "0"), or steps', *place, "price")
    if "price" in charge and steps:
        raise TermRefused(f"{where}it has a price and steps; leave one of them out", *place, "price")
    with refused_at(*place, "product_class"):
        product_class = checked_product_class(charge.text("product_class", kind.value))
    return PlanCharge(
        name=charge.text("name"),
        price=charge.amount("price", unit, 0),
        type=charge.choice("type", ChargeType.RECURRING),
        counted=charge.choice("quantity", _Counting.COUNTED) is _Counting.COUNTED,
        steps=steps,
        product_class=product_class,
    )


def _fixed_day(plan: TermsTable, cycle: str) -> date | None:
    value = plan.facts.get("fixed_day")
    if value is None:
        return None
    if cycle == "month" and isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 31:
        return date(2000, 1, value)
    # In TOML a moment is a date, too, and a datetime is one in Python.
    if isinstance(value, date) and not isinstance(value, datetime) and 1900 <= value.year < 9000:
        return value
    raise plan.refused("fixed_day", "a date like 2026-01-01, or in a monthly cycle a day, 1 to 31")


def _term(facts: Any, unit: Unit) -> MinimumTerm:
    term = TermsTable(facts, "term: ", _TERM_KEYS, ("term",))
    if ("months" in term) == ("cycles" in term):
        raise InputRefused("term: its length is either months = 24 or cycles = 24")
    of = TermUnit.MONTHS if "months" in term else TermUnit.CYCLES
    return MinimumTerm(term.whole(of.value, 0), of, _fee(term, unit))


def _fee(term: TermsTable, unit: Unit) -> CancellationFee | None:
    needed = {"fixed": "amount", "sliding": "amount", "remaining": "share"}
    kind = term.choice("fee", FeeKind.FIXED) if "fee" in term else None
    for key in ("amount", "share"):
        if key in term and (kind is None or needed[kind] != key):
            kinds = " or ".join(f'"{fee}"' for fee, its in needed.items() if its == key)
            raise TermRefused(f"term: {key} counts with fee = {kinds} only", "term", "fee")
    if kind is None:
        if "product_class" in term:
            raise TermRefused("term: product_class is the fee's, and there is no fee", "term", "fee")
        return None
    product_class = checked_product_class(term.text("product_class", "fee"))
    if kind is FeeKind.REMAINING:
        share_ppm = term.amount("share", _PERCENT)
        if share_ppm > WHOLE_PPM:
            raise term.refused("share", "a percentage from 0 to 100")
        return CancellationFee(kind, share_ppm=share_ppm, product_class=product_class)
    return CancellationFee(kind, term.amount("amount", unit), product_class=product_class)


def plan_to_json(terms: PlanTerms) -> str:
    """The text that a version of a plan is kept as: amounts in steps of its unit."""
    facts: dict[str, Any] = {
        "unit": terms.unit,
        "kind": terms.kind,
        "cycle": terms.cycle,
        "every": terms.every,
        "anchoring": terms.anchoring,
        "fixed_day": terms.fixed_day and terms.fixed_day.isoformat(),
        "timing": terms.timing,
        "proration": terms.proration,
        "collection": terms.collection,
        "change": terms.change,
        "set_up_on_change": terms.set_up_on_change,
        "minimum_spend": terms.minimum_spend,
        "term": terms.term and _term_facts(terms.term),
        "renewal": terms.renewal,
        "unpaid": terms.unpaid,
        "remind_days_before": terms.remind_days_before,
        "trial_days": terms.trial_days,
        "bundles": terms.bundles,
        "tariff": terms.tariff,
        "inbound_tariff": terms.inbound_tariff,
        "charges": [
            {
                "name": charge.name,
                "price": charge.price,
                "type": charge.type,
                "counted": charge.counted,
                "steps": charge.steps,
                "product_class": charge.product_class,
            }
            for charge in terms.charges
        ],
    }
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def _term_facts(term: MinimumTerm) -> dict[str, Any]:
    fee = term.fee and {
        "kind": term.fee.kind,
        "amount": term.fee.amount,
        "share_ppm": term.fee.share_ppm,
        "product_class": term.fee.product_class,
    }
    return {"length": term.length, "of": term.of, "fee": fee}


def facts_of_plan(terms: PlanTerms, unit: Unit) -> dict[str, Any]:
    """What plan_from_facts() makes these terms of: amounts as text; left out is what has no value."""
    facts: dict[str, Any] = {
        "unit": terms.unit,
        "kind": terms.kind.value,
        "cycle": terms.cycle,
        "every": terms.every,
        "anchor": terms.anchoring.value,
        "timing": terms.timing.value,
        "proration": terms.proration.value,
        "collection": terms.collection.value,
        "change": terms.change.value,
        "set_up_on_change": terms.set_up_on_change,
        "minimum_spend": format_amount(terms.minimum_spend, unit),
        "renewal": terms.renewal.value,
        "unpaid": terms.unpaid.value,
        "remind_days_before": terms.remind_days_before,
        "trial_days": terms.trial_days,
        "bundles": list(terms.bundles),
        "charge": [_charge_facts(charge, unit) for charge in terms.charges],
    }
    if terms.fixed_day is not None:
        facts["fixed_day"] = terms.fixed_day
    tariffs = {"tariff": terms.tariff, "inbound_tariff": terms.inbound_tariff}
    facts |= {key: name for key, name in tariffs.items() if name}
    if terms.term is not None:
        facts["term"] = {terms.term.of.value: terms.term.length} | _fee_facts(terms.term.fee, unit)
    return facts


def _charge_facts(charge: PlanCharge, unit: Unit) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": charge.name,
        "type": charge.type.value,
        "quantity": (_Counting.COUNTED if charge.counted else _Counting.FLAT).value,
        "product_class": charge.product_class,
    }
    if charge.steps:
        steps = [{"from": x.from_quantity, "price": format_amount(x.price, unit)} for x in charge.steps]
        return facts | {"steps": steps}
    return facts | {"price": format_amount(charge.price, unit)}


def _fee_facts(fee: CancellationFee | None, unit: Unit) -> dict[str, Any]:
    if fee is None:
        return {}
    how_much = (
        {"share": format_amount(fee.share_ppm, _PERCENT)}
        if fee.kind is FeeKind.REMAINING
        else {"amount": format_amount(fee.amount, unit)}
    )
    return {"fee": fee.kind.value, "product_class": fee.product_class} | how_much


def plan_from_json(text: str) -> PlanTerms:
    """The terms of a kept text; they were checked when they were made."""
    try:
        facts = json.loads(text)
        return PlanTerms(
            unit=facts["unit"],
            charges=tuple(_kept_charge(charge) for charge in facts["charges"]),
            kind=PlanKind(facts["kind"]),
            cycle=facts["cycle"],
            every=facts["every"],
            anchoring=Anchoring(facts["anchoring"]),
            fixed_day=facts["fixed_day"] and date.fromisoformat(facts["fixed_day"]),
            timing=Timing(facts["timing"]),
            proration=Proration(facts["proration"]),
            collection=Collection(facts["collection"]),
            change=ChangeAt(facts["change"]),
            set_up_on_change=facts["set_up_on_change"],
            minimum_spend=facts["minimum_spend"],
            term=facts["term"] and _kept_term(facts["term"]),
            renewal=Renewal(facts["renewal"]),
            unpaid=Unpaid(facts["unpaid"]),
            remind_days_before=facts["remind_days_before"],
            trial_days=facts["trial_days"],
            bundles=tuple(facts["bundles"]),
            tariff=facts["tariff"],
            inbound_tariff=facts["inbound_tariff"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputRefused(f"this is no kept plan: {error}") from None


def _kept_charge(facts: dict[str, Any]) -> PlanCharge:
    return PlanCharge(
        facts["name"],
        facts["price"],
        ChargeType(facts["type"]),
        facts["counted"],
        tuple(PriceStep(*step) for step in facts["steps"]),
        facts["product_class"],
    )


def _kept_term(facts: dict[str, Any]) -> MinimumTerm:
    fee = facts["fee"]
    return MinimumTerm(
        facts["length"],
        TermUnit(facts["of"]),
        fee and CancellationFee(FeeKind(fee["kind"]), fee["amount"], fee["share_ppm"], fee["product_class"]),
    )
