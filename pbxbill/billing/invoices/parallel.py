"""Several processes work on one billing run: each takes the accounts that no other has locked.

Processes and not threads: most of the work is reckoning in Python. SQLite lets one write at a time, so there
the run is worked on by this process alone. A process that is asked to stop finishes its account first; one
that dies leaves its account as it was, to be billed by another, or by the run's next start.
"""

import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess

import structlog

from pbxbill.billing.invoices.runs import Counts, Worker, counts
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US, Clock, SystemClock
from pbxbill.errors import PbxbillError
from pbxbill.store.driver import Driver, connect
from pbxbill.store.engine import open_engine, reading, transaction
from pbxbill.store.live import open_news

LOOK_S = 0.5
"""How often the database is asked how far the run is."""
STOP_TIMEOUT_US = 120 * SECOND_US
"""How long a process may take to finish its account once it is asked to stop."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Task:
    """What each process is told."""

    database_url: str
    redis_url: str | None
    run_id: int
    clock: Clock


def work_in_processes(  # noqa: PLR0913 what a run in processes goes by
    database_url: str,
    redis_url: str | None,
    run_id: int,
    processes: int,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[Counts], None] = lambda now: None,
    *,
    clock: Clock | None = None,
) -> bool:
    """Bill the accounts of a run that wait, until none does or stop() says so; whether none waits.

    tell: hears now and then how far the run is. clock: handed to the processes as it stands.
    """
    task = _Task(database_url, redis_url, run_id, clock or SystemClock())
    database = open_engine(database_url)

    def look() -> Counts:
        with transaction(reading(database)) as session:
            now = counts(session, run_id)
        tell(now)
        return now

    try:
        if database.dialect.name == "sqlite" or processes == 1:
            _bill(task, stop, _now_and_then(look, task.clock))
        else:
            before = look().waiting
            while before:
                _work_there(task, processes, stop, look)
                now = look().waiting
                if stop() or now == before:
                    break
                before = now  # accounts of a process that died wait again
        return not look().waiting
    finally:
        database.dispose()


def _now_and_then(look: Callable[[], Counts], clock: Clock) -> Callable[[object], None]:
    looked_us = clock.monotonic_us()

    def heard(_billed: object) -> None:
        nonlocal looked_us
        if clock.monotonic_us() - looked_us >= LOOK_S * SECOND_US:
            look()
            looked_us = clock.monotonic_us()

    return heard


def _bill(
    task: _Task, stop: Callable[[], bool], tell: Callable[[object], None] = lambda billed: None
) -> None:
    """One worker with all that it needs of its own."""

    def open_driver() -> Driver:
        return connect(task.database_url)

    database = open_engine(task.database_url)
    news = open_news(open_driver, task.redis_url)
    try:
        books = Bookkeeper(open_driver, task.clock, news.publish)
        Worker(database, books, task.clock, task.run_id).work(stop, tell)
    finally:
        news.stop()
        database.dispose()


def _work_there(task: _Task, processes: int, stop: Callable[[], bool], look: Callable[[], Counts]) -> None:
    # Forked from this process they would share its connections: they are from one that has loaded what they
    # need, once for all, and nothing else.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    workers = [
        context.Process(target=_process, args=(task,), name=f"billing-{number}", daemon=True)
        for number in range(1, processes + 1)
    ]
    try:
        for worker in workers:
            worker.start()
        _watch(workers, stop, look)
    finally:
        _end(workers, task.clock)
    for worker in workers:
        if worker.exitcode:
            _log.error(
                "billing_process_died", run=task.run_id, process=worker.name, exit_code=worker.exitcode
            )


def _watch(
    workers: Sequence[ForkServerProcess], stop: Callable[[], bool], look: Callable[[], Counts]
) -> None:
    """Until all have ended: each ends when it finds no account that waits."""
    running = list(workers)
    while running and not stop():
        multiprocessing.connection.wait([worker.sentinel for worker in running], LOOK_S)
        running = [worker for worker in running if worker.is_alive()]
        look()


def _end(workers: Sequence[ForkServerProcess], clock: Clock) -> None:
    started = [worker for worker in workers if worker.pid is not None]
    for worker in started:
        if worker.is_alive():
            worker.terminate()
    deadline_us = clock.monotonic_us() + STOP_TIMEOUT_US
    for worker in started:
        worker.join(max(0, deadline_us - clock.monotonic_us()) / SECOND_US)
        if worker.is_alive():
            worker.kill()  # its transaction is undone, and the account is billed by the next start
            worker.join()


def _process(task: _Task) -> None:
    """What a process does; it ends after an account when it is asked to, or when its parent is gone."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    parent = multiprocessing.parent_process()

    def stop() -> bool:
        return asked or parent is None or not parent.is_alive()

    try:
        _bill(task, stop)
    except PbxbillError as error:
        _log.error("billing_process_ended", run=task.run_id, error=str(error))
        raise SystemExit(1) from error
