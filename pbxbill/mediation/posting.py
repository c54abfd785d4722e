"""Posts a batch of records in one transaction, each once, at the tariff of its time.

Decisions are the charging engine's own; what it denies is not posted but goes to quarantine. What the run
has counted is written in the same transaction, so that a killed process leaves both or neither.
"""

import sqlite3
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import psycopg
import structlog

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.cdr import RatedCdr, record_of
from pbxbill.charging.chain import identify
from pbxbill.charging.events import Authorize, DenialReason, Denied, Evidence, SettleOffline
from pbxbill.charging.levels import dialling_rule
from pbxbill.charging.memory import Memory
from pbxbill.charging.reconcile import UNNAMED_SWITCH
from pbxbill.charging.session import decide
from pbxbill.charging.state import CdrWritten, ChargingState, Effect
from pbxbill.charging.writing import write
from pbxbill.clock import Clock
from pbxbill.errors import InputRefused, check
from pbxbill.mediation.catalogue_then import CatalogueThen
from pbxbill.mediation.meters import PeriodPosted, Reading, ReadingKnown, UnknownMeter, take_reading
from pbxbill.mediation.record import Kind, Reason, Unusable, UsageRecord
from pbxbill.mediation.splitting import Columns
from pbxbill.rating.destination import to_e164
from pbxbill.store.driver import Driver

_log = structlog.get_logger()

LOST_RACES = 3
"""How often another process may have posted one of a batch's records between our reading and our writing."""

CHARGED = "SELECT session_id FROM cdrs WHERE session_id {any_text}"
RESERVED = "SELECT session_id FROM reservations WHERE session_id {any_text}"
OPEN_CALLS = (
    "SELECT call_id, switch FROM reservations WHERE state IN ('reserved', 'answered') AND call_id {any_text}"
)
OWN_CALLS = "SELECT call_id, switch FROM cdrs WHERE evidence <> 'import' AND call_id {any_text}"
QUARANTINED = "SELECT record_key, id, state FROM quarantined_records WHERE record_key {any_text}"


class Item(NamedTuple):
    """One line on its way: what was read, and what it was read from."""

    key: str
    source: str
    line: int
    raw: bytes
    columns: Columns
    record: UsageRecord | Unusable


class Fate(StrEnum):
    """What became of an item."""

    RATED = "rated"
    UNANSWERED = "unanswered"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


class Quarantined(NamedTuple):
    """An item's row in quarantine."""

    id: int
    state: str


class Charged(NamedTuple):
    """What one level was charged for one item."""

    account_id: int
    unit: str
    total: int
    uncollected: int


class Posted(NamedTuple):
    """What a batch did, item by item."""

    fates: list[Fate]
    unusable: dict[int, Unusable]
    """By position in the batch."""
    charges: list[Charged]
    known: dict[str, Quarantined]
    """Rows that the quarantine has of the batch's items already, by key."""


AlsoWrite = Callable[[Driver, Posted], None]


def settlement(record: UsageRecord, switch: str) -> SettleOffline:
    """The engine's command for a record."""
    account = record.account
    call_id = record.call_ids[0] if record.call_ids else record.key
    request = Authorize(
        record.key,
        switch,
        call_id,
        record.direction,
        record.called,
        record.caller,
        record.started_us,
        account.account_code,
        account.source_ip,
        account.caller_id,
        account.did,
        service=record.service,
    )
    return SettleOffline(
        request,
        record.started_us if record.answered_us is None else record.answered_us,
        record.ended_us,
        record.hangup_cause,
        evidence=Evidence.IMPORT,
        gateway=record.gateway[:64],
        owed_in_full=True,
        quantity=None if record.kind is Kind.CALL else record.quantity,
    )


