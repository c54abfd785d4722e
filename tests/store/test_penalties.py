"""Penalties in the books: each period and each level charges once, with the issuer's taxes, up to the cap."""

from collections.abc import Iterator

import pytest

from pbxbill.billing.dunning.dunning_catalogue import (
    assign_penalty,
    import_penalty,
    import_policy,
    make_standard,
    penalty_by_name,
)
from pbxbill.store.models import AccountRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.dunned_accounts import Dunned
from tests.store.invoiced_accounts import DAY_US, FEBRUARY, FEBRUARY_US, JANUARY, operator_id

ONE_LEVEL = 'penalty = "late"\n[[level]]\ndays = 700\n'


class Late(Dunned):
    def late(self, penalty: str, policy: str = ONE_LEVEL) -> None:
        with self.transaction() as session:
            operator = session.get_one(AccountRow, operator_id(session))
            import_penalty(session, operator, "late", penalty, 0)
            made = import_policy(session, operator, "late", policy, 0)
            make_standard(session, made.id, 0)

    def charges(self) -> list[tuple[int, int]]:
        """Day on which it was charged, counted from the due day, and how much."""
        rows = self.accounts.select("SELECT at_us, net FROM charges WHERE kind = 'late_fee' ORDER BY id")
        return [((at_us - FEBRUARY_US) // DAY_US - 14, net) for at_us, net in rows]


@pytest.fixture
def dunned(accounts: BilledAccounts) -> Iterator[Late]:
    opened = Late(accounts)
    opened.call("carol", 6000, 3)
    opened.invoice_id = opened.invoice("carol", JANUARY).invoice_id
    yield opened
    opened.database.dispose()
    assert_books_in_order(accounts.url)


def test_each_month_that_is_over_costs_its_share_once(dunned: Late) -> None:
    dunned.late('unit = "EUR"\npercent = "1.5"\nperiod = "month"\n')
    for day in (10, 28, 29, 59, 60):  # months since 16 February are over on 16 March and 16 April
        dunned.day(day)
        dunned.run()
        dunned.run()
    assert dunned.charges() == [(29, eur("0.18")), (60, eur("0.18"))]


def test_what_was_missed_is_charged_together_up_to_the_cap(dunned: Late) -> None:
    dunned.late('unit = "EUR"\nfixed = "2"\nperiod = "month"\ncap = "5"\n')
    dunned.day(60)
    dunned.run()
    assert dunned.charges() == [(60, eur("4"))]
    dunned.until(160)
    assert dunned.charges() == [(60, eur("4")), (90, eur("1"))]


@pytest.mark.parametrize("per", ["item", "customer"])
def test_of_many_periods_three_a_day_are_charged_and_people_are_told(dunned: Late, per: str) -> None:
    dunned.late(f'unit = "EUR"\nfixed = "2"\nperiod = "week"\nper = "{per}"\n')
    dunned.day(50)  # seven weeks since the 16th are over: the clock jumped, or nothing ran
    for hour in (9, 10, 23):
        dunned.day(50, hour)
        dunned.run()
    assert dunned.charges() == [(50, eur("6"))]
    ((subject, detail),) = dunned.accounts.select(
        "SELECT subject, detail FROM alerts WHERE kind = 'late_charges_held'"
    )
    assert subject == "account carol"
    assert "`pbxbill dunning pause` stops it" in detail
    dunned.until(60)
    assert dunned.charges() == [(50, eur("6")), (51, eur("6")), (52, eur("2")), (57, eur("2"))]


def test_a_penalty_of_the_customer_comes_once_whatever_is_overdue(dunned: Late) -> None:
    dunned.call("carol", 600, 35)
    dunned.invoice("carol", FEBRUARY)
    dunned.late('unit = "EUR"\nfixed = "2"\nperiod = "month"\nper = "customer"\n')
    dunned.until(95)
    assert [net for _, net in dunned.charges()] == [eur("2")] * 3


def test_the_class_of_an_account_goes_before_the_policys(dunned: Late) -> None:
    dunned.late('unit = "EUR"\nfixed = "2"\ngrace_days = 5\n')
    with dunned.transaction() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        import_penalty(session, operator, "own", 'unit = "EUR"\nfixed = "7"\n', 0)
        account = session.get_one(AccountRow, dunned.accounts.ids["carol"])
        assign_penalty(session, account, penalty_by_name(session, operator, "own"), 0)
    dunned.until(10)
    assert dunned.charges() == [(1, eur("7"))]


def test_the_issuers_taxes_are_on_the_next_invoice(dunned: Late) -> None:
    dunned.tax(19, "fee")
    dunned.late('unit = "EUR"\nfixed = "2"\n')
    dunned.until(5)
    assert dunned.charges() == [(1, eur("2"))]
    invoice_id = dunned.invoice("carol", FEBRUARY).invoice_id
    assert dunned.row(invoice_id)["total"] == eur("2.38")
    assert dunned.lines(invoice_id)[0][1] == eur("2")


def test_nothing_is_charged_for_what_is_paid_or_disputed(dunned: Late) -> None:
    dunned.late('unit = "EUR"\npercent = "10"\nperiod = "week"\n')
    dunned.until(8)
    assert dunned.charges() == [(8, eur("1.20"))]
    dunned.pay("6")
    dunned.until(15)
    assert dunned.charges()[1:] == [(15, eur("0.60"))]
    dunned.pay("6")
    dunned.until(40)
    assert len(dunned.charges()) == 2


@pytest.mark.parametrize("per", ["item", "customer"])
def test_what_was_charged_stays_charged_when_a_payment_bounces(dunned: Late, per: str) -> None:
    dunned.late(f'unit = "EUR"\nfixed = "2"\nperiod = "month"\nper = "{per}"\n')
    dunned.until(29)
    assert dunned.charges() == [(29, eur("2"))]
    entry_id = dunned.pay("12").entry_id
    dunned.until(59)
    dunned.take_back(entry_id)
    dunned.run()
    assert len(dunned.charges()) == 1
    dunned.until(60)
    assert dunned.charges() == [(29, eur("2")), (60, eur("2"))]


def test_fees_cost_no_fees(dunned: Late) -> None:
    dunned.late('unit = "EUR"\npercent = "10"\nminimum = "1.00"\n')
    dunned.until(5)
    assert dunned.charges() == [(1, eur("1.20"))]
    dunned.pay("12")
    dunned.invoice("carol", FEBRUARY)
    dunned.until(80)
    assert len(dunned.charges()) == 1, "an invoice of nothing but a fee"


def test_what_is_overdue_beside_fees_costs_its_own_share(dunned: Late) -> None:
    dunned.late('unit = "EUR"\npercent = "10"\n')
    dunned.until(5)
    dunned.call("carol", 6000, 35)
    invoice_id = dunned.invoice("carol", FEBRUARY).invoice_id
    assert dunned.row(invoice_id)["open"] == eur("13.20")
    dunned.until(80)
    assert [net for _, net in dunned.charges()] == [eur("1.20"), eur("1.20")]
