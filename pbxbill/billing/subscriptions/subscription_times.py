"""When a subscription's trial, minimum term and renewals are, by its plan's terms and its account's days."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from pbxbill.billing.period import BillingCycle, Period, day_start_us, local_date, months_after
from pbxbill.billing.subscriptions.plan_terms import Anchoring, MinimumTerm, PlanTerms, Renewal, TermUnit
from pbxbill.clock import SECOND_US
from pbxbill.rating.band_checks import zone_of

ONE_CYCLE = MinimumTerm(1, TermUnit.CYCLES)


class Beginning(NamedTuple):
    """What a subscription begins with."""

    cycle: BillingCycle
    service_from_us: int
    """From here on it is charged: when it was subscribed to, or the end of its trial."""
    trial_ends_us: int | None
    term: Period | None
    """For so long it binds."""
    ends_us: int | None
    """When it ends by itself; None: never."""


def beginning(terms: PlanTerms, started_us: int, zone: str, invoice_day: date) -> Beginning:
    """What follows from the moment that an account subscribes; invoice_day: its anchor of invoices."""
    trial_ends_us = None
    if terms.trial_days:
        # Whole local days: the first counts, however late it is.
        last = local_date(started_us, zone) + timedelta(days=terms.trial_days)
        trial_ends_us = day_start_us(last, zone)
    service_from_us = started_us if trial_ends_us is None else trial_ends_us
    cycle = cycle_of_plan(terms, service_from_us, zone, invoice_day)
    term = None if terms.term is None else term_from(terms.term, cycle, service_from_us)
    ends_us = None
    if terms.renewal is Renewal.ENDS:
        ends_us = (term or term_from(ONE_CYCLE, cycle, service_from_us)).to_us
    return Beginning(cycle, service_from_us, trial_ends_us, term, ends_us)


def cycle_of_plan(terms: PlanTerms, service_from_us: int, zone: str, invoice_day: date) -> BillingCycle:
    """The periods of a subscription; service_from_us: of the first plan that it had."""
    anchor = terms.fixed_day or invoice_day
    if terms.anchoring is Anchoring.SIGN_UP:
        anchor = local_date(service_from_us, zone)
    return BillingCycle(terms.cycle, terms.every, anchor, zone)


def term_from(term: MinimumTerm, cycle: BillingCycle, from_us: int) -> Period:
    """The minimum term from a moment: so many months, or whole periods after the one begun, if it has."""
    first = local_date(from_us, cycle.zone)
    if term.of is TermUnit.MONTHS:
        return Period(from_us, day_start_us(months_after(first, term.length), cycle.zone))
    period = cycle.period_of(from_us)
    whole = term.length if local_date(period.from_us, cycle.zone) == first else term.length + 1
    for _ in range(whole - 1):
        period = cycle.period_of(period.to_us)
    return Period(from_us, period.to_us)


def term_until(terms: PlanTerms, cycle: BillingCycle, from_us: int, ends_us: int) -> Period:
    """The minimum term that ends at a moment, and began its length before, or with the subscription."""
    length = (terms.term or ONE_CYCLE).length
    if terms.term is not None and terms.term.of is TermUnit.MONTHS:
        began_us = day_start_us(months_after(local_date(ends_us, cycle.zone), -length), cycle.zone)
    else:
        began_us = ends_us
        for _ in range(length):
            began_us = cycle.period_of(began_us - 1).from_us
    return Period(max(began_us, from_us), ends_us)


def told_apart(at_us: int, other_us: int, zone: str) -> tuple[str, str]:
    """The local days of two moments; with the time, where they are the same day."""
    days = local_date(at_us, zone), local_date(other_us, zone)
    if days[0] != days[1] or at_us == other_us:
        return str(days[0]), str(days[1])
    first, second = (
        datetime.fromtimestamp(x // SECOND_US, UTC).astimezone(zone_of(zone)) for x in (at_us, other_us)
    )
    minutes = f"{first:%Y-%m-%d %H:%M}", f"{second:%Y-%m-%d %H:%M}"
    return minutes if minutes[0] != minutes[1] else (f"{first:%Y-%m-%d %H:%M:%S}", f"{second:%H:%M:%S}")


def next_term(terms: PlanTerms, cycle: BillingCycle, term_ends_us: int) -> Period | None:
    """The term that follows one that ends; None: its renewal binds no longer."""
    if terms.renewal is not Renewal.TERM or terms.term is None:
        return None
    return term_from(terms.term, cycle, term_ends_us)


def next_renewal_us(
    terms: PlanTerms, cycle: BillingCycle, term_ends_us: int | None, after_us: int
) -> int | None:
    """When a subscription is renewed next after a moment; None: it is not, it ends."""
    if terms.renewal is Renewal.ENDS:
        return None
    if term_ends_us is not None and term_ends_us > after_us:
        return term_ends_us
    return cycle.period_of(after_us).to_us


def reminder_us(terms: PlanTerms, zone: str, renewal_us: int) -> int | None:
    """When the account is reminded of a renewal, or of the end; None: never."""
    if not terms.remind_days_before:
        return None
    day = local_date(renewal_us, zone) - timedelta(days=terms.remind_days_before)
    return day_start_us(day, zone)
