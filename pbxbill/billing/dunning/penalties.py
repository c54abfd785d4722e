"""Penalty classes: what paying late costs. Pure; late_charges.py makes charges of it.

    unit = "EUR"
    fixed = "5.00"               # for each time; or
    percent = "1.5"              # of what is overdue
    period = "once"              # or for each "day", "week", "month", "year" that is over
    minimum = "1.00"             # what is less is raised to it
    cap = "40.00"                # no more of one invoice in all, or per customer at once
    grace_days = 5               # after the due day, which cost nothing
    per = "item"                 # each invoice by itself, or "customer": all that is overdue, once
    product_class = "fee"        # what taxes it falls under

A period counts when it is over: who pays before pays nothing for it. Those of a day are charged together when
a month is over. Amounts are without the taxes that the issuer's rules put on top.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pbxbill.billing.charge import checked_product_class
from pbxbill.billing.period import months_after
from pbxbill.billing.terms_table import TermsTable
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.money import MAX_AMOUNT, Rounding, Unit, minor_step, round_ratio
from pbxbill.written_toml import TOMLDecodeError, read_toml

MAX_GRACE_DAYS = 366
MAX_PERIODS = 1_200
"""That are looked back at: a hundred years of months."""
WHOLE_PPM = 1_000_000
_PERCENT = Unit("percent", scale=4)
_KEYS = (*("unit", "fixed", "percent", "period", "minimum", "cap", "grace_days", "per", "product_class"),)


class Every(StrEnum):
    """How often a penalty comes."""

    ONCE = "once"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Per(StrEnum):
    """What a penalty is reckoned on."""

    ITEM = "item"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class PenaltyTerms:
    """One penalty class."""

    unit: str
    fixed: int = 0
    percent_ppm: int = 0
    every: Every = Every.ONCE
    minimum: int = 0
    cap: int | None = None
    grace_days: int = 0
    per: Per = Per.ITEM
    product_class: str = "fee"


@dataclass(frozen=True, slots=True)
class LatePeriods:
    """Whole periods that are over and not charged yet."""

    count: int
    from_day: date
    to_day: date
    """Just before it; the next period begins there."""


def penalty(terms: PenaltyTerms, overdue: int, periods: int, *, charged: int = 0, unit: Unit) -> int:
    """What so many periods cost of what is overdue, in whole coins; charged: what it has cost before."""
    if overdue <= 0 or periods <= 0:
        return 0
    step = minor_step(unit)
    share = round_ratio(overdue * terms.percent_ppm * periods, WHOLE_PPM, Rounding.HALF_UP, step)
    amount = max(terms.fixed * periods + share, terms.minimum)
    if terms.cap is not None:
        amount = min(amount, terms.cap - charged)
    return max(0, amount)


def first_day(terms: PenaltyTerms, due_on: date) -> date:
    """The first local day that can cost something: the one after the due day and the days of grace."""
    return due_on + timedelta(days=terms.grace_days + 1)


def late_periods(
    terms: PenaltyTerms, begins: date, counted_to: date | None, today: date, most: int = MAX_PERIODS
) -> LatePeriods | None:
    """The periods since begins that are over today and begin where was counted to before, or later.

    Those of a class by the day are told when a month of them is over, and are one of most then. None: there
    is none.
    """
    if terms.every is Every.ONCE:
        return LatePeriods(1, begins, begins) if counted_to is None and begins <= today else None
    count, told, first, last = 0, 0, begins, begins
    for number in range(1, MAX_PERIODS + 1):
        start, end = _period(terms.every, begins, number)
        if end > today or told == most:
            break
        if counted_to is not None and start < counted_to:
            if terms.every is not Every.DAY or end <= counted_to:
                continue  # it was charged already, perhaps as part of another one
            start = counted_to
        first = first if count else start
        count += (end - start).days if terms.every is Every.DAY else 1
        told, last = told + 1, end
    return LatePeriods(count, first, last) if count else None


def next_period_end(terms: PenaltyTerms, begins: date, today: date) -> date:
    """The day on which the period is over that today lies in; of what comes once: the day it comes on."""
    if terms.every is Every.ONCE:
        return begins
    if today < begins:
        return _period(terms.every, begins, 1)[1]
    for number in range(1, MAX_PERIODS + 1):
        end = _period(terms.every, begins, number)[1]
        if end > today:
            return end
    raise InputRefused("an invoice that is overdue for so long is charged nothing more")


def _period(every: Every, begins: date, number: int) -> tuple[date, date]:
    if every is Every.WEEK:
        return begins + timedelta(weeks=number - 1), begins + timedelta(weeks=number)
    months = 12 if every is Every.YEAR else 1
    return months_after(begins, months * (number - 1)), months_after(begins, months * number)


def penalty_from_toml(text: str, units: Mapping[str, Unit]) -> PenaltyTerms:
    """The terms that a person wrote; InputRefused names the key that is wrong."""
    try:
        facts = read_toml(text, parse_float=str)
    except TOMLDecodeError as error:
        raise InputRefused(f"the penalty class is not TOML: {error}") from None
    return penalty_from_facts(facts, units)


def penalty_from_facts(facts: dict[str, Any], units: Mapping[str, Unit]) -> PenaltyTerms:
    """The same of what was read from elsewhere, a form: the keys and values of the TOML."""
    table = TermsTable(facts, "", _KEYS)
    code = table.text("unit")
    if code not in units:
        raise TermRefused(
            f"unit: there is no {code!r}; there is {', '.join(sorted(units)) or 'none'}", "unit"
        )
    unit = units[code]
    return checked_penalty(
        PenaltyTerms(
            unit=code,
            fixed=table.amount("fixed", unit, 0),
            percent_ppm=table.amount("percent", _PERCENT, 0),
            every=table.choice("period", Every.ONCE),
            minimum=table.amount("minimum", unit, 0),
            cap=table.amount("cap", unit) if "cap" in table else None,
            grace_days=table.whole("grace_days", 0),
            per=table.choice("per", Per.ITEM),
            product_class=table.text("product_class", "fee"),
        ),
        unit,
    )


def checked_penalty(terms: PenaltyTerms, unit: Unit) -> PenaltyTerms:
    """These terms if something can be charged by them."""
    if not terms.fixed and not terms.percent_ppm:
        raise TermRefused('the class costs nothing; write fixed = "5.00" or percent = "1.5"', "fixed")
    if terms.percent_ppm > WHOLE_PPM:
        raise TermRefused("percent is 0 to 100", "percent")
    for key, amount in (("fixed", terms.fixed), ("minimum", terms.minimum), ("cap", terms.cap or 0)):
        if amount % minor_step(unit) or amount > MAX_AMOUNT // WHOLE_PPM:
            raise TermRefused(f"{key} is in whole coins, and not out of range", key)
    if terms.cap is not None and terms.cap < terms.minimum:
        raise TermRefused("cap is below minimum: nothing fits between them", "cap")
    if not 0 <= terms.grace_days <= MAX_GRACE_DAYS:
        raise TermRefused(f"grace_days is 0 to {MAX_GRACE_DAYS}, not {terms.grace_days}", "grace_days")
    with refused_at("product_class"):
        checked_product_class(terms.product_class)
    return terms


def penalty_to_json(terms: PenaltyTerms) -> str:
    """The text that a class is kept as."""
    return json.dumps(asdict(terms), separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=256)
def penalty_from_json(text: str) -> PenaltyTerms:
    """The class of a kept text; it was checked when it was made."""
    try:
        facts = json.loads(text)
        return PenaltyTerms(**facts | {"every": Every(facts["every"]), "per": Per(facts["per"])})
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused(f"this is no kept penalty class: {error}") from None
