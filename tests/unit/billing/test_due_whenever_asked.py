"""What is due, whatever the terms, the days and the moments at which it is asked for."""

from dataclasses import replace
from datetime import UTC, date, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from pbxbill.billing.period import BillingCycle, Period
from pbxbill.billing.proration import Proration
from pbxbill.billing.subscriptions.due_charges import Due, DueCharge, Standing, due_charges
from pbxbill.billing.subscriptions.plan_terms import (
    CancellationFee,
    ChargeType,
    FeeKind,
    MinimumTerm,
    PlanCharge,
    PlanTerms,
    PriceStep,
    TermUnit,
    Timing,
)
from pbxbill.clock import SECOND_US


def us(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * SECOND_US


begin_2026 = us(2026)
moments = st.integers(0, 400 * 24).map(lambda hours: begin_2026 + hours * 3600 * SECOND_US)
many_terms = st.builds(
    lambda price, timing, proration, minimum: PlanTerms(
        "EUR",
        (
            PlanCharge("Line", price),
            PlanCharge("Extension", 0, steps=(PriceStep(1, 1_234_567), PriceStep(3, 765_433))),
            PlanCharge("Set-up", 7, ChargeType.SET_UP),
        ),
        timing=timing,
        proration=proration,
        minimum_spend=minimum,
        term=MinimumTerm(24, TermUnit.MONTHS, CancellationFee(FeeKind.SLIDING, 10**8)),
    ),
    st.integers(1, 10**9),
    st.sampled_from(Timing),
    st.sampled_from(Proration),
    st.sampled_from([0, 10**9]),
)
many_standings = st.builds(
    lambda unit, every, zone, anchor, from_us, length, quantity: Standing(
        "s",
        BillingCycle(unit, every, anchor, zone),
        from_us,
        from_us,
        quantity,
        stops_us=None if length is None else from_us + length,
        term=Period(from_us, us(2029)),
    ),
    st.sampled_from(["day", "week", "month", "quarter", "year"]),
    st.integers(3, 5),
    st.sampled_from(["Europe/Berlin", "UTC", "America/Santiago", "Pacific/Kiritimati"]),
    st.dates(date(2025, 1, 1), date(2027, 1, 1)),
    moments,
    st.none() | st.integers(1, 10**13),
    st.integers(0, 4),
)


def by_key(*dues: Due) -> dict[str, DueCharge]:
    found: dict[str, DueCharge] = {}
    for due in dues:
        for charge in due.charges:
            assert found.setdefault(charge.key, charge) == charge
    return found


def used(part: Period) -> int:
    assert part.from_us < part.to_us
    return part.from_us // SECOND_US * 997 % 10**9


@settings(deadline=None)
@given(many_terms, many_standings, st.lists(moments, max_size=8), moments)
def test_what_is_due_never_depends_on_how_often_it_was_asked(
    terms: PlanTerms, first: Standing, asked: list[int], until_us: int
) -> None:
    at_once = due_charges(terms, first, until_us, used)
    stretch, dues = first, []
    for at_us in [*sorted(at_us for at_us in asked if at_us < until_us), until_us, until_us]:
        due = due_charges(terms, stretch, at_us, used)
        stretch = replace(stretch, charged_to_us=due.charged_to_us)
        dues.append(due)
        assert all(charge.at_us <= at_us for charge in due.charges)
        assert due.over == (due.next_us is None)
        assert due.next_us is None or due.next_us > at_us
    assert by_key(*dues) == by_key(at_once)
    assert (dues[-1].charged_to_us, dues[-1].next_us) == (at_once.charged_to_us, at_once.next_us)


@settings(deadline=None)
@given(many_terms, many_standings, moments, st.integers(0, 10**13))
def test_a_stop_that_becomes_known_later_costs_the_same_in_the_end(
    terms: PlanTerms, first: Standing, known_us: int, notice_us: int
) -> None:
    """Whether the last period was charged whole and partly given back, or charged in part at once."""
    known_us = max(known_us, first.from_us)
    stops_us = known_us + notice_us
    told = due_charges(terms, replace(first, stops_us=stops_us), stops_us, used)
    before = due_charges(terms, replace(first, stops_us=None), known_us, used)
    late = replace(first, stops_us=stops_us, charged_to_us=max(before.charged_to_us, first.from_us))
    after = due_charges(terms, late, stops_us, used)
    assert (told.over, told.charged_to_us) == (after.over, after.charged_to_us) == (True, stops_us)
    if stops_us > first.from_us:
        both = by_key(before, after)
        assert sum(x.net for x in both.values()) == sum(x.net for x in told.charges)
        assert sum(x.deferred for x in both.values()) == sum(x.deferred for x in told.charges)
