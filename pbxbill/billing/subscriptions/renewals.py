"""What time brings to subscriptions by itself, whoever is billed when: renewals, ends, reminders, retries."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Engine, or_, select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.collecting import RETRY_US, Charged, charge_subscriptions
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import Clock
from pbxbill.errors import PbxbillError
from pbxbill.store.billing_models import PlanVersionRow, SubscriptionRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import WalletRow


@dataclass(slots=True)
class Renewed:
    """What came of looking at accounts whose subscriptions are due."""

    accounts: int = 0
    charges: int = 0
    unpaid: list[int] = field(default_factory=list)
    """Subscriptions that could not be paid."""
    failed: list[tuple[int, str]] = field(default_factory=list)
    """Accounts that stopped nobody else, and why."""


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


def renew_due(  # one parameter per part
    database: Engine,
    books: Bookkeeper,
    clock: Clock,
    account_ids: Iterable[int] | None = None,
    *,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[int], None] = lambda done: None,
) -> Renewed:
    """Renew accounts, each in a transaction of its own; None: all of which something is due."""
    done = Renewed()
    for account_id in _due(database, clock) if account_ids is None else account_ids:
        if stop():
            break
        done.accounts += 1
        try:
            with transaction(database) as session:
                charged = renew_account(session, books, account_id, clock.now_us())
            books.announce()
        except PbxbillError as error:
            books.forget()
            done.failed.append((account_id, str(error)))
            continue
        done.charges += len(charged.charge_ids)
        done.unpaid += [x.subscription_id for x in charged.unpaid]
        tell(done.accounts)
    return done


def _due(database: Engine, clock: Clock) -> Iterator[int]:
    last_id = 0
    while True:
        with transaction(reading(database)) as session:
            page = due_accounts(session, clock.now_us(), after_id=last_id)
        if not page:
            return
        yield from page
        last_id = page[-1]
