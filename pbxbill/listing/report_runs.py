"""The lists of reports that were made in the background, and of those that make themselves."""

from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.store.report_models import OWN_REPORT, ReportRunRow, ReportScheduleRow

STATES = ("waiting", "running", "stopping", "stopped", "done", "failed", "gone")
EVERY = (("day", N_("Day")), ("week", N_("Week")), ("month", N_("Month")))
_ENABLED = case((ReportScheduleRow.enabled, "active"), else_="paused")


def _runs(_session: Session, scope: Scope) -> Rows:
    return select(
        ReportRunRow.id.label("id"),
        ReportRunRow.report.label("report"),
        ReportRunRow.format.label("format"),
        ReportRunRow.state.label("state"),
        ReportRunRow.by.label("by"),
        ReportRunRow.file_name.label("file_name"),
        ReportRunRow.progress.label("progress"),
        ReportRunRow.asked_us.label("asked_us"),
        ReportRunRow.ended_us.label("ended_us"),
        ReportRunRow.schedule_id.label("schedule_id"),
        ReportRunRow.started_us.label("started_us"),
        ReportRunRow.error.label("error"),
    ).where(scope.issued(ReportRunRow.scope_id), ~ReportRunRow.report.startswith(OWN_REPORT))


REPORT_RUNS = Listing(
    name="reports-made",
    title=N_("Reports made in the background"),
    permission=Permission.REPORTS_READ,
    columns=(
        Column("report", N_("Report")),
        Column("format", N_("As"), ColumnKind.CODE),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("asked_us", N_("Asked for"), ColumnKind.MOMENT),
        Column("by", N_("By"), wide=True),
        Column("progress", N_("Rows"), ColumnKind.COUNT, wide=True),
        Column("ended_us", N_("Ended"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_runs,
    orders=(
        Order("newest", N_("Newest first"), ReportRunRow.id, ReportRunRow.id, descending=True),
        Order("oldest", N_("Oldest first"), ReportRunRow.id, ReportRunRow.id),
    ),
    filters=(
        Filter("q", N_("File or person"), contains(ReportRunRow.file_name, ReportRunRow.by)),
        Filter(
            "state",
            N_("State"),
            equals(ReportRunRow.state),
            FilterKind.CHOICE,
            tuple((x, x.capitalize()) for x in STATES),
        ),
        Filter("from", N_("From"), at_least(ReportRunRow.asked_us), FilterKind.DAY),
        Filter("to", N_("To"), below(ReportRunRow.asked_us), FilterKind.DAY, next_day=True),
        Filter("schedule", N_("Schedule's number"), equals(ReportRunRow.schedule_id), FilterKind.NUMBER),
    ),
)


def _schedules(_session: Session, scope: Scope) -> Rows:
    return select(
        ReportScheduleRow.id.label("id"),
        ReportScheduleRow.name.label("name"),
        ReportScheduleRow.report.label("report"),
        ReportScheduleRow.every.label("every"),
        ReportScheduleRow.format.label("format"),
        ReportScheduleRow.emails.label("emails"),
        ReportScheduleRow.by.label("by"),
        _ENABLED.label("enabled"),
    ).where(scope.issued(ReportScheduleRow.scope_id))


def _last_runs(session: Session, rows: list[dict[str, Any]]) -> None:
    """What became of each the last time."""
    last = (
        select(func.max(ReportRunRow.id))
        .where(ReportRunRow.schedule_id.in_([x["id"] for x in rows]))
        .group_by(ReportRunRow.schedule_id)
    )
    runs = session.scalars(select(ReportRunRow).where(ReportRunRow.id.in_(last)))
    known = {x.schedule_id: x for x in runs}
    for row in rows:
        run = known.get(row["id"])
        row["last_us"] = None if run is None else run.asked_us
        row["last_state"] = None if run is None else run.state
        row["emails"] = ", ".join(row["emails"].split("\n"))


REPORT_SCHEDULES = Listing(
    name="report-schedules",
    title=N_("Scheduled reports"),
    permission=Permission.REPORTS_READ,
    columns=(
        Column("name", N_("Name")),
        Column("report", N_("Report")),
        Column("every", N_("Every"), ColumnKind.STATE),
        Column("enabled", N_("State"), ColumnKind.STATE),
        Column("last_us", N_("Last made"), ColumnKind.MOMENT),
        Column("last_state", N_("What became of it"), ColumnKind.STATE),
        Column("format", N_("As"), ColumnKind.CODE, wide=True),
        Column("emails", N_("Sent to"), wide=True),
    ),
    rows=_schedules,
    orders=(
        Order("name", N_("Name"), ReportScheduleRow.name, ReportScheduleRow.id),
        Order("newest", N_("Newest first"), ReportScheduleRow.id, ReportScheduleRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Name or address"), contains(ReportScheduleRow.name, ReportScheduleRow.emails)),
        Filter("every", N_("Every"), equals(ReportScheduleRow.every), FilterKind.CHOICE, EVERY),
        Filter(
            "state",
            N_("State"),
            lambda query, state: query.where(ReportScheduleRow.enabled == (state == "active")),
            FilterKind.CHOICE,
            (("active", N_("Active")), ("paused", N_("Paused"))),
        ),
    ),
    finish=_last_runs,
)
