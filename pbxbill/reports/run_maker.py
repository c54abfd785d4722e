"""Makes reports in the background: takes one that waits, watches over it while it is made, sends its file.

While one thread makes a report another looks twice a second whether somebody wants it stopped, and writes
down how far it is. A statement that runs is ended then, in whichever database. Whoever finds that a run is
his no more, because it was taken for cut off, ends as well. A process that has to end lets go of its run: it
waits again.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.clock import Clock, SystemClock
from pbxbill.errors import PbxbillError, StoreUnavailable
from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.reports.catalogue import FILE_TIMEOUT_MS, report_named
from pbxbill.reports.files import file_name, sheet_of
from pbxbill.reports.making import HowFar, Making, ReportStopped, TooLarge
from pbxbill.reports.reader import Reader
from pbxbill.reports.rendering import render
from pbxbill.reports.report import Asked
from pbxbill.reports.runs import CUT_OFF, MAKING, UNFINISHED, asked_by, beat, state_of
from pbxbill.reports.words import words
from pbxbill.store.engine import one_moment, reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import ReportRunRow

MAX_BYTES = 20 * 1024 * 1024
MOST_ATTEMPTS = 3
LOOK_S = 0.5
BEAT_US = 10_000_000
"""Where nothing changes it is said so often that somebody is there."""
_MONOTONIC = SystemClock()

_log = structlog.get_logger()
Stop = Callable[[], bool]


class _Taken(NamedTuple):
    id: int
    attempts: int


def make_waiting(database: Engine, clock: Clock, stop: Stop = lambda: False) -> int:
    """Make what waits, in the order in which it was asked for; how many ended."""
    made = 0
    while not stop() and (taken := _take(database, clock.now_us())) is not None:
        _make(database, clock, taken, stop)
        made += 1
    return made


def _take(database: Engine, now_us: int) -> _Taken | None:
    query = select(ReportRunRow).where(ReportRunRow.state.in_(UNFINISHED)).order_by(ReportRunRow.id)
    with transaction(database) as session:
        for row in session.scalars(query.limit(50).with_for_update(skip_locked=True)):
            state = state_of(row, now_us)
            if state not in ("waiting", CUT_OFF):
                continue
            if row.state == "stopping":
                row.state, row.ended_us, row.error = "stopped", now_us, ""
            elif row.attempts >= MOST_ATTEMPTS:
                row.state, row.ended_us = "failed", now_us
                row.error = "it was begun several times, and its process ended each time"
            else:
                row.state, row.started_us, row.progress = "running", now_us, 0
                row.error = beat(HowFar(), now_us)
                row.attempts += 1
                return _Taken(row.id, row.attempts)
    return None


def _make(database: Engine, clock: Clock, taken: _Taken, stop: Stop) -> None:
    making = Making(is_watched=True)
    try:
        with _watched(database, clock, taken, making, stop):
            content, name, rows = _file(database, clock, taken, making)
    except StoreUnavailable:
        raise
    except ReportStopped:
        _let_go(database, taken, clock.now_us())
        return
    except TooLarge:
        told = f"it takes more than {FILE_TIMEOUT_MS // 60_000} minutes: ask for fewer days or fewer rows"
        _end(database, taken, clock.now_us(), state="failed", error=told)
        return
    except PbxbillError as error:
        _end(database, taken, clock.now_us(), state="failed", error=str(error)[:500])
        return
    except Exception:  # noqa: BLE001 one report stops no other
        _log.exception("report_failed", run=taken.id)
        _end(database, taken, clock.now_us(), state="failed", error="it could not be made: see the log")
        return
    if len(content) > MAX_BYTES:
        told = f"the file has more than {MAX_BYTES // 1024**2} MB: take csv, fewer days or fewer rows"
        _end(database, taken, clock.now_us(), state="failed", error=told)
        return
    done = {"state": "done", "content": content, "file_name": name, "progress": rows, "error": ""}
    _end(database, taken, clock.now_us(), **done)


def _file(database: Engine, clock: Clock, taken: _Taken, making: Making) -> tuple[bytes, str, int]:
    # Its pieces are of one moment, however long it takes.
    with transaction(one_moment(database)) as session:
        row = session.get_one(ReportRunRow, taken.id)
        scope, report = asked_by(session, row)
        values = json.loads(row.parameters)
        asked = Asked(scope, values, row.zone, clock.now_us(), making=making)
        reader = Reader(words(row.language), row.language)
        sheet, reader = sheet_of(session, report, asked, reader)
        name = file_name(sheet.report, values, asked, row.format)
    return render(sheet, row.format, reader), name, len(sheet.table.rows)


@contextmanager
def _watched(database: Engine, clock: Clock, taken: _Taken, making: Making, stop: Stop) -> Iterator[None]:
    """Write down how far it is, and stop it where somebody asks for that, as long as it is made."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(database, clock, taken, making, stop, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(  # what a thread is begun with
    database: Engine, clock: Clock, taken: _Taken, making: Making, stop: Stop, over: threading.Event
) -> None:
    said, said_us = HowFar(), _MONOTONIC.monotonic_us()
    while not over.wait(LOOK_S):
        try:
            goes_on = _goes_on(database, taken)
            now_us = _MONOTONIC.monotonic_us()
            if goes_on and (making.how_far != said or now_us - said_us >= BEAT_US):
                said, said_us = making.how_far, now_us
                _say(database, taken, said, clock.now_us())
        except StoreUnavailable as error:
            # Whoever makes it finds the same, or it was only busy.
            _log.warning("report_not_watched", run=taken.id, error=str(error))
            continue
        if stop() or not goes_on:
            making.stop()


