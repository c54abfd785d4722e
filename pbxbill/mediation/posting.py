"""Posts a batch of records in one transaction, each once, at the tariff of its time.

Decisions are the charging engine's own; what it denies is not posted but goes to quarantine. What the run
has counted is written in the same transaction, so that a killed process leaves both or neither.
"""

import sqlite3
from collections.abc import Callable, Sequence

import psycopg
import structlog

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Authorize, Evidence, SettleOffline
from pbxbill.charging.memory import Memory
from pbxbill.charging.writing import write
from pbxbill.clock import Clock
from pbxbill.errors import StoreUnavailable
from pbxbill.mediation.catalogue_then import CatalogueThen
from pbxbill.mediation.deciding import Batch, faulty
from pbxbill.mediation.items import AlsoWrite, Item, Posted, RunMark
from pbxbill.mediation.reading_batch import post_readings
from pbxbill.mediation.record import Kind, UsageRecord
from pbxbill.store.driver import Driver

_log = structlog.get_logger()

LOST_RACES = 3
"""How often another process may have posted one of a batch's records between our reading and our writing."""
NO_RUN = RunMark()


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
        ringing_us=record.ringing_us,
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

    def post(
        self, items: Sequence[Item], also: AlsoWrite, mark: RunMark = NO_RUN, *, dry_run: bool = False
    ) -> Posted:
        """Decide and write a batch, and what also() writes; StoreUnavailable if nothing was written.

        A record that the database or its arithmetic cannot take is set aside, so that the others go on.
        """
        try:
            return self._together(items, also, mark, dry_run=dry_run)
        except StoreUnavailable:
            raise
        except Exception as error:
            if not items:
                raise
            _log.error("mediation_batch_failed", source=items[0].source, line=items[0].line, exc_info=error)
        self._together([], also, mark, dry_run=True)  # raises what is no record's fault
        return self._together(self._sifted([], items, also, mark), also, mark, dry_run=dry_run)

    def _sifted(self, sound: list[Item], rest: Sequence[Item], also: AlsoWrite, mark: RunMark) -> list[Item]:
        """The items, those that fail behind the ones before them made unusable: found by halving."""
        together = [*sound, *rest]
        try:
            self._together(together, also, mark, dry_run=True)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, it must not stop the others
            if len(rest) == 1:
                (item,) = rest
                _log.error("mediation_record_failed", source=item.source, line=item.line, exc_info=error)
                return [*sound, item._replace(record=faulty(error))]
        else:
            return together
        half = len(rest) // 2
        return self._sifted(self._sifted(sound, rest[:half], also, mark), rest[half:], also, mark)

    def _together(self, items: Sequence[Item], also: AlsoWrite, mark: RunMark, *, dry_run: bool) -> Posted:
        for _ in range(LOST_RACES):
            try:
                return self._transaction(items, also, mark, dry_run=dry_run)
            except (sqlite3.IntegrityError, psycopg.IntegrityError) as error:
                # Another process posted one of these records a moment ago: it is a duplicate now.
                _log.info("mediation_batch_again", error=str(error))
                self.close()
            except BaseException:
                self.close()
                raise
        try:
            return self._transaction(items, also, mark, dry_run=dry_run)
        except BaseException:
            self.close()
            raise

    def _transaction(self, items: Sequence[Item], also: AlsoWrite, mark: RunMark, *, dry_run: bool) -> Posted:
        driver = self._driver = self._driver or self._connect()
        now_us = self._clock.now_us()
        self._catalogue.refresh(driver, now_us)
        kinds = {item.record.kind for item in items if isinstance(item.record, UsageRecord)}
        if kinds == {Kind.READING}:  # a mapping's records are all of one kind
            return self._readings(driver, items, also, now_us, dry_run=dry_run)
        commands = [
            settlement(item.record, self._switch) if isinstance(item.record, UsageRecord) else None
            for item in items
        ]
        memory, self._memory = self._memory, Memory()
        driver.begin()
        memory = memory.as_of_now(driver)
        loaded = self._catalogue.loaded
        state = load(driver, [x for x in commands if x is not None], loaded, now_us, memory)
        state.catalogue = self._catalogue
        posted = Batch(driver, state, items, self._switch, self._catalogue, mark).run(commands)
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
        posted = post_readings(driver, self._catalogue.loaded, items, now_us)
        also(driver, posted)
        (driver.rollback if dry_run else driver.commit)()
        return posted
