"""Accounts that earn and spend points, on a real database."""

from dataclasses import dataclass, field

from pbxbill.billing.points.points import (
    Spending,
    Spent,
    earn_by_top_up,
    expire,
    expiring_accounts,
    spend,
    take_back,
)
from pbxbill.billing.points.points_rules import NewRule, add_rule
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.invoiced_accounts import Invoicing, operator_id

POINTS = Unit("PTS", 0, 0)


@dataclass
class PointsShop(Invoicing):
    """Customers of the operator earn a point for each euro, worth a cent."""

    rule_ids: dict[str, int] = field(default_factory=dict)

    def rule(self, kind: str = "top_up", issuer: str = "", **terms: object) -> int:
        values: dict[str, object] = {
            "kind": kind,
            "points_unit": "PTS",
            "unit": "EUR",
            "per": eur("1"),
            "points": 1,
            "worth": eur("0.01"),
        }
        with self.transaction() as session:
            ensure_unit(session, POINTS)
            issuer_id = self.accounts.ids[issuer] if issuer else operator_id(session)
            new = NewRule(**(values | terms))  # type: ignore[arg-type]
            return add_rule(session, session.get_one(AccountRow, issuer_id), new, self.clock.now_us()).id

    def pay_in(self, amount: str, code: str = "bob", kind: str = "top-up") -> str:
        """A top-up that earns; its entry."""
        entry_id = self.post(code, amount, kind, 1, LedgerCode.CASH)
        self.earned(entry_id, amount, code)
        return entry_id

    def earned(self, entry_id: str, amount: str, code: str = "bob") -> int:
        with self.transaction() as session:
            account = session.get_one(AccountRow, self.accounts.ids[code])
            now_us = self.clock.now_us()
            return earn_by_top_up(
                session,
                self.books,
                account,
                unit="EUR",
                amount=eur(amount),
                entry_id=entry_id,
                now_us=now_us,
            )

    def spend(self, points: int, code: str = "bob", key: str = "") -> Spent:
        with self.transaction() as session:
            account = session.get_one(AccountRow, self.accounts.ids[code])
            return spend(
                session, self.books, account, Spending("PTS", points, "EUR", key), self.clock.now_us()
            )

    def take_back(self, entry_id: str, kept: str = "0") -> int:
        with self.transaction() as session:
            return take_back(session, self.books, entry_id, kept=eur(kept), now_us=self.clock.now_us())

    def expire(self) -> int:
        gone = 0
        for account_id, unit in expiring_accounts(self.database, self.clock.now_us()):
            with self.transaction() as session:
                gone += expire(session, self.books, account_id, unit, self.clock.now_us())
        return gone

    def points(self, code: str = "bob") -> int:
        """As the wallet says."""
        rows = self.accounts.select(
            f"SELECT posted FROM wallets WHERE unit = 'PTS' AND account_id = {self.accounts.ids[code]}"
        )
        return rows[0][0] if rows else 0

    def euros(self, code: str = "bob") -> int:
        rows = self.accounts.select(
            f"SELECT posted FROM wallets WHERE unit = 'EUR' AND account_id = {self.accounts.ids[code]}"
        )
        return int(rows[0][0])

    def left(self, code: str = "bob") -> list[int]:
        """Of the lots, in the order in which they were earned."""
        rows = self.accounts.select(
            f'SELECT "left" FROM points_lots WHERE account_id = {self.accounts.ids[code]} ORDER BY id'
        )
        return [row[0] for row in rows]
