"""What bench.billing runs in processes of their own: a billing run, and calls that are charged meanwhile."""

import json
import resource
import select
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from multiprocessing.forkserver import _forkserver
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import text

from bench.billing_site import DESTINATIONS
from bench.figures import percentile
from pbxbill.billing.invoices.parallel import work_in_processes
from pbxbill.billing.invoices.runs import Definition, counts, end_run, start_run
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Authorize, Direction, Granted, Settle
from pbxbill.clock import SECOND_US, SystemClock
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction

PAIRS_PER_S = 20
"""Calls that begin, and as many that end, each second: a busy hour of 1,200 simultaneous ones of a minute."""
CALL_US = 30 * SECOND_US


_WORKED = text("SELECT MAX(at_us) - MIN(at_us) FROM billing_run_accounts WHERE run_id = :run_id")


def bill(url: str, until_us: int, processes: int, reseller: str) -> None:
    """One run over all, or those below a reseller; what it took from the first account to the last."""
    clock = SystemClock()
    database = open_engine(url)
    began_s = time.perf_counter()
    with transaction(database) as session:
        run_id = start_run(session, Definition(until_us, reseller=reseller), clock.now_us())
    chosen_s = time.perf_counter() - began_s
    used_s = time.process_time()
    work_in_processes(url, None, run_id, processes)
    used_s = time.process_time() - used_s
    with transaction(database) as session:
        end_run(session, run_id, clock.now_us())
        now = counts(session, run_id)
        worked_us = session.execute(_WORKED, {"run_id": run_id}).scalar_one()
    # Processes of a run are children of the fork server's: what they used is told when that has ended.
    _forkserver._stop()  # type: ignore[attr-defined]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "done": now.done,
        "failed": now.failed,
        "waiting": now.waiting,
        "chosen_s": chosen_s,
        "took_s": worked_us / 1e6,
        "cpu_s": used_s + children.ru_utime + children.ru_stime,
        "peak_mb": max(peak_mb(), children.ru_maxrss / 1024),
    }
    print(json.dumps(found))


def peak_mb() -> float:
    """Of this process; what getrusage() says begins with its parent's."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) / 1024


def call(url: str, codes: Sequence[str]) -> None:
    """Charge calls at a steady pace, and tell at each line of standard input how long reserves took since the
    last one. They are sent when their time has come, however long the ones before take."""
    engine = ChargingEngine(lambda: connect(url), SystemClock())
    engine.start()
    random = Random(1)
    reserves: list[float] = []
    settles: list[float] = []
    denied = 0
    outstanding: list[tuple[str, Future[Any]]] = []

    def timed(command: Authorize | Settle, into: list[float]) -> Future[Any]:
        sent_ns = time.perf_counter_ns()
        future = engine.submit(command)
        future.add_done_callback(lambda _: into.append((time.perf_counter_ns() - sent_ns) / 1e6))
        return future

    next_s = time.perf_counter()
    while True:
        if select.select([sys.stdin], [], [], max(0.0, next_s - time.perf_counter()))[0]:
            if not sys.stdin.readline():
                break
            taken, reserves = reserves, []
            ended, settles = settles, []
            figures = {"calls": len(taken), "denied": denied, "settle_p99_ms": percentile(ended, 99)}
            shown = {f"p{percent}_ms": percentile(taken, percent) for percent in (50, 99)}
            print(json.dumps(figures | shown | {"max_ms": max(taken, default=0.0)}), flush=True)
            continue
        next_s += 1 / PAIRS_PER_S
        now_us = SystemClock().now_us()
        if len(outstanding) > PAIRS_PER_S:
            session_id, granted = outstanding.pop(0)
            if granted.done() and isinstance(granted.result(), Granted):
                timed(Settle(session_id, now_us, now_us + CALL_US, 16), settles)
            else:
                denied += 1
        session_id = new_id()
        number = f"{random.choice(DESTINATIONS)[2]}{random.randrange(10**7):07d}"
        request = Authorize(
            session_id,
            "bench",
            session_id,
            Direction.OUTBOUND,
            number,
            "2001",
            now_us,
            account_code=random.choice(codes),
        )
        outstanding.append((session_id, timed(request, reserves)))
    engine.stop()


if __name__ == "__main__":
    task, target, *words = sys.argv[1:]
    if task == "bill":
        bill(target, int(words[0]), int(words[1]), words[2])
    else:
        call(target, words[0].split(","))
