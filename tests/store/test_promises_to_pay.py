"""Promises to pay: who gave one is left alone until its day is over; kept, broken, withdrawn."""

from collections.abc import Iterator
from datetime import date

import pytest

from pbxbill.billing.dunning.ageing import behaviour
from pbxbill.billing.dunning.promises_to_pay import NewPromise, promise, withdraw
from pbxbill.errors import InputRefused
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.dunned_accounts import Dunned


class Promising(Dunned):
    def promise(self, until: str, amount: str | None = None) -> int:
        part = None if amount is None else eur(amount)
        with self.session() as session:
            account = session.get_one(AccountRow, self.accounts.ids["carol"])
            new = NewPromise("EUR", date.fromisoformat(until), None, part)
            return promise(session, account, new, self.clock.now_us()).id

    def states(self) -> list[str]:
        return [state for (state,) in self.accounts.select("SELECT state FROM promises_to_pay ORDER BY id")]


@pytest.fixture
def dunned(accounts: BilledAccounts) -> Iterator[Promising]:
    opened = Promising(accounts)
    opened.open()
    opened.until(20)  # 7 March
    assert opened.status() == "no_outgoing"
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


def test_a_promise_lifts_the_bar_and_a_broken_one_puts_it_back(dunned: Promising) -> None:
    dunned.promise("2026-03-17")
    assert dunned.status() == "active"
    dunned.until(30)
    assert dunned.states() == ["open"]
    assert len(dunned.steps()) == 3
    dunned.until(31)
    assert dunned.states() == ["broken"]
    assert dunned.mail()[-1][0] == "promise_broken"
    assert dunned.status() == "no_outgoing"
    dunned.until(41)
    assert dunned.status() == "suspended"


def test_a_promise_is_kept_by_what_was_promised_and_the_rest_is_dunned_on(dunned: Promising) -> None:
    dunned.promise("2026-03-17", "8")
    dunned.until(25)
    dunned.pay("5")
    assert dunned.states() == ["open"]
    dunned.pay("3")
    assert dunned.states() == ["kept"]
    assert dunned.status() == "active"
    dunned.run()
    assert dunned.status() == "no_outgoing"
    dunned.pay("4")
    assert dunned.status() == "active"


def test_a_payment_that_bounces_breaks_no_promise_before_its_day(dunned: Promising) -> None:
    dunned.promise("2026-03-17")
    entry_id = dunned.pay("11").entry_id
    dunned.take_back(entry_id)
    assert dunned.states() == ["open"]
    dunned.until(30)
    dunned.pay("12")
    assert dunned.states() == ["kept"]
    with dunned.session() as session:
        account = session.get_one(AccountRow, dunned.accounts.ids["carol"])
        paid = behaviour(session, account, dunned.clock.now_us())
    assert (paid.paid, paid.late, paid.average_days_late, paid.late_percent) == (1, 1, 30, 100)
    assert (paid.bounced, paid.promises, paid.broken) == (1, 1, 0)


def test_a_withdrawn_promise_lets_dunning_go_on(dunned: Promising) -> None:
    promise_id = dunned.promise("2026-03-17")
    with dunned.session() as session:
        withdraw(session, promise_id, dunned.clock.now_us())
    dunned.run()
    assert dunned.status() == "no_outgoing"
    with dunned.session() as session, pytest.raises(InputRefused, match="is withdrawn already"):
        withdraw(session, promise_id, dunned.clock.now_us())


def test_promises_have_bounds(dunned: Promising) -> None:
    with pytest.raises(InputRefused, match="from 2026-03-07 to 2026-03-21"):
        dunned.promise("2026-03-22")
    with pytest.raises(InputRefused, match=r"only 12\.00 EUR is open"):
        dunned.promise("2026-03-17", "12.01")
    dunned.promise("2026-03-17")
    with pytest.raises(InputRefused, match="is open already"):
        dunned.promise("2026-03-18")
