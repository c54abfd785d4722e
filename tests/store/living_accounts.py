"""A shop whose prepaid customers go through their life-cycle, on a clock that a test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.account_events import events_of
from pbxbill.billing.life_cycle.life_cycle import prolong
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    import_policy,
)
from pbxbill.billing.life_cycle.life_cycle_runs import LifeCycleRun, run_life_cycles
from pbxbill.billing.period import local_date
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.store.accounts import account_by_code
from pbxbill.store.dunning_models import LifeCycleRow
from tests.small_operator import eur
from tests.store.subscribed_accounts import Shop, moment_us

POLICY = """
alerts = [7, 1]
brake_accounts = 5
[validity]
days = 30
minimum = { EUR = "5.00" }
[stages]
no_outgoing = 0
suspended = 10
inactive = 20
terminated = 40
"""
PLAN = """
unit = "EUR"
kind = "service"
cycle = "month"
anchor = "sign_up"
[[charge]]
name = "Line"
price = "3.00"
"""


@dataclass
class Living:
    """A shop whose prepaid customers go through their life-cycle."""

    shop: Shop

    @contextmanager
    def billing(self) -> Iterator[tuple[Session, Bookkeeper]]:
        with self.shop.session() as session:
            yield session, self.shop.books
        self.shop.books.announce()

    def policy(self, text: str = POLICY, name: str = "prepaid", *, standard: bool = True) -> None:
        with self.shop.session() as session:
            operator = issuer_by_code(session, None)
            import_policy(session, operator, name, text, self.shop.now_us, standard=standard)

    def run(self, day: str = "") -> LifeCycleRun:
        if day:
            self.shop.at(day)
        return run_life_cycles(self.shop.database, self.billing, self.shop.clock)

    def days(self, first: str, last: str) -> None:
        """A run each day, at nine."""
        at_us = moment_us(first) + 9 * 3_600_000_000
        while at_us < moment_us(last):
            self.shop.clock.step(at_us - self.shop.now_us)
            self.run()
            at_us += 86_400_000_000

    def top_up(self, code: str, amount: str, validity_days: int | None = None) -> None:
        self.shop.top_up(code, amount)
        with self.shop.session() as session:
            account_id = account_by_code(session, code).id
            prolong(
                session,
                account_id,
                unit="EUR",
                amount=eur(amount),
                now_us=self.shop.now_us,
                validity_days=validity_days,
            )

    def status(self, code: str) -> str:
        with self.shop.session() as session:
            return account_by_code(session, code).status

    def valid_to(self, code: str) -> int | None:
        with self.shop.session() as session:
            return session.get_one(LifeCycleRow, account_by_code(session, code).id).valid_to_us

    def events(self, code: str, *kinds: str) -> list[tuple[str, str, str]]:
        """(day, kind, detail), the first first."""
        with self.shop.session() as session:
            rows = events_of(session, account_by_code(session, code).id)[::-1]
            wanted = [row for row in rows if row.kind in kinds or not kinds]
            return [(self.shop_day(row.at_us), row.kind, row.detail) for row in wanted]

    def shop_day(self, at_us: int) -> str:
        return str(local_date(at_us, self.shop.zone))
