"""Imports a source: reads, parses and posts in batches until it ends or is told to stop."""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog
from sqlalchemy import Engine

from pbxbill.clock import Clock
from pbxbill.errors import PbxbillError, StoreUnavailable
from pbxbill.mediation.alarm import count, tell
from pbxbill.mediation.items import Item, Posted
from pbxbill.mediation.mapping import Mapping
from pbxbill.mediation.parsing import Filtered, RecordParser
from pbxbill.mediation.posting import Poster
from pbxbill.mediation.record import SHAPE, Reason, Unusable, UsageRecord, record_key
from pbxbill.mediation.runs import (
    NOWHERE,
    Checkpoint,
    Run,
    as_stored,
    end_run,
    start_run,
    write_progress,
    write_quarantine,
)
from pbxbill.mediation.sources import Located
from pbxbill.mediation.splitting import CUT, TOO_LONG
from pbxbill.mediation.tally import Tally
from pbxbill.store.driver import Driver

_log = structlog.get_logger()

BATCH_LINES = 250
"""Few enough that live calls, which SQLite lets write only between two batches, hardly wait."""
SAMPLE = 20
"""If none of so many first lines can be read, and all for one reason, the mapping is another file's."""
PATIENCE_S = 60
"""How long a run waits for a database that is away before it fails; what it posted stays posted."""
RETRY_S = 1


class Source(Protocol):
    """Where records come from."""

    @property
    def name(self) -> str:
        """By which a run is gone on with."""
        ...

    def size(self) -> int | None:
        """In bytes, where that is known."""
        ...

    @property
    def rejected(self) -> list[str]:
        """Why some of its files were not read."""
        ...

    @property
    def waiting(self) -> str:
        """What is left for the next run, and why; empty: nothing is."""
        ...

    def lines(self, checkpoint: Checkpoint) -> Iterator[Located]:
        """From a checkpoint on."""
        ...

    def committed(self) -> None:
        """Every line that was given out is dealt with."""
        ...

    def reject(self, file: str, why: str) -> None:
        """A file does not fit the mapping: leave it out, or raise InputRefused."""
        ...


def left_out(source: Source) -> str:
    """What of a source was not read, for its report."""
    return "; ".join([*filter(None, [source.waiting]), *source.rejected])


