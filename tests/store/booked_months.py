"""Two months of an operator's books that are worked out by hand: what tests of the books stand on.

January 2026, UTC. bob (prepaid) tops up 100.00 and subscribes on the 1st: 10.00 for the set-up, 31.00 a
month in advance. carol (postpaid) subscribes to a desk at 90.00 a quarter, which her invoice asks for, and
calls for 0.20.

February. On the 1st carol is invoiced 90.20, and bob pays his month. On the 10th carol pays 50.00: 0.20 of
it into her wallet. On the 11th bob leaves: 10 of 28 days are used, 310 / 28 = 11.0714285..., 11.071429, and
19.928571 come back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from pbxbill.billing.books.recognition import Recognised, recognise_all
from pbxbill.billing.payments.payments import NewPayment, record_payment
from pbxbill.billing.subscriptions.subscribing import When, cancel
from pbxbill.ids import new_id
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import Invoicing
from tests.store.subscribed_accounts import Shop, moment_us, open_shop

LINE = """
unit = "EUR"
[[charge]]
name = "Line"
price = "31"
[[charge]]
name = "Set-up"
type = "set_up"
quantity = "flat"
price = "10"
"""
DESK = """
unit = "EUR"
cycle = "quarter"
collection = "invoice"
[[charge]]
name = "Desk"
price = "90"
"""


@dataclass
class BookedMonths:
    """The operator, and what a test asks of his books."""

    shop: Shop
    invoicing: Invoicing
    invoice_id: int = 0

    @property
    def accounts(self) -> BilledAccounts:
        return self.shop.accounts

    def january(self) -> None:
        for name, plan in (("line", LINE), ("desk", DESK)):
            self.shop.plan(name, plan)
        self.shop.top_up("bob", "100")
        self.bob = self.shop.subscribe("bob", "line")
        self.shop.subscribe("carol", "desk")
        self.invoicing.call("carol", 100, day=3)

    def february(self) -> None:
        self.shop.at("2026-02-01")
        self.invoice_id = self.invoicing.invoice("carol").invoice_id
        self.shop.charge("bob")
        self.shop.at("2026-02-10")
        self.pay("50")
        self.shop.at("2026-02-11")
        self.shop.does(cancel, self.bob, When(reason="moves away"))

    def pay(self, amount: str) -> None:
        """carol pays by bank."""
        with self.shop.session() as session:
            payment = NewPayment(eur(amount), "EUR", "bank", new_id())
            carol = account_by_code(session, "carol")
            record_payment(session, self.shop.books, carol, payment, self.shop.now_us)

    def close(self) -> None:
        self.shop.database.dispose()
        self.invoicing.database.dispose()

    def recognise(self, until: str, *, by_day: bool = False) -> list[Recognised]:
        until_us = self.shop.at(until)
        return list(
            recognise_all(self.shop.database, self.shop.books, until_us, self.shop.now_us, by_day=by_day)
        )

    def earned_entries(self) -> list[str]:
        """Entries of earned revenue as text: moment, memo, then each leg."""
        rows = self.accounts.select(
            "SELECT e.at_us, e.id, e.memo, l.code, p.amount FROM journal_entries e "
            "JOIN postings p ON p.entry_id = e.id JOIN ledger_accounts l ON l.id = p.ledger_account_id "
            "WHERE e.kind = 'earned' ORDER BY e.at_us, e.id, l.code"
        )
        found = []
        for (at_us, _, memo), legs in groupby(rows, key=lambda row: tuple(row[:3])):
            told = "; ".join(f"{code} {format_amount(amount, EUR)}" for *_, code, amount in legs)
            found.append(f"{_day(at_us)} {memo.partition(': ')[2]} | {told}")
        return found


def _day(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d}"


def open_books_of(accounts: BilledAccounts) -> BookedMonths:
    """Before anything has happened."""
    shop = open_shop(accounts)
    return BookedMonths(shop, Invoicing(accounts, shop.clock))


def moment(text: str) -> int:
    return moment_us(text)
