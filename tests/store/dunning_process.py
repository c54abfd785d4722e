"""A process that duns until nothing is due, and may be killed at any moment. Run by tests."""

import sys

from pbxbill.billing.dunning import dunning_runs
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine


def main() -> None:
    url, now_us = sys.argv[1], int(sys.argv[2])
    dunning_runs.LONGEST_US = -1  # each account in a transaction of its own
    clock = ManualClock(now_us)
    books = Bookkeeper(lambda: connect(url), clock)
    print("ready", flush=True)  # noqa: T201 what the parent reads
    sys.stdin.readline()  # all begin together
    dunning_runs.run(open_engine(url), books, clock, tell=lambda done, of=None: print(done, flush=True))  # noqa: T201
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
