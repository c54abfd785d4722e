"""Re-rating a period: what calls should have cost, and the entries that correct what they were charged.

A charge is never changed: its delta is posted beside it. Every batch of calls is one transaction that locks
their wallets, reads what they were charged by then, corrections included, and posts the rest of the way to
what they should cost. So a run that is repeated, or goes on after a kill, finds nothing left to correct.

A call that should cost less gives back what was taken beyond it. One that should cost more takes the
difference as far as funds are free; no live call is shortened for it, and the rest is recorded uncollected.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import NamedTuple

import psycopg

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import TopUp
from pbxbill.charging.state import ChargingState, EntryPosted, Wallet, WalletMoved
from pbxbill.charging.writing import write
from pbxbill.clock import Clock
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.journal import JournalEntry, Posting
from pbxbill.mediation.correcting import LineChange, corrected, differs
from pbxbill.mediation.past_calls import count, pages, read_levels
from pbxbill.mediation.pricing import NO_RATE, PricedLevel, Pricer, instead_of
from pbxbill.store import rerating_models as models
from pbxbill.store.driver import Driver
from pbxbill.store.rollup_marks import mark_hours

CALLS_PER_TRANSACTION = 500
KIND = "correction"
"""Of the journal entries."""
_ANOTHER = (
    "another re-rating of these calls is running or has just ended; nothing was changed twice: run this one "
    "again when the other has ended"
)

_COLUMNS = tuple(models.CallCorrectionRow.__table__.columns.keys())
_RUNNING = "SELECT id, position_us, calls, definition FROM rerating_runs WHERE state = 'running' ORDER BY id"
_NEXT_RUN = "SELECT COALESCE(MAX(id), 0) + 1 FROM rerating_runs"
_RUN_TOTALS = (
    "SELECT x.account_id, w.unit, COUNT(*), CAST(SUM(x.new_total - x.old_total) AS BIGINT), "
    "CAST(SUM(x.tax_delta) AS BIGINT), CAST(SUM(x.uncollected_delta) AS BIGINT) FROM call_corrections x "
    "JOIN wallets w ON w.id = x.wallet_id WHERE x.run_id {any_int} GROUP BY x.account_id, w.unit "
    "ORDER BY x.account_id, w.unit"
)
_NOTES = (
    "SELECT x.account_id, w.unit, CASE WHEN x.new_total < x.old_total THEN 'credit' ELSE 'debit' END, "
    "COUNT(*), CAST(SUM(ABS(x.new_total - x.old_total)) AS BIGINT), CAST(SUM(ABS(x.tax_delta)) AS BIGINT) "
    "FROM call_corrections x JOIN wallets w ON w.id = x.wallet_id WHERE x.run_id {any_int} AND x.invoiced "
    "AND x.new_total <> x.old_total GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)


_TAX_ALONE = (
    "SELECT COUNT(*) FROM call_corrections WHERE run_id {any_int} AND invoiced AND new_total = old_total "
    "AND tax_delta <> 0"
)

Invoiced = Callable[[Driver, Sequence[str]], Mapping[tuple[str, int, int], int]]
"""Of sessions' charges, by session, level and line, those that an issued invoice holds, and which one.

