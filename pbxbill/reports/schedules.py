"""Reports that make themselves: every day, week or month, of the last whole one, sent by mail.

A period is made once: its run's key says so. What was missed while nothing ran is not made up for, except the
last period; a clock that was set back makes nothing again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.api_keys import BY_KEY, key_named, still_opens
from pbxbill.access.login_sessions import may_log_in
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.billing.period import day_start_us, local_date, months_after
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.reports.catalogue import parameters_of, report_named
from pbxbill.reports.files import scope_of
from pbxbill.reports.report import Asked, ParameterRefused, in_books, period_of
from pbxbill.reports.runs import NewRun, ask, check_run
from pbxbill.store.access_models import UserRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import ReportRunRow, ReportScheduleRow

EVERY = ("day", "week", "month")
MOST_OF_A_SELLER = 100
MAX_NAME_LENGTH = 100

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A report that is to make itself."""

    name: str
    report: str
    every: str
    format: str
    emails: Sequence[str]
    values: Mapping[str, str]
    """Without days: they are the last whole period's."""
    zone: str = "UTC"
    language: str = "en"
    minute: int = 360
    """Of the local day after the period."""
    by: str = ""
    """A key's as api_keys.maker_named() says it: the schedule ends with the key."""
    user_id: int | None = None


def add_schedule(session: Session, scope: Scope, new: NewSchedule, now_us: int) -> ReportScheduleRow:
    """Have a report make itself, from the period that runs now on."""
    if new.every not in EVERY:
        raise ParameterRefused("every", f"{new.every[:20]!r} is none of: {', '.join(EVERY)}")
    if not (new.name.isprintable() and 0 < len(new.name.strip()) <= MAX_NAME_LENGTH):
        raise ParameterRefused("name", f"1 to {MAX_NAME_LENGTH} printable characters")
    if not new.emails:
        raise ParameterRefused("emails", "say where it is sent")
    if not 0 <= new.minute < 24 * 60:
        raise ParameterRefused("minute", "a day has 1440 minutes")
    values = {key: value for key, value in new.values.items() if key not in ("from", "to")}
    run = NewRun(new.report, values, new.format, new.zone, new.language, emails=new.emails)
    values = check_run(session, scope, run, now_us)
    if len(schedules_of(session, scope)) >= MOST_OF_A_SELLER:
        raise InputRefused(f"{MOST_OF_A_SELLER} schedules are enough: remove one first")
    row = ReportScheduleRow(
        scope_id=scope.account_id, user_id=new.user_id, name=new.name.strip(), report=new.report,
        parameters=json.dumps(values, ensure_ascii=False), format=new.format, every=new.every, zone=new.zone,
        language=new.language, minute=new.minute, emails="\n".join(new.emails), enabled=True,
        last_day=last_period(new.every, new.zone, 0, now_us)[0].isoformat(), by=new.by, created_us=now_us,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def schedules_of(session: Session, scope: Scope) -> list[ReportScheduleRow]:
    """Those of a seller, by name."""
    own = select(ReportScheduleRow).where(ReportScheduleRow.scope_id == scope.account_id)
    return list(session.scalars(own.order_by(ReportScheduleRow.name, ReportScheduleRow.id)))


def schedule_of(session: Session, scope: Scope, schedule_id: int) -> ReportScheduleRow | None:
    """One that may be seen; None for others' and for what there is not."""
    row = session.get(ReportScheduleRow, schedule_id)
    return row if row is not None and row.scope_id == scope.account_id else None


def last_period(every: str, zone: str, minute: int, now_us: int) -> tuple[date, date]:
    """First and last day of the last whole day, week (from Monday) or month; it may be made from a minute of
    the day after on."""
    today = local_date(now_us, zone)

    def ended(begin: date) -> bool:
        return now_us >= day_start_us(begin, zone) + minute * 60 * SECOND_US

    match every:
        case "day":
            begin = today if ended(today) else today - timedelta(days=1)
            first = begin - timedelta(days=1)
        case "week":
            begin = today - timedelta(days=today.weekday())
            begin = begin if ended(begin) else begin - timedelta(days=7)
            first = begin - timedelta(days=7)
        case _:
            begin = today.replace(day=1)
            begin = begin if ended(begin) else months_after(begin, -1)
            first = months_after(begin, -1)
    return first, begin - timedelta(days=1)


def start_due(database: Engine, now_us: int) -> int:
    """Ask for the reports of periods that are over; how many there were."""
    with transaction(reading(database)) as session:
        ids = session.scalars(select(ReportScheduleRow.id).where(ReportScheduleRow.enabled)).all()
    started = 0
    for id in ids:
        try:
            with transaction(database) as session:
                started += _start(session, id, now_us)
        except PbxbillError as error:
            _log.warning("report_not_scheduled", schedule=id, error=str(error))
    return started


def _may_have(session: Session, user: UserRow, report: str, scope: Scope) -> bool:
    """Whether somebody may still ask for a report himself."""
    if not may_log_in(user, session.get_one(AccountRow, user.account_id)):
        return False
    needed = {Permission.REPORTS_READ, report_named(report, scope).permission}
    return needed <= PERMISSIONS_OF[Role(user.role)]


def _key_goes_on(session: Session, row: ReportScheduleRow, now_us: int) -> bool:
    key = key_named(session, row.by)
    return key is not None and key.account_id == row.scope_id and still_opens(session, key.id, now_us)


def _start(session: Session, id: int, now_us: int) -> bool:
    row = session.scalar(
        select(ReportScheduleRow).where(ReportScheduleRow.id == id).with_for_update(skip_locked=True)
    )
    if row is None or not row.enabled:
        return False
    first, last = last_period(row.every, row.zone, row.minute, now_us)
    if first.isoformat() <= row.last_day:
        return False
    scope = scope_of(session, row.scope_id)
    user = None if row.user_id is None else session.get(UserRow, row.user_id)
    is_over = row.by.startswith(BY_KEY) and not _key_goes_on(session, row, now_us)
    if is_over or (user is not None and not _may_have(session, user, row.report, scope)):
        # Whoever may not look at it any more is sent nothing either.
        row.enabled = False
        return False
    values = json.loads(row.parameters)
    known = parameters_of(report_named(row.report, scope), scope)
    days = {"from": first.isoformat(), "to": last.isoformat()}
    values |= {name: day for name, day in days.items() if name in known}
    if "to" in known and period_of(in_books(session, Asked(scope, values, row.zone, now_us)))[1] > now_us:
        # The days are those of the books, where the last one is not over yet.
        return False
    row.last_day = first.isoformat()
    key = f"schedule:{row.id}:{first}"
    if session.scalar(select(ReportRunRow.id).where(ReportRunRow.key == key)) is not None:
        return False
    new = NewRun(
        row.report, values, row.format, row.zone, row.language, row.by, row.user_id, row.emails.split("\n")
    )
    ask(session, scope, new, now_us, key).schedule_id = row.id
    return True
