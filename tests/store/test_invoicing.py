"""Invoices of what wallets gave and of charges, worked by hand, with what they post."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.drafting import Drafted, Nothing
from pbxbill.ledger.accounts import LedgerCode
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import FRANCE, BilledAccounts
from tests.store.invoiced_accounts import FEBRUARY, Invoicing


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    found = Invoicing(accounts)
    yield found
    found.database.dispose()
    assert_books_in_order(accounts.url)


def test_prepaid_usage_was_paid_from_the_wallet(invoicing: Invoicing) -> None:
    # bob: 0.12 a minute to Germany, to France 0.30 a minute and 0.05 once; no tax.
    # 100 s x 0.12 / 60 = 0.20; 60 s to France: 0.30 + 0.05 = 0.35. Together 0.55.
    invoicing.top_up("bob", "5")
    invoicing.call("bob", 100, day=3)
    invoicing.call("bob", 60, 4, FRANCE)
    issued = invoicing.invoice("bob")
    assert invoicing.lines(issued.invoice_id) == [("Calls (2)", eur("0.55"))]
    row = invoicing.row(issued.invoice_id)
    assert (row["total"], row["from_wallet"], row["due"], row["state"]) == (
        eur("0.55"),
        eur("0.55"),
        0,
        "paid",
    )
    assert invoicing.postings(issued.invoice_id) == {}


def test_postpaid_usage_is_asked_for(invoicing: Invoicing) -> None:
    # carol, without funds: 100 s to Germany = 0.20 owed, due in full; the wallet's debt is receivable now.
    invoicing.call("carol", 100, 3)
    issued = invoicing.invoice("carol")
    assert invoicing.row(issued.invoice_id) | {"number": ""} == {
        "state": "issued",
        "number": "",
        "net": eur("0.20"),
        "tax": 0,
        "total": eur("0.20"),
        "from_wallet": 0,
        "due": eur("0.20"),
        "open": eur("0.20"),
        "open_wallet": eur("0.20"),
    }
    assert invoicing.postings(issued.invoice_id) == {"receivable": "0.200000", "wallet:invoiced": "-0.200000"}


def test_a_wallet_that_held_half_paid_half(invoicing: Invoicing) -> None:
    # 0.10 were there, 0.20 were used: 0.10 is due.
    invoicing.top_up("carol", "0.10")
    invoicing.call("carol", 100, 3)
    issued = invoicing.invoice("carol")
    row = invoicing.row(issued.invoice_id)
    assert (row["from_wallet"], row["due"], row["open_wallet"]) == (eur("0.10"), eur("0.10"), eur("0.10"))


def test_a_late_record_is_on_the_next_invoice(invoicing: Invoicing) -> None:
    invoicing.call("carol", 100, 3)
    first = invoicing.invoice("carol")
    invoicing.call("carol", 50, 5)  # of January, known in February
    invoicing.call("carol", 200, 33)
    again = invoicing.draft("carol")
    assert isinstance(again, Drafted)
    assert (again.invoice_id, again.repeated) == (first.invoice_id, True)
    second = invoicing.invoice("carol", FEBRUARY)
    assert invoicing.lines(second.invoice_id) == [("Calls (2)", eur("0.50"))]  # 0.10 + 0.40
    assert invoicing.balance(LedgerCode.RECEIVABLE) == eur("0.70")


def test_nothing_used_makes_no_invoice(invoicing: Invoicing) -> None:
    assert isinstance(invoicing.draft("hot"), Nothing)
