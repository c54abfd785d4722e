"""Reports that are made in the background: asked for, watched, stopped, kept for a week.

waiting -> running -> done | failed, running -> stopping -> stopped, and done -> gone when the file was kept
long enough. Whoever makes one (run_maker.py) says every few seconds how far it is: one of which nothing is
heard was cut off. It is made again by the next who comes; making one twice changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.notify.smtp import check_address
from pbxbill.rating.band_checks import zone_of
from pbxbill.reports.catalogue import check_values, report_named
from pbxbill.reports.files import scope_of
from pbxbill.reports.making import HowFar, Stage
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import Asked, ParameterRefused, days_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.report_models import OWN_REPORT, ReportRunRow

KEPT_S = 7 * 86_400
FORGOTTEN_S = 90 * 86_400
MOST_WAITING = 20
"""Of one seller: who asks for more has to wait."""
MOST_ADDRESSES = 20
SILENT_US = 60 * SECOND_US
"""Whoever has not said for so long how far it is has died."""
MAKING = ("running", "stopping")
UNFINISHED = ("waiting", *MAKING)
CUT_OFF = "cut_off"
"""What is said of one whose maker died; no row holds it."""


class SaidOfRun(Protocol):
    """What a run's row says of how it goes, of which a list reads no more."""

    @property
    def state(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def started_us(self) -> int | None: ...


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
        ReportRunRow.scope_id == scope.account_id, ReportRunRow.state.in_(UNFINISHED)
    )
    if key is None and (session.scalar(waiting) or 0) >= MOST_WAITING:
        raise InputRefused(f"{MOST_WAITING} reports are waiting already: let them be made first")
    row = ReportRunRow(
        key=key, scope_id=scope.account_id, user_id=new.user_id, by=new.by,
        report=f"{OWN_REPORT}{new.report}" if scope.own else new.report,
        parameters=json.dumps(values, ensure_ascii=False), format=new.format, zone=new.zone,
        language=new.language, emails="\n".join(new.emails), state="waiting", asked_us=now_us,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def runs_of(session: Session, scope: Scope, limit: int = 50) -> list[ReportRunRow]:
    """Those of a seller, or what an account had made of itself; the newest first."""
    is_own = ReportRunRow.report.startswith(OWN_REPORT)
    own = select(ReportRunRow).where(
        ReportRunRow.scope_id == scope.account_id, is_own if scope.own else ~is_own
    )
    return list(session.scalars(own.order_by(ReportRunRow.id.desc()).limit(limit)))


def run_of(session: Session, scope: Scope, run_id: int) -> ReportRunRow | None:
    """One that may be seen; None for others' and for what there is not."""
    row = session.get(ReportRunRow, run_id)
    if row is None or row.scope_id != scope.account_id:
        return None
    return row if row.report.startswith(OWN_REPORT) == scope.own else None


def asked_by(session: Session, row: ReportRunRow) -> tuple[Scope, str]:
    """For whom a run is made, and which report."""
    scope = scope_of(session, row.scope_id)
    if not row.report.startswith(OWN_REPORT):
        return scope, row.report
    return replace(scope, own=True), row.report.removeprefix(OWN_REPORT)


def anything_waits(database: Engine, now_us: int) -> bool:
    """Whether a report waits to be made, or was cut off."""
    with transaction(reading(database)) as session:
        rows = session.scalars(select(ReportRunRow).where(ReportRunRow.state.in_(UNFINISHED)))
        return any(state_of(row, now_us) in ("waiting", CUT_OFF) for row in rows)


def how_far(row: SaidOfRun) -> HowFar | None:
    """At what one is that is being made; None: it is not."""
    beat = _beat_of(row)
    return None if beat is None else beat[0]


def why(row: ReportRunRow) -> str:
    """Why one failed."""
    return "" if row.state in MAKING else row.error


def state_of(row: SaidOfRun, now_us: int) -> str:
    """Its state; CUT_OFF where whoever made it has said nothing for so long that he must have died."""
    if row.state not in MAKING:
        return row.state
    beat = _beat_of(row)
    heard_us = row.started_us or 0 if beat is None else beat[1]
    return row.state if abs(now_us - heard_us) <= SILENT_US else CUT_OFF


def beat(how_far: HowFar, now_us: int) -> str:
    """What a row that is being made holds where others hold why they failed."""
    return " ".join(map(str, (*how_far, now_us)))


def _beat_of(row: SaidOfRun) -> tuple[HowFar, int] | None:
    if row.state not in MAKING:
        return None
    try:
        stage, done, total, heard_us = row.error.split()
        return HowFar(Stage(stage), int(done), int(total)), int(heard_us)
    except ValueError:
        return None  # it said nothing yet


def ask_to_stop(session: Session, run_id: int, now_us: int) -> ReportRunRow:
    """Have one stop, within seconds where it is being made; InputRefused if it is over."""
    query = select(ReportRunRow).where(ReportRunRow.id == run_id).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one()
    match state_of(row, now_us):
        case "waiting" | "cut_off":
            row.state, row.ended_us, row.error = "stopped", now_us, ""
        case "running" | "stopping":
            row.state = "stopping"
        case _:
            raise InputRefused("this report is not being made any more; look what became of it")
    session.flush()
    return row


def forget_old(database: Engine, now_us: int) -> int:
    """Drop files that were kept long enough; how many there were."""
    old = ReportRunRow.ended_us < now_us - KEPT_S * SECOND_US
    with transaction(database) as session:
        gone = (
            update(ReportRunRow).where(old, ReportRunRow.state == "done").values(state="gone", content=None)
        )
        count = len(session.execute(gone.returning(ReportRunRow.id)).all())
        forgotten = ReportRunRow.ended_us < now_us - FORGOTTEN_S * SECOND_US
        ended = ReportRunRow.state.in_(("gone", "failed", "stopped"))
        session.execute(delete(ReportRunRow).where(forgotten, ended))
    return count
