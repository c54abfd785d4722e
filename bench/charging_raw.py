"""What the charging engine is measured against: a group commit by hand, and nothing else.

It makes the rows of a call with one level durable, in the product's own tables: the batch's wallets are
locked, each table is written with one statement, and one commit serves all. There is no rating, no
decision, no look-up of accounts or of what was answered before, and no chain of accounts.
"""

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from bench.site import OpenedWallet
from pbxbill.store.driver import set_pragmas

MAX_BATCH = 500
RESERVED = 238_000
CHARGED = 119_000
TAX = 19_000
AT_US = 1_767_225_600_000_000
BOOK_OF_REVENUE, BOOK_OF_TAX = 1, 2
"""Whatever ledger accounts: nothing here looks at them."""

RESERVATION = (
    "session_id, switch, call_id, direction, account_id, caller, dialled, called, destination, state, "
    "requested_us, answered_us, paid_leg, granted_us, final, slice_s, renew_before_s, max_call_s, "
    "failure_policy, endpoint_id, gateway, shadow, created_us"
)
STEP = "session_id, verb, at_us, granted_us, reserved"
LEVEL = (
    "session_id, level, account_id, wallet_id, issuer_id, tariff_version_id, rate_id, reserved, line, "
    "exchange_id"
)
CDR = (
    "session_id, switch, call_id, direction, account_id, caller, dialled, called, destination, started_us, "
    "answered_us, ended_us, billed_us, granted_us, hangup_cause, denial, detail, evidence, shadow, "
    "created_us"
)
CHARGE = (
    "session_id, level, account_id, wallet_id, tariff_version_id, rate_id, billable_s, total, tax, "
    "uncollected, entry_id, line, exchange_id"
)
ENTRY = "id, idempotency_key, kind, unit, at_us, memo, reverses_id"
POSTING = "entry_id, line, ledger_account_id, amount"

_NUMBERS = frozenset(
    [
        *("level", "line", "amount", "reserved", "account_id", "wallet_id", "issuer_id", "tariff_version_id"),
        *("rate_id", "ledger_account_id", "requested_us", "answered_us", "started_us", "ended_us", "at_us"),
        *("created_us", "granted_us", "billed_us", "billable_s", "slice_s", "renew_before_s", "max_call_s"),
        *("hangup_cause", "total", "tax", "uncollected", "endpoint_id", "exchange_id"),
    ]
)


@dataclass(frozen=True, slots=True)
class RawReserve:
    """Earmark RESERVED for a session."""

    session_id: str
    wallet: OpenedWallet


@dataclass(frozen=True, slots=True)
class RawSettle:
    """Charge a session that was reserved."""

    session_id: str
    wallet: OpenedWallet


RawCommand = RawReserve | RawSettle


