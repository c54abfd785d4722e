"""Whom something happens to in a simulated year of billing, and how it is told when it is refused."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan_catalogue import PlanVersion, offered_version
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.engine import ChargingEngine
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import SubscriptionRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from tests.simulation.billing_site import CUSTOMERS, BillingSite

ASKING = ("invoice", "debit_note")
CENT = 10_000


@dataclass
class BillingLife:
    """What everything that happens needs: the books, whom it happens to, and how often it did."""

    site: BillingSite
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    paid: list[str] = field(default_factory=list)
    """Entries that can be reversed."""

    def __post_init__(self) -> None:
        self.chance = self.site.chance
        self.books = Bookkeeper(lambda: connect(self.site.url), self.site.clock)
        self.engine = ChargingEngine(lambda: connect(self.site.url), self.site.clock)

    # --- time

    def go_to(self, at_us: int) -> None:
        self.site.clock.advance(max(0, at_us - self.site.now_us))

    def attempt(self, name: str) -> None:
        """Do something; that it is refused is all right, if it says why."""
        try:
            getattr(self, name)()
        except InputRefused as refusal:
            self.books.forget()
            self.refused[name] += 1
            self.why[f"{name}: {refusal}"[:90]] += 1
        else:
            self.books.announce()
            self.done[name] += 1

    @contextmanager
    def session(self) -> Iterator[Session]:
        with transaction(self.site.database) as session:
            yield session

    # --- whom it happens to

    def account(self, session: Session) -> AccountRow:
        return session.get_one(AccountRow, self.site.ids[self.chance.choice([*CUSTOMERS, "near", "far"])])

    def one_of(self, session: Session, model: Any, *conditions: Any) -> Any:
        """A random row; refused if there is none, as a person finds nothing to do."""
        found = session.scalars(select(model.id).where(*conditions).order_by(model.id)).all()
        if not found:
            raise InputRefused("there is none")
        return session.get_one(model, self.chance.choice(found))

    def subscription(self, session: Session) -> Any:
        return self.one_of(session, SubscriptionRow, SubscriptionRow.state != "ended")

    def draft(self, session: Session) -> Any:
        return self.one_of(session, InvoiceRow, InvoiceRow.state == "draft", InvoiceRow.kind == "invoice")

    def invoice(self, session: Session, *conditions: Any) -> Any:
        standing = InvoiceRow.state.in_(("issued", "partly_paid", "paid", "cancelled", "written_off"))
        return self.one_of(session, InvoiceRow, standing, InvoiceRow.kind.in_(ASKING), *conditions)

    def part(self, whole: int) -> int:
        """Some of an amount in whole coins, or more than it."""
        share = self.chance.choice((100, 100, 30, 60, 130))
        return max(1, whole * share // 100 // CENT) * CENT

    def version(self, session: Session, account: AccountRow) -> PlanVersion:
        issuer = session.get_one(AccountRow, account.parent_id)
        return offered_version(session, issuer, self.chance.choice(self.site.plans[issuer.code]))
