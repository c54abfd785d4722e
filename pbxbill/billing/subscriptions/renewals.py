"""What time brings to subscriptions by itself, whoever is billed when: renewals, ends, reminders, retries."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.collecting import RETRY_US, Charged, charge_subscriptions
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.store.billing_models import PlanVersionRow, SubscriptionRow
from pbxbill.store.models import WalletRow


def due_accounts(session: Session, now_us: int, *, after_id: int = 0, most: int = 1_000) -> list[int]:
    """Accounts, by id, of which something is due, or whose wallet got funds that an unpaid one waits for."""
    due = (
        select(SubscriptionRow.account_id)
        .where(SubscriptionRow.due_us <= now_us, SubscriptionRow.state != "ended")
        .where(SubscriptionRow.account_id > after_id)
    )
    # News of a wallet are of top-ups too; an unpaid subscription was tried a while before it is due again.
    funded = (
        select(SubscriptionRow.account_id)
        .join(PlanVersionRow, PlanVersionRow.id == SubscriptionRow.plan_version_id)
        .join(
            WalletRow,
            (WalletRow.account_id == SubscriptionRow.account_id) & (WalletRow.unit == PlanVersionRow.unit),
        )
        .where(SubscriptionRow.state == "unpaid", SubscriptionRow.account_id > after_id)
        .where(or_(SubscriptionRow.due_us.is_(None), WalletRow.told_us >= SubscriptionRow.due_us - RETRY_US))
        .where(WalletRow.posted - WalletRow.reserved + WalletRow.credit_limit > 0)
    )
    both = due.union(funded).subquery()
    return list(session.scalars(select(both.c.account_id).order_by(both.c.account_id).limit(most)))


def renew_account(session: Session, books: Bookkeeper, account_id: int, now_us: int) -> Charged:
    """Let an account's subscriptions live up to now; once more changes nothing."""
    return charge_subscriptions(session, books, account_id, now_us, now_us)