class Importer:
    """Runs of one mapping on one database."""

    def __init__(
        self, database: Engine, connect: Callable[[], Driver], clock: Clock, mapping: Mapping, switch: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._mapping = mapping
        self._switch = switch
        self._parse = RecordParser(mapping, clock)
        self._poster = Poster(connect, clock, switch)
        self.stopping = threading.Event()
        """Set it to end a run after the batch it is in."""

    def close(self) -> None:
        """Give the connection back."""
        self._poster.close()

    def run(
        self,
        source: Source,
        *,
        follow: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[Run], None] = lambda run: None,
    ) -> Run:
        """Import a source, from where an unfinished run of it stopped; follow: the source grows."""
        if dry_run:
            run = Run(0, source.name, self._mapping, self._switch, NOWHERE)
            self._read(run, source, on_progress, dry_run=True)
            return run
        run = start_run(self._database, source.name, self._mapping, self._switch, self._clock, follow=follow)
        read_before = run.tally.read
        try:
            self._read(run, source, on_progress, dry_run=False)
        except StoreUnavailable:
            raise  # the row stays as the last batch left it, and the run is gone on with
        except BaseException as fault:
            state = "failed" if isinstance(fault, PbxbillError) else "stopped"
            end_run(self._database, run, state, str(fault), self._clock)
            raise
        state = "stopped" if self.stopping.is_set() else "done"
        end_run(self._database, run, state, left_out(source), self._clock)
        if not follow or run.tally.read != read_before:
            tell(self._database, run, state, self._clock)
        return run

    def _read(self, run: Run, source: Source, on_progress: Callable[[Run], None], *, dry_run: bool) -> None:
        pending: list[Located] = []

        def take() -> None:
            self._take(run, source, pending, dry_run=dry_run)
            pending.clear()
            if not dry_run:
                source.committed()
            on_progress(run)

        for located in source.lines(run.checkpoint):
            pending.append(located)
            if len(pending) >= BATCH_LINES:
                take()
                if self.stopping.is_set():
                    return
        take()

    def _take(self, run: Run, source: Source, lines: list[Located], *, dry_run: bool) -> None:
        """Parse and post one batch."""
        if not lines:
            return
        items: list[Item] = []
        filtered = 0
        begun: dict[str, int] = {}
        for located in lines:
            item = self._item(located)
            if located.first:
                begun[located.file] = len(items)
            if item is None:
                filtered += 1
                begun.pop(located.file, None)  # its filter was read, so that the mapping fits
            else:
                items.append(item)
        for file, start in begun.items():
            sample = [item for item in items[start : start + SAMPLE] if item.source == file]
            if why := self._misfit(sample):
                source.reject(file, why)
                items = [item for item in items if item.source != file]
        last = lines[-1]
        checkpoint = Checkpoint(last.file, last.head, last.line.end, last.line.number)
        self._post(run, items, filtered, checkpoint, dry_run=dry_run)

    def _item(self, located: Located) -> Item | None:
        line, cut, file, _, _ = located
        raw = line.raw
        columns = {} if line.too_long else cut(raw)
        found: UsageRecord | Unusable | Filtered
        if line.too_long:
            found = TOO_LONG
        elif isinstance(columns, Unusable):
            found = CUT if line.unfinished else columns
        elif line.unfinished and not cut.whole(raw):
            found = CUT
        else:
            found = self._parse(columns)
            if isinstance(found, Filtered):
                return None
        if isinstance(found, UsageRecord):
            columns = {} if isinstance(columns, Unusable) else columns
            return Item(found.key, file, line.number, raw, columns, found)
        if isinstance(columns, Unusable) or not self._parse.has_key(columns):
            # Nothing tells which record it is but the line itself.
            key = record_key(self._mapping.name, ["line", raw.decode("latin-1")])
            return Item(key, file, line.number, raw, {} if isinstance(columns, Unusable) else columns, found)
        return Item(self._parse.key(columns), file, line.number, raw, columns, found)

    def _misfit(self, sample: list[Item]) -> str:
        """Why a file is another mapping's; empty if it is not."""
        if len(sample) < 2:
            return ""
        first = sample[0].record
        if not isinstance(first, Unusable) or first.reason not in SHAPE:
            return ""
        # A line that was cut says nothing of the others; the first tells what is wrong.
        strange = [isinstance(x.record, Unusable) and x.record.reason in {*SHAPE, Reason.CUT} for x in sample]
        if not all(strange):
            return ""
        return (
            f"{sample[0].source} line {sample[0].line}: {first.detail}. None of the first {len(sample)} "
            f"lines fits mapping {self._mapping.name}: take another one; nothing of it was posted"
        )

    def _post(
        self, run: Run, items: list[Item], filtered: int, checkpoint: Checkpoint, *, dry_run: bool
    ) -> None:
        waited_s = 0
        while True:
            batch = Tally()

            def also(driver: Driver, posted: Posted, batch: Tally = batch) -> None:
                batch.clear()
                batch.count(posted, filtered)
                if not dry_run:
                    write_quarantine(driver, run.id, posted, self._clock.now_us())
                    write_progress(driver, run, batch, checkpoint, self._clock)

            try:
                self._poster.post(items, also, run.mark, dry_run=dry_run)
            except StoreUnavailable as fault:
                if waited_s >= PATIENCE_S or self.stopping.is_set():
                    raise
                _log.warning("mediation_waits_for_database", error=str(fault), waited_s=waited_s)
                self.stopping.wait(RETRY_S)
                waited_s += RETRY_S
                if not dry_run and self._was_committed(run, checkpoint):
                    return
                continue
            run.tally.add(batch)
            if not dry_run:
                count(batch)
            run.checkpoint = checkpoint
            return

    def _was_committed(self, run: Run, checkpoint: Checkpoint) -> bool:
        """Whether the batch became durable although its commit was never answered."""
        try:
            stored = as_stored(self._database, run)
        except StoreUnavailable:
            return False
        if stored.checkpoint != checkpoint:
            return False
        run.tally, run.checkpoint = stored.tally, stored.checkpoint
        return True
