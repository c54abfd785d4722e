"""Reports that are made in the background: asked for, made by a job, kept for a week, sent by mail.

waiting -> running -> done | failed, and done -> gone when the file was kept long enough. A process that dies
over one leaves it running: it is taken again, three times at most. Making one twice changes nothing; the
messages with its file have keys.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog
from sqlalchemy import ColumnElement, Engine, delete, func, or_, select, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, PbxbillError, StoreUnavailable
from pbxbill.notify.outbox import NewMessage, enqueue
from pbxbill.notify.smtp import check_address
from pbxbill.rating.band_checks import zone_of
from pbxbill.reports.catalogue import check_values, report_named
from pbxbill.reports.files import file_name, scope_of, sheet_of
from pbxbill.reports.reader import Reader
from pbxbill.reports.rendering import FORMATS, render
from pbxbill.reports.report import Asked, ParameterRefused, days_of
from pbxbill.reports.words import words
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import ReportRunRow

MAX_BYTES = 20 * 1024 * 1024
KEPT_S = 7 * 86_400
FORGOTTEN_S = 90 * 86_400
MOST_WAITING = 20
"""Of one seller: who asks for more has to wait."""
MOST_ADDRESSES = 20
DEAD_S = 1_800
"""A run that somebody took so long ago is taken again: he has died."""
MOST_ATTEMPTS = 3

_log = structlog.get_logger()


class NewRun(NamedTuple):
    """A report that somebody wants made."""

    report: str
    values: Mapping[str, str]
    format: str
    zone: str = "UTC"
    language: str = "en"
    by: str = ""
    user_id: int | None = None
    emails: Sequence[str] = ()
    """Where it is sent; empty: it is fetched."""


class _Taken(NamedTuple):
    id: int
    attempts: int


def check_run(session: Session, scope: Scope, new: NewRun, now_us: int) -> dict[str, str]:
    """The values of a report that can be made; InputRefused says what is wrong with it."""
    report = report_named(new.report, scope)
    if new.format not in FORMATS:
        raise ParameterRefused("format", f"{new.format[:20]!r} is none of: {', '.join(FORMATS)}")
    zone_of(new.zone)
    values = {key: value.strip() for key, value in new.values.items() if value.strip()}
    asked = Asked(scope, values, new.zone, now_us)
    check_values(report, asked)
    days_of(asked)
    if len(new.emails) > MOST_ADDRESSES:
        raise ParameterRefused("emails", f"up to {MOST_ADDRESSES} addresses")
    for address in new.emails:
        check_address(address)
    del session
    return values


def ask(session: Session, scope: Scope, new: NewRun, now_us: int, key: str | None = None) -> ReportRunRow:
    """Have a report made in the background."""
    values = check_run(session, scope, new, now_us)
    waiting = select(func.count()).where(
        ReportRunRow.scope_id == scope.account_id, ReportRunRow.state.in_(("waiting", "running"))
    )
    if key is None and (session.scalar(waiting) or 0) >= MOST_WAITING:
        raise InputRefused(f"{MOST_WAITING} reports are waiting already: let them be made first")
    row = ReportRunRow(
        key=key, scope_id=scope.account_id, user_id=new.user_id, by=new.by, report=new.report,
        parameters=json.dumps(values, ensure_ascii=False), format=new.format, zone=new.zone,
        language=new.language, emails="\n".join(new.emails), state="waiting", asked_us=now_us,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def runs_of(session: Session, scope: Scope, limit: int = 50) -> list[ReportRunRow]:
    """Those of a seller, the newest first."""
    own = select(ReportRunRow).where(ReportRunRow.scope_id == scope.account_id)
    return list(session.scalars(own.order_by(ReportRunRow.id.desc()).limit(limit)))


def run_of(session: Session, scope: Scope, run_id: int) -> ReportRunRow | None:
    """One that may be seen; None for others' and for what there is not."""
    row = session.get(ReportRunRow, run_id)
    return row if row is not None and row.scope_id == scope.account_id else None


def anything_waits(database: Engine) -> bool:
    """Whether a report waits to be made."""
    with transaction(reading(database)) as session:
        return (
            session.scalar(select(ReportRunRow.id).where(ReportRunRow.state == "waiting").limit(1))
            is not None
        )


