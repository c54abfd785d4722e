"""Carries out what happens to a subscription: it begins, changes, rests, goes on, is renewed, ends.

Whoever calls has charged the stretch up to then. Here rows, service and history change together.
"""

import json
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.did_inventory import take_back
from pbxbill.billing.subscriptions.plan_catalogue import version_by_id
from pbxbill.billing.subscriptions.plan_terms import Renewal
from pbxbill.billing.subscriptions.service import begin_service, change_service, go_on, rest_service
from pbxbill.billing.subscriptions.subscribed import Subscribed, read_again, write_change
from pbxbill.billing.subscriptions.subscription_times import ONE_CYCLE, next_term, term_from
from pbxbill.errors import check
from pbxbill.store.billing_models import DidRow, SubscriptionChangeRow

WAITS_FOR_PAYMENT = ("change", "quantity", "migrate", "pause")
"""What is carried out only once an unpaid subscription is paid."""


class Event(NamedTuple):
    """What happens next."""

    at_us: int
    kind: str
    change: SubscriptionChangeRow | None = None
    """None: time alone brings it."""


def next_event(subscribed: Subscribed) -> Event | None:
    """The first that is to happen to a subscription."""
    row = subscribed.row
    waits = row.state == "unpaid"
    events = [
        Event(change.effective_us, change.kind, change)
        for change in subscribed.planned
        if not (waits and change.kind in WAITS_FOR_PAYMENT)
    ]
    if row.state == "trial" and row.trial_ends_us is not None:
        events.append(Event(row.trial_ends_us, "trial_over"))
    if row.term_ends_us is not None and subscribed.terms.renewal is Renewal.TERM and row.state != "planned":
        events.append(Event(row.term_ends_us, "renew"))
    # A planned end at the moment of a renewal comes before it.
    return min(events, key=lambda event: (event.at_us, event.change is None), default=None)


def carry_out(session: Session, subscribed: Subscribed, event: Event, now_us: int) -> Subscribed:
    """Let it happen; the subscription as it is after it."""
    row, change = subscribed.row, event.change
    if change is None:
        change = write_change(session, row, event.kind, effective_us=event.at_us, now_us=now_us)
    if _is_void(subscribed, event.kind):
        change.state, change.decided_us = "withdrawn", now_us
        return read_again(session, subscribed)
    match event.kind:
        case "subscribe":
            _subscribe(session, subscribed, event.at_us)
        case "change" | "migrate" | "quantity":
            _change(session, subscribed, change, event.at_us)
        case "pause":
            row.state, row.paused_us = "paused", event.at_us
            rest_service(session, subscribed.row, subscribed.terms, event.at_us)
        case "resume":
            _resume(session, subscribed, event.at_us)
        case "cancel" | "end":
            _end(session, subscribed, change, now_us)
        case "trial_over":
            row.state = "active"
        case "renew":
            term = next_term(subscribed.terms, subscribed.cycle, event.at_us)
            row.term_ends_us = None if term is None else term.to_us
        case _:
            check(False, "a subscription knows no change {}", event.kind)
    change.state, change.decided_us = "done", now_us
    return read_again(session, subscribed)


def _is_void(subscribed: Subscribed, kind: str) -> bool:
    """What was planned and has no sense any more, as things have come."""
    state = subscribed.row.state
    return (kind == "pause" and state == "paused") or (kind == "resume" and state not in {"paused", "unpaid"})


def bar(session: Session, subscribed: Subscribed, at_us: int, now_us: int) -> Subscribed:
    """Let its service rest until it is paid."""
    row = subscribed.row
    write_change(session, row, "unpaid", effective_us=at_us, now_us=now_us, state="done")
    row.state, row.paused_us = "unpaid", at_us
    rest_service(session, row, subscribed.terms, at_us)
    return read_again(session, subscribed)


def lift_bar(session: Session, subscribed: Subscribed, at_us: int, now_us: int) -> Subscribed:
    """Let it go on from a moment: a new stretch, to be charged. What waited for it happens then."""
    for waiting in subscribed.planned:
        if waiting.kind in WAITS_FOR_PAYMENT:
            waiting.effective_us = max(waiting.effective_us, at_us)
    change = write_change(session, subscribed.row, "resume", effective_us=at_us, now_us=now_us, reason="paid")
    return carry_out(session, subscribed, Event(at_us, "resume", change), now_us)