class RawGroupCommit(ABC):
    """A queue and one worker, as the engine has them."""

    def __init__(self) -> None:
        self._queue: deque[tuple[RawCommand, Future[None]]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="raw", daemon=True)
        self._thread.start()

    def submit(self, command: RawCommand) -> Future[None]:
        """Queue a command; the future is answered once it is durable."""
        future: Future[None] = Future()
        with self._wake:
            self._queue.append((command, future))
            self._wake.notify()
        return future

    def stop(self) -> None:
        """End the worker."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._stopping:
                    self._wake.wait()
                if self._stopping:
                    break
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            try:
                self._transaction([command for command, _ in batch])
            except (sqlite3.Error, psycopg.Error) as fault:
                for _, future in batch:
                    future.set_exception(fault)
                continue
            for _, future in batch:
                future.set_result(None)
        self._close()

    def _transaction(self, commands: Sequence[RawCommand]) -> None:
        reserves = [command for command in commands if isinstance(command, RawReserve)]
        settles = [command for command in commands if isinstance(command, RawSettle)]
        posted = Counter[int]()
        reserved = Counter[int]()
        for command in reserves:
            reserved[command.wallet.wallet_id] += RESERVED
        for settle in settles:
            posted[settle.wallet.wallet_id] -= CHARGED
            reserved[settle.wallet.wallet_id] -= RESERVED
        self._begin(sorted(reserved))
        if reserves:
            self._insert("reservations", RESERVATION, [_reservation(command) for command in reserves])
            self._insert("reservation_levels", LEVEL, [_level(command) for command in reserves])
            self._insert("reservation_steps", STEP, [_step(command) for command in reserves])
        if settles:
            self._close_reservations([settle.session_id for settle in settles])
            self._insert("cdrs", CDR, [_cdr(settle) for settle in settles])
            self._insert("call_charges", CHARGE, [_charge(settle) for settle in settles])
            self._insert("journal_entries", ENTRY, [_entry(settle) for settle in settles])
            self._insert("postings", POSTING, [row for settle in settles for row in _postings(settle)])
        self._move_wallets([(posted[wallet_id], reserved[wallet_id], wallet_id) for wallet_id in reserved])
        self._commit()

    @abstractmethod
    def _begin(self, wallet_ids: list[int]) -> None: ...

    @abstractmethod
    def _insert(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None: ...

    @abstractmethod
    def _close_reservations(self, session_ids: list[str]) -> None: ...

    @abstractmethod
    def _move_wallets(self, moves: list[tuple[int, int, int]]) -> None: ...

    @abstractmethod
    def _commit(self) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class RawSqlite(RawGroupCommit):
    """executemany, which is SQLite's multi-row insert."""

    def __init__(self, url: str) -> None:
        path = make_url(url).database or ""
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        set_pragmas(self._connection)
        super().__init__()

    def _begin(self, wallet_ids: list[int]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        marks = ",".join("?" * len(wallet_ids))
        statement = f"SELECT id, posted, reserved FROM wallets WHERE id IN ({marks})"  # noqa: S608
        self._connection.execute(statement, wallet_ids).fetchall()

    def _insert(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        self._connection.executemany(statement, rows)

    def _close_reservations(self, session_ids: list[str]) -> None:
        rows = [("settled", AT_US, session_id) for session_id in session_ids]
        self._connection.executemany(
            "UPDATE reservations SET state = ?, answered_us = ? WHERE session_id = ?", rows
        )
        keys = [(session_id,) for session_id in session_ids]
        self._connection.executemany("UPDATE reservation_levels SET reserved = 0 WHERE session_id = ?", keys)

    def _move_wallets(self, moves: list[tuple[int, int, int]]) -> None:
        self._connection.executemany(
            "UPDATE wallets SET posted = posted + ?, reserved = reserved + ? WHERE id = ?", moves
        )

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _close(self) -> None:
        self._connection.close()


class RawPostgres(RawGroupCommit):
    """One unnest() for each table, of psycopg's own lists."""

    def __init__(self, url: str) -> None:
        conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        # By index from the first row on, and planned once, as the engine's own connection does.
        options = "-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan"
        self._connection = psycopg.connect(conninfo, autocommit=True, options=options, prepare_threshold=2)
        super().__init__()

    def _begin(self, wallet_ids: list[int]) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute(
            "SELECT id, posted, reserved FROM wallets WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [wallet_ids]
        ).fetchall()

    def _insert(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        arrays = ", ".join(_array_of(column) for column in columns.split(", "))
        statement = f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays})"  # noqa: S608
        self._connection.execute(statement.encode(), [list(values) for values in zip(*rows, strict=True)])

    def _close_reservations(self, session_ids: list[str]) -> None:
        self._connection.execute(
            "UPDATE reservations SET state = 'settled', answered_us = %s WHERE session_id = ANY(%s)",
            [AT_US, session_ids],
        )
        self._connection.execute(
            "UPDATE reservation_levels SET reserved = 0 WHERE session_id = ANY(%s)", [session_ids]
        )

    def _move_wallets(self, moves: list[tuple[int, int, int]]) -> None:
        self._connection.execute(
            "UPDATE wallets w SET posted = w.posted + m.posted, reserved = w.reserved + m.reserved "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS m (posted, reserved, id) "
            "WHERE w.id = m.id",
            [list(values) for values in zip(*moves, strict=True)],
        )

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _close(self) -> None:
        self._connection.close()


def open_raw(url: str) -> RawGroupCommit:
    """The raw statements of the database at a URL."""
    return RawSqlite(url) if url.startswith("sqlite") else RawPostgres(url)


def _array_of(column: str) -> str:
    if column == "final":
        return "%s::boolean[]"
    return "%s::bigint[]" if column in _NUMBERS else "%s::text[]"


def _call(session_id: str, wallet: OpenedWallet) -> tuple[Any, ...]:
    number = "491701234567"
    return (session_id, "bench", session_id, "outbound", wallet.account_id, "2001", number, number, "Zone")


def _reservation(command: RawReserve) -> tuple[Any, ...]:
    call = _call(command.session_id, command.wallet)
    times = (AT_US, None, "", 60_000_000, False, 60, 15, 14_400, "closed", 1, "", None, AT_US)
    return (*call, "reserved", *times)


def _level(command: RawReserve) -> tuple[Any, ...]:
    wallet = command.wallet
    return (command.session_id, 0, wallet.account_id, wallet.wallet_id, 1, 1, 1, RESERVED, 0, None)


def _step(command: RawReserve) -> tuple[Any, ...]:
    return (command.session_id, "reserve", AT_US, 60_000_000, RESERVED)


def _cdr(command: RawSettle) -> tuple[Any, ...]:
    call = _call(command.session_id, command.wallet)
    times = (AT_US, AT_US, AT_US + 30_000_000, 30_000_000, 60_000_000, 16)
    return (*call, *times, None, "", "event", None, AT_US)


def _charge(command: RawSettle) -> tuple[Any, ...]:
    wallet = command.wallet
    charged = (60, CHARGED, TAX, 0, command.session_id, 0, None)
    return (command.session_id, 0, wallet.account_id, wallet.wallet_id, 1, 1, *charged)


def _entry(command: RawSettle) -> tuple[Any, ...]:
    key = f"settle:{command.session_id}:0"
    return (command.session_id, key, "usage", "EUR", AT_US, "", None)


def _postings(command: RawSettle) -> list[tuple[Any, ...]]:
    legs = (
        (command.wallet.ledger_account_id, CHARGED),
        (BOOK_OF_REVENUE, TAX - CHARGED),
        (BOOK_OF_TAX, -TAX),
    )
    return [(command.session_id, line, book, amount) for line, (book, amount) in enumerate(legs)]
