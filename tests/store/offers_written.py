"""Bundles and limits that somebody writes while engines run, and the engines, several at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.orm import Session

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Granted,
    Settle,
    Settled,
)
from pbxbill.clock import Clock
from pbxbill.store.accounts import account_by_code
from pbxbill.store.bundles import NewBundle, add_bundle, give_bundle
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.limits import NewLimit, set_limit
from tests.small_operator import seconds
from tests.store.billed_accounts import CLOCK, BilledAccounts

DAY_US = 86_400_000_000


@contextmanager
def written(accounts: BilledAccounts) -> Iterator[Session]:
    """What somebody changes by a command line, committed."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        yield session
    database.dispose()


def give(accounts: BilledAccounts, code: str, new: NewBundle, from_us: int = 0) -> None:
    with written(accounts) as session:
        give_bundle(session, account_by_code(session, code), add_bundle(session, new), from_us)


def limit(accounts: BilledAccounts, code: str, new: NewLimit) -> int:
    with written(accounts) as session:
        return set_limit(session, account_by_code(session, code), new).id


@contextmanager
def two_engines(accounts: BilledAccounts, clock: Clock = CLOCK) -> Iterator[list[ChargingEngine]]:
    with ExitStack() as stack:
        yield [stack.enter_context(engine_of(accounts, clock)) for _ in range(2)]


@contextmanager
def engine_of(accounts: BilledAccounts, clock: Clock = CLOCK) -> Iterator[ChargingEngine]:
    engine = ChargingEngine(lambda: connect(accounts.url), clock)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def at_once(
    engines: list[ChargingEngine], work: Callable[[ChargingEngine, int], None], threads: int = 6
) -> None:
    """Several threads on each of several engines."""
    faults: list[BaseException] = []

    def guarded(engine: ChargingEngine, number: int) -> None:
        try:
            work(engine, number)
        except BaseException as error:
            faults.append(error)
            raise

    running = [
        threading.Thread(target=guarded, args=(engines[number % len(engines)], number))
        for number in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert not faults


def ended(engine: ChargingEngine, granted: Granted, begun_us: int, lasts_s: int) -> Settled:
    settled = engine.execute(Settle(granted.session_id, begun_us, begun_us + seconds(lasts_s), 16))
    assert isinstance(settled, Settled), settled
    return settled


def counter(accounts: BilledAccounts, kind: str) -> list[tuple[int, int, int]]:
    """(allowed, used, reserved) by window."""
    statement = f"SELECT allowed, used, reserved FROM counters WHERE kind = '{kind}' ORDER BY window_from_us"
    return [tuple(row) for row in accounts.select(statement)]
