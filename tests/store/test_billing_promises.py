"""verify finds what is wrong with documents and books: rows are changed by hand, and it must name them."""

import pytest

from pbxbill.billing.invoices.note_amounts import Amount, Lines
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.payments.payments import write_off
from pbxbill.billing.promises import BILLING_RULES, INVOICE_RULES
from pbxbill.charging.verify import Invariant, checked
from pbxbill.store.driver import connect
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.booked_months import BookedMonths, open_books_of
from tests.store.command_line import Ok, Run, shown
from tests.store.invoiced_accounts import JANUARY_US


@pytest.fixture
def months(accounts: BilledAccounts) -> BookedMonths:
    """The two months by hand; then two notes, of 5.00 and 1.00, and 3.00 that are written off."""
    opened = open_books_of(accounts)
    opened.january()
    opened.recognise("2026-02-01")
    opened.february()
    opened.recognise("2026-03-01")
    with opened.shop.session() as session:
        now_us, books = opened.shop.now_us, opened.shop.books
        ((desk,),) = accounts.select("SELECT id FROM invoice_lines WHERE charge_id IS NOT NULL")
        credit(session, books, opened.invoice_id, Lines(((desk, eur("5")),)), "fault", now_us)
    with opened.shop.session() as session:
        credit(session, books, opened.invoice_id, Amount(eur("1")), "fault", now_us)
    with opened.shop.session() as session:
        write_off(session, books, opened.invoice_id, amount=eur("3"), reason="small", now_us=now_us)
    opened.close()
    return opened


INVOICE = "(SELECT id FROM invoices WHERE kind = 'invoice')"
NOTE = "(SELECT MIN(id) FROM invoices WHERE kind = 'credit_note')"
DESK = "(SELECT id FROM invoice_lines WHERE charge_id IS NOT NULL)"
USAGE_LINE = f"(SELECT id FROM invoice_lines WHERE collection = 'wallet' AND invoice_id = {INVOICE})"
EARNED = "(SELECT MIN(id) FROM journal_entries WHERE kind = 'earned')"
RESELLER = "(SELECT id FROM accounts WHERE code = 'reseller')"
ASKED = f"(SELECT id FROM charges WHERE invoice_id = {INVOICE})"
CHARGE = "(SELECT MIN(id) FROM charges WHERE deferred > 0)"


def booked(code: str) -> str:
    return (
        "UPDATE postings SET amount = amount + 1 WHERE ledger_account_id IN "
        f"(SELECT id FROM ledger_accounts WHERE code = '{code}')"
    )


