"""What could not be rated: shown, corrected, tried again, dropped."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine, Select, func, select, update
from sqlalchemy.orm import Session

from pbxbill.clock import Clock
from pbxbill.errors import InputRefused
from pbxbill.mediation.items import Fate, Item, Posted, storable
from pbxbill.mediation.mapping import Mapping, stored_mapping
from pbxbill.mediation.parsing import Filtered, RecordParser
from pbxbill.mediation.posting import Poster
from pbxbill.mediation.record import Reason, Unusable
from pbxbill.mediation.splitting import Columns, splitter
from pbxbill.mediation.tally import Tally
from pbxbill.store.driver import Driver, Row
from pbxbill.store.engine import reading, transaction
from pbxbill.store.mediation_models import MediationRunRow, QuarantinedRow

BATCH = 500
MAX_DETAIL_LENGTH = 300
UNREADABLE = frozenset({Reason.COLUMNS, Reason.NOT_JSON, Reason.CUT})
"""Their line is cut anew when they are tried again: nothing was read from it the first time."""
KEYED_ANEW = UNREADABLE | {Reason.FINGERPRINT_MISSING, Reason.CONTRADICTORY}
"""Their key was not their fingerprint's; corrected, they have one."""


def quarantined(
    *, state: str = "open", reason: str | None = None, run_id: int | None = None, ids: Sequence[int] = ()
) -> Select[QuarantinedRow]:
    """Records in quarantine, the oldest first."""
    query = select(QuarantinedRow).order_by(QuarantinedRow.id)
    if state != "all":
        query = query.where(QuarantinedRow.state == state)
    if reason is not None:
        query = query.where(QuarantinedRow.reason == reason)
    if run_id is not None:
        query = query.where(QuarantinedRow.run_id == run_id)
    if ids:
        query = query.where(QuarantinedRow.id.in_(ids))
    return query


def edit(database: Engine, id: int, columns: Columns, now_us: int) -> Columns:
    """Correct columns of an open record, in a transaction of its own; what it holds now."""
    with transaction(database) as session:
        return correct(session, id, columns, now_us)


def correct(session: Session, id: int, columns: Columns, now_us: int) -> Columns:
    """Correct columns of an open record; what it holds now."""
    row = session.get(QuarantinedRow, id)
    if row is None:
        raise InputRefused(f"no record {id} in quarantine; `pbxbill quarantine list` shows them")
    if row.state != "open":
        raise InputRefused(f"record {id} is {row.state} already")
    known = columns_of(session, row)
    unknown = sorted(columns.keys() - set(known))
    if unknown:
        raise InputRefused(f"record {id} has no column {unknown[0]!r}; it has {', '.join(known)}")
    found: Columns = json.loads(row.fields) | columns
    row.fields = storable(json.dumps(found, ensure_ascii=False))
    row.changed_us = now_us
    return found


def columns_of(session: Session, row: QuarantinedRow) -> tuple[str, ...]:
    """The names of the columns that its run reads."""
    return tuple(mapping_of(session.get_one(MediationRunRow, row.run_id).mapping).columns())


def drop(database: Engine, query: Select[QuarantinedRow], now_us: int) -> int:
    """Give records up for good, in a transaction of its own; how many."""
    with transaction(database) as session:
        return give_up(session, query, now_us)


def give_up(session: Session, query: Select[QuarantinedRow], now_us: int, why: str = "") -> int:
    """Give records up for good: the same ones from another file are not taken either. How many; why: is
    kept with what was wrong with them."""
    ids = list(session.scalars(query.with_only_columns(QuarantinedRow.id)))
    values: dict[str, Any] = {"state": "dropped", "changed_us": now_us}
    if why:
        told = QuarantinedRow.detail + f" \u2013 {why}"
        values["detail"] = func.substr(told, 1, MAX_DETAIL_LENGTH)
    for start in range(0, len(ids), BATCH):
        chosen = QuarantinedRow.id.in_(ids[start : start + BATCH])
        session.execute(update(QuarantinedRow).where(chosen, QuarantinedRow.state == "open").values(values))
    return len(ids)


def mapping_of(kept: str, ambiguous: str | None = None) -> Mapping:
    """How a run was read; ambiguous: by another rule for local times that came twice."""
    mapping = stored_mapping(kept)
    if ambiguous is None:
        return mapping
    return mapping.model_copy(update={"time": mapping.time.model_copy(update={"ambiguous": ambiguous})})


