"""A process that redeems codes for an account, one after the other, and may be killed. Run by tests."""

import sys

from pbxbill.billing.codes.vouchers import Redeemed, redeem
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from tests.store.invoiced_accounts import JANUARY_US


def main() -> None:
    url, account_id, *codes = sys.argv[1:]
    database = open_engine(url)
    clock = ManualClock(JANUARY_US)
    books = Bookkeeper(lambda: connect(url), clock)
    with transaction(database) as session:
        account = session.get_one(AccountRow, int(account_id))
    print("ready", flush=True)  # noqa: T201 what the parent reads
    sys.stdin.readline()  # all begin together
    for code in codes:
        with transaction(database) as session:
            outcome = redeem(session, books, account, code, channel="api", now_us=clock.now_us())
        print("redeemed" if isinstance(outcome, Redeemed) else outcome.why.value, flush=True)  # noqa: T201
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
