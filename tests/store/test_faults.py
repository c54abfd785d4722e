"""The database goes away, is locked, or is full: callers get their faults in time, and no command is lost."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from lab.postgres import PrivatePostgres
from lab.process import wait_until
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Answer,
    DenialReason,
    Denied,
    Granted,
    Moved,
    Outcome,
    Settle,
    Settled,
    TopUp,
)
from pbxbill.errors import EngineBusy, StoreUnavailable
from pbxbill.store.driver import Driver, SqliteDriver, connect
from pbxbill.store.engine import migrate
from tests.small_operator import eur, seconds
from tests.store.billed_accounts import CLOCK, MINUTE_US, BilledAccounts, open_accounts, opened_accounts

SOON_MS = 300


def funded(accounts: BilledAccounts, engine: ChargingEngine) -> None:
    for code in ("bob", "hot"):
        command = TopUp(f"first-{code}", accounts.ids[code], "EUR", eur("5"), CLOCK.now_us())
        assert isinstance(engine.execute(command), Moved)


def fault_of(future: Future[Outcome], within_s: float) -> BaseException | None:
    return future.exception(within_s)


# --- SQLite -------------------------------------------------------------------------------------


def impatient(url: str, pages: Callable[[], int] = lambda: 0) -> Callable[[], Driver]:
    """Connections that wait for a lock a tenth of a second, on a disk of so many pages (0: endless)."""

    def open_one() -> Driver:
        driver = connect(url)
        assert isinstance(driver, SqliteDriver)
        driver.select("PRAGMA busy_timeout = 100")
        driver.select(f"PRAGMA max_page_count = {pages() or 2**30}")
        return driver

    return open_one


@pytest.fixture
def accounts(sqlite_url: str) -> BilledAccounts:
    return opened_accounts(sqlite_url)


@pytest.fixture
def engine(accounts: BilledAccounts) -> Iterator[ChargingEngine]:
    engine = ChargingEngine(impatient(accounts.url), CLOCK)
    engine.start()
    funded(accounts, engine)
    yield engine
    engine.stop()
    assert accounts.problems() == []


@pytest.fixture
def locker(accounts: BilledAccounts) -> Iterator[sqlite3.Connection]:
    """Another program that may write to the database file for a long time."""
    connection = sqlite3.connect(accounts.url.removeprefix("sqlite:///"), isolation_level=None)
    yield connection
    connection.close()


def test_a_locked_database_delays_commands_and_loses_none(
    accounts: BilledAccounts, engine: ChargingEngine, locker: sqlite3.Connection
) -> None:
    granted = accounts.call(engine, "bob")
    locker.execute("BEGIN IMMEDIATE")
    now_us = CLOCK.now_us()
    patient = [
        engine.submit(Answer(granted.session_id, now_us, "leg")),
        engine.submit(Settle(granted.session_id, now_us, now_us + seconds(30), 16)),
    ]
    impatient_one = engine.submit(accounts.request("bob"), SOON_MS)
    assert isinstance(fault_of(impatient_one, 10), StoreUnavailable | EngineBusy)
    assert not any(future.done() for future in patient)
    assert engine.waiting <= 2
    locker.execute("ROLLBACK")
    settled = patient[1].result(10)
    assert isinstance(settled, Settled)
    assert settled.total == eur("0.06")
    # The one that was given up was not carried out behind its caller's back.
    assert accounts.select("SELECT COUNT(*) FROM reservations") == [(1,)]


def test_commands_of_a_call_stay_in_order_while_the_database_is_away(
    accounts: BilledAccounts, engine: ChargingEngine, locker: sqlite3.Connection
) -> None:
    locker.execute("BEGIN IMMEDIATE")
    now_us = CLOCK.now_us()
    requests = [accounts.request("bob") for _ in range(20)]
    futures: list[Future[Outcome]] = []
    for request in requests:
        futures.append(engine.submit(request))
        engine.submit(accounts.request("hot"), 1)  # given up while it waits
        futures.append(engine.submit(Settle(request.session_id, now_us, now_us + seconds(5), 16)))
        time.sleep(0.02)  # so that batches fail with some of the queue in them and some behind
    locker.execute("ROLLBACK")
    results = [future.result(20) for future in futures]
    assert all(isinstance(result, Granted | Settled) for result in results)
    assert accounts.wallet("bob") == (eur("5") - 20 * eur("0.01"), 0, 0)


def test_an_engine_that_stops_while_the_database_is_away_says_so(
    accounts: BilledAccounts, locker: sqlite3.Connection
) -> None:
    engine = ChargingEngine(impatient(accounts.url), CLOCK)
    engine.start()
    locker.execute("BEGIN IMMEDIATE")
    waiting = [engine.submit(accounts.request("bob")) for _ in range(5)]
    engine.stop(5)
    assert all(isinstance(fault_of(future, 1), EngineBusy | StoreUnavailable) for future in waiting)


def test_a_full_disk_refuses_and_recovers(accounts: BilledAccounts) -> None:
    pages = [0]
    engine = ChargingEngine(impatient(accounts.url, lambda: pages[0]), CLOCK)
    engine.start()
    funded(accounts, engine)
    engine.stop()
    ((pages[0],),) = accounts.select("PRAGMA page_count")
    engine = ChargingEngine(impatient(accounts.url, lambda: pages[0]), CLOCK)
    engine.start()
    try:
        now_us = CLOCK.now_us()
        patient = []
        for _ in range(300):
            request = accounts.request("bob")
            patient += [engine.submit(request)]
            patient += [engine.submit(Settle(request.session_id, now_us, now_us + 1, 16))]
        refused = engine.submit(accounts.request("hot"), SOON_MS)
        assert isinstance(fault_of(refused, 10), StoreUnavailable | EngineBusy)
        assert accounts.problems() == []
        assert not all(future.done() for future in patient)
        pages[0] = 0  # somebody made room
        assert all(isinstance(future.result(20), Granted | Settled | Denied) for future in patient)
    finally:
        engine.stop()
    assert accounts.select("SELECT COUNT(*) FROM cdrs") == [(300,)]
    assert accounts.problems() == []


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path) -> None:
    path = tmp_path / "pbxbill.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreUnavailable):
        ChargingEngine(lambda: connect(f"sqlite:///{path}"), CLOCK).start()


def test_an_engine_cannot_start_on_what_is_missing(tmp_path) -> None:
    with pytest.raises(StoreUnavailable):
        ChargingEngine(lambda: connect(f"sqlite:///{tmp_path}/no/such/folder/x.db"), CLOCK).start()
    with pytest.raises(StoreUnavailable):
        ChargingEngine(lambda: connect("postgresql://pbxbill@127.0.0.1:1/x"), CLOCK).start()


# --- PostgreSQL ---------------------------------------------------------------------------------


def test_a_killed_server_delays_commands_and_loses_none() -> None:
    with PrivatePostgres() as server:
        url = server.url(server.create_database())
        migrate(url)
        accounts = open_accounts(url)
        with accounts.engine() as engine:
            funded(accounts, engine)
            granted = accounts.call(engine, "bob")
            stop = threading.Event()
            flood: list[tuple[str, Future[Outcome]]] = []

            def place_calls() -> None:
                while not stop.wait(0.002) and len(flood) < 400:
                    request = accounts.request("hot")
                    flood.append((request.session_id, engine.submit(request)))

            thread = threading.Thread(target=place_calls)
            thread.start()
            wait_until(lambda: len(flood) > 50 and flood[20][1].done(), 60, "calls that are charged")
            server.kill()  # in the middle of batches
            refused = engine.submit(accounts.request("bob"), SOON_MS)
            now_us = CLOCK.now_us()
            patient = engine.submit(Settle(granted.session_id, now_us, now_us + MINUTE_US, 16))
            assert isinstance(fault_of(refused, 15), StoreUnavailable | EngineBusy)
            offline = engine.authorize_offline(accounts.request("bob"))
            assert isinstance(offline, Denied)  # prepaid: closed
            assert offline.reason is DenialReason.SERVICE_UNAVAILABLE
            passed = engine.authorize_offline(accounts.request("carol"))
            assert isinstance(passed, Granted)
            assert passed.offline
            stop.set()
            thread.join(30)
            server.start()
            settled = patient.result(30)
            assert isinstance(settled, Settled)
            assert settled.total == eur("0.12")
            outcomes = [future.result(30) for _, future in flood]
        assert all(isinstance(x, Granted | Denied) for x in outcomes)
        reserved = accounts.select("SELECT session_id FROM reservations WHERE state = 'reserved'")
        granted_sessions = {x.session_id for x in outcomes if isinstance(x, Granted)}
        assert {row[0] for row in reserved} == granted_sessions
        assert accounts.problems() == []
