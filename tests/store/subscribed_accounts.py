"""Accounts that subscribe to plans, with a clock that a test moves; what they were charged, and the books."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.collecting import BroughtUp, Charged, charge_subscriptions
from pbxbill.billing.subscriptions.plan_catalogue import (
    PlanVersion,
    import_plan,
    issuer_by_code,
    offered_version,
)
from pbxbill.billing.subscriptions.subscribing import NewSubscription, subscribe
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import TopUp
from pbxbill.clock import ManualClock
from pbxbill.ids import new_id
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import ChargeRow, IssuerRow, SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import BilledAccounts


def moment_us(text: str, zone: str = "UTC") -> int:
    """2026-01-15 or 2026-01-15 08:00, local."""
    at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(at.astimezone(UTC).timestamp()) * 1_000_000


@dataclass
class Shop:
    """An operator with plans, and his books."""

    accounts: BilledAccounts
    database: Engine
    clock: ManualClock
    zone: str = "UTC"
    books: Bookkeeper = field(init=False)

    def __post_init__(self) -> None:
        self.books = Bookkeeper(lambda: connect(self.accounts.url), self.clock)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with transaction(self.database) as session:
            yield session

    def at(self, text: str) -> int:
        """Move the clock to a local moment."""
        at_us = moment_us(text, self.zone)
        self.clock.step(at_us - self.clock.now_us())
        return at_us

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    def local_zone(self, zone: str, issuer: str = "operator") -> None:
        self.zone = zone
        with self.session() as session:
            session.merge(IssuerRow(account_id=account_by_code(session, issuer).id, zone=zone))

    def plan(self, name: str, text: str, issuer: str | None = None) -> PlanVersion:
        with self.session() as session:
            seller = issuer_by_code(session, issuer)
            return import_plan(session, seller, name, text, self.now_us)

    def subscribe(self, code: str, plan: str, **terms: Any) -> int:
        """The subscription's number."""
        with self.session() as session:
            account = account_by_code(session, code)
            seller = session.get_one(type(account), account.parent_id)
            new = NewSubscription(offered_version(session, seller, plan), **terms)
            return subscribe(session, self.books, account, new, self.now_us).subscribed.row.id

    def does(self, use_case: Any, *arguments: Any) -> BroughtUp:
        """A use case of a subscription, now."""
        with self.session() as session:
            done: BroughtUp = use_case(session, self.books, *arguments, self.now_us)
            return done

    def charge(self, code: str, at: str = "") -> Charged:
        """Bring an account up to a moment."""
        until_us = self.at(at) if at else self.now_us
        with self.session() as session:
            account_id = account_by_code(session, code).id
            return charge_subscriptions(session, self.books, account_id, until_us, self.now_us)

    def top_up(self, code: str, amount: str) -> None:
        with self.session() as session:
            account_id = account_by_code(session, code).id
            command = TopUp(new_id(), account_id, "EUR", eur(amount), self.now_us)
            self.books.post(session, [command])

    # --- what came of it ---------------------------------------------------------------------------

    def charges(self, code: str) -> list[tuple[str, str, str]]:
        """(day it is for or at, what, amount) in the order in which they were made."""
        with self.session() as session:
            rows = session.scalars(
                select(ChargeRow)
                .where(ChargeRow.account_id == account_by_code(session, code).id)
                .order_by(ChargeRow.id)
            ).all()
            return [(self._day(row), row.description, format_amount(row.net, EUR)) for row in rows]

    def _day(self, row: ChargeRow) -> str:
        at_us = row.at_us if row.from_us is None else row.from_us
        local = datetime.fromtimestamp(at_us // 1_000_000, ZoneInfo(self.zone))
        return local.date().isoformat()

    def state(self, subscription_id: int) -> str:
        with self.session() as session:
            return session.get_one(SubscriptionRow, subscription_id).state

    def history(self, subscription_id: int) -> list[tuple[str, str]]:
        """(kind, state) in order."""
        with self.session() as session:
            rows = session.scalars(
                select(SubscriptionChangeRow)
                .where(SubscriptionChangeRow.subscription_id == subscription_id)
                .order_by(SubscriptionChangeRow.effective_us, SubscriptionChangeRow.id)
            ).all()
            return [(row.kind, row.state) for row in rows]

    def wallet(self, code: str) -> str:
        return format_amount(self.accounts.wallet(code)[0], EUR)

    def balances(self, issuer: str = "operator") -> dict[str, str]:
        """What the issuer's books hold, without wallets: credit below zero."""
        rows = self.accounts.select(
            "SELECT l.code, CAST(SUM(p.amount) AS BIGINT) FROM postings p "
            "JOIN ledger_accounts l ON l.id = p.ledger_account_id JOIN accounts a ON a.id = l.issuer_id "
            f"WHERE a.code = '{issuer}' AND l.code <> 'wallet' GROUP BY l.code ORDER BY l.code"
        )
        return {code: format_amount(amount, EUR) for code, amount in rows if amount}


def open_shop(accounts: BilledAccounts, at: str = "2026-01-01") -> Shop:
    """A shop on accounts whose days begin with this one."""
    return Shop(accounts, open_engine(accounts.url), ManualClock(moment_us(at)))
