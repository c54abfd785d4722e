"""Charges a subscription's stretch of service, moment by moment, as far as the wallet can pay."""

from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from pbxbill.billing.charge import Collection
from pbxbill.billing.invoices.gathering import usage_net
from pbxbill.billing.invoices.line_words import ENGLISH
from pbxbill.billing.period import Period
from pbxbill.billing.subscriptions.due_charges import DueCharge, Standing, Stop, due_charges
from pbxbill.billing.subscriptions.making_charges import NewCharge, Short, make_charges
from pbxbill.billing.subscriptions.plan_terms import PlanTerms, Timing
from pbxbill.billing.subscriptions.subscribed import STOPS, Subscribed
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import check

MAX_STEPS = 10_000
"""Moments at which a stretch is charged in one call: days of 27 years."""


class Stretched(NamedTuple):
    """What became of charging a stretch up to a moment."""

    charge_ids: tuple[int, ...]
    short: Short | None = None
    """Why it was not charged further."""
    at_us: int = 0
    """When the charge was due that could not be paid."""


def charge_stretch(
    session: Session,
    books: Bookkeeper,
    subscribed: Subscribed,
    until_us: int,
    now_us: int,
    *,
    by_invoice: bool = False,
) -> Stretched:
    """Make the charges of the present stretch up to and at a moment; by_invoice: none by the wallet."""
    stop = subscribed.next_stop
    stops_us = None if stop is None else stop.effective_us
    why = Stop.END if stop is None else STOPS[stop.kind]
    if subscribed.is_barred:
        stops_us, why = subscribed.row.paused_us, Stop.PAUSE
    standing = subscribed.standing(session, stops_us, why)
    made = _charge(session, books, subscribed, (subscribed.terms, standing), (until_us, now_us), by_invoice)
    session.flush()
    return made


def charge_fee(
    session: Session, books: Bookkeeper, subscribed: Subscribed, stops_us: int, now_us: int
) -> Stretched:
    """What ending a subscription costs whose service rests already; asked for by the invoice if need be."""
    # What was served is charged: only the fee is left of a stretch without length, and nothing is given back.
    standing = replace(
        subscribed.standing(session, stops_us, Stop.END),
        from_us=stops_us - 1,
        charged_to_us=stops_us,
        set_up=False,
    )
    terms = replace(subscribed.terms, timing=Timing.ARREARS)
    due = due_charges(terms, standing, stops_us)
    made = _make(session, books, subscribed, due.charges, now_us, by_invoice=False)
    if isinstance(made, Short):
        made = _make(session, books, subscribed, due.charges, now_us, by_invoice=True)
    check(not isinstance(made, Short), "a fee that the invoice asks for was short of funds")
    return Stretched(() if isinstance(made, Short) else made)


def next_charge_us(session: Session, subscribed: Subscribed) -> int | None:
    """When the present stretch is charged next."""
    stop = subscribed.next_stop
    stops_us = None if stop is None else stop.effective_us
    standing = subscribed.standing(session, stops_us, Stop.END if stop is None else STOPS[stop.kind])
    return _first_us(subscribed.terms, standing)


def _charge(
    session: Session,
    books: Bookkeeper,
    subscribed: Subscribed,
    stretch: tuple[PlanTerms, Standing],
    moments: tuple[int, int],
    by_invoice: bool,
) -> Stretched:
    (terms, standing), (until_us, now_us) = stretch, moments
    account = subscribed.account

    def usage(period: Period) -> int:
        return usage_net(session, account.id, terms.unit, period)

    made: list[int] = []
    next_us = _first_us(terms, standing)
    for _ in range(MAX_STEPS):
        if next_us is None or next_us > until_us:
            break
        due = due_charges(terms, standing, next_us, usage)
        outcome = _make(session, books, subscribed, due.charges, now_us, by_invoice=by_invoice)
        if isinstance(outcome, Short):
            return Stretched(tuple(made), outcome, next_us)
        made += outcome
        subscribed.row.charged_to_us = due.charged_to_us
        standing = replace(standing, charged_to_us=due.charged_to_us, set_up=False)
        next_us = due.next_us
    return Stretched(tuple(made))


def _first_us(terms: PlanTerms, standing: Standing) -> int | None:
    """The first moment at which something is due; asked for a moment before anything can be."""
    before_us = (
        standing.charged_to_us
        if standing.stops_us is None
        else min(standing.charged_to_us, standing.stops_us)
    )
    return due_charges(terms, standing, before_us - 1).next_us


def _make(
    session: Session,
    books: Bookkeeper,
    subscribed: Subscribed,
    charges: tuple[DueCharge, ...],
    now_us: int,
    *,
    by_invoice: bool,
) -> tuple[int, ...] | Short:
    wanted = [_new_charge(charge, subscribed, by_invoice=by_invoice) for charge in charges]
    made = make_charges(session, books, subscribed.account, wanted, now_us)
    return made if isinstance(made, Short) else tuple(row.id for row in made)


def _new_charge(due: DueCharge, subscribed: Subscribed, *, by_invoice: bool) -> NewCharge:
    plan = subscribed.version.name
    return NewCharge(
        key=due.key,
        kind=due.kind,
        description=ENGLISH.description(due.facts | {"plan": plan}),
        product_class=due.product_class,
        unit=subscribed.terms.unit,
        quantity=due.quantity,
        unit_price=due.unit_price,
        amount=due.net,
        at_us=due.at_us,
        collection=Collection.INVOICE if by_invoice else due.collection,
        from_us=due.from_us,
        to_us=due.to_us,
        in_advance=due.deferred != 0,
        subscription_id=subscribed.row.id,
        explanation={**due.explanation, "plan": plan, "charge": due.name, "piece": due.first_piece},
        gives_back=due.gives_back,
    )
