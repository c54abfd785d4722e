"""When trials, minimum terms, renewals and reminders are."""

from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from pbxbill.billing.subscriptions.plan_terms import (
    Anchoring,
    MinimumTerm,
    PlanCharge,
    PlanTerms,
    Renewal,
    TermUnit,
)
from pbxbill.billing.subscriptions.subscription_times import (
    beginning,
    next_renewal_us,
    next_term,
    reminder_us,
)
from pbxbill.clock import SECOND_US

BERLIN = "Europe/Berlin"
MONTHLY = PlanTerms("EUR", (PlanCharge("Line", 10),))
INVOICE_DAY = date(2026, 1, 20)
YEAR = MinimumTerm(12, TermUnit.MONTHS)


def us(moment: str, zone: str = BERLIN) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND_US


def day(at_us: int | None, zone: str = BERLIN) -> str:
    if at_us is None:
        return "-"
    text = datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")


@pytest.mark.parametrize(
    "change, service_from, anchor, term_ends, ends",
    [
        ({}, "2026-01-31 15:00", "2026-01-31", "-", "-"),
        # 14 days with that of the sign-up: until the 13th of February; periods begin when it is over.
        ({"trial_days": 14}, "2026-02-14", "2026-02-14", "-", "-"),
        ({"anchoring": Anchoring.INVOICE_DAY}, "2026-01-31 15:00", "2026-01-20", "-", "-"),
        (
            {"anchoring": Anchoring.FIXED_DAY, "fixed_day": date(2000, 1, 5)},
            "2026-01-31 15:00",
            "2000-01-05",
            "-",
            "-",
        ),
        ({"term": YEAR}, "2026-01-31 15:00", "2026-01-31", "2027-01-31", "-"),
        # A month after 31 January is 28 February.
        ({"term": MinimumTerm(1, TermUnit.MONTHS)}, "2026-01-31 15:00", "2026-01-31", "2026-02-28", "-"),
        ({"term": MinimumTerm(2, TermUnit.CYCLES)}, "2026-01-31 15:00", "2026-01-31", "2026-03-31", "-"),
        # The part before 20 February is no whole period; two of them end on 20 April.
        (
            {"term": MinimumTerm(2, TermUnit.CYCLES), "anchoring": Anchoring.INVOICE_DAY},
            *("2026-01-31 15:00", "2026-01-20", "2026-04-20", "-"),
        ),
        ({"term": YEAR, "trial_days": 1}, "2026-02-01", "2026-02-01", "2027-02-01", "-"),
        (
            {"term": YEAR, "renewal": Renewal.ENDS},
            "2026-01-31 15:00",
            "2026-01-31",
            "2027-01-31",
            "2027-01-31",
        ),
        ({"renewal": Renewal.ENDS}, "2026-01-31 15:00", "2026-01-31", "-", "2026-02-28"),
    ],
)
def test_what_a_subscription_begins_with(
    change: dict[str, object], service_from: str, anchor: str, term_ends: str, ends: str
) -> None:
    """Subscribed to on 31 January 2026 at 15:00."""
    terms = replace(MONTHLY, **change)  # type: ignore[arg-type]
    begun = beginning(terms, us("2026-01-31T15:00"), BERLIN, INVOICE_DAY)
    assert (day(begun.service_from_us), begun.cycle.anchor.isoformat()) == (service_from, anchor)
    assert (day(begun.term.to_us if begun.term else None), day(begun.ends_us)) == (term_ends, ends)
    assert begun.trial_ends_us == (begun.service_from_us if terms.trial_days else None)


@pytest.mark.parametrize(
    "zone, utc", [("Pacific/Kiritimati", "2026-01-31T10:00"), ("Pacific/Pago_Pago", "2026-02-01T11:00")]
)
def test_a_trial_of_a_day_ends_with_the_local_day(zone: str, utc: str) -> None:
    begun = beginning(replace(MONTHLY, trial_days=1), us("2026-01-31T23:00", zone), zone, INVOICE_DAY)
    assert begun.trial_ends_us == us("2026-02-01", zone)
    kiritimati = beginning(replace(MONTHLY, trial_days=1), us(utc, "UTC") - SECOND_US, zone, INVOICE_DAY)
    assert kiritimati.trial_ends_us == us(utc, "UTC")


@pytest.mark.parametrize(
    "change, after, expected",
    [
        ({}, "2026-02-10", "2026-02-28"),
        ({}, "2026-02-28", "2026-03-31"),
        ({"term": YEAR}, "2026-02-10", "2027-01-31"),
        ({"term": YEAR}, "2027-01-31", "2027-02-28"),
        ({"term": YEAR, "renewal": Renewal.ENDS}, "2026-02-10", "-"),
    ],
)
def test_renewals(change: dict[str, object], after: str, expected: str) -> None:
    terms = replace(MONTHLY, **change)  # type: ignore[arg-type]
    begun = beginning(terms, us("2026-01-31"), BERLIN, INVOICE_DAY)
    term_ends_us = begun.term.to_us if begun.term else None
    assert day(next_renewal_us(terms, begun.cycle, term_ends_us, us(after))) == expected


def test_a_term_may_be_followed_by_another() -> None:
    terms = replace(MONTHLY, term=YEAR, renewal=Renewal.TERM)
    begun = beginning(terms, us("2027-02-28"), BERLIN, INVOICE_DAY)
    assert begun.term
    second = next_term(terms, begun.cycle, begun.term.to_us)
    assert second
    assert (day(second.from_us), day(second.to_us)) == ("2028-02-28", "2029-02-28")
    assert next_term(replace(terms, renewal=Renewal.CYCLE), begun.cycle, begun.term.to_us) is None


@pytest.mark.parametrize(
    "days, renewal, expected",
    [(0, "2026-04-01", "-"), (14, "2026-04-01", "2026-03-18"), (3, "2026-10-26", "2026-10-23")],
)
def test_a_reminder_comes_whole_days_before(days: int, renewal: str, expected: str) -> None:
    terms = replace(MONTHLY, remind_days_before=days)
    assert day(reminder_us(terms, BERLIN, us(renewal))) == expected
