"""Brings an account's subscriptions up to a moment: charges what is due, carries out what was planned.

A subscription lives through its moments in their order, however late somebody looks: it is charged up to a
change, the change is carried out, it is charged on. Run again it finds nothing left to do.
"""

from typing import NamedTuple

from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.carrying_out import Event, bar, carry_out, lift_bar, next_event
from pbxbill.billing.subscriptions.charging_stretches import charge_fee, charge_stretch, next_charge_us
from pbxbill.billing.subscriptions.making_charges import Short
from pbxbill.billing.subscriptions.plan_terms import Timing, Unpaid
from pbxbill.billing.subscriptions.reminders import next_reminder, remind, tell_renewed, tell_unpaid
from pbxbill.billing.subscriptions.subscribed import (
    Subscribed,
    locked_subscriptions,
    read_again,
    write_change,
)
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US
from pbxbill.errors import check

ENDS = ("cancel", "end")
MAX_EVENTS = 1_000
"""That one subscription lives through in one call."""
RETRY_US = 86_400 * SECOND_US
"""How long an unpaid one waits unless funds come."""


class UnpaidSubscription(NamedTuple):
    """One that the wallet could not pay."""

    subscription_id: int
    needed: int
    free: int
    unit: str


class Charged(NamedTuple):
    """What a call has done."""

    charge_ids: tuple[int, ...]
    unpaid: tuple[UnpaidSubscription, ...]


class BroughtUp(NamedTuple):
    """One subscription at the moment."""

    subscribed: Subscribed
    charge_ids: tuple[int, ...]
    short: Short | None


class _StillShort(Exception):
    """Undoes what was tried since the savepoint."""

    def __init__(self, short: Short) -> None:
        self.short = short


def charge_subscriptions(
    session: Session, books: Bookkeeper, account_id: int, until_us: int, now_us: int
) -> Charged:
    """Make all charges of an account that are due up to a moment, and what was planned until then.

    Those of collection wallet are taken from it; a subscription that a prepaid one cannot pay is unpaid.
    """
    charge_ids: list[int] = []
    unpaid: list[UnpaidSubscription] = []
    for subscribed in locked_subscriptions(session, account_id, until_us=until_us):
        found = bring_up_to(session, books, subscribed, until_us, now_us)
        charge_ids += found.charge_ids
        if found.short is not None:
            unpaid.append(UnpaidSubscription(subscribed.row.id, *found.short))
    return Charged(tuple(charge_ids), tuple(unpaid))


def bring_up_to(
    session: Session, books: Bookkeeper, subscribed: Subscribed, until_us: int, now_us: int
) -> BroughtUp:
    """Let a locked subscription live through everything up to and at a moment."""
    made: list[int] = []
    short: Short | None = None
    if subscribed.is_barred:
        paid = _try_again(session, books, subscribed, now_us)
        subscribed = paid.subscribed
        made += paid.charge_ids
        short = paid.short
    for _ in range(MAX_EVENTS):
        event = _due_event(subscribed, until_us)
        if not subscribed.rests:
            at_us = until_us if event is None else event.at_us
            charged = charge_stretch(session, books, subscribed, at_us, now_us)
            made += charged.charge_ids
            short = charged.short
            if short is None and subscribed.row.state == "unpaid":
                subscribed = _paid(session, subscribed, now_us)
                continue  # what waited for it comes next
            if short is not None and not (_is_end(event) and subscribed.terms.unpaid is Unpaid.KEEP):
                subscribed = _became_unpaid(session, subscribed, charged.at_us, now_us)
                event = _due_event(subscribed, until_us)
        if event is None:
            break
        if _is_end(event):
            made += _last_charges(session, books, subscribed, event.at_us, now_us)
            short = None
        subscribed = carry_out(session, subscribed, event, now_us)
        if subscribed.row.state == "ended":
            break
    else:
        check(False, "subscription {} has more changes than can be", subscribed.row.id)
    if made:
        tell_renewed(session, subscribed, now_us)
    _look_ahead(session, subscribed, now_us)
    return BroughtUp(subscribed, tuple(made), short)


