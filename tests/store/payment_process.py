"""A process that takes payments through the scripted gateway, and may die at a commit. Run by tests.

Words: url, the gateway's file, the time, where to die (before:2 is before its second commit; empty: nowhere),
what to do, and with what.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from pbxbill.billing.payments.gateway_payments import GatewayDesk, NewGatewayPayment
from pbxbill.billing.payments.refunds import NewRefund, RefundDesk
from pbxbill.billing.payments.webhook_handling import receive_webhook
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine
from tests.small_operator import eur
from tests.store.scripted_gateway import ScriptedGateway


class DyingDesk(GatewayDesk):
    """Kills its own process before a commit, or after it."""

    dies_at = ""
    commits = 0

    @contextmanager
    def writing(self) -> Iterator[Any]:
        self.commits += 1
        number = self.commits
        with super().writing() as found:
            yield found
            if self.dies_at == f"before:{number}":
                os.kill(os.getpid(), signal.SIGKILL)
        if self.dies_at == f"after:{number}":
            os.kill(os.getpid(), signal.SIGKILL)


def say(word: object) -> None:
    print(word, flush=True)  # noqa: T201 what the parent reads


def main() -> None:
    url, path, now_us, dies_at, what, *words = sys.argv[1:]
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gateway, clock = ScriptedGateway(Path(path)), ManualClock(int(now_us))
    books = Bookkeeper(lambda: connect(url), clock)
    desk = DyingDesk(open_engine(url), books, clock, opened=lambda row: gateway)
    desk.dies_at = dies_at
    say("ready")
    sys.stdin.readline()  # all processes begin together
    match what:
        case "start":
            say(desk.start_payment(int(words[0]), NewGatewayPayment(eur("10"), "EUR")).state)
        case "charge":
            say(desk.charge_method(int(words[0]), NewGatewayPayment(eur("10"), "EUR")).state)
        case "webhook":
            at, signature, body = words
            headers = {"x-at": at, "x-signature": signature}
            say(receive_webhook(desk, "cards", headers, body.encode()).status)
        case "refund":
            say(RefundDesk(desk).refund(int(words[0]), NewRefund("wished")).state)
        case "poll":
            say(desk.poll_due() + RefundDesk(desk).poll_due())
        case _:
            raise SystemExit(f"nobody knows how to {what}")


if __name__ == "__main__":
    main()
