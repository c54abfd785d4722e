"""Ends an account: nothing but emergency calls, no subscriptions, no DIDs, no automatic top-ups.

What is in the books stays, and so does what is owed. Dunning, which reads the account's status, goes on no
further.
"""

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.life_cycle.suspending import suspend
from pbxbill.billing.subscriptions.did_inventory import ASSIGNED, did_by_number, take_back
from pbxbill.billing.subscriptions.subscribed import Subscribed, locked_subscriptions
from pbxbill.billing.subscriptions.subscribing import When, cancel
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import DidRow
from pbxbill.store.dunning_models import SuspensionRow
from pbxbill.store.models import WalletRow
from pbxbill.store.payment_models import AutoTopUpRow

_log = structlog.get_logger()


def terminate(  # noqa: PLR0913 who, why, when
    session: Session,
    books: Bookkeeper,
    account_id: int,
    *,
    cause: str,
    reason: str,
    now_us: int,
    by: str = "",
) -> SuspensionRow:
    """Bar an account for good, and end what it has, as `subscriptions cancel` and `dids release` would.

    Lifted again, the account may call; what was ended has to be subscribed and assigned anew.
    """
    # In the order in which renewals lock them: subscriptions, wallets, the account.
    when = When(reason=reason, by=by)
    ended = [_cancelled(session, books, x, when, now_us) for x in locked_subscriptions(session, account_id)]
    numbers = session.scalars(
        select(DidRow.number).where(
            DidRow.account_id == account_id, DidRow.state == ASSIGNED, DidRow.subscription_id.is_(None)
        )
    ).all()
    for number in numbers:
        take_back(session, did_by_number(session, number, lock=True), now_us)
    row = suspend(
        session, account_id, AccountStatus.TERMINATED, cause=cause, reason=reason, now_us=now_us, by=by
    )
    wallets = select(WalletRow.id).where(WalletRow.account_id == account_id)
    session.execute(
        update(AutoTopUpRow)
        .where(AutoTopUpRow.wallet_id.in_(wallets), AutoTopUpRow.state == "on")
        .values(state="off", next_us=None)
    )
    words = [f"{sum(ended)} subscriptions ended"] if ended else []
    words += [f"DID {number} released" for number in numbers]
    if words:
        note_event(session, account_id, "ended", "; ".join(words), now_us=now_us, by=by)
    return row


def _cancelled(session: Session, books: Bookkeeper, subscribed: Subscribed, when: When, now_us: int) -> bool:
    """End one; what cannot be ended now is written down for a person, and stops nothing."""
    id = subscribed.row.id
    try:
        with session.begin_nested():
            cancel(session, books, id, when, now_us)
    except InputRefused as error:
        _log.warning("subscription_not_ended", subscription=id, error=str(error))
        words = f"subscription {id} was not ended: {error}"
        note_event(session, subscribed.account.id, "not_ended", words, now_us=now_us, by=when.by)
        return False
    return True
