"""A minimum spend over changes of the quantity, looked at every day or late, on each database."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.subscriptions.subscribing import Wanted, When, cancel, change, pause
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import BilledAccounts
from tests.store.subscribed_accounts import Shop, moment_us, open_shop

CALLS = 'unit = "EUR"\nminimum_spend = "31"\n'


@pytest.fixture
def shop(accounts: BilledAccounts) -> Iterator[Shop]:
    opened = open_shop(accounts)
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


@pytest.mark.parametrize("days", [("2026-01-12", "2026-01-20", "2026-02-01"), ("2026-02-01",)])
def test_changes_of_the_quantity_leave_one_minimum(shop: Shop, days: tuple[str, ...]) -> None:
    shop.plan("calls", CALLS)
    id = shop.subscribe("carol", "calls")
    shop.does(change, id, Wanted(quantity=2, at_us=moment_us("2026-01-11")))
    shop.does(change, id, Wanted(quantity=3, at_us=moment_us("2026-01-16")))
    for day in days:
        shop.charge("carol", day)
    assert shop.charges("carol") == [("2026-01-01", "calls: Minimum spend", "31.00")]


def test_a_pause_divides_it(shop: Shop) -> None:
    """15 of 31 days until the 16th, whatever the quantity was."""
    shop.plan("calls", CALLS)
    id = shop.subscribe("carol", "calls")
    shop.does(change, id, Wanted(quantity=2, at_us=moment_us("2026-01-11")))
    shop.does(pause, id, When(at_us=moment_us("2026-01-16")))
    shop.charge("carol", "2026-02-02")
    assert shop.charges("carol") == [("2026-01-01", "calls: Minimum spend", "15.00")]


def test_an_end_in_the_moment_of_a_change_loses_nothing(shop: Shop) -> None:
    shop.plan("calls", CALLS)
    id = shop.subscribe("carol", "calls")
    shop.does(change, id, Wanted(quantity=2, at_us=moment_us("2026-01-11")))
    shop.does(cancel, id, When(at_us=moment_us("2026-01-11")))
    shop.charge("carol", "2026-02-02")
    assert shop.charges("carol") == [("2026-01-01", "calls: Minimum spend", "10.00")]
