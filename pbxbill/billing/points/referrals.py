"""Who brought whom: the referrer is given points once the account has brought its first money.

The reward is not given in the transaction of the top-up: that holds the wallets of one account, and another's
would be locked against the order in which charging locks them. A job gives it a minute later.
"""

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.billing.points.points_earning import EARNING_KINDS, give
from pbxbill.billing.points.points_rules import REFERRAL, rules_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow
from pbxbill.store.payment_models import ReferralRow


def refer(session: Session, account: AccountRow, referrer: AccountRow, now_us: int) -> ReferralRow:
    """Write down who brought an account: of the same seller, before it has brought any money."""
    if account.id == referrer.id:
        raise InputRefused("nobody brings himself")
    if account.parent_id is None or account.parent_id != referrer.parent_id:
        raise InputRefused(f"{referrer.code} is no customer of the seller of {account.code}")
    if session.get(ReferralRow, account.id) is not None:
        raise InputRefused(f"who brought {account.code} is written down already")
    if _has_brought_money(session, account.id):
        raise InputRefused(f"{account.code} has paid before: nobody brings it any more")
    row = ReferralRow(account_id=account.id, referrer_id=referrer.id, created_us=now_us)
    session.add(row)
    session.flush()
    return row


def _has_brought_money(session: Session, account_id: int) -> bool:
    entry = (
        select(JournalEntryRow.id)
        .join(PostingRow, PostingRow.entry_id == JournalEntryRow.id)
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(LedgerAccountRow.holder_id == account_id, JournalEntryRow.kind.in_(EARNING_KINDS))
    )
    return session.scalar(entry.limit(1)) is not None


def to_reward(database: Engine) -> list[int]:
    """Accounts that have brought money, and whoever brought them has nothing for it yet."""
    due = select(ReferralRow.account_id).where(
        ReferralRow.entry_id.is_not(None), ReferralRow.rewarded_us.is_(None)
    )
    with transaction(reading(database)) as session:
        return list(session.scalars(due.order_by(ReferralRow.account_id)))


def reward(session: Session, books: Bookkeeper, account_id: int, now_us: int) -> int:
    """Give the referrer of an account its points, once; how many."""
    row = session.get(ReferralRow, account_id, with_for_update=True, populate_existing=True)
    if row is None or row.entry_id is None or row.rewarded_us is not None:
        return 0
    referrer = session.get_one(AccountRow, row.referrer_id)
    unit = session.get_one(JournalEntryRow, row.entry_id).unit
    # On the row first: the wallets are locked after it.
    row.rewarded_us = now_us
    session.flush()
    earned = 0
    for rule in rules_of(session, referrer.parent_id, REFERRAL, unit):
        key = f"{REFERRAL}:{rule.id}:{account_id}"
        lot = give(session, books, referrer, rule, key=key, points=rule.points, now_us=now_us)
        earned += 0 if lot is None else lot.earned
    return earned