def _goes_on(database: Engine, taken: _Taken) -> bool:
    """Whether it is still ours, and nobody wants it stopped."""
    query = select(ReportRunRow.state, ReportRunRow.attempts).where(ReportRunRow.id == taken.id)
    with transaction(reading(database)) as session:
        found = session.execute(query).one_or_none()
    return found is not None and tuple(found) == ("running", taken.attempts)


def _own(session: Session, taken: _Taken) -> ReportRunRow | None:
    """The run, if it is still ours."""
    query = select(ReportRunRow).where(ReportRunRow.id == taken.id).with_for_update()
    row = session.scalar(query)
    is_own = row is not None and row.state in MAKING and row.attempts == taken.attempts
    return row if is_own else None


def _say(database: Engine, taken: _Taken, how_far: HowFar, now_us: int) -> None:
    with transaction(database) as session:
        row = _own(session, taken)
        if row is not None:
            row.error = beat(how_far, now_us)


def _let_go(database: Engine, taken: _Taken, now_us: int) -> None:
    """It was stopped: by somebody, or since this process ends; then it waits for another."""
    with transaction(database) as session:
        row = _own(session, taken)
        if row is None:
            return
        row.error = ""
        if row.state == "stopping":
            row.state, row.ended_us = "stopped", now_us
        else:
            row.state, row.started_us, row.attempts = "waiting", None, row.attempts - 1


def _end(database: Engine, taken: _Taken, now_us: int, **values: object) -> None:
    with transaction(database) as session:
        row = _own(session, taken)
        if row is None:
            return
        row.ended_us = now_us
        if row.state == "stopping":
            row.state, row.error = "stopped", ""
            return
        for name, value in values.items():
            setattr(row, name, value)
        if row.state == "done":
            _send(session, row, now_us)


def _send(session: Session, row: ReportRunRow, now_us: int) -> None:
    addresses = row.emails.split("\n") if row.emails else []
    if not addresses:
        return
    translate = words(row.language)
    scope, name = asked_by(session, row)
    seller = session.get_one(AccountRow, row.scope_id)
    title = translate(report_named(name, scope).title)
    said = translate("The report {title} is attached: {file}.").format(title=title, file=row.file_name)
    for address in addresses:
        message = NewMessage(
            key=f"report:{row.id}:{address}", issuer_id=row.scope_id, account_id=None, kind="report",
            recipient=address, subject=f"{title} · {seller.name}", text=f"{said}\n", report_run_id=row.id,
        )  # fmt: skip
        enqueue(session, message, now_us)
