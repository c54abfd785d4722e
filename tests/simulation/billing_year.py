"""A year of an operator's business, day by day by one seed: whatever people do with accounts that are billed.

What is refused with a sentence is part of life, and counted. What is not, and what the books say after each
month, is for test_billing_year.py to judge.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select

from pbxbill.billing.books.recognition import recognise_all
from pbxbill.billing.invoices.drafting import discard
from pbxbill.billing.invoices.interim import bill_to_now
from pbxbill.billing.invoices.issuing import NotIssued, issue
from pbxbill.billing.invoices.runs import Definition, Worker, end_run, failures, start_run
from pbxbill.billing.subscriptions.charges_by_hand import HandCharge, add_charge
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import (
    When,
    cancel,
)
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import SubscriptionRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from tests.simulation.billing_papers import Papers
from tests.simulation.billing_service import Service
from tests.simulation.billing_site import DAY_US
from tests.small_operator import eur


@dataclass
class BillingYear(Service, Papers):
    """What happens; every day some of it."""

    acts_per_day: int = 3

    def day(self, act: Callable[["BillingYear"], None] | None = None) -> None:
        """A day passes; things happen at its moments."""
        ends_us = self.site.now_us + DAY_US
        moments = sorted(self.chance.randrange(DAY_US) for _ in range(self.acts_per_day))
        for moment_us in moments:
            self.go_to(ends_us - DAY_US + moment_us)
            names, weights = zip(*ACTS.items(), strict=True)
            (name,) = self.chance.choices(names, weights)
            self.attempt(name)
            if act is not None:
                act(self)
        self.go_to(ends_us)

    # --- billing

    def bill(self) -> None:
        """A run up to some moment that is over, now and then twice."""
        until_us = self.site.now_us - self.chance.choice((0, 0, self.chance.randrange(3 * DAY_US)))
        for _ in range(self.chance.choice((1, 1, 2))):
            self.run(Definition(until_us, drafts_only=self.chance.random() < 0.2))

    def run(self, definition: Definition) -> None:
        with self.session() as session:
            run_id = start_run(session, definition, self.site.now_us)
        Worker(self.site.database, self.books, self.site.clock, run_id).work()
        with self.session() as session:
            end_run(session, run_id, self.site.now_us)
            assert failures(session, run_id) == []

    def bill_now(self) -> None:
        with self.session() as session:
            bill_to_now(session, self.books, self.account(session).id, self.site.now_us)

    def recognise(self) -> None:
        by_day = self.chance.random() < 0.3
        now_us = self.site.now_us
        for _ in recognise_all(self.site.database, self.books, now_us, now_us, by_day=by_day):
            pass

    # --- the end

    def finish(self) -> None:
        """Everybody leaves; what is owed is invoiced, what was paid in advance is earned."""
        self.go_to(self.site.now_us + 6 * DAY_US)  # what is to begin later has begun
        self._end_subscriptions()
        self._issue_drafts()
        self._farewell()
        for _ in range(8):  # more than the longest period of billing
            self.site.clock.advance(50 * DAY_US)
            self.run(Definition(self.site.now_us))
        self.notes()
        self._issue_drafts()
        self.site.clock.advance(DAY_US * 800)
        now_us = self.site.now_us
        for _ in recognise_all(self.site.database, self.books, now_us, now_us):
            pass

    def _end_subscriptions(self) -> None:
        with self.session() as session:
            live = select(SubscriptionRow.id).where(SubscriptionRow.state != "ended")
            ids = session.scalars(live.order_by(SubscriptionRow.id)).all()
        for id in ids:
            # Whose end had come already is brought up to it by the next run.
            with suppress(InputRefused), self.session() as session:
                cancel(session, self.books, id, When(ChangeAt.NOW, None, "the end"), self.site.now_us)

    def _farewell(self) -> None:
        """So large a charge that nobody's credit is left waiting for something to be set against."""
        for code, id in self.site.ids.items():
            if code == "operator":
                continue
            with self.session() as session:
                new = HandCharge("Farewell", "EUR", eur("500"), "the end")
                add_charge(session, self.books, session.get_one(AccountRow, id), new, self.site.now_us)

    def _issue_drafts(self) -> None:
        drafts = select(InvoiceRow.id).where(InvoiceRow.state == "draft", InvoiceRow.kind == "invoice")
        with self.session() as session:
            found = session.scalars(drafts.order_by(InvoiceRow.id)).all()
        for id in found:
            with self.session() as session:
                if isinstance(issue(session, self.books, id, self.site.now_us), NotIssued):
                    discard(session, id, "every line was removed", self.site.now_us)


ACTS = {
    "call": 14,
    "record": 10,
    "rerate": 1,
    "subscribe": 6,
    "change": 6,
    "request": 2,
    "pause": 2,
    "resume": 3,
    "cancel": 2,
    "new_version": 1,
    "did": 4,
    "charge": 5,
    "withdraw": 1,
    "top_up": 9,
    "adjust": 1,
    "pay": 7,
    "pay_from_wallet": 2,
    "reverse": 1,
    "write_off": 1,
    "dispute": 2,
    "credit": 3,
    "debit": 1,
    "quote": 2,
    "add_line": 2,
    "correct_line": 3,
    "remove_line": 2,
    "recalculate": 2,
    "discard": 1,
    "issue": 4,
    "bill": 7,
    "bill_now": 1,
    "recognise": 1,
}
"""What happens how often."""
