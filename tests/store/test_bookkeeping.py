"""Money that moves within the transactions of billing, and what is left when one of them is undone."""

import pytest

from pbxbill.charging.events import TopUp
from pbxbill.ids import new_id
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit, open_wallet
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import Invoicing


class Stumbled(Exception):
    """Undoes a transaction."""


def test_books_that_an_undone_transaction_opened_are_forgotten(accounts: BilledAccounts) -> None:
    undone, other = Invoicing(accounts), Invoicing(accounts)
    with undone.transaction() as session:
        for code in ("GBP", "USD"):
            ensure_unit(session, Unit(code, 6, 2))
    with pytest.raises(Stumbled):
        _stumble(undone, accounts.ids["bob"])
    # Ids are given out again, and the catalogue's version is the one that was seen in the undone transaction.
    with other.transaction() as session:
        carol = session.get_one(AccountRow, accounts.ids["carol"])
        for code in ("USD", "GBP"):
            open_wallet(session, carol, code)
    with undone.transaction() as session:
        undone.books.post(
            session, [TopUp("top-up", accounts.ids["carol"], "GBP", 5_000_000, undone.clock.now_us())]
        )
    postings = accounts.select(
        "SELECT l.code, l.unit, p.amount FROM postings p "
        "JOIN ledger_accounts l ON l.id = p.ledger_account_id JOIN journal_entries e ON e.id = p.entry_id "
        "WHERE e.idempotency_key = 'top-up' ORDER BY l.code"
    )
    assert postings == [("cash", "GBP", 5_000_000), ("wallet", "GBP", -5_000_000)]
    assert_books_in_order(accounts.url)
    undone.database.dispose()
    other.database.dispose()


def _stumble(undone: Invoicing, account_id: int) -> None:
    with undone.transaction() as session:
        for code in ("GBP", "USD"):
            open_wallet(session, session.get_one(AccountRow, account_id), code)
        undone.books.post(session, [TopUp(new_id(), account_id, "GBP", 1, undone.clock.now_us())])
        raise Stumbled
