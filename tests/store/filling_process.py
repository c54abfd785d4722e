"""A process that fills wallets from saved cards, and may die at a commit. Run by tests.

Words: url, the gateway's file, the time, where to die (before:2 is before its second commit; empty: nowhere).
"""

import sys
from pathlib import Path

import structlog

from pbxbill.billing.payments.auto_top_up_attempts import fill_wallets
from pbxbill.billing.payments.balance_marks import read_marks
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine
from tests.store.payment_process import DyingDesk, say
from tests.store.scripted_gateway import ScriptedGateway


def main() -> None:
    url, path, now_us, dies_at = sys.argv[1:]
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gateway, clock = ScriptedGateway(Path(path)), ManualClock(int(now_us))
    books = Bookkeeper(lambda: connect(url), clock)
    desk = DyingDesk(open_engine(url), books, clock, opened=lambda row: gateway)
    desk.dies_at = dies_at
    say("ready")
    sys.stdin.readline()  # all processes begin together
    read_marks(desk.database, clock)
    say(fill_wallets(desk).told() or "nothing")


if __name__ == "__main__":
    main()
