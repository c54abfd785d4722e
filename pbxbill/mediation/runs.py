"""A run's row: its checkpoint and its tally, written in the transaction of the batch that they speak of."""

import json
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Engine, and_, case, select
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.mediation.items import Fate, Posted, RunMark, storable
from pbxbill.mediation.mapping import Mapping
from pbxbill.mediation.reading import Head
from pbxbill.mediation.tally import COUNTS, Sums, Tally, TallyKey
from pbxbill.store import mediation_models as tables
from pbxbill.store.driver import Driver, Row
from pbxbill.store.engine import reading, transaction

UNFINISHED = ("running", "stopped", "failed")
SENT = "sent/"
"""What the source begins with of a file that somebody sent."""
SILENT_US = 300 * SECOND_US
"""A sent file that has not been read for so long is not read any more."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a source is dealt with."""

    file: str
    """Which of a folder's files it is; of a single file its path."""
    head: Head
    position: int = 0
    line: int = 0


NOWHERE = Checkpoint("", Head(0, ""))


@dataclass(slots=True)
class Run:
    """One reading of a source."""

    id: int
    source: str
    mapping: Mapping
    switch: str
    checkpoint: Checkpoint
    tally: Tally = field(default_factory=Tally)
    resumed: bool = False
    started_us: int = 0

    @property
    def mark(self) -> RunMark:
        """As those who post for it need it."""
        return RunMark(self.id, self.started_us)


def start_run(
    database: Engine, source: str, mapping: Mapping, switch: str, clock: Clock, *, follow: bool = False
) -> Run:
    """The run of a source that did not finish, to be gone on with, or a new one.

    follow: the source grows, so that no run of it ever finishes.
    """
    table = tables.MediationRunRow
    kept = mapping.model_dump_json(exclude_defaults=True)
    with transaction(database) as session:
        newest = select(table).where(table.source == source[:1000]).order_by(table.id.desc()).limit(1)
        row = session.scalar(newest)
        unfinished = row is not None and (follow or row.state in UNFINISHED)
        if row is not None and unfinished and (row.mapping, row.switch) == (kept, switch):
            row.state = "running"
            row.ended_us = None
            return _resumed(session, row, mapping)
        return new_run(session, source, mapping, switch, clock.now_us())


def new_run(session: Session, source: str, mapping: Mapping, switch: str, now_us: int) -> Run:
    """A run of a source that nobody has read from yet."""
    row = tables.MediationRunRow(
        source=source[:1000],
        file="",
        mapping=mapping.model_dump_json(exclude_defaults=True),
        switch=switch,
        state="running",
        detail="",
        started_us=now_us,
        updated_us=now_us,
        head_bytes=0,
        head_hash="",
        position=0,
        line=0,
        **dict.fromkeys(COUNTS, 0),
    )
    session.add(row)
    session.flush()
    return Run(row.id, source, mapping, switch, NOWHERE, started_us=now_us)


def state_at(now_us: int) -> ColumnElement[str]:
    """A run's state; a sent file whose process was killed is stopped: nothing goes on with it."""
    table = tables.MediationRunRow
    is_silent = and_(
        table.state == "running", table.source.startswith(SENT), table.updated_us < now_us - SILENT_US
    )
    return case((is_silent, "stopped"), else_=table.state)


def as_stored(database: Engine, run: Run) -> Run:
    """The run as its last durable batch left it."""
    with transaction(reading(database)) as session:
        return _resumed(session, session.get_one(tables.MediationRunRow, run.id), run.mapping)


def _resumed(session: Session, row: tables.MediationRunRow, mapping: Mapping) -> Run:
    checkpoint = Checkpoint(row.file, Head(row.head_bytes, row.head_hash), row.position, row.line)
    tally = Tally(*[getattr(row, name) for name in COUNTS])
    table = tables.MediationTallyRow
    for kept in session.scalars(select(table).where(table.run_id == row.id)):
        key = TallyKey(kept.name, kept.subject, kept.unit)
        tally.sums[key] = Sums(kept.records, kept.total, kept.uncollected)
    return Run(
        row.id,
        row.source,
        mapping,
        row.switch,
        checkpoint,
        tally,
        resumed=True,
        started_us=row.started_us,
    )


def end_run(database: Engine, run: Run, state: str, detail: str, clock: Clock) -> None:
    """Say how a run ended: done, stopped or failed."""
    with transaction(database) as session:
        row = session.get_one(tables.MediationRunRow, run.id)
        row.state = state
        row.detail = detail[:500]
        row.ended_us = row.updated_us = clock.now_us()


def write_progress(driver: Driver, run: Run, batch: Tally, checkpoint: Checkpoint, clock: Clock) -> None:
    """Write what the run will have counted with this batch, and how far it will be."""
    table = tables.MediationTallyRow.__table__
    columns = ("records", "total", "uncollected")
    old: list[Row] = []
    new: list[Row] = []
    for key, more in sorted(batch.sums.items()):
        sums = run.tally.sums.get(key)
        if sums is None:
            new.append((run.id, *key, more.records, more.total, more.uncollected))
            continue
        summed = (sums.records + more.records, sums.total + more.total, sums.uncollected + more.uncollected)
        old.append((*summed, run.id, *key))
    if old:
        driver.update(table, ("run_id", "name", "subject", "unit"), columns, old)  # type: ignore[arg-type]
    if new:
        driver.insert(table, ("run_id", "name", "subject", "unit", *columns), new)  # type: ignore[arg-type]
    counts = [getattr(run.tally, name) + getattr(batch, name) for name in COUNTS]
    head = checkpoint.head
    where = (checkpoint.file[-1000:], head.size, head.digest, checkpoint.position, checkpoint.line)
    driver.update(
        tables.MediationRunRow.__table__,  # type: ignore[arg-type]
        ("id",),
        ("updated_us", "file", "head_bytes", "head_hash", "position", "line", *COUNTS),
        [(clock.now_us(), *where, *counts, run.id)],
    )


def write_quarantine(driver: Driver, run_id: int, posted: Posted, now_us: int) -> None:
    """Keep what could not be rated, and mark what now could be."""
    table = tables.QuarantinedRow.__table__
    kept: list[Row] = []
    freed: list[Row] = []
    for position, (item, fate) in enumerate(zip(posted.items, posted.fates, strict=True)):
        if fate is Fate.QUARANTINED:
            reason, detail, _ = posted.unusable[position]
            where = (item.key, run_id, item.source[-1000:], item.line)
            kept.append(
                (
                    *where,
                    item.shown,
                    storable(json.dumps(item.columns, ensure_ascii=False)),
                    reason.value,
                    storable(detail[:300]),
                    "open",
                    1,
                    now_us,
                    now_us,
                )
            )
        elif fate is not Fate.DUPLICATE and item.key in posted.known:
            freed.append(("posted", now_us, posted.known[item.key].id))
    if kept:
        columns = ("record_key", "run_id", "source", "line", "raw", "fields", "reason", "detail")
        moments = ("state", "attempts", "created_us", "changed_us")
        driver.insert(table, (*columns, *moments), kept)  # type: ignore[arg-type]
    if freed:
        driver.update(table, ("id",), ("state", "changed_us"), freed)  # type: ignore[arg-type]