class Retry:
    """Tries records again, each in the way in which its run read it."""

    def __init__(
        self, database: Engine, connect: Callable[[], Driver], clock: Clock, ambiguous: str | None = None
    ) -> None:
        self._database = database
        self._connect = connect
        self._clock = clock
        self._ambiguous = ambiguous

    def run(self, query: Select[QuarantinedRow]) -> Tally:
        """Post what can be rated now; the rest stays with its newest reason."""
        tally = Tally()
        last_id = 0
        while True:
            with transaction(reading(self._database)) as session:
                page = query.where(QuarantinedRow.id > last_id).limit(BATCH)
                rows = list(session.scalars(page))
                runs = {id: session.get_one(MediationRunRow, id) for id in {row.run_id for row in rows}}
            if not rows:
                return tally
            last_id = rows[-1].id
            for run in runs.values():
                mapping = mapping_of(run.mapping, self._ambiguous)
                poster = Poster(self._connect, self._clock, run.switch)
                try:
                    mine = [row for row in rows if row.run_id == run.id]
                    self._batch(mine, RecordParser(mapping, self._clock), poster, tally)
                finally:
                    poster.close()

    def run_all(self, ids: Sequence[int]) -> Tally:
        """The same with records by their ids, however many."""
        tally = Tally()
        for start in range(0, len(ids), BATCH):
            tally.add(self.run(quarantined(ids=ids[start : start + BATCH])))
        return tally

    def _batch(
        self, rows: Sequence[QuarantinedRow], parse: RecordParser, poster: Poster, tally: Tally
    ) -> None:
        items = [_item(row, parse) for row in rows]
        wanted = [item for item in items if item is not None]
        filtered = len(rows) - len(wanted)
        by_id = {row.id: row for row in rows}
        batch = Tally()

        def also(driver: Driver, posted: Posted) -> None:
            batch.clear()
            batch.count(posted, filtered)
            now_us = self._clock.now_us()
            changed: list[Row] = []
            taken: set[str] = set()
            for position, item in enumerate(posted.items):
                row = by_id[item.quarantine_id]
                unusable = posted.unusable.get(position)
                # One that is still there, but can be read now, is known by its fingerprint from now on; any
                # other stays known as it came.
                rekeyed = unusable is not None and unusable.reason is not Reason.CONTRADICTORY
                key = item.key if rekeyed and item.key not in {*posted.known, *taken} else row.record_key
                taken.add(key)
                tried = (key, row.attempts + 1, now_us, row.id)
                if unusable is None:
                    # A duplicate was posted meanwhile, from another file or by a daemon.
                    changed.append(("posted", row.reason, row.detail, *tried))
                else:
                    changed.append(("open", unusable.reason.value, unusable.detail[:300], *tried))
            columns = ("state", "reason", "detail", "record_key", "attempts", "changed_us")
            if changed:
                driver.update(QuarantinedRow.__table__, ("id",), columns, changed)  # type: ignore[arg-type]

        posted = poster.post(wanted, also)
        # What is still in quarantine was known to be there: to the one who retries it is no duplicate.
        still = sum(posted.fates[position] is Fate.DUPLICATE for position in posted.unusable)
        batch.duplicates -= still
        batch.quarantined += still
        tally.add(batch)


def _item(row: QuarantinedRow, parse: RecordParser) -> Item | None:
    columns: Columns = json.loads(row.fields)
    key = row.record_key
    if row.reason in KEYED_ANEW:
        is_known_shape = bool(parse.mapping.file.columns) or parse.mapping.file.type == "json"
        if not columns and row.reason in UNREADABLE and is_known_shape:
            raw = row.raw.encode(parse.mapping.file.encoding, "replace")
            cut = splitter(parse.mapping, None, row.source)(raw)
            columns = {} if isinstance(cut, Unusable) else cut
        key = parse.key(columns) if parse.has_key(columns) else key
    found = parse(columns, key) if columns else Unusable(Reason(row.reason), row.detail)
    if isinstance(found, Filtered):
        return None
    if row.reason == Reason.CONTRADICTORY and isinstance(found, Unusable):
        # Its fingerprint is still another record's, as far as anybody knows.
        key, found = row.record_key, Unusable(Reason.CONTRADICTORY, found.detail)
    return Item(key, row.source, row.line, row.raw.encode(), columns, found, row.id)
