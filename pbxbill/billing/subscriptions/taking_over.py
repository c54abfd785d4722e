"""Subscriptions that another system has charged until now: what of them begins here, and what does not.

They keep their first day, by which their periods are counted, and their minimum term; charged is what comes
after the day up to which the other system has charged. A subscription that ends before that gives back what
is left of it, as if it had been charged here.
"""

from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan_terms import PlanTerms, Renewal, Timing
from pbxbill.billing.subscriptions.subscribed import TAKEN_OVER, write_change
from pbxbill.billing.subscriptions.subscription_times import Beginning, term_until, told_apart
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import SubscriptionRow


def taken_over(
    terms: PlanTerms,
    started: Beginning,
    until: tuple[int | None, int | None],
    from_us: int,
    now_us: int,
) -> Beginning:
    """What a subscription goes on with; until: charged up to this moment, bound up to that."""
    (charged_to_us, term_until_us), zone = until, started.cycle.zone
    if charged_to_us is not None:
        if from_us > now_us:
            raise InputRefused("what another system has charged has begun already: --from names that day")
        if charged_to_us < from_us:
            day, began = told_apart(charged_to_us, from_us, zone)
            raise InputRefused(f"it cannot be charged up to {day}: it begins on {began} only")
        if terms.timing is Timing.ARREARS and charged_to_us > now_us:
            raise InputRefused("its plan is charged in arrears: what is to come cannot be charged yet")
    if term_until_us is not None:
        if terms.term is None and terms.renewal is not Renewal.ENDS:
            raise InputRefused("its plan has no minimum term")
        if term_until_us <= from_us:
            day, began = told_apart(term_until_us, from_us, zone)
            raise InputRefused(f"a term until {day} is over before the subscription begins on {began}")
        started = replace_term(terms, started, from_us, term_until_us)
    ends_us = started.ends_us
    if charged_to_us is not None and ends_us is not None and ends_us < max(charged_to_us, now_us):
        day, _ = told_apart(ends_us, charged_to_us, zone)
        raise InputRefused(f"by its plan it has ended on {day}; say until when it was agreed: --term-until")
    return started


def replace_term(terms: PlanTerms, started: Beginning, from_us: int, until_us: int) -> Beginning:
    """The same, bound until a moment."""
    term = None if terms.term is None else term_until(terms, started.cycle, from_us, until_us)
    return started._replace(term=term, ends_us=until_us if terms.renewal is Renewal.ENDS else None)


def write_taken_over(
    session: Session, row: SubscriptionRow, started: Beginning, charged_to_us: int | None, now_us: int
) -> None:
    """Let the history tell what was before: up to when it was charged, and since when its term runs."""
    if charged_to_us is not None:
        write_change(session, row, TAKEN_OVER, effective_us=charged_to_us, now_us=now_us, state="done")
    term = started.term
    if term is not None and row.started_us < term.from_us <= now_us:
        write_change(session, row, "renew", effective_us=term.from_us, now_us=now_us, state="done")
