"""Invoices in the middle of a period: what came before is on them, what comes after is on the next."""

import re
from collections.abc import Iterator

import pytest

from pbxbill.billing.invoices.interim import bill_to_now
from pbxbill.billing.profiles import ProfileTerms, profile_of, set_profile
from pbxbill.errors import InputRefused
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.command_line import Ok
from tests.store.invoiced_accounts import DAY_US, JANUARY_US, Invoicing

SHOP = JANUARY_US + 9 * DAY_US + DAY_US // 2


@pytest.fixture
def billing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    made = Invoicing(accounts)
    made.clock.step(SHOP - made.clock.now_us())
    with made.transaction() as session:
        set_profile(session, accounts.ids["carol"], ProfileTerms(invoicing="issue"))
    yield made
    made.database.dispose()


def totals(billing: Invoicing) -> list[str]:
    with billing.transaction() as session:
        billed = bill_to_now(session, billing.books, billing.accounts.ids["carol"], billing.clock.now_us())
    return [f"{x.total / 1_000_000:.2f}" for x in billed.invoices if x.made]


def test_what_comes_after_it_is_on_the_next_invoice(billing: Invoicing) -> None:
    billing.call("carol", 600, 3)
    assert "1.20" in totals(billing)
    assert totals(billing) == []
    billing.call("carol", 300, 12)
    billing.clock.step(5 * DAY_US)
    assert totals(billing) == ["0.60"]
    with billing.transaction() as session:
        profile = profile_of(session, billing.accounts.ids["carol"])
    # The next period ends where that of the whole month would have.
    assert profile.next_period() == (SHOP + 5 * DAY_US, JANUARY_US + 31 * DAY_US)
    assert_books_in_order(billing.accounts.url)


def test_a_period_without_anything_goes_on(billing: Invoicing) -> None:
    totals(billing)  # what there was of the years before
    with billing.transaction() as session:
        before = profile_of(session, billing.accounts.ids["carol"]).billed_to_us
    billing.clock.step(DAY_US)
    assert totals(billing) == []
    with billing.transaction() as session:
        assert profile_of(session, billing.accounts.ids["carol"]).billed_to_us == before


def test_who_gets_no_invoices_gets_none(billing: Invoicing) -> None:
    billing.top_up("bob", "5")
    with billing.transaction() as session:
        set_profile(session, billing.accounts.ids["bob"], ProfileTerms(invoicing="none"))
        with pytest.raises(InputRefused, match="gets no invoices"):
            bill_to_now(session, billing.books, billing.accounts.ids["bob"], SHOP)
    assert billing.accounts.wallet("bob")[0] == eur("5")


def test_by_command(ok: Ok) -> None:
    ok("init")
    ok("accounts", "add", "alice", "--unit", "EUR", "--mode", "postpaid")
    assert ok("bill", "now", "alice") == "EUR: there is nothing to invoice\n"
    ok("charges", "add", "alice", "Router", "49.90", "--reason", "sold")
    assert re.fullmatch(r"draft \d+: 49\.90 EUR\n", ok("bill", "now", "alice"))
