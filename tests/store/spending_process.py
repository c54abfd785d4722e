"""A process that spends points of an account until there are too few. Run by tests."""

import sys

from pbxbill.billing.points.points import Spending, spend
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.errors import InputRefused
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.invoiced_accounts import JANUARY_US


def main() -> None:
    url, account_id, points = sys.argv[1:]
    database = open_engine(url)
    clock = ManualClock(JANUARY_US)
    books = Bookkeeper(lambda: connect(url), clock)
    print("ready", flush=True)  # noqa: T201 what the parent reads
    sys.stdin.readline()  # all begin together
    times = 0
    while True:
        try:
            with transaction(database) as session:
                account = session.get_one(AccountRow, int(account_id))
                spend(session, books, account, Spending("PTS", int(points), "EUR"), clock.now_us())
        except InputRefused:
            break
        times += 1
    print(times, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
