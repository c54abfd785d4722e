"""Funds that are moved between wallets: only what the other wallet can hold."""

from pathlib import Path

import pytest

from pbxbill.billing.payments.transfers import NewTransfer, transfer_funds
from pbxbill.charging.events import Adjust, Moved
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.paying_accounts import Paying, paying_accounts


def move(paying: Paying, amount: str) -> None:
    with paying.transaction() as session:
        bob, hot = paying.account(session, "bob"), paying.account(session, "hot")
        new = NewTransfer(eur(amount), "EUR", f"gift of {amount}", "gift")
        transfer_funds(session, paying.books, bob, hot, new, paying.clock.now_us())


def test_a_wallet_takes_no_more_than_it_can_hold(accounts: BilledAccounts, tmp_path: Path) -> None:
    with paying_accounts(accounts, tmp_path) as paying:
        paying.top_up("bob", "20")
        fill = MAX_AMOUNT - eur("4") - paying.wallet("hot")
        with paying.transaction() as session:
            command = Adjust("fill", accounts.ids["hot"], "EUR", fill, paying.clock.now_us())
            (outcome,) = paying.books.post(session, [command])
        assert isinstance(outcome, Moved)
        with pytest.raises(InputRefused, match="hot cannot hold so much"):
            move(paying, "5")
        assert paying.wallet("bob") == eur("20")
        move(paying, "4")
        assert (paying.wallet("bob"), paying.wallet("hot")) == (eur("16"), MAX_AMOUNT)