def _begin_term(subscribed: Subscribed, at_us: int) -> int | None:
    """Let the plan's minimum term begin; when the subscription ends by itself, if it does."""
    terms, row = subscribed.terms, subscribed.row
    from_us = max(at_us, subscribed.service_from_us)
    row.term_ends_us = None
    if terms.term is not None:
        row.term_ends_us = term_from(terms.term, subscribed.cycle, from_us).to_us
    if terms.renewal is not Renewal.ENDS:
        return None
    return row.term_ends_us or term_from(ONE_CYCLE, subscribed.cycle, from_us).to_us


def plan_end(session: Session, subscribed: Subscribed, ends_us: int | None, now_us: int) -> None:
    """Write when it ends by itself, in the place of what was to be before."""
    for change in subscribed.planned:
        if change.kind == "end":
            change.state, change.decided_us = "withdrawn", now_us
    if ends_us is not None:
        write_change(
            session, subscribed.row, "end", effective_us=ends_us, now_us=now_us, reason="by its plan"
        )


def _subscribe(session: Session, subscribed: Subscribed, at_us: int) -> None:
    row = subscribed.row
    row.state = "active" if row.trial_ends_us is None or row.trial_ends_us <= at_us else "trial"
    row.charged_to_us = max(subscribed.service_from_us, subscribed.taken_over_us or 0)
    session.flush()
    windows_us = subscribed.cycle.period_of(max(at_us, subscribed.known_from_us)).from_us
    begin_service(session, row, subscribed.terms, windows_us)


def _change(session: Session, subscribed: Subscribed, change: SubscriptionChangeRow, at_us: int) -> None:
    row, before = subscribed.row, (subscribed.terms, subscribed.row.quantity)
    if change.plan_version_id is not None:
        row.plan_version_id = change.plan_version_id
        subscribed.version = version_by_id(session, change.plan_version_id)
        names = {charge.name for charge in subscribed.terms.charges}
        row.overrides = _kept_prices(subscribed, names)
    if change.quantity is not None:
        row.quantity = change.quantity
    row.charged_to_us = max(at_us, subscribed.service_from_us)
    if change.kind == "change":
        plan_end(session, subscribed, _begin_term(subscribed, at_us), change.requested_us)
    session.flush()
    if row.state in {"trial", "active"}:
        windows_us = subscribed.cycle.period_of(at_us).from_us
        change_service(session, row, before, (subscribed.terms, row.quantity), at_us, windows_us)


def _kept_prices(subscribed: Subscribed, names: set[str]) -> str:
    return json.dumps({name: price for name, price in subscribed.agreed.items() if name in names})


def _resume(session: Session, subscribed: Subscribed, at_us: int) -> None:
    row = subscribed.row
    rested_us = row.paused_us or at_us
    in_trial = row.trial_ends_us is not None and row.trial_ends_us > at_us
    row.state, row.paused_us = "trial" if in_trial else "active", None
    row.charged_to_us = max(at_us, subscribed.service_from_us)
    session.flush()
    go_on(session, row, subscribed.terms, rested_us, subscribed.cycle.period_of(at_us).from_us)


def _end(session: Session, subscribed: Subscribed, change: SubscriptionChangeRow, now_us: int) -> None:
    row, at_us = subscribed.row, change.effective_us
    rested = subscribed.rests
    row.state, row.ends_us, row.paused_us, row.due_us = "ended", at_us, None, None
    session.flush()
    if not rested:
        rest_service(session, row, subscribed.terms, at_us)
    did = session.scalar(select(DidRow).where(DidRow.subscription_id == row.id).with_for_update())
    if did is not None:
        take_back(session, did, max(at_us, now_us))
    pending = session.scalars(
        select(SubscriptionChangeRow).where(
            SubscriptionChangeRow.subscription_id == row.id,
            SubscriptionChangeRow.state.in_(("requested", "planned")),
            SubscriptionChangeRow.id != change.id,
        )
    )
    for other in pending:
        other.state, other.decided_us = "withdrawn", now_us
    session.flush()
