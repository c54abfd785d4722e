"""What must be true of the call that is part bundle, part day, part evening, for all who pay for it."""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

from demo import reckoning, site
from demo.product import Product
from demo.promise import Promise
from demo.reckoning import Owed, Times

SHOWN = ("day", "evening", site.BUNDLE, site.BALTIC.code, site.CARRIER)
"""Words that an explanation of the call must have, beside its charge."""


def by_time_cdr(cdrs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The record of that call."""
    return next((cdr for cdr in cdrs if cdr["account"] == site.INES.code and cdr["answered"]), None)


def examine_rating(product: Product, cdrs: list[dict[str, Any]], evening_us: int) -> Iterator[Promise]:
    """The charges of the call at all its levels, and what they left behind."""
    cdr = by_time_cdr(cdrs)
    if cdr is None:
        yield Promise("a call through day and evening", False, f"{site.INES.code} was charged for no call")
        return
    times = Times(_moment_ms(cdr["answered"]), _ms(cdr["charged_seconds"]), evening_us // 1000)
    after_s = (times.evening_ms - times.answered_ms) / 1000
    yield Promise("day became evening while they talked", times.crosses, f"{after_s:.3f} s after the answer")
    yield _of_the_customer(cdr, times)
    bundle = product.json("bundles", "show", site.INES.code)[0]
    left = f"{bundle['used']} s of {bundle['allowed']} used, {bundle['reserved']} reserved"
    kept = (bundle["used"], bundle["reserved"]) == (site.BUNDLE_S, 0)
    yield Promise("her bundle was used up first", kept, left)
    owed = reckoning.owed(times, reckoning.bands())
    yield _of_the_reseller(cdr, owed)
    yield _of_the_carrier(product, times, owed)
    text = product.command("explain", cdr["session_id"])
    missing = [word for word in (cdr["total"], *SHOWN) if word not in text]
    evidence = f"it lacks {', '.join(missing)}" if missing else "with bands, bundle, both levels and carrier"
    yield Promise("explain shows all of it", not missing, evidence)


def _of_the_customer(cdr: dict[str, Any], times: Times) -> Promise:
    prices = {band: price.marked_up() for band, price in reckoning.bands().items()}
    owed = reckoning.owed(times, prices, site.BUNDLE_S)
    total = reckoning.rounded(owed.net * reckoning.TAX)
    kept = Fraction(cdr["total"]) == total and cdr["billable_s"] == owed.billable_s
    evidence = f"{cdr['total']} = {owed.text}, tax {site.BALTIC_RETAIL.tax_percent} %"
    if not kept:
        evidence += f"; reckoned here {float(total)} for {owed.billable_s} s, there for {cdr['billable_s']} s"
    return Promise("ines pays what sheet, mark-up and clock say", kept, evidence)


def _of_the_reseller(cdr: dict[str, Any], owed: Owed) -> Promise:
    paid = [charge["total"] for charge in cdr["charges"] if charge["account"] == site.BALTIC.code]
    kept = [Fraction(amount) for amount in paid] == [reckoning.rounded(owed.net)]
    return Promise("her reseller pays the sheet", kept, f"{', '.join(paid) or 'nothing'} = {owed.text}")


def _of_the_carrier(product: Product, times: Times, owed: Owed) -> Promise:
    lines: list[dict[str, Any]] = product.json("margin", "--by", "account")["lines"]
    line = next((line for line in lines if line["name"] == site.INES.code), None)
    if line is None:
        return Promise("the margin is what the carrier leaves", False, "no line")
    cost = reckoning.rounded(reckoning.carrier_cost(times.talked_ms))
    expected = (reckoning.rounded(owed.net), cost, reckoning.rounded(owed.net) - cost)
    found = tuple(Fraction(line[name]) for name in ("revenue", "cost", "margin"))
    evidence = f"{line['revenue']} - {line['cost']} = {line['margin']} ({line['margin_percent']} %)"
    return Promise("the margin is what the carrier leaves", found == expected, evidence)


def _moment_ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _ms(seconds: str) -> int:
    return int(Fraction(seconds) * 1000)