def _due_event(subscribed: Subscribed, until_us: int) -> Event | None:
    event = next_event(subscribed)
    return event if event is not None and event.at_us <= until_us else None


def _is_end(event: Event | None) -> bool:
    return event is not None and event.kind in ENDS


def _try_again(session: Session, books: Bookkeeper, subscribed: Subscribed, now_us: int) -> BroughtUp:
    """Pay what is left of the stretch that was barred, and begin a new one; both, or nothing changes."""
    made: list[int] = []
    try:
        with session.begin_nested():
            rested_us = subscribed.row.paused_us or now_us
            at_us = max(now_us, rested_us)
            left = charge_stretch(session, books, subscribed, at_us, now_us)
            made += left.charge_ids
            subscribed = lift_bar(session, read_again(session, subscribed), at_us, now_us)
            again = charge_stretch(session, books, subscribed, at_us, now_us)
            made += again.charge_ids
            short = left.short or again.short
            if short is not None:
                raise _StillShort(short)
    except _StillShort as still:
        return BroughtUp(read_again(session, subscribed), (), still.short)
    return BroughtUp(subscribed, tuple(made), None)


def _became_unpaid(session: Session, subscribed: Subscribed, due_us: int, now_us: int) -> Subscribed:
    terms, row = subscribed.terms, subscribed.row
    if row.state != "unpaid":
        tell_unpaid(session, subscribed, due_us, now_us)
    if terms.unpaid is Unpaid.BAR:
        # In advance the period never began; in arrears it was served until now.
        at_us = row.charged_to_us if terms.timing is Timing.ADVANCE else max(due_us, now_us)
        return bar(session, subscribed, at_us, now_us)
    if row.state != "unpaid":
        row.state = "unpaid"
        write_change(session, row, "unpaid", effective_us=due_us, now_us=now_us, state="done")
        return read_again(session, subscribed)
    return subscribed


def _paid(session: Session, subscribed: Subscribed, now_us: int) -> Subscribed:
    subscribed.row.state = "active"
    write_change(session, subscribed.row, "paid", effective_us=now_us, now_us=now_us, state="done")
    return read_again(session, subscribed)


def _last_charges(
    session: Session, books: Bookkeeper, subscribed: Subscribed, ends_us: int, now_us: int
) -> tuple[int, ...]:
    """What is left to be charged at an end: what the wallet cannot pay, the invoice asks for."""
    made: tuple[int, ...] = ()
    if not subscribed.rests:
        return charge_stretch(session, books, subscribed, ends_us, now_us, by_invoice=True).charge_ids
    if subscribed.is_barred:
        made = charge_stretch(session, books, subscribed, ends_us, now_us, by_invoice=True).charge_ids
    if subscribed.row.state != "planned":
        made += charge_fee(session, books, subscribed, ends_us, now_us).charge_ids
    return made


def _look_ahead(session: Session, subscribed: Subscribed, now_us: int) -> None:
    """Remind of what comes, and note when to look again."""
    row = subscribed.row
    if row.state == "ended":
        row.due_us = None
        session.flush()
        return
    remind(session, subscribed, now_us)
    moments = [event.at_us for event in [next_event(subscribed)] if event is not None]
    if row.state == "unpaid":
        moments.append(now_us + RETRY_US)
    elif not subscribed.rests:
        moments += [moment for moment in [next_charge_us(session, subscribed)] if moment is not None]
    reminder = next_reminder(subscribed, now_us)
    if reminder is not None:
        moments.append(reminder[0])
    row.due_us = min(moments, default=None)
    row.ends_us = min((x.effective_us for x in subscribed.planned if x.kind in ENDS), default=None)
    session.flush()
