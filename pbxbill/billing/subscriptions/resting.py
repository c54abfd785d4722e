"""Lets the recurring charges of inactive accounts rest, and go on when the accounts are used again.

A subscription is paused as `subscriptions pause` would, under a name of our own, and resumed only if that was
the last thing that happened to it: what the account itself has paused stays paused.
"""

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.subscriptions.subscribing import When, pause, resume
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.dunning_models import SuspensionRow
from pbxbill.store.models import AccountRow

BY = "life-cycle"
PAGE = 500
_log = structlog.get_logger()


def to_rest(session: Session, after_id: int = 0) -> list[tuple[int, int]]:
    """(subscription, account) of inactive accounts that are still charged."""
    query = (
        select(SubscriptionRow.id, SubscriptionRow.account_id)
        .join(AccountRow, AccountRow.id == SubscriptionRow.account_id)
        .where(AccountRow.status == AccountStatus.INACTIVE, SubscriptionRow.state.in_(("trial", "active")))
        # Only few accounts are suspended: these are looked at, not all.
        .where(
            AccountRow.id.in_(
                select(SuspensionRow.account_id).where(
                    SuspensionRow.lifted_us.is_(None), SuspensionRow.status == AccountStatus.INACTIVE
                )
            )
        )
    )
    query = query.where(SubscriptionRow.id > after_id).order_by(SubscriptionRow.id).limit(PAGE)
    return [(row[0], row[1]) for row in session.execute(query)]


def to_resume(session: Session, after_id: int = 0) -> list[tuple[int, int]]:
    """(subscription, account) that rest because of us, of accounts that are inactive no more."""
    change, later = aliased(SubscriptionChangeRow), aliased(SubscriptionChangeRow)
    last = select(later.id).where(
        later.subscription_id == change.subscription_id,
        later.state == "done",
        later.kind.in_(("pause", "resume")),
        later.id > change.id,
    )
    query = (
        select(SubscriptionRow.id, SubscriptionRow.account_id)
        .join(AccountRow, AccountRow.id == SubscriptionRow.account_id)
        .join(change, change.subscription_id == SubscriptionRow.id)
        .where(
            SubscriptionRow.state == "paused",
            AccountRow.status.not_in((AccountStatus.INACTIVE, AccountStatus.TERMINATED)),
            change.kind == "pause",
            change.state == "done",
            change.requested_by == BY,
            ~last.exists(),
        )
    )
    query = query.where(SubscriptionRow.id > after_id).order_by(SubscriptionRow.id).limit(PAGE)
    return [(row[0], row[1]) for row in session.execute(query)]


def let_rest(session: Session, books: Bookkeeper, subscription_id: int, account_id: int, now_us: int) -> bool:
    """Pause one; whether that could be."""
    when = When(reason="the account is inactive", by=BY)
    try:
        with session.begin_nested():
            pause(session, books, subscription_id, when, now_us)
    except InputRefused as error:
        _log.info("subscription_does_not_rest", subscription=subscription_id, error=str(error))
        return False
    words = f"subscription {subscription_id} rests"
    note_event(session, account_id, "rests", words, now_us=now_us, by=BY)
    return True


def let_go_on(
    session: Session, books: Bookkeeper, subscription_id: int, account_id: int, now_us: int
) -> bool:
    """Resume one; it waits where the account cannot pay for it yet."""
    when = When(reason="the account is used again", by=BY)
    try:
        with session.begin_nested():
            resume(session, books, subscription_id, when, now_us)
    except InputRefused as error:
        _log.info("subscription_still_rests", subscription=subscription_id, error=str(error))
        return False
    words = f"subscription {subscription_id} goes on"
    note_event(session, account_id, "goes_on", words, now_us=now_us, by=BY)
    return True