def make_waiting(database: Engine, clock: Clock, stop: Callable[[], bool] = lambda: False) -> int:
    """Make what waits, in the order in which it was asked for; how many ended."""
    made = 0
    while not stop() and (taken := _take(database, clock.now_us())) is not None:
        _make(database, clock, taken)
        made += 1
    return made


def _take(database: Engine, now_us: int) -> _Taken | None:
    dead = (ReportRunRow.state == "running") & or_(
        ReportRunRow.started_us < now_us - DEAD_S * SECOND_US,
        ReportRunRow.started_us > now_us + DEAD_S * SECOND_US,
    )
    query = select(ReportRunRow).where(or_(ReportRunRow.state == "waiting", dead)).order_by(ReportRunRow.id)
    with transaction(database) as session:
        for row in session.scalars(query.limit(10).with_for_update(skip_locked=True)):
            if row.attempts >= MOST_ATTEMPTS:
                row.state, row.ended_us = "failed", now_us
                row.error = "it was begun several times, and its process ended each time"
                continue
            row.state, row.started_us, row.progress = "running", now_us, 0
            row.attempts += 1
            return _Taken(row.id, row.attempts)
    return None


def _make(database: Engine, clock: Clock, taken: _Taken) -> None:
    try:
        content, name = _file(database, clock, taken)
    except StoreUnavailable:
        raise
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
    _end(database, taken, clock.now_us(), state="done", content=content, file_name=name, error="")


def _file(database: Engine, clock: Clock, taken: _Taken) -> tuple[bytes, str]:
    with transaction(reading(database)) as session:
        row = session.get_one(ReportRunRow, taken.id)
        scope = scope_of(session, row.scope_id)
        values = json.loads(row.parameters)
        asked = Asked(scope, values, row.zone, clock.now_us())
        reader = Reader(words(row.language), row.language)
        sheet, reader = sheet_of(session, row.report, asked, reader)
        name = file_name(sheet.report, values, asked, row.format)
    with transaction(database) as session:
        ours = _own(taken)
        session.execute(update(ReportRunRow).where(*ours).values(progress=len(sheet.table.rows)))
    return render(sheet, row.format, reader), name


def _own(taken: _Taken) -> tuple[ColumnElement[bool], ...]:
    return (
        ReportRunRow.id == taken.id,
        ReportRunRow.state == "running",
        ReportRunRow.attempts == taken.attempts,
    )


def _end(database: Engine, taken: _Taken, now_us: int, **values: object) -> None:
    with transaction(database) as session:
        ours = update(ReportRunRow).where(*_own(taken))
        done = session.execute(ours.values(ended_us=now_us, **values).returning(ReportRunRow.id)).first()
        if done is not None and values["state"] == "done":
            _send(session, taken.id, now_us)


def _send(session: Session, run_id: int, now_us: int) -> None:
    row = session.get_one(ReportRunRow, run_id)
    addresses = row.emails.split("\n") if row.emails else []
    if not addresses:
        return
    translate = words(row.language)
    report = report_named(row.report, scope_of(session, row.scope_id))
    seller = session.get_one(AccountRow, row.scope_id)
    title = translate(report.title)
    said = translate("The report {title} is attached: {file}.").format(title=title, file=row.file_name)
    for address in addresses:
        message = NewMessage(
            key=f"report:{run_id}:{address}", issuer_id=row.scope_id, account_id=None, kind="report",
            recipient=address, subject=f"{title} · {seller.name}", text=f"{said}\n", report_run_id=run_id,
        )  # fmt: skip
        enqueue(session, message, now_us)


def forget_old(database: Engine, now_us: int) -> int:
    """Drop files that were kept long enough; how many there were."""
    old = ReportRunRow.ended_us < now_us - KEPT_S * SECOND_US
    with transaction(database) as session:
        ended = ReportRunRow.state.in_(("done", "failed"))
        gone = update(ReportRunRow).where(old, ended).values(state="gone", content=None)
        count = len(session.execute(gone.returning(ReportRunRow.id)).all())
        forgotten = ReportRunRow.ended_us < now_us - FORGOTTEN_S * SECOND_US
        session.execute(delete(ReportRunRow).where(forgotten, ReportRunRow.state == "gone"))
    return count