class Poster:
    """Posts batches over one connection."""

    def __init__(self, connect: Callable[[], Driver], clock: Clock, switch: str) -> None:
        self._connect = connect
        self._clock = clock
        self._switch = switch
        self._catalogue = CatalogueThen(LoadedCatalogue(connect, serving=False))
        self._driver: Driver | None = None
        self._memory = Memory()

    def close(self) -> None:
        """Give the connection back."""
        driver, self._driver = self._driver, None
        self._memory = Memory()
        if driver is not None:
            driver.close()

    def post(self, items: Sequence[Item], also: AlsoWrite, *, dry_run: bool = False) -> Posted:
        """Decide and write a batch, and what also() writes; StoreUnavailable if nothing was written."""
        for _ in range(LOST_RACES):
            try:
                return self._transaction(items, also, dry_run=dry_run)
            except (sqlite3.IntegrityError, psycopg.IntegrityError) as error:
                # Another process posted one of these records a moment ago: it is a duplicate now.
                _log.info("mediation_batch_again", error=str(error))
                self.close()
            except BaseException:
                self.close()
                raise
        return self._transaction(items, also, dry_run=dry_run)

    def _transaction(self, items: Sequence[Item], also: AlsoWrite, *, dry_run: bool) -> Posted:
        driver = self._driver = self._driver or self._connect()
        now_us = self._clock.now_us()
        self._catalogue.refresh(driver, now_us)
        kinds = {item.record.kind for item in items if isinstance(item.record, UsageRecord)}
        if kinds == {Kind.READING}:  # a mapping's records are all of one kind
            return self._readings(driver, items, also, now_us, dry_run=dry_run)
        usable = [item.record for item in items if isinstance(item.record, UsageRecord)]
        commands = {record.key: settlement(record, self._switch) for record in usable}
        memory, self._memory = self._memory, Memory()
        driver.begin()
        memory = memory.as_of_now(driver)
        loaded = self._catalogue.loaded
        state = load(driver, list(commands.values()), loaded, now_us, memory)
        state.catalogue = self._catalogue
        decided = _Batch(driver, state, items, self._switch, self._catalogue)
        posted = decided.run(commands)
        write(driver, state, now_us)
        also(driver, posted)
        if dry_run:
            driver.rollback()
        else:
            driver.commit()
            self._memory = memory
        return posted

    def _readings(
        self, driver: Driver, items: Sequence[Item], also: AlsoWrite, now_us: int, *, dry_run: bool
    ) -> Posted:
        driver.begin()
        posted = _post_readings(driver, self._catalogue.loaded, items, now_us)
        also(driver, posted)
        (driver.rollback if dry_run else driver.commit)()
        return posted


def _post_readings(driver: Driver, catalogue: LoadedCatalogue, items: Sequence[Item], now_us: int) -> Posted:
    """Each reading by itself, in the order of the file: those of one meter follow each other."""
    fates: list[Fate] = []
    unusable: dict[int, Unusable] = {}
    charges: list[Charged] = []
    rows = driver.select(QUARANTINED, [item.key for item in items])
    known = {key: Quarantined(row_id, held) for key, row_id, held in rows}
    for position, item in enumerate(items):
        found = item.record
        if item.key in known and known[item.key].state != "open":
            fates.append(Fate.DUPLICATE)
            continue
        if isinstance(found, UsageRecord):
            try:
                taken = take_reading(
                    driver, catalogue, Reading(found.called, found.quantity, found.started_us), now_us
                )
            except UnknownMeter as refused:
                found = Unusable(Reason.METER_UNKNOWN, f"{refused}; add it, then retry"[:280], "meter")
            except InputRefused as refused:
                found = Unusable(Reason.READING_REFUSED, str(refused)[:280], "quantity")
            else:
                fates.append(Fate.DUPLICATE if isinstance(taken, ReadingKnown) else Fate.RATED)
                if isinstance(taken, PeriodPosted) and taken.entry_id is not None:
                    charges.append(Charged(taken.account_id, taken.unit, taken.total, 0))
                continue
        fates.append(Fate.DUPLICATE if item.key in known else Fate.QUARANTINED)
        unusable[position] = found
    return Posted(fates, unusable, charges, known)


