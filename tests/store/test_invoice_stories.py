"""Whatever happens to an account's invoices, and in whatever order, the books agree after each step."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.correction_notes import invoiced, issue_correction_notes
from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.disputes import dispute, settle_dispute
from pbxbill.billing.invoices.draft_editing import NewLine, add_line
from pbxbill.billing.invoices.drafting import Drafted
from pbxbill.billing.invoices.note_amounts import Amount, Lines, What, Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.payments.payments import NewPayment, pay_from_wallet, record_payment, reverse, write_off
from pbxbill.billing.period import Period
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.mediation.rerate import Definition, Rerating
from pbxbill.store.billing_models import TaxRateRow
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow
from tests.books_in_order import problems_of
from tests.store.billed_accounts import CLOCK, FRANCE, GERMANY, BilledAccounts, rate
from tests.store.invoiced_accounts import DAY_US, JANUARY_US, Invoicing

STEPS = 25
COIN = 10_000


class Story:
    """Things that happen to carol (postpaid), bob (prepaid) and alice (of the reseller, with tax)."""

    def __init__(self, billing: Invoicing, seed: int) -> None:
        self.billing = billing
        self.random = Random(seed)
        self.month = 0
        self.told: list[str] = []

    def goes_on(self) -> None:
        """One more thing happens, or is refused."""
        steps: list[Callable[[], None]] = [self.months_end, self.re_rating]
        steps += [self.calls, self.pays, self.from_wallet, self.note, self.note, self.debit, self.gives_up]
        steps += [self.taken_back, self.top_up, self.disputes]
        step = self.random.choice(steps)
        try:
            step()
            self.told.append(step.__name__)
        except InputRefused as refused:
            self.told.append(f"{step.__name__}: {refused}")

    def code(self) -> str:
        return self.random.choice(["carol", "bob", "alice"])

    def coins(self, most: int = 3_00) -> int:
        return self.random.randint(1, most) * COIN

    def calls(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            number, day = self.random.choice([GERMANY, FRANCE]), self.month * 30 + self.random.randint(1, 30)
            self.billing.call(self.code(), self.random.randint(1, 2000), day, number)

    def months_end(self) -> None:
        self.calls()
        period = Period(*(JANUARY_US + (self.month + x) * 30 * DAY_US for x in (0, 1)))
        self.month += 1
        for code in ("carol", "bob", "alice"):
            drafted = self.billing.draft(code, period)
            if not isinstance(drafted, Drafted):
                continue
            if self.random.random() < 0.6:
                with self.billing.transaction() as session:
                    line = NewLine("Router", self.coins() + self.random.randint(0, COIN))
                    add_line(session, drafted.invoice_id, line, "sold", self.billing.clock.now_us())
            self.billing.issue(drafted.invoice_id)

    def invoice(self, session: Session) -> InvoiceRow:
        rows = session.scalars(
            select(InvoiceRow)
            .where(InvoiceRow.kind.in_(("invoice", "debit_note")), InvoiceRow.number.is_not(None))
            .order_by(InvoiceRow.id)
        ).all()
        if not rows:
            raise InputRefused("there is no invoice yet")
        return self.random.choice(rows)

    def pays(self) -> None:
        with self.billing.transaction() as session:
            account = session.get_one(AccountRow, self.billing.accounts.ids[self.code()])
            new = NewPayment(self.coins(5_00), "EUR", "bank", new_id())
            record_payment(session, self.billing.books, account, new, self.billing.clock.now_us())

    def from_wallet(self) -> None:
        with self.billing.transaction() as session:
            account = session.get_one(AccountRow, self.billing.accounts.ids[self.code()])
            now_us = self.billing.clock.now_us()
            pay_from_wallet(session, self.billing.books, account, unit="EUR", now_us=now_us)

    def top_up(self) -> None:
        self.billing.top_up(self.code(), f"{self.random.randint(1, 500) / 100:.2f}", self.month * 30 + 1)

    def note(self) -> None:
        with self.billing.transaction() as session:
            row = self.invoice(session)
            lines = session.scalars(
                select(InvoiceLineRow.id).where(InvoiceLineRow.invoice_id == row.id)
            ).all()
            one = self.random.choice(lines)
            wishes: list[What] = [
                Whole(),
                Amount(self.coins()),
                Lines(((one, None),)),
                Lines(((one, self.coins()),)),
            ]
            what = self.random.choice(wishes)
            credit(session, self.billing.books, row.id, what, "wrong", self.billing.clock.now_us())

    def debit(self) -> None:
        with self.billing.transaction() as session:
            row, line = self.invoice(session), NewLine("Forgotten", self.coins())
            debit(session, self.billing.books, row.id, [line], "forgotten", self.billing.clock.now_us())

    def gives_up(self) -> None:
        with self.billing.transaction() as session:
            row, now_us = self.invoice(session), self.billing.clock.now_us()
            amount = self.random.choice((None, self.coins()))
            write_off(session, self.billing.books, row.id, reason="gone", now_us=now_us, amount=amount)

    def disputes(self) -> None:
        with self.billing.transaction() as session:
            row, now_us = self.invoice(session), self.billing.clock.now_us()
            if row.disputed_us is None:
                dispute(session, row.id, reason="never called", now_us=now_us, amount=self.coins())
            else:
                settle_dispute(session, row.id, reason="called after all", now_us=now_us)

    def taken_back(self) -> None:
        with self.billing.transaction() as session:
            kinds = ("payment", "allocation", "write-off")
            entries = session.scalars(
                select(JournalEntryRow.id).where(JournalEntryRow.kind.in_(kinds)).order_by(JournalEntryRow.id)
            ).all()
            if entries:
                now_us = self.billing.clock.now_us()
                entry_id = self.random.choice(entries)
                reverse(session, self.billing.books, entry_id, reason="bounced", now_us=now_us)

    def re_rating(self) -> None:
        with self.billing.transaction() as session:
            rates = [
                rate("49", "Germany", f"0.{self.random.randint(1, 30):02d}"),
                rate("33", "France", f"0.{self.random.randint(1, 60):02d}", "0.05", "60/60"),
            ]
            add_deck_version(
                session,
                deck_name="retail",
                unit="EUR",
                rates=rates,
                effective_from_us=0,
                source="x",
                now_us=1,
            )
        definition = Definition(JANUARY_US, JANUARY_US + 400 * DAY_US)
        url = self.billing.accounts.url
        Rerating(lambda: connect(url), CLOCK, definition, invoiced).apply(lambda calls, of: None)
        made: object = ()
        while made is not None:
            with self.billing.transaction() as session:
                made = issue_correction_notes(session, self.billing.books, self.billing.clock.now_us())


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """19 % on all that the operator sells."""
    made = Invoicing(accounts)
    with made.transaction() as session:
        session.add(
            TaxRateRow(
                issuer_id=1, name="VAT", ppm=190_000, category="S", from_us=0, compound=False, inclusive=False
            )
        )
    made.top_up("bob", "20")
    made.top_up("alice", "20")
    yield made
    made.database.dispose()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_the_books_agree_after_each_step(billing: Invoicing, seed: int) -> None:
    story = Story(billing, seed)
    story.months_end()
    for _ in range(STEPS):
        story.goes_on()
        assert problems_of(billing.accounts.url) == [], story.told
    assert len([told for told in story.told if ":" not in told]) > STEPS // 3, story.told
