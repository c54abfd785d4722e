"""What bench.dunning runs in a process of its own: one run on a day, and what it took."""

import json
import sys
import time

from bench.billing_process import peak_mb
from pbxbill.billing.dunning.dunning_runs import run
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine


class _Stands(ManualClock):
    """A wall clock that stands, while time is measured by the machine's."""

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000


def dun(url: str, now_us: int) -> None:
    """One run as of a moment."""
    clock = _Stands(now_us)
    database = open_engine(url)
    books = Bookkeeper(lambda: connect(url), clock)
    began_s, used_s = time.perf_counter(), time.process_time()
    done = run(database, books, clock)
    found = {
        "accounts": done.accounts,
        "steps": sum(done.steps.values()),
        "failed": done.failed,
        "stopped": len(done.brakes),
        "took_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - used_s,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    dun(sys.argv[1], int(sys.argv[2]))
