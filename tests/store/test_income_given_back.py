"""What is given back lessens the income that it was: of a DID, numbers, not subscriptions.

A number costs 3.10 a month in advance and 1.00 to connect; bob has it from 2026-01-01 and gives it back on
the 11th: 21 of 31 days come back, 3.10 * 21 / 31 = 2.10. January has earned 3.10 - 2.10 = 1.00 of it.
"""

from collections.abc import Iterator

import pytest

from pbxbill.billing.charge import ChargeKind, income_of
from pbxbill.billing.subscriptions.charges_by_hand import withdraw_charge
from pbxbill.billing.subscriptions.did_inventory import add_did
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.billing.subscriptions.subscribing import When
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.accounts import account_by_code
from tests.store.billed_accounts import BilledAccounts
from tests.store.booked_months import BookedMonths, open_books_of

NUMBER = "4930555001"
PLAN = """
unit = "EUR"
kind = "did"
collection = "{collection}"
timing = "{timing}"
[[charge]]
name = "Number"
price = "3.10"
[[charge]]
name = "Connection"
type = "set_up"
price = "1"
"""


@pytest.fixture
def months(accounts: BilledAccounts) -> Iterator[BookedMonths]:
    opened = open_books_of(accounts)
    yield opened
    opened.close()
    assert accounts.problems() == []


def have_the_number_for_ten_days(
    months: BookedMonths, code: str, collection: str = "wallet", timing: str = "advance"
) -> None:
    shop = months.shop
    version = shop.plan("number", PLAN.format(collection=collection, timing=timing))
    with shop.session() as session:
        add_did(session, issuer_by_code(session, None), NUMBER, shop.now_us)
        account = account_by_code(session, code)
        assign_did(session, shop.books, NUMBER, account, Assignment(version), shop.now_us)
    shop.at("2026-01-11")
    with shop.session() as session:
        release_did(session, shop.books, NUMBER, When(), shop.now_us)


def test_a_number_given_back_takes_from_the_income_of_numbers(months: BookedMonths) -> None:
    months.shop.top_up("bob", "10")
    have_the_number_for_ten_days(months, "bob")
    # What is not earned: 3.10 - 2.10.
    assert months.shop.balances() == {
        "cash": "10.00",
        "deferred:revenue": "-1.00",
        "revenue:dids": "-1.00",  # the connection
    }
    months.recognise("2026-02-01")
    assert months.shop.balances() == {"cash": "10.00", "revenue:dids": "-2.00"}
    # 3.10 earned of the number, 2.10 taken back: one leg of the one entry of January.
    assert months.earned_entries() == ["2026-01-31 2 charges | deferred:revenue 1.00; revenue:dids -1.00"]
    assert months.accounts.select("SELECT kind, gives_back FROM charges WHERE net < 0") == [
        ("credit", "did_recurring")
    ]


def test_so_does_one_that_the_invoice_gives_back(months: BookedMonths) -> None:
    have_the_number_for_ten_days(months, "carol", "invoice")
    months.shop.at("2026-02-01")
    issued = months.invoicing.invoice("carol")
    lines = months.accounts.select("SELECT kind, ledger_code, net FROM invoice_lines ORDER BY position")
    assert lines == [
        ("did_set_up", "revenue:dids", 1_000_000),
        ("did_recurring", "revenue:dids", 3_100_000),
        ("credit", "revenue:dids", -2_100_000),
    ]
    assert issued.total == 2_000_000
    months.recognise("2026-03-01")
    assert months.shop.balances() == {"receivable": "2.00", "revenue:dids": "-2.00"}


def test_what_was_withdrawn_comes_from_where_it_went(months: BookedMonths) -> None:
    """In arrears the ten days cost 1.00, earned at once; it is withdrawn, and so is the connection."""
    months.shop.top_up("bob", "10")
    have_the_number_for_ten_days(months, "bob", timing="arrears")
    assert months.shop.balances() == {"cash": "10.00", "revenue:dids": "-2.00"}
    ids = [row[0] for row in months.accounts.select("SELECT id FROM charges ORDER BY id")]
    with months.shop.session() as session:
        for id in ids:
            withdraw_charge(session, months.shop.books, id, "never worked", months.shop.now_us)
    assert months.shop.balances() == {"cash": "10.00"}
    assert months.shop.charges("bob")[-1][1:] == ("Withdrawn: number: Number", "-1.00")


def test_a_credit_of_nothing_in_particular_takes_from_subscriptions() -> None:
    assert income_of(ChargeKind.CREDIT) is LedgerCode.REVENUE_RECURRING
    assert income_of(ChargeKind.CREDIT, ChargeKind.DID_RECURRING) is LedgerCode.REVENUE_DIDS
    assert income_of(ChargeKind.LATE_FEE) is LedgerCode.REVENUE_FEES
