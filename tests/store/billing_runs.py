"""Billing runs over the accounts of a test, and what came of them."""

from datetime import date
from typing import Any

from pbxbill.billing.invoices.drafting import discard
from pbxbill.billing.invoices.runs import (
    Counts,
    Definition,
    Failure,
    Worker,
    counts,
    end_run,
    failures,
    start_run,
)
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.driver import Row
from tests.store.invoiced_accounts import DAY_US, FEBRUARY_US, JANUARY_US, MARCH_US, Invoicing

APRIL_US = MARCH_US + 31 * DAY_US
MONTHS = (JANUARY_US, FEBRUARY_US, MARCH_US)
EVERYBODY = ("alice", "bob", "carol", "hot", "reseller")
TABLES = (
    "invoices",
    "invoice_lines",
    "invoice_entries",
    "charges",
    "journal_entries",
    "wallets",
    "gathered",
    "billing_runs",
    "billing_profiles",
    "number_sequences",
    "subscriptions",
)
"""Where a run could leave something behind."""


class Billing(Invoicing):
    """Runs over the accounts of one database."""

    def direct(self, *codes: str, **terms: object) -> None:
        """Issue what these get at once, from January on."""
        for code in codes:
            self.profile(code, **({"invoicing": "issue"} | terms))

    def profile(self, code: str, **terms: object) -> None:
        with self.transaction() as session:
            set_profile(session, self.accounts.ids[code], ProfileTerms(**terms))  # type: ignore[arg-type]
            row = session.get_one(BillingProfileRow, self.accounts.ids[code])
            if row.billed_to_us is None:
                row.billed_to_us, row.next_us = JANUARY_US, min(FEBRUARY_US, row.next_us or FEBRUARY_US)

    def start(self, until_us: int = FEBRUARY_US, **chosen: Any) -> int:
        self.clock.step(max(0, until_us - self.clock.now_us()))
        with self.transaction() as session:
            return start_run(session, Definition(until_us, **chosen), self.clock.now_us())

    def worker(self, run_id: int) -> Worker:
        return Worker(self.database, self.books, self.clock, run_id)

    def end(self, run_id: int) -> str:
        with self.transaction() as session:
            return end_run(session, run_id, self.clock.now_us())

    def run(self, until_us: int = FEBRUARY_US, **chosen: Any) -> int:
        """From the start to the end."""
        run_id = self.start(until_us, **chosen)
        assert self.worker(run_id).work()
        assert self.end(run_id) == "done"
        return run_id

    def counts(self, run_id: int) -> Counts:
        with self.transaction() as session:
            return counts(session, run_id)

    def failures(self, run_id: int) -> list[Failure]:
        with self.transaction() as session:
            return failures(session, run_id)

    def chosen(self, run_id: int) -> list[str]:
        """Codes of the accounts that a run looks at."""
        return self.codes(
            "SELECT a.code FROM billing_run_accounts r JOIN accounts a ON a.id = r.account_id "
            f"WHERE r.run_id = {run_id} ORDER BY a.code"
        )

    def codes(self, statement: str) -> list[str]:
        return [row[0] for row in self.accounts.select(statement)]

    def discard_all(self, run_id: int) -> list[bool]:
        """Discard a run's drafts, the newest first; whether their periods are open again."""
        rows = self.accounts.select(f"SELECT id FROM invoices WHERE run_id = {run_id} ORDER BY id DESC")
        with self.transaction() as session:
            return [discard(session, id, "a test", self.clock.now_us()) for (id,) in rows]

    def invoices(self) -> list[tuple[str, str, str, str]]:
        """(account, period's first day, state, total) of each."""
        rows = self.accounts.select(
            "SELECT a.code, i.from_us, i.state, i.total FROM invoices i "
            "JOIN accounts a ON a.id = i.account_id WHERE i.state <> 'discarded' ORDER BY a.code, i.from_us"
        )
        return [
            (code, day(from_us), state, f"{total / 1_000_000:.2f}") for code, from_us, state, total in rows
        ]

    def all_rows(self) -> dict[str, list[Row]]:
        """What a run could have left behind, anywhere."""
        return {table: sorted(self.accounts.select(f"SELECT * FROM {table}"), key=str) for table in TABLES}


def day(at_us: int) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + at_us // DAY_US).isoformat()
