"""A wallet that fills itself from a saved card, and what tests do with it."""

from typing import Any

from pbxbill.billing.payments.auto_top_up_attempts import fill_wallets
from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, set_auto_top_up
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.charging.events import Adjust, Moved
from pbxbill.ids import new_id
from tests.small_operator import eur
from tests.store.paying_accounts import Paying


class Filling(Paying):
    """bob's wallet is filled with 20 EUR once it holds less than 5."""

    def set(self, below: str = "5", amount: str = "20", **more: Any) -> None:
        caps = {name: eur(value) for name, value in more.items() if name.endswith("_cap")}
        terms = AutoTopUpTerms(eur(below), eur(amount), more.get("method_id"), **caps)
        with self.transaction() as session:
            set_auto_top_up(session, self.account(session, "bob"), "EUR", terms, self.clock.now_us())

    def spend(self, amount: str) -> None:
        command = Adjust(new_id(), self.accounts.ids["bob"], "EUR", -eur(amount), self.clock.now_us())
        with self.transaction() as session:
            (outcome,) = self.books.post(session, [command])
        assert isinstance(outcome, Moved)

    def jobs(self) -> str:
        """What the jobs do within a second or two."""
        told = []
        for _ in range(2):
            self.later(1)
            read_marks(self.database, self.clock)
            told.append(fill_wallets(self.desk).told())
        return "; ".join(filter(None, told))

    @property
    def standing_row(self) -> tuple[str, int, bool]:
        """State, declines, and whether an attempt is under way."""
        ((state, declines, payment_id),) = self.accounts.select(
            "SELECT state, declines, payment_id FROM auto_top_ups"
        )
        return state, declines, payment_id is not None
