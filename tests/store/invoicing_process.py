"""A process that bills accounts one by one, and may be killed at any moment. Run by tests."""

import sys

from pbxbill.billing.invoices.billed import RunMemory
from pbxbill.billing.invoices.drafting import Drafted, draft_period
from pbxbill.billing.invoices.issuing import issue
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from tests.store.invoiced_accounts import JANUARY


def main() -> None:
    url, *ids = sys.argv[1:]
    database = open_engine(url)
    clock = ManualClock(JANUARY.to_us)
    books = Bookkeeper(lambda: connect(url), clock)
    memory = RunMemory()
    print("ready", flush=True)  # noqa: T201 what the parent reads
    sys.stdin.readline()  # all begin together
    for account_id in map(int, ids):
        with transaction(database) as session:
            drafted = draft_period(session, account_id, "EUR", JANUARY, clock.now_us(), memory=memory)
        if isinstance(drafted, Drafted):
            with transaction(database) as session:
                issue(session, books, drafted.invoice_id, clock.now_us())
        print(account_id, flush=True)  # noqa: T201
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
