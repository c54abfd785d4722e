"""A process that works on a billing run, and says so account by account. Run by tests."""

import sys

from pbxbill.billing.invoices.runs import Definition, Worker, end_run, start_run
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction


def say(word: object) -> None:
    print(word, flush=True)  # noqa: T201 what the parent reads


def main() -> None:
    url, until_us, now_us = sys.argv[1:]
    database, clock = open_engine(url), ManualClock(int(now_us))
    books = Bookkeeper(lambda: connect(url), clock)
    say("ready")
    sys.stdin.readline()  # all processes begin together
    with transaction(database) as session:
        run_id = start_run(session, Definition(int(until_us)), clock.now_us())
    Worker(database, books, clock, run_id).work(
        tell=lambda billed: say("failed" if billed is None else "billed")
    )
    with transaction(database) as session:
        end_run(session, run_id, clock.now_us())


if __name__ == "__main__":
    main()
