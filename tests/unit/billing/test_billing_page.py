"""docs/billing.md: its plans can be read, and what its tables say is reckoned."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.period import BillingCycle, Period
from pbxbill.billing.proration import Proration, prorated
from pbxbill.billing.subscriptions.due_charges import Due, Standing, Stop, due_charges
from pbxbill.billing.subscriptions.plan import _CHARGE_KEYS, _PLAN_KEYS, _TERM_KEYS, plan_from_toml
from pbxbill.billing.subscriptions.plan_terms import (
    CancellationFee,
    FeeKind,
    MinimumTerm,
    PlanCharge,
    PlanKind,
    PlanTerms,
    TermUnit,
    period_price,
)
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit, format_amount, parse_amount

PAGE = (Path(__file__).parents[3] / "docs" / "billing.md").read_text()
EUR = Unit("EUR")
BERLIN = "Europe/Berlin"


def table(first_columns: str) -> list[list[str]]:
    """The cells of the rows of one table."""
    return list(_rows(PAGE.splitlines(), first_columns))


def _rows(lines: list[str], first_columns: str) -> Iterator[list[str]]:
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first_columns} |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def us(day: str, zone: str = BERLIN) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_US


def local(at_us: int, zone: str = BERLIN) -> str:
    return datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def amount(text: str) -> int:
    return parse_amount(text, EUR)


def plan(name: str) -> PlanTerms:
    found = re.search(rf"^```toml {name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return plan_from_toml(found[1], {"EUR": EUR})


def monthly(price: str) -> PlanTerms:
    return PlanTerms("EUR", (PlanCharge("Line", amount(price)),))


def stretch(from_us: int, stops_us: int | None = None, stop: Stop = Stop.END) -> Standing:
    cycle = BillingCycle("month", 1, date(2026, 1, 1), BERLIN)
    return Standing("s", cycle, from_us, from_us, stops_us=stops_us, stop=stop)


def test_the_number_is_a_plan_for_dids() -> None:
    assert plan("number.toml").kind is PlanKind.DID


def test_every_key_is_explained() -> None:
    explained = {key for row in table("key") for key in re.findall(r"`\[*(\w+)\]*`", " ".join(row[:2]))}
    assert explained >= {*_PLAN_KEYS, *_CHARGE_KEYS, *_TERM_KEYS}


@pytest.mark.parametrize("extensions, cost, total", table("extensions"))
def test_quantities_and_steps(extensions: str, cost: str, total: str) -> None:
    office = plan("office.toml")
    only = replace(office, charges=tuple(x for x in office.charges if x.name == "Extension"))
    assert format_amount(period_price(only, int(extensions), {}), EUR) == cost
    assert format_amount(period_price(office, int(extensions), {}), EUR) == total


@pytest.mark.parametrize("cycle, anchor, zone, begins, following, then", table("cycle"))
def test_periods(cycle: str, anchor: str, zone: str, begins: str, following: str, then: str) -> None:
    every, unit = cycle.split()
    period = BillingCycle(unit, int(every), date.fromisoformat(anchor), zone).period_of(us(begins, zone))
    after = BillingCycle(unit, int(every), date.fromisoformat(anchor), zone).period_of(period.to_us)
    assert [local(x, zone) for x in (*period, after.to_us)] == [begins, following, then]


@pytest.mark.parametrize("row", table("price"), ids=" ".join)
def test_parts_of_periods(row: list[str]) -> None:
    price, cycle, anchor, begin, until, used, of, costs = row
    whole = BillingCycle(cycle, 1, date.fromisoformat(anchor), BERLIN).period_of(us(begin))
    share = prorated(amount(price), Period(us(begin), us(until)), whole, BERLIN, Proration.DAY)
    assert (share.used, share.of, format_amount(share.amount, EUR)) == (int(used), int(of), costs)


def test_a_change_within_a_period() -> None:
    change_us = us("2026-04-11T15:00")
    first = due_charges(monthly("30"), stretch(us("2026-04-01")), us("2026-04-10"))
    stopped = replace(stretch(us("2026-04-01"), change_us, Stop.CHANGE), charged_to_us=first.charged_to_us)
    back = due_charges(monthly("30"), stopped, change_us)
    new = due_charges(monthly("60"), stretch(change_us), change_us)
    reckoned = [
        [local(x.at_us)[:10], f"{x.explanation['used']} of {x.explanation['of']}", format_amount(x.net, EUR)]
        for x in (*first.charges, *back.charges, *new.charges)
    ]
    assert reckoned == [[at, days, net] for at, _, days, net in table("at")]


@pytest.mark.parametrize("minimum, begin, until, part, usage, charged", table("minimum"))
def test_minimum_spend(minimum: str, begin: str, until: str, part: str, usage: str, charged: str) -> None:
    terms = PlanTerms("EUR", minimum_spend=amount(minimum))
    due = due_charges(terms, stretch(us(begin), us(until)), us(until), lambda _: amount(usage))
    assert format_amount(sum(x.net for x in due.charges), EUR) == charged
    for charge in due.charges:
        assert format_amount(int(charge.explanation["minimum"]), EUR) == part


@pytest.mark.parametrize("fee, leaves, left, costs", table("fee"))
def test_leaving_early(fee: str, leaves: str, left: str, costs: str) -> None:
    name, number = fee.split()
    kind = FeeKind(name)
    remaining = kind is FeeKind.REMAINING
    agreed = CancellationFee(
        kind, 0 if remaining else amount(number), int(number) * 10_000 if remaining else 0
    )
    terms = replace(monthly("20"), term=MinimumTerm(12, TermUnit.MONTHS, agreed))
    served = replace(stretch(us("2026-01-01"), us(leaves)), term=Period(us("2026-01-01"), us("2027-01-01")))
    due: Due = due_charges(terms, served, us(leaves))
    fees = [x for x in due.charges if x.kind is ChargeKind.CANCELLATION_FEE]
    assert format_amount(sum(x.net for x in fees), EUR) == costs
    said = {FeeKind.REMAINING: "{used} months", FeeKind.SLIDING: "{used} of {of} days"}.get(kind, "")
    assert left == (said.format(**fees[0].explanation) if fees else "")