Asked within the transaction.
"""


def nothing_invoiced(_driver: Driver, _session_ids: Sequence[str]) -> Mapping[tuple[str, int, int], int]:
    """Where there are no invoices."""
    return {}


@dataclass(frozen=True, slots=True)
class Definition:
    """What a run does; the same definition goes on with a run that was stopped."""

    from_us: int
    to_us: int
    accounts: tuple[str, ...] = ()
    """Calls that one of these was charged for; empty: all."""
    tariff: str | None = None
    deck: str | None = None

    def as_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(slots=True)
class AccountChange:
    """What re-rating changes for one account in one unit."""

    calls: int = 0
    changed: int = 0
    old: int = 0
    new: int = 0
    unrated: int = 0
    """Calls that have no rate now; they keep what they were charged."""
    kept: int = 0
    """Calls that cannot be re-rated; they keep it too."""


@dataclass(slots=True)
class Preview:
    """By account and unit what re-rating would change."""

    calls: int = 0
    accounts: dict[tuple[int, str], AccountChange] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """Why levels keep what they were charged."""

    def add(self, priced: PricedLevel, unit: str) -> None:
        """Count one level."""
        change = self.accounts.setdefault((priced.account_id, unit), AccountChange())
        change.calls += 1
        if priced.owed is None:
            self.reasons[priced.why] = self.reasons.get(priced.why, 0) + 1
            if priced.why == NO_RATE:
                change.unrated += 1
            else:
                change.kept += 1
            return
        change.old += priced.owed_before
        change.new += priced.owed.total
        change.changed += priced.owed_before != priced.owed.total


class Posted(NamedTuple):
    """What a run corrected for one account."""

    account_id: int
    unit: str
    calls: int
    delta: int
    tax: int
    uncollected: int


Progress = Callable[[int, int], None]
"""Told now and then how many calls were dealt with, of how many."""


class Rerating:
    """One definition on one database."""

    def __init__(
        self,
        connect: Callable[[], Driver],
        clock: Clock,
        definition: Definition,
        invoiced: Invoiced = nothing_invoiced,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._definition = definition
        self._invoiced = invoiced
        self._catalogue = LoadedCatalogue(connect, serving=False)
        if definition.from_us >= definition.to_us:
            raise InputRefused("the period ends before it begins")

    def preview(self, progress: Progress) -> Preview:
        """What would change; nothing is written."""
        driver = self._connect()
        try:
            driver.begin_snapshot()
            pricer, account_ids = self._pricer(driver)
            found = Preview()
            total = count(driver, self._definition.from_us, self._definition.to_us, account_ids)
            for page in pages(driver, self._definition.from_us, self._definition.to_us, account_ids):
                for priced in pricer.price(page):
                    unit = self._catalogue.tariff(priced.lines[0].tariff_version_id).unit.code
                    found.add(priced, unit)
                found.calls += len(page.calls)
                progress(found.calls, total)
            return found
        finally:
            driver.rollback()
            driver.close()

    def apply(self, progress: Progress) -> tuple[int, list[Posted]]:
        """Correct the charges, or go on where a run of this definition stopped: its number, what it did."""
        driver = self._connect()
        try:
            pricer, account_ids = self._pricer(driver)
            run_id, position_us, calls = self._begun(driver)
            total = calls + count(driver, position_us, self._definition.to_us, account_ids)
            for page in pages(driver, position_us, self._definition.to_us, account_ids):
                calls += len(page.calls)
                for batch in _batches(filter(differs, pricer.price(page))):
                    self._correct(driver, run_id, batch)
                self._reached(driver, run_id, page.done_us, calls)
                progress(calls, total)
            self._finish(driver, run_id)
            return run_id, [Posted(*row) for row in driver.select(_RUN_TOTALS, [run_id])]
        except (sqlite3.IntegrityError, psycopg.errors.UniqueViolation):
            raise InputRefused(_ANOTHER) from None
        finally:
            driver.rollback()
            driver.close()

    def _pricer(self, driver: Driver) -> tuple[Pricer, list[int] | None]:
        self._catalogue.refresh(driver, self._clock.now_us())
        wanted = self._definition
        account_ids = None
        if wanted.accounts:
            known = {code: id for id, code in driver.select("SELECT id, code FROM accounts")}
            unknown = [code for code in wanted.accounts if code not in known]
            if unknown:
                raise InputRefused(f"no account {unknown[0]!r}")
            account_ids = [known[code] for code in wanted.accounts]
        instead = instead_of(driver, self._catalogue, account_ids, tariff=wanted.tariff, deck=wanted.deck)
        return Pricer(driver, self._catalogue, (wanted.from_us, wanted.to_us), instead), account_ids

    def _begun(self, driver: Driver) -> tuple[int, int, int]:
        """The run of this definition that was stopped, or a new one: number, position, calls so far."""
        definition = self._definition.as_json()
        driver.begin()
        for run_id, position_us, calls, known in driver.select(_RUNNING):
            if known == definition:
                driver.rollback()
                return run_id, position_us, calls
        ((run_id,),) = driver.select(_NEXT_RUN)
        from_us = self._definition.from_us
        columns = ("id", "definition", "state", "position_us", "calls", "started_us")
        row = (run_id, definition, "running", from_us, 0, self._clock.now_us())
        driver.insert(models.ReratingRunRow.__table__, columns, [row])  # type: ignore[arg-type]
        driver.commit()
        return run_id, from_us, 0

    def _correct(self, driver: Driver, run_id: int, batch: Sequence[PricedLevel]) -> None:
        """One transaction: all levels of some calls."""
        now_us = self._clock.now_us()
        self._catalogue.refresh(driver, now_us)
        driver.begin()
        # Money commands that are never executed: they name the accounts whose wallets are locked.
        accounts = sorted({level.account_id for level in batch})
        readers = [TopUp(new_id(), account_id, "", 0, now_us) for account_id in accounts]
        state = load(driver, readers, self._catalogue, now_us)
        rows = self._rows(driver, state, batch, run_id, now_us)
        write(driver, state, now_us)
        if rows:
            driver.insert(models.CallCorrectionRow.__table__, _COLUMNS, rows)  # type: ignore[arg-type]
            mark_hours(driver, [level.call.started_us for level in batch], now_us)
        driver.commit()

    @staticmethod
    def _reached(driver: Driver, run_id: int, position_us: int, calls: int) -> None:
        """Where a run that is stopped now goes on: what it repeats then has nothing left to correct."""
        driver.begin()
        table = models.ReratingRunRow.__table__
        columns = ("position_us", "calls")
        driver.update(table, ("id",), columns, [(position_us, calls, run_id)])  # type: ignore[arg-type]
        driver.commit()

    def _rows(
        self,
        driver: Driver,
        state: ChargingState,
        batch: Sequence[PricedLevel],
        run_id: int,
        now_us: int,
    ) -> list[tuple[object, ...]]:
        fresh = read_levels(driver, sorted({level.call.session_id for level in batch}))
        invoiced = self._invoiced(driver, sorted(fresh))
        # What is given back is there for what is taken.
        levels = sorted(batch, key=_increase)
        funds = {wallet.id: wallet.available for wallet in state.wallets.values()}
        changes: list[LineChange] = []
        for level in levels:
            lines = fresh[level.call.session_id][level.level]
            now = level
            if lines != level.lines:  # another run corrected it a moment ago
                if len(lines) > 1 or lines[0].exchange_id is not None:
                    continue  # found when this run is repeated
                now = level._replace(lines=lines, owed_before=lines[0].total + lines[0].uncollected)
            for change in corrected(now, state.catalogue, funds):
                funds[change.line.wallet_id] -= change.delta
                changes.append(change)
        entries = _entries(changes, state, run_id, now_us, invoiced)
        return [
            (
                run_id,
                change.level.call.session_id,
                change.level.level,
                change.line.line,
                change.level.account_id,
                change.line.wallet_id,
                change.level.tariff.version_id,
                change.level.rate_id,
                change.billable_s,
                change.line.total,
                change.line.total + change.delta,
                change.tax,
                change.uncollected,
                _place(change) in invoiced,
                entries.get(_together(change, invoiced)) if change.delta or change.tax else None,
                now_us,
            )
            for change in changes
        ]

    def _finish(self, driver: Driver, run_id: int) -> None:
        """Ask for the notes of what was invoiced already, and close the run."""
        now_us = self._clock.now_us()
        driver.begin()
        columns = ("run_id", "account_id", "unit", "kind", "calls", "total", "tax", "requested_us")
        notes = [(run_id, *row, now_us) for row in driver.select(_NOTES, [run_id])]
        if notes:
            driver.insert(models.CorrectionNoteRow.__table__, columns, notes)  # type: ignore[arg-type]
        table = models.ReratingRunRow.__table__
        driver.update(table, ("id",), ("state", "ended_us"), [("done", now_us, run_id)])  # type: ignore[arg-type]
        driver.commit()


def changed_in_tax_alone(driver: Driver, run_id: int) -> int:
    """Charges on issued invoices of which a run changed nothing but the tax inside them: no note says so."""
    ((count,),) = driver.select(_TAX_ALONE, [run_id])
    return int(count)


def _batches(levels: Iterable[PricedLevel]) -> Iterator[list[PricedLevel]]:
    """All levels of a call in the same batch: all of them are corrected, or none."""
    by_call: dict[str, list[PricedLevel]] = {}
    for level in levels:
        by_call.setdefault(level.call.session_id, []).append(level)
    calls = iter(by_call.values())
    while batch := list(islice(calls, CALLS_PER_TRANSACTION)):
        yield [level for call in batch for level in call]


def _increase(level: PricedLevel) -> int:
    return 0 if level.owed is None else level.owed.total - level.owed_before


class _Together(NamedTuple):
    """Changes that are one entry: notes and invoices take entries as a whole."""

    wallet_id: int
    invoice_id: int | None
    """That holds the calls; None: none does yet."""
    sign: int
    """Of what the wallet gives; where there is no invoice all are together."""


def _place(change: LineChange) -> tuple[str, int, int]:
    return change.level.call.session_id, change.level.level, change.line.line


def _together(change: LineChange, invoiced: Mapping[tuple[str, int, int], int]) -> _Together:
    invoice_id = invoiced.get(_place(change))
    sign = 0 if invoice_id is None else (change.delta > 0) - (change.delta < 0)
    return _Together(change.line.wallet_id, invoice_id, sign)


def _entries(
    changes: Sequence[LineChange],
    state: ChargingState,
    run_id: int,
    now_us: int,
    invoiced: Mapping[tuple[str, int, int], int],
) -> dict[_Together, str]:
    """Post one entry for each wallet, or several where a part of the calls is on invoices."""
    sums: dict[_Together, tuple[int, int, int]] = {}
    for change in changes:
        if change.delta or change.tax:  # else only less, or more, is left uncollected
            key = _together(change, invoiced)
            delta, tax, calls = sums.get(key, (0, 0, 0))
            sums[key] = (delta + change.delta, tax + change.tax, calls + 1)
    entries = {}
    for key, (delta, tax, calls) in sums.items():
        wallet_id = key.wallet_id
        wallet = state.wallets[wallet_id]
        entry = JournalEntry(
            id=new_id(),
            idempotency_key=f"rerate:{run_id}:{wallet_id}:{new_id()}",
            kind=KIND,
            unit=wallet.unit,
            at_us=now_us,
            postings=tuple(_postings(wallet, delta, tax, state, on_wallet=key.invoice_id is None)),
            memo=f"re-rating run {run_id}: {calls} calls",
        )
        entries[key] = entry.id
        moved = WalletMoved(wallet_id, posted=-delta, starved=False if delta < 0 else None, tell=True)
        state.apply([EntryPosted(entry), moved])
    return entries


def _postings(
    wallet: Wallet, delta: int, tax: int, state: ChargingState, *, on_wallet: bool
) -> Iterator[Posting]:
    """on_wallet: the next invoice looks for it there, even where another tax is all that has changed."""
    issuer_id = state.accounts[wallet.account_id].issuer_id
    book = state.catalogue.ledger_account
    # What some calls cost more others may cost less: the entry says so all the same.
    if delta or on_wallet or not tax:
        yield Posting(wallet.ledger_account_id, delta)
    if tax != delta:
        yield Posting(book(issuer_id, LedgerCode.REVENUE_USAGE, wallet.unit), tax - delta)
    if tax:
        yield Posting(book(issuer_id, LedgerCode.TAX_PAYABLE, wallet.unit), -tax)
