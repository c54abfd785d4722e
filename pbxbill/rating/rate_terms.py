"""A rate's terms as text, as a deck keeps them beside its rows: compact JSON, prices as integers.

    {"steps": [[600, 10000000000]],
     "bands": {"night": [PRICE, FEE, MINIMUM, INITIAL, FOLLOWING, FREE, STEPS]},
     "banded_only": true, "maximum": 500000000000, "ends_at_maximum": true}

What is absent has its default. A text of these terms is the same however they were made, so that equal
terms of many rates can share one.
"""

import json
from typing import Any

from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT
from pbxbill.rating.tariff import BandPrice, RateTerms, Step

MAX_STEPS = 100
MAX_BANDS = 100
_KEYS = {"steps", "bands", "banded_only", "maximum", "ends_at_maximum"}
_NOTHING = RateTerms()


def terms_to_json(terms: RateTerms | None) -> str | None:
    """The text of terms; None where a rate has none."""
    if terms is None or terms == _NOTHING:
        return None
    facts: dict[str, Any] = {}
    if terms.steps:
        facts["steps"] = terms.steps
    if terms.bands:
        facts["bands"] = {name: list(price) for name, price in sorted(terms.bands)}
    if terms.banded_only:
        facts["banded_only"] = True
    if terms.maximum_charge is not None:
        facts["maximum"] = terms.maximum_charge
    if terms.ends_at_maximum:
        facts["ends_at_maximum"] = True
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def terms_from_json(text: str | None) -> RateTerms | None:
    """The terms of a text; InputRefused where it is none or they cannot be charged."""
    if text is None:
        return None
    try:
        facts = json.loads(text)
        if not isinstance(facts, dict) or not facts.keys() <= _KEYS:
            raise InputRefused(f"the terms of a rate know {', '.join(sorted(_KEYS))} and nothing else")
        terms = RateTerms(
            _steps(facts.get("steps", ())),
            tuple((name, _band(price)) for name, price in facts.get("bands", {}).items()),
            facts.get("banded_only", False) is True,
            facts.get("maximum"),
            facts.get("ends_at_maximum", False) is True,
        )
        return checked_terms(terms)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputRefused(f"the terms {text[:60]!r} of a rate are broken: {error}") from None


def checked_terms(terms: RateTerms, connection_fee: int = 0) -> RateTerms:
    """These terms if calls can be charged by them, with the rate's own connection fee; else InputRefused."""
    if len(terms.steps) > MAX_STEPS or len(terms.bands) > MAX_BANDS:
        raise InputRefused(f"a rate has at most {MAX_STEPS} steps and {MAX_BANDS} bands")
    _check_steps(terms.steps, "the rate")
    _check_bands(terms)
    if terms.banded_only and not terms.bands:
        raise InputRefused("a rate without a price outside its bands has no band")
    maximum = terms.maximum_charge
    if maximum is None:
        if terms.ends_at_maximum:
            raise InputRefused("a call cannot end at a maximum charge that the rate does not have")
    elif type(maximum) is not int or not 0 <= maximum <= MAX_AMOUNT:
        raise InputRefused("the maximum charge of a rate is negative or out of range")
    elif terms.ends_at_maximum:
        fees = [connection_fee, *(price.connection_fee for _, price in terms.bands)]
        if max(fees) >= maximum:
            raise InputRefused("a call that ends at its maximum charge needs one above the connection fee")
    return terms


def _steps(entries: Any) -> tuple[Step, ...]:
    return tuple(Step(from_s, price) for from_s, price in entries)


def _band(entry: Any) -> BandPrice:
    price, fee, minimum, initial_s, following_s, free_s, steps = entry
    return BandPrice(price, fee, minimum, initial_s, following_s, free_s, _steps(steps))


def _check_bands(terms: RateTerms) -> None:
    names = [name for name, _ in terms.bands]
    for name, price in terms.bands:
        where = f"the band {name[:40]!r}"
        if not name or names.count(name) > 1:
            raise InputRefused(f"{where} of a rate has no name or appears twice")
        numbers = price[:6]
        if any(type(number) is not int for number in numbers):
            raise InputRefused(f"{where} of a rate holds something else than whole numbers")
        if min(numbers) < 0 or max(numbers) > MAX_AMOUNT:
            raise InputRefused(f"{where} of a rate holds a number that is negative or out of range")
        if price.initial_increment_s < 1 or price.following_increment_s < 1:
            raise InputRefused(f"{where} of a rate has an increment below 1 s")
        _check_steps(price.steps, where)


def _check_steps(steps: tuple[Step, ...], where: str) -> None:
    before_s = 0
    for step in steps:
        if type(step.from_s) is not int or type(step.price_per_min) is not int:
            raise InputRefused(f"the steps of {where} hold something else than whole numbers")
        if not 0 <= step.price_per_min <= MAX_AMOUNT:
            raise InputRefused(f"a step of {where} has a price that is negative or out of range")
        if step.from_s <= before_s:
            raise InputRefused(f"the steps of {where} do not begin one after the other, each after 0 s")
        before_s = step.from_s