DAMAGE = {
    "every document is its lines and taxes": [
        f"UPDATE invoices SET total = total + 10000 WHERE id = {INVOICE}",
        f"UPDATE invoices SET net = net - 1, tax = tax + 1 WHERE id = {NOTE}",
        f"UPDATE invoice_lines SET net = net + 10000 WHERE id = {DESK}",
        f"UPDATE invoice_lines SET origin = 'removed' WHERE id = {DESK}",
        (
            "INSERT INTO invoice_taxes (invoice_id, position, name, ppm, category, reason, base, tax) "
            f"VALUES ({INVOICE}, 9, 'VAT', 1, 'S', '', 1, 1)"
        ),
    ],
    "what is open of an invoice is what nobody has paid, credited or written off": [
        f"UPDATE invoices SET due = due - 10000 WHERE id = {INVOICE}",
        f"UPDATE invoices SET from_wallet = 10000 WHERE id = {INVOICE}",
        f"UPDATE invoices SET open = open + 10000 WHERE id = {INVOICE}",
        "UPDATE allocations SET amount = amount + 1 WHERE kind = 'payment'",
        f"UPDATE invoices SET open_wallet = open + 1 WHERE id = {INVOICE}",
        f"UPDATE invoices SET disputed = open + 1 WHERE id = {INVOICE}",
        f"UPDATE invoices SET state = 'paid' WHERE id = {INVOICE}",
        f"UPDATE invoices SET open = 10000 WHERE id = {NOTE}",
        f"UPDATE invoices SET state = 'draft' WHERE id = {INVOICE}",
    ],
    "numbers of documents have no gaps": [
        "UPDATE number_sequences SET last = last + 1 WHERE kind = 'credit_note'",
        f"UPDATE invoices SET number = NULL WHERE id = {INVOICE}",
        "DELETE FROM number_sequences WHERE kind = 'invoice'",
        f"UPDATE invoices SET state = 'discarded' WHERE id = {INVOICE}",
    ],
    "every issued document has its number, date and entry": [
        f"UPDATE invoices SET number = NULL WHERE id = {INVOICE}",
        f"UPDATE invoices SET issued_us = NULL WHERE id = {NOTE}",
        f"UPDATE invoices SET entry_id = NULL WHERE id = {INVOICE}",
        f"UPDATE invoices SET snapshot = NULL WHERE id = {INVOICE}",
        f"UPDATE invoices SET entry_id = 'gone' WHERE id = {INVOICE}",
        "UPDATE allocations SET entry_id = 'gone' WHERE kind = 'payment'",
    ],
    "notes give back no more than there was": [
        f"UPDATE invoice_lines SET credited = net + 1 WHERE id = {DESK}",
        f"UPDATE invoice_lines SET credited = -1 WHERE id = {DESK}",
        f"UPDATE invoice_lines SET credited = credited - 10000 WHERE id = {DESK}",
        f"UPDATE invoice_lines SET net = net + 10000 WHERE corrects_id = {DESK}",
        f"UPDATE invoices SET total = 1 WHERE id = {INVOICE}",
        f"UPDATE invoices SET state = 'cancelled' WHERE id = {INVOICE}",
    ],
    "notes give into wallets no more than was paid": [
        f"UPDATE invoices SET total = total + 100000000 WHERE id = {NOTE}",
        "UPDATE allocations SET amount = amount - 100000000 WHERE kind = 'credit_note'",
    ],
    "what the wallet gave for an invoice is on it, entry by entry": [
        "DELETE FROM invoice_entries",
        "UPDATE invoice_entries SET invoice_id = 999",
        f"UPDATE invoices SET state = 'discarded' WHERE id = {INVOICE}",
        f"UPDATE invoice_lines SET net_exact = net_exact + 1 WHERE id = {USAGE_LINE}",
        f"UPDATE invoice_lines SET tax_exact = 1 WHERE id = {USAGE_LINE}",
        (
            "UPDATE postings SET amount = amount + 1 "
            "WHERE entry_id IN (SELECT entry_id FROM invoice_entries) AND amount > 0"
        ),
    ],
    "invoices pass over nothing that wallets gave for": [
        "INSERT INTO gathered SELECT id, 'EUR', 'f' FROM accounts WHERE code = 'bob'",
    ],
    "receivable is what is open of invoices": [
        booked("receivable"),
        f"UPDATE invoices SET open = open + 10000 WHERE id = {INVOICE}",
        f"UPDATE invoices SET unit = 'USD' WHERE id = {INVOICE}",
        f"UPDATE invoices SET issuer_id = {RESELLER} WHERE id = {INVOICE}",
    ],
    "what invoices ask of wallets is booked as invoiced": [
        booked("wallet:invoiced"),
        f"UPDATE invoices SET open_wallet = open_wallet + 1 WHERE id = {INVOICE}",
    ],
    "deferred revenue is what charges have not earned": [
        booked("deferred:revenue"),
        f"UPDATE charges SET deferred = deferred + 1 WHERE id = {CHARGE}",
        f"UPDATE charges SET earned = earned - 1 WHERE id = {CHARGE}",
        f"UPDATE charges SET earned = earned - 1, unit = 'USD' WHERE id = {CHARGE}",
    ],
    "every charge in advance is earned once, by entries that say so": [
        f"UPDATE charges SET earned = deferred + 1 WHERE id = {CHARGE}",
        f"UPDATE charges SET earned = -1 WHERE id = {CHARGE}",
        f"UPDATE charges SET entry_id = NULL WHERE id = {CHARGE}",
        "UPDATE charges SET earned = 1 WHERE deferred < 0",
        f"UPDATE charges SET earned = earned - 1 WHERE id = {CHARGE}",
        "UPDATE earnings SET amount = amount + 1",
        f"DELETE FROM earnings WHERE charge_id = {CHARGE}",
        f"UPDATE postings SET amount = amount + 1 WHERE entry_id = {EARNED}",
        f"UPDATE journal_entries SET kind = 'charge' WHERE id = {EARNED}",
    ],
    "what a document books as rounding are coins of its lines and taxes": [
        (
            "UPDATE postings SET ledger_account_id = (SELECT l.id FROM ledger_accounts l "
            "JOIN ledger_accounts o ON o.issuer_id = l.issuer_id AND o.unit = l.unit "
            "WHERE l.code = 'rounding' AND o.id = postings.ledger_account_id) "
            f"WHERE entry_id IN (SELECT entry_id FROM invoices WHERE id = {INVOICE}) "
            "AND ledger_account_id IN (SELECT id FROM ledger_accounts WHERE code = 'receivable')"
        ),
    ],
    "a charge is on one invoice, with its amount, and it says on which": [
        f"UPDATE charges SET invoice_id = NULL WHERE id = {ASKED}",
        f"UPDATE charges SET invoice_id = {NOTE} WHERE id = {ASKED}",
        f"UPDATE charges SET collection = 'void' WHERE id = {ASKED}",
        f"UPDATE charges SET net = net + 1 WHERE id = {ASKED}",
        f"UPDATE charges SET account_id = {RESELLER} WHERE id = {ASKED}",
        f"UPDATE invoice_lines SET charge_id = {CHARGE} WHERE id = {DESK}",
        f"UPDATE invoice_lines SET charge_id = {ASKED} WHERE invoice_id = {INVOICE}",
    ],
    "an invoice holds entries of its own account, in its unit": [
        f"UPDATE invoices SET account_id = {RESELLER} WHERE id = {INVOICE}",
        f"UPDATE invoices SET unit = 'USD' WHERE id = {INVOICE}",
        "UPDATE invoice_entries SET line_id = 999",
    ],
    "an account's time is invoiced once": [
        (
            "UPDATE invoices SET period_key = CAST(id AS VARCHAR), "
            f"from_us = {JANUARY_US}, to_us = {JANUARY_US} + 9 WHERE id IN ({NOTE}, {INVOICE})"
        ),
    ],
    "an invoice's entry books what it asks for": [
        f"UPDATE invoices SET due = due + 10000, from_wallet = from_wallet - 10000 WHERE id = {INVOICE}",
        f"UPDATE invoices SET open_wallet = open_wallet + 1 WHERE id = {INVOICE}",
        "UPDATE allocations SET wallet_amount = wallet_amount + 1",
        booked("receivable"),
    ],
    "a document's text says its number and its amounts": [
        "UPDATE invoices SET number = number || '7'",
        f"UPDATE invoices SET total = total + 10000, net = net + 10000 WHERE id = {NOTE}",
        f"UPDATE invoices SET due = due + 10000, from_wallet = from_wallet - 10000 WHERE id = {INVOICE}",
    ],
}


