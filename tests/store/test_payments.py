"""Payments: which invoices they pay, what the wallet gets, and that each can be taken back."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.invoices.disputes import dispute, remark, settle_dispute
from pbxbill.billing.invoices.note_amounts import Amount, What, Whole
from pbxbill.billing.invoices.notes import Credited, credit
from pbxbill.billing.payments.payments import (
    Allocated,
    NewPayment,
    pay_from_wallet,
    record_payment,
    reverse,
    write_off,
)
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import FEBRUARY, JANUARY, Invoicing


class Paying(Invoicing):
    """Shortcuts to payments of carol, who is postpaid: 1.20 in January, 2.40 in February."""

    january = february = 0

    def bill(self) -> None:
        self.call("carol", 600, 3)
        self.january = self.invoice("carol", JANUARY).invoice_id
        self.call("carol", 1200, 35)
        self.february = self.invoice("carol", FEBRUARY).invoice_id

    def pay(self, amount: str, *invoice_ids: int, key: str = "", code: str = "carol") -> Allocated:
        with self.transaction() as session:
            account = session.get_one(AccountRow, self.accounts.ids[code])
            new = NewPayment(eur(amount), "EUR", "bank", key or amount, invoice_ids or None, by="test")
            return record_payment(session, self.books, account, new, self.clock.now_us())

    def from_wallet(self, amount: str | None = None) -> Allocated:
        with self.transaction() as session:
            account = session.get_one(AccountRow, self.accounts.ids["carol"])
            asked = None if amount is None else eur(amount)
            return pay_from_wallet(
                session, self.books, account, unit="EUR", now_us=self.clock.now_us(), amount=asked
            )

    def take_back(self, entry_id: str) -> Allocated:
        with self.transaction() as session:
            return reverse(session, self.books, entry_id, reason="bounced", now_us=self.clock.now_us())

    def give_up(self, invoice_id: int, amount: str | None = None) -> Allocated:
        part = None if amount is None else eur(amount)
        with self.transaction() as session:
            return write_off(
                session, self.books, invoice_id, reason="gone", now_us=self.clock.now_us(), amount=part
            )

    def give_back(self, invoice_id: int, what: What) -> Credited:
        with self.transaction() as session:
            return credit(session, self.books, invoice_id, what, "wrong", self.clock.now_us())

    def entry(self, entry_id: str) -> dict[str, int]:
        return dict(
            self.accounts.select(
                "SELECT l.code, p.amount FROM postings p JOIN ledger_accounts l "
                f"ON l.id = p.ledger_account_id WHERE p.entry_id = '{entry_id}' AND p.amount <> 0"
            )
        )

    def wallet(self, code: str = "carol") -> int:
        return self.accounts.wallet(code)[0]

    def stands(self, invoice_id: int) -> tuple[str, int]:
        row = self.row(invoice_id)
        assert isinstance(row["state"], str)
        assert isinstance(row["open"], int)
        return row["state"], row["open"]


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Paying]:
    made = Paying(accounts)
    made.bill()
    assert made.wallet() == -eur("3.60")
    yield made
    assert_books_in_order(accounts.url)
    made.database.dispose()


def test_what_was_due_first_is_paid_first(billing: Paying) -> None:
    paid = billing.pay("2.00")
    assert [(part.invoice_id, part.amount) for part in paid.parts] == [
        (billing.january, eur("1.20")),
        (billing.february, eur("0.80")),
    ]
    assert billing.stands(billing.january) == ("paid", 0)
    assert billing.stands(billing.february) == ("partly_paid", eur("1.60"))
    assert billing.wallet() == -eur("1.60")
    assert billing.balance(LedgerCode.RECEIVABLE) == eur("1.60")
    assert billing.balance(LedgerCode.CASH) == eur("2.00")


def test_the_invoice_that_was_chosen_is_paid(billing: Paying) -> None:
    billing.pay("1.00", billing.february)
    assert billing.stands(billing.january) == ("issued", eur("1.20"))
    assert billing.stands(billing.february) == ("partly_paid", eur("1.40"))


def test_what_is_paid_beyond_all_invoices_stays_in_the_wallet(billing: Paying) -> None:
    assert billing.pay("5.00").to_wallet == eur("1.40")
    assert billing.wallet() == eur("1.40")
    assert billing.stands(billing.february) == ("paid", 0)


def test_a_payment_that_comes_twice_counts_once(billing: Paying) -> None:
    first = billing.pay("2.00", key="bank-7")
    again = billing.pay("2.00", key="bank-7")
    assert (again.entry_id, again.repeated) == (first.entry_id, True)
    assert sorted(again.parts) == sorted(first.parts)
    assert billing.wallet() == -eur("1.60")
    with pytest.raises(DuplicateKey):
        billing.pay("2.01", key="bank-7")
    with pytest.raises(DuplicateKey):
        billing.pay("2.00", key="bank-7", code="bob")
    billing.pay("4.00", key="bank-8", code="bob")
    assert billing.pay("4.00", key="bank-8", code="bob").repeated


def test_a_payment_that_bounced_opens_its_invoices_again(billing: Paying) -> None:
    paid = billing.pay("5.00")
    billing.take_back(paid.entry_id)
    assert billing.stands(billing.january) == ("issued", eur("1.20"))
    assert billing.stands(billing.february) == ("issued", eur("2.40"))
    assert billing.wallet() == -eur("3.60")
    assert billing.balance(LedgerCode.CASH) == 0
    with pytest.raises(InputRefused, match="is reversed already"):
        billing.take_back(paid.entry_id)
    billing.pay("3.60")
    assert billing.stands(billing.february) == ("paid", 0)


def test_what_a_note_gave_to_the_wallet_pays_the_invoice_whose_payment_bounced(billing: Paying) -> None:
    paid = billing.pay("1.20", billing.january)
    with billing.transaction() as session:
        credit(session, billing.books, billing.january, Whole(), "wrong", billing.clock.now_us())
    assert billing.wallet() == -eur("1.20")
    billing.take_back(paid.entry_id)
    # Neither paid nor owed: what is left is February's.
    assert billing.stands(billing.january) == ("cancelled", 0)
    assert billing.wallet() == -eur("2.40")


def test_funds_of_the_wallet_are_put_to_invoices(billing: Paying) -> None:
    billing.top_up("carol", "2.00", 60)
    paid = billing.from_wallet()
    assert sum(part.amount for part in paid.parts) == eur("2.00")
    assert billing.stands(billing.february) == ("partly_paid", eur("1.60"))
    assert billing.wallet() == -eur("1.60")
    with pytest.raises(InputRefused, match="no funds beyond what it owes"):
        billing.from_wallet()
    billing.top_up("carol", "0.50", 61)
    with pytest.raises(InputRefused, match=r"has 0\.50 EUR beyond"):
        billing.from_wallet("0.51")
    # What it has used since is not invoiced yet: that is paid later than what is.
    billing.call("carol", 60, 62)
    billing.from_wallet("0.50")
    assert billing.stands(billing.february) == ("partly_paid", eur("1.10"))


def test_a_debt_is_given_up(billing: Paying) -> None:
    billing.pay("0.20", billing.january)
    billing.give_up(billing.january)
    assert billing.stands(billing.january) == ("written_off", 0)
    assert billing.balance(LedgerCode.WRITTEN_OFF) == eur("1.00")
    assert billing.wallet() == -eur("2.40")
    written = billing.give_up(billing.february, "0.40")
    assert billing.stands(billing.february) == ("issued", eur("2.00"))
    # The debtor pays after all: the write-off is taken back first.
    billing.take_back(written.entry_id)
    assert billing.stands(billing.february) == ("issued", eur("2.40"))
    with pytest.raises(InputRefused, match=r"only 2\.40 EUR is open"):
        billing.give_up(billing.february, "2.41")


def test_what_was_written_off_is_not_given_back_as_money(billing: Paying) -> None:
    written = billing.give_up(billing.january)
    note = billing.give_back(billing.january, Whole())
    assert (note.to_invoice, note.to_written_off, note.to_wallet) == (0, eur("1.20"), 0)
    # Neither earned nor lost: it was never owed.
    assert billing.entry(note.entry_id) == {"revenue:usage": eur("1.20"), "written-off": -eur("1.20")}
    assert billing.stands(billing.january) == ("cancelled", 0)
    assert billing.wallet() == -eur("2.40")
    with pytest.raises(InputRefused, match="a credit note has given back what was written off"):
        billing.take_back(written.entry_id)


def test_only_what_was_paid_is_given_back(billing: Paying) -> None:
    billing.give_up(billing.february, "0.10")
    billing.pay("2.30", billing.february)
    assert billing.stands(billing.february) == ("paid", 0)
    note = billing.give_back(billing.february, Whole())
    # 2.40 = 0.10 that nobody paid + 2.30 that were.
    assert (note.to_invoice, note.to_written_off, note.to_wallet) == (0, eur("0.10"), eur("2.30"))
    assert billing.entry(note.entry_id) == {
        "revenue:usage": eur("2.40"),
        "written-off": -eur("0.10"),
        "wallet": -eur("2.30"),
    }
    assert billing.wallet() == -eur("1.20") + eur("2.30")
    assert billing.balance(LedgerCode.WRITTEN_OFF) == 0


def test_a_write_off_is_reversed_as_far_as_no_note_has_undone_it(billing: Paying) -> None:
    first = billing.give_up(billing.february, "1.00")
    second = billing.give_up(billing.february, "0.50")
    note = billing.give_back(billing.february, Amount(eur("1.20")))
    # 2.40 - 1.50 = 0.90 were open; 0.30 of the 1.50 are undone, 1.20 stay written off.
    assert (note.to_invoice, note.to_written_off, note.to_wallet) == (eur("0.90"), eur("0.30"), 0)
    assert billing.stands(billing.february) == ("written_off", 0)
    assert billing.balance(LedgerCode.WRITTEN_OFF) == eur("1.20")
    back = billing.take_back(first.entry_id)
    assert billing.entry(back.entry_id) == {
        "written-off": -eur("1.00"),
        "receivable": eur("1.00"),
        "wallet:invoiced": -eur("1.00"),
        "wallet": eur("1.00"),
    }
    assert billing.stands(billing.february) == ("issued", eur("1.00"))
    # Of the second 0.20 are left: the 0.30 of the note stay given up.
    billing.take_back(second.entry_id)
    assert billing.stands(billing.february) == ("issued", eur("1.20"))
    assert billing.balance(LedgerCode.WRITTEN_OFF) == 0
    billing.pay("1.20", billing.february)
    assert billing.stands(billing.february) == ("paid", 0)
    assert billing.wallet() == -eur("1.20")


def test_a_payment_bounces_after_a_note_has_undone_a_write_off(billing: Paying) -> None:
    paid = billing.pay("0.80", billing.january)
    written = billing.give_up(billing.january)
    note = billing.give_back(billing.january, Amount(eur("0.60")))
    assert (note.to_written_off, note.to_wallet) == (eur("0.40"), eur("0.20"))
    billing.take_back(paid.entry_id)
    # 1.20 - 0.60 of the note are to be paid: the 0.20 went back from the wallet.
    assert billing.stands(billing.january) == ("issued", eur("0.60"))
    assert billing.wallet() == -eur("3.00")
    with pytest.raises(InputRefused, match="has given back what was written off"):
        billing.take_back(written.entry_id)


def test_a_dispute_is_kept_with_its_history(billing: Paying) -> None:
    now_us = billing.clock.now_us()
    with billing.transaction() as session:
        dispute(
            session, billing.january, reason="never called", amount=eur("0.70"), now_us=now_us, by="carol"
        )
        remark(session, billing.january, "asked the switch", now_us=now_us)
    # What is contested waits: a payment goes to what is not.
    billing.pay("2.40")
    assert billing.stands(billing.february) == ("paid", 0)
    billing.pay("0.80", billing.january)
    assert billing.accounts.select("SELECT open, disputed FROM invoices WHERE state = 'partly_paid'") == [
        (eur("0.40"), eur("0.40"))
    ]
    with billing.transaction() as session:
        _, disputed = settle_dispute(session, billing.january, reason="called after all", now_us=now_us)
    assert disputed == eur("0.40")
    events = billing.accounts.select(
        f"SELECT kind, detail FROM invoice_events WHERE invoice_id = {billing.january} "
        "AND kind IN ('disputed', 'dispute_remark', 'dispute_settled') ORDER BY id"
    )
    assert events == [
        ("disputed", "0.70 EUR: never called"),
        ("dispute_remark", "asked the switch"),
        ("dispute_settled", "called after all"),
    ]
    with billing.transaction() as session, pytest.raises(InputRefused, match="is not disputed"):
        settle_dispute(session, billing.january, reason="again", now_us=now_us)
    with billing.transaction() as session, pytest.raises(InputRefused, match="nothing is open"):
        dispute(session, billing.february, reason="late", now_us=now_us)


@pytest.mark.parametrize(
    "amount, method, key, sentence",
    [
        ("0", "bank", "k", "a payment is more than zero"),
        ("-1", "bank", "k", "not -1.00 EUR"),
        ("1.005", "bank", "k", "in whole coins: not 1.005 EUR"),
        ("1", " ", "k", "say how it was paid"),
        ("1", "bank", "", "a payment's key has 1 to 150"),
        ("1", "bank", "k\n", "a payment's key has 1 to 150"),
    ],
)
def test_what_is_no_payment(billing: Paying, amount: str, method: str, key: str, sentence: str) -> None:
    new = NewPayment(eur(amount), "EUR", method, key)
    with billing.transaction() as session:
        account = session.get_one(AccountRow, billing.accounts.ids["carol"])
        with pytest.raises(InputRefused) as refused:
            record_payment(session, billing.books, account, new, 1)
    assert sentence in str(refused.value)


def test_invoices_of_others_drafts_and_notes_are_not_paid(billing: Paying) -> None:
    with pytest.raises(InputRefused, match="has no invoice 77 in EUR"):
        billing.pay("1", 77)
    with pytest.raises(InputRefused, match=f"has no invoice {billing.january} in EUR"):
        billing.pay("1", billing.january, code="bob")
    with billing.transaction() as session:
        note = credit(session, billing.books, billing.january, Whole(), "wrong", 1)
    with pytest.raises(InputRefused, match=f"credit note {note.number} is issued and asks for no money"):
        billing.pay("1", note.note_id)
    with pytest.raises(InputRefused, match="is no payment"):
        billing.take_back(note.entry_id)