class _Batch:
    """The decisions of one transaction."""

    def __init__(
        self,
        driver: Driver,
        state: ChargingState,
        items: Sequence[Item],
        switch: str,
        catalogue: CatalogueThen,
    ) -> None:
        self._state = state
        self._items = items
        self._catalogue = catalogue
        records = [item.record for item in items if isinstance(item.record, UsageRecord)]
        keys = [item.key for item in items]
        self._charged = {row[0] for row in driver.select(CHARGED, keys)}
        self._own = self._own_sessions(driver, [x.session_id for x in records if x.session_id])
        self._own_calls = self._calls_of_daemons(
            driver, [call_id for x in records for call_id in x.call_ids], switch
        )
        self._known = {
            key: Quarantined(row_id, held) for key, row_id, held in driver.select(QUARANTINED, keys)
        }

    @staticmethod
    def _own_sessions(driver: Driver, session_ids: list[str]) -> set[str]:
        if not session_ids:
            return set()
        reserved = {row[0] for row in driver.select(RESERVED, session_ids)}
        return reserved | {row[0] for row in driver.select(CHARGED, session_ids)}

    @staticmethod
    def _calls_of_daemons(driver: Driver, call_ids: list[str], switch: str) -> set[str]:
        if not call_ids:
            return set()
        # Open ones first: a call that is settled between the two statements is found by one of them.
        rows = [*driver.select(OPEN_CALLS, call_ids), *driver.select(OWN_CALLS, call_ids)]
        # Where nobody said which switch wrote the file, rather no charge than two for one call.
        return {call_id for call_id, its_switch in rows if switch in (UNNAMED_SWITCH, its_switch)}

    def run(self, commands: dict[str, SettleOffline]) -> Posted:
        """Decide every item in order."""
        fates: list[Fate] = []
        unusable: dict[int, Unusable] = {}
        done: set[str] = set()
        for position, item in enumerate(self._items):
            if item.key in done or self._is_known(item):
                fates.append(Fate.DUPLICATE)
                continue
            done.add(item.key)
            found = item.record
            if isinstance(found, UsageRecord):
                found_fate = self._post(found, commands[item.key], item)
                if isinstance(found_fate, Fate):
                    fates.append(found_fate)
                    continue
                found = found_fate
            # It is in quarantine already, and still cannot be rated: nothing new.
            fates.append(Fate.DUPLICATE if item.key in self._known else Fate.QUARANTINED)
            unusable[position] = found
        wallets = self._state.wallets
        charges = [
            Charged(charge.account_id, wallets[charge.wallet_id].unit, charge.total, charge.uncollected)
            for record in self._state.new_cdrs
            for charge in record.charges
        ]
        return Posted(fates, unusable, charges, self._known)

    def _is_known(self, item: Item) -> bool:
        if item.key in self._charged:
            return True
        held = self._known.get(item.key)
        if held is not None and held.state != "open":
            return True
        record = item.record
        if not isinstance(record, UsageRecord):
            return False
        return record.session_id in self._own or not self._own_calls.isdisjoint(record.call_ids)

    def _post(self, record: UsageRecord, command: SettleOffline, item: Item) -> Fate | Unusable:
        self._catalogue.at_us = record.started_us
        where = f"imported from {item.source[-120:]} line {item.line}"
        if record.answered_us is None:
            self._state.apply([CdrWritten(self._unanswered(record, command, where))])
            return Fate.UNANSWERED
        try:
            outcome, effects = decide(command, self._state)
        except Exception as error:  # noqa: BLE001 a record that breaks a rule must not stop the others
            _log.error("mediation_record_failed", source=item.source, line=item.line, exc_info=error)
            return Unusable(Reason.FAULT, f"{type(error).__name__}: {error}"[:280])
        if isinstance(outcome, Denied):
            return _not_rated(outcome, record)
        self._state.apply([_with_detail(effect, where) for effect in effects])
        return Fate.RATED

    def _unanswered(self, record: UsageRecord, command: SettleOffline, where: str) -> RatedCdr:
        request = command.request
        identified = identify(request, self._state)
        account_id, called = None, to_e164(request.dialled)
        if identified is not None:
            account_id = identified[0].id
            called = to_e164(identified[1], dialling_rule(identified[0], self._state))
        return record_of(request, account_id, called or "")._replace(
            ended_us=record.ended_us,
            hangup_cause=record.hangup_cause,
            evidence=Evidence.IMPORT,
            detail=where,
        )


def _with_detail(effect: Effect, where: str) -> Effect:
    return CdrWritten(effect.cdr._replace(detail=where)) if isinstance(effect, CdrWritten) else effect


def _not_rated(denied: Denied, record: UsageRecord) -> Unusable:
    detail = denied.detail.removeprefix("passed unauthorized: ")
    match denied.reason:
        case DenialReason.USER_UNKNOWN:
            return Unusable(
                Reason.ACCOUNT_UNKNOWN,
                f"no account has {record.account}; add that endpoint to its account, then retry",
                "account",
            )
        case DenialReason.END_USER_SERVICE_DENIED:
            return Unusable(
                Reason.ACCOUNT_INCOMPLETE, f"{detail}; give it what it lacks, then retry", "account"
            )
        case DenialReason.RATING_FAILED if detail.startswith("no rate"):
            return Unusable(
                Reason.RATE_MISSING, f"{detail}; import a deck that has one, then retry", "called"
            )
        case DenialReason.RATING_FAILED:
            shown = record.called[:40]
            return Unusable(
                Reason.NUMBER_UNUSABLE, f"called: {shown!r} is no number; correct it, then retry", "called"
            )
        case _:
            check(bool(denied.reason), "a denial without a reason")
            return Unusable(Reason.NOT_CHARGEABLE, f"{denied.reason}: {detail}"[:280])