def broken_by(accounts: BilledAccounts, statement: str) -> dict[str, Invariant]:
    """The broken promises of billing after a statement, which is undone."""
    driver = connect(accounts.url)
    try:
        driver.begin()
        if accounts.url.startswith("sqlite"):
            driver.select("PRAGMA defer_foreign_keys = ON")
        elif "USD" in statement:
            driver.select("INSERT INTO units (code, scale, digits) VALUES ('USD', 6, 2) RETURNING 1")
        driver.select(f"{statement} RETURNING 1")
        return {x.name: x for x in (checked(driver, rule) for rule in BILLING_RULES) if not x.holds}
    finally:
        driver.rollback()
        driver.close()


def test_every_promise_about_invoices_is_damaged_here() -> None:
    assert list(DAMAGE) == [rule.name for rule in INVOICE_RULES]


def test_damage_is_found(months: BookedMonths) -> None:
    assert months.accounts.problems() == []
    for name, statements in DAMAGE.items():
        for statement in statements:
            broken = broken_by(months.accounts, statement)
            assert name in broken, statement
            assert broken[name].problem_count >= len(broken[name].problems) > 0
    assert months.accounts.problems() == []


def test_the_command_names_what_is_broken(months: BookedMonths, ok: Ok, pbxbill: Run) -> None:
    counted = {x["name"]: x["checked"] for x in shown(ok, "verify")}
    assert counted["every document is its lines and taxes"] == 3
    driver = connect(months.accounts.url)
    driver.begin()
    driver.select(f"UPDATE invoices SET open = open - 10000 WHERE id = {INVOICE} RETURNING 1")
    driver.commit()
    driver.close()
    result = pbxbill("verify")
    assert result.exit_code == 1
    # 90.20 - 50.00 paid - 6.00 credited - 3.00 written off are 31.20 open.
    told = f"invoice {months.invoice_id}: open 31190000, due 90200000, allocated 59000000"
    assert told in result.stdout
    assert "receivable of issuer 1 in EUR is 31200000, open of invoices are 31190000" in result.stdout
