"""Money that comes and goes in a simulated year of billing, and what people do to drafts and invoices."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.disputes import dispute, settle_dispute
from pbxbill.billing.invoices.draft_editing import Correction, NewLine, add_line, correct_line, remove_line
from pbxbill.billing.invoices.drafting import discard, recalculate
from pbxbill.billing.invoices.issuing import issue
from pbxbill.billing.invoices.note_amounts import Amount, Lines, What, Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.invoices.quotes import NewQuote, QuoteLine, accept, offer, plan_quote
from pbxbill.billing.payments.payments import NewPayment, pay_from_wallet, record_payment, reverse, write_off
from pbxbill.charging.events import (
    Adjust,
    TopUp,
)
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow
from tests.simulation.billing_life import CENT, BillingLife
from tests.simulation.billing_site import DAY_US
from tests.small_operator import eur


class Papers(BillingLife):
    """Top-ups, payments, notes, disputes, quotes, drafts."""

    # --- money

    def top_up(self) -> None:
        with self.session() as session:
            account_id = self.account(session).id
            amount = self.chance.randint(1, 100) * eur("1") // 2
            self.books.post(session, [TopUp(new_id(), account_id, "EUR", amount, self.site.now_us)])

    def adjust(self) -> None:
        with self.session() as session:
            account_id = self.account(session).id
            amount = self.chance.randint(-3_000_000, 3_000_000)
            self.books.post(
                session, [Adjust(new_id(), account_id, "EUR", amount, self.site.now_us, "goodwill")]
            )

    def pay(self) -> None:
        with self.session() as session:
            row = self.invoice(session, InvoiceRow.open > 0)
            account = session.get_one(AccountRow, row.account_id)
            new = NewPayment(
                self.part(row.open),
                "EUR",
                "bank",
                new_id(),
                self.chance.choice((None, (row.id,))),
            )
            now_us = self.site.now_us
            given = record_payment(session, self.books, account, new, now_us)
            if self.chance.random() < 0.2:
                assert record_payment(session, self.books, account, new, now_us).repeated
            self.paid.append(given.entry_id)

    def pay_from_wallet(self) -> None:
        with self.session() as session:
            row = self.invoice(session, InvoiceRow.open > 0)
            account = session.get_one(AccountRow, row.account_id)
            amount = self.chance.choice((None, None, self.part(row.open)))
            given = pay_from_wallet(
                session, self.books, account, unit="EUR", now_us=self.site.now_us, amount=amount
            )
            self.paid.append(given.entry_id)

    def reverse(self) -> None:
        if not self.paid:
            raise InputRefused("nothing was paid")
        with self.session() as session:
            entry_id = self.chance.choice(self.paid)
            reverse(session, self.books, entry_id, reason="bounced", now_us=self.site.now_us)

    def write_off(self) -> None:
        with self.session() as session:
            row = self.invoice(session, InvoiceRow.open > 0)
            amount = self.chance.choice((None, self.part(row.open)))
            given = write_off(
                session, self.books, row.id, reason="gone", now_us=self.site.now_us, amount=amount
            )
            self.paid.append(given.entry_id)

    # --- documents

    def dispute(self) -> None:
        with self.session() as session:
            row = self.invoice(session, InvoiceRow.open > 0)
            if row.disputed_us is not None:
                settle_dispute(session, row.id, reason="agreed", now_us=self.site.now_us)
            else:
                amount = self.chance.choice((None, self.part(row.open)))
                dispute(session, row.id, reason="not mine", now_us=self.site.now_us, amount=amount)

    def credit(self) -> None:
        with self.session() as session:
            row = self.invoice(session)
            lines = session.scalars(
                select(InvoiceLineRow)
                .where(InvoiceLineRow.invoice_id == row.id, InvoiceLineRow.origin != "removed")
                .order_by(InvoiceLineRow.id)
            ).all()
            line = self.chance.choice(lines)
            whats: tuple[What, ...] = (
                Whole(),
                Amount(self.part(max(CENT, row.total // 3))),
                Lines(((line.id, None),)),
                Lines(((line.id, self.part(abs(line.net)) * (1 if line.net > 0 else -1)),)),
            )
            what = self.chance.choice(whats)
            credit(session, self.books, row.id, what, "was wrong", self.site.now_us)

    def debit(self) -> None:
        with self.session() as session:
            row = self.invoice(session, InvoiceRow.kind == "invoice")
            lines = [NewLine("Forgotten", self.chance.randint(1, 9_000_000))]
            debit(session, self.books, row.id, lines, "was forgotten", self.site.now_us)

    def quote(self) -> None:
        with self.session() as session:
            account = self.account(session)
            until_us = self.site.now_us + 10 * DAY_US
            lines = (QuoteLine("Router", 49_990_000), QuoteLine("Cable", 3_333_333, 2_000_000))
            new = self.chance.choice(
                (
                    NewQuote("EUR", lines, until_us),
                    plan_quote(self.version(session, account), self.chance.randint(1, 3), until_us),
                )
            )
            offered = offer(session, account, new, self.site.now_us)
            accept(
                session,
                self.books,
                offered.quote_id,
                self.site.now_us,
                issue_now=self.chance.random() < 0.5,
            )

    def add_line(self) -> None:
        with self.session() as session:
            row = self.draft(session)
            price = self.chance.randint(-3_000_000, 9_000_000)
            add_line(session, row.id, NewLine("By hand", price), "agreed", self.site.now_us)

    def _line(self, session: Session) -> Any:
        row = self.draft(session)
        return self.one_of(
            session,
            InvoiceLineRow,
            InvoiceLineRow.invoice_id == row.id,
            InvoiceLineRow.origin != "removed",
        )

    def correct_line(self) -> None:
        with self.session() as session:
            line = self._line(session)
            net = line.net_exact * self.chance.choice((0, 50, 100, 120)) // 100
            correct_line(session, line.id, Correction(net), "too much", self.site.now_us)

    def remove_line(self) -> None:
        with self.session() as session:
            remove_line(session, self._line(session).id, "goodwill", self.site.now_us)

    def recalculate(self) -> None:
        with self.session() as session:
            recalculate(session, self.draft(session).id, self.site.now_us)

    def discard(self) -> None:
        with self.session() as session:
            discard(session, self.draft(session).id, "anew", self.site.now_us)

    def issue(self) -> None:
        with self.session() as session:
            issue(session, self.books, self.draft(session).id, self.site.now_us)
