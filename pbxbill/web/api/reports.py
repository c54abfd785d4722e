"""Reports: read as a table, made as files in the background, scheduled by e-mail."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.api_keys import maker_named
from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import Column
from pbxbill.listing.report_runs import REPORT_SCHEDULES
from pbxbill.money import Unit
from pbxbill.reports.catalogue import made, may_have, report_named, reports_of
from pbxbill.reports.making import TooLarge
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import Asked, Report
from pbxbill.reports.runs import NewRun, ask, ask_to_stop, how_far, run_of, state_of, why
from pbxbill.reports.schedules import NewSchedule, add_schedule, schedule_of
from pbxbill.store.report_models import ReportRunRow, ReportScheduleRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.fields import Id, Line, Moment, Sent, moment, moment_or_none
from pbxbill.web.api.listed import declare_item, declare_list, name_of, value_of
from pbxbill.web.api.objects import conflicts, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs
from pbxbill.web.report_runs import listed_runs

TAG = "Reports"
PATIENCE_MS = 3_000
"""What takes longer is made in the background."""
FILE = File("application/octet-stream", "The file; its name says what it is.")
Name = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9-]{0,63}$")]
Zone = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
Address = Annotated[str, StringConstraints(min_length=3, max_length=200)]
Values = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern="^[a-z_]{1,32}$")],
        Annotated[Line, StringConstraints(max_length=200)],
    ],
    Field(max_length=20),
]
VALUES = "By the keys of its parameters; days as 2026-01-31."


class ReportPath(Sent):
    """A report, by its name."""

    report: Name


class RunPath(Sent):
    """A report made, by its id."""

    run_id: Id


class SchedulePath(Sent):
    """A schedule, by its id."""

    schedule_id: Id


class ParameterShown(BaseModel):
    """What a report can be asked for by."""

    key: str
    label: str
    kind: str
    choices: list[str]


class ReportShown(BaseModel):
    """A report."""

    name: str
    title: str
    about: str
    parameters: list[ParameterShown]


class Reports(BaseModel):
    """All that the key may read."""

    items: list[ReportShown]


class WantedTable(Sent):
    """What of a report is to be read."""

    values: Values = Field(default={}, description=VALUES)
    zone: Zone = Field(default="UTC", description="In which days begin.")


class TableColumn(BaseModel):
    """A column."""

    key: str
    heading: str
    kind: str


class ReportTable(BaseModel):
    """A report as a table. Amounts are money, moments RFC 3339."""

    columns: list[TableColumn]
    rows: list[dict[str, JsonValue]]
    totals: list[dict[str, JsonValue]]
    notes: list[str]
    cut: bool = Field(description="There are more rows: have a file made.")


class WantedFile(Sent):
    """A report as a file."""

    report: Name
    format: Literal[FORMATS]  # type: ignore[valid-type]  # made of what there is
    values: Values = Field(default={}, description=VALUES)
    zone: Zone = "UTC"
    language: Literal["en", "fr", "es"] = "en"
    emails: Annotated[list[Address], Field(max_length=20)] = Field(
        default=[], description="Where it is sent; none: fetch it."
    )


class SentSchedule(WantedFile):
    """A report that makes itself."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)]
    every: Literal["day", "week", "month"]
    minute: Annotated[int, Field(ge=0, le=1439)] = Field(
        default=360, description="Of the local day after the period."
    )


class ScheduleChange(Sent):
    """Whether it makes itself."""

    enabled: bool


class RunProgress(BaseModel):
    """At what a report is that is being made, and how much of that is done."""

    stage: str = Field(
        description="reading; hours whose calls are read; calls that are looked at; writing: rows of the "
        "file; setting: its pages."
    )
    done: int
    total: int | None = Field(description="null: not known.")


class ReportRun(BaseModel):
    """A report that is being made, or is there to be fetched."""

    id: int
    report: str
    format: str
    state: str = Field(
        description="waiting, running, stopping, stopped, done, failed, gone: it was kept for days; or "
        "cut_off: its process died, and the next begins it again."
    )
    progress: RunProgress | None = Field(description="While it is made.")
    rows: int = Field(description="Of the file, once it is made.")
    file_name: str
    error: str
    asked: Moment
    ended: Moment | None


def reports(api: Api) -> None:
    """Reports, and their files."""
    front = api.front
    declare_list(api, "/report-runs", listed_runs(front.clock), TAG)

    @api.get("/reports", Reports, TAG)
    @needs(Permission.REPORTS_READ)
    def list_reports() -> Reports:
        """Which reports there are, and what they can be asked for by."""
        return Reports(items=[described(x) for x in reports_of(front.scope) if may_have(front.actor, x.name)])

    @api.post("/reports/<report>/table", ReportTable, TAG, 200, later=ReportRun)
    @needs(Permission.REPORTS_READ)
    def read_report(path: ReportPath, body: WantedTable) -> ReportTable | Answer:
        """Read a report now; 202 where that takes long: it is made in the background, as CSV."""
        try:
            report = report_named(path.report, front.scope)
        except InputRefused:
            raise Refused(404) from None
        _check(front, report.name)
        table = table_of(front, report, body)
        if table is not None:
            return table
        with api.writing("report.ask", report.name) as change:
            wanted = WantedFile(report=report.name, format="csv", values=body.values, zone=body.zone)
            with field("values"):
                row = ask(change.session, front.scope, _new_run(front, wanted), change.now_us)
            return change.done(_shown(row, change.now_us), 202)

    @api.post("/report-runs", ReportRun, TAG, 202)
    @needs(Permission.REPORTS_READ)
    def make_report(body: WantedFile) -> Answer:
        """Have a report made as a file, in the background, by the process that runs jobs."""
        _check(front, body.report)
        with api.writing("report.ask", body.report) as change:
            with field("values"):
                row = ask(change.session, front.scope, _new_run(front, body), change.now_us)
            return change.done(_shown(row, change.now_us), 202)

    @api.get("/report-runs/<int:run_id>", ReportRun, TAG)
    @needs(Permission.REPORTS_READ)
    def get_report_run(path: RunPath) -> ReportRun:
        """How far it is."""
        with front.reading() as session:
            return _shown(_run(front, session, path.run_id), front.clock.now_us())

    @api.post("/report-runs/<int:run_id>/stop", ReportRun, TAG, 202)
    @needs(Permission.REPORTS_READ)
    def stop_report_run(path: RunPath) -> Answer:
        """Have it stop, within seconds. 409: it is not being made any more."""
        with api.writing("report.stop", str(path.run_id)) as change:
            run_id = _run(front, change.session, path.run_id).id
            with conflicts():
                row = ask_to_stop(change.session, run_id, change.now_us)
            return change.done(_shown(row, change.now_us), 202)

    @api.get("/report-runs/<int:run_id>/file", FILE, TAG, conflict=True)
    @needs(Permission.REPORTS_READ)
    def get_report_file(path: RunPath) -> Response:
        """The file. 409: it is not made yet, or no longer kept."""
        with front.reading() as session:
            row = _run(front, session, path.run_id)
            content = row.content
        if content is None:
            raise Refused(409, f"The report is {row.state}.")
        answer = Response(content, mimetype=FILE.mimetype)
        name = row.file_name.encode("ascii", "replace").decode().replace('"', "")
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer


def report_schedules(api: Api) -> None:
    """Schedules."""
    front = api.front
    types = declare_list(api, "/report-schedules", REPORT_SCHEDULES, TAG)
    one = "/report-schedules/<int:schedule_id>"
    declare_item(api, one, types, TAG, "get_report_schedule", "One schedule.", moving=("last", "last_state"))

    def seen(session: Session, id: int) -> ReportScheduleRow:
        row = schedule_of(session, front.scope, id)
        if row is None:
            raise Refused(404)
        _check(front, row.report)
        return row

    @api.post("/report-schedules", types.item, TAG)
    @needs(Permission.REPORTS_READ)
    def schedule_report(body: SentSchedule) -> Answer:
        """Have a report made of every day, week or month, and sent. It ends with the key."""
        _check(front, body.report)
        with front.reading() as session:
            by = maker_named(session, front.actor)
        new = NewSchedule(
            body.name,
            body.report,
            body.every,
            body.format,
            tuple(body.emails),
            body.values,
            body.zone,
            body.language,
            body.minute,
            by,
        )
        with api.writing("report.schedule", body.name) as change:
            with conflicts():
                row = add_schedule(change.session, front.scope, new, change.now_us)
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    @api.patch("/report-schedules/<int:schedule_id>", types.item, TAG)
    @needs(Permission.REPORTS_READ)
    def change_report_schedule(path: SchedulePath, body: ScheduleChange) -> Answer:
        """Let a schedule rest, or go on."""
        with front.reading() as session:
            name = seen(session, path.schedule_id).name
        with api.writing("report.schedule", name) as change:
            seen(change.session, path.schedule_id).enabled = body.enabled
            return change.done(types.shown(change.session, front.scope, path.schedule_id))

    @api.delete("/report-schedules/<int:schedule_id>", TAG)
    @needs(Permission.REPORTS_READ)
    def remove_report_schedule(path: SchedulePath) -> Answer:
        """Have it made no more; what was made stays."""
        with front.reading() as session:
            name = seen(session, path.schedule_id).name
        with api.writing("report.unschedule", name) as change:
            row = seen(change.session, path.schedule_id)
            for run in change.session.query(ReportRunRow).filter_by(schedule_id=row.id):
                run.schedule_id = None
            change.session.flush()
            change.session.delete(row)
            return change.done(None)


def asked_in(front: Front, body: WantedTable) -> Asked:
    """What a body asks of a report."""
    values = {key: value.strip() for key, value in body.values.items() if value.strip()}
    return Asked(front.scope, values, body.zone, front.clock.now_us())


def table_of(front: Front, report: Report, body: WantedTable) -> ReportTable | None:
    """A report that is read now; None where that takes long."""
    with front.reading() as session, field("values"):
        try:
            table = made(session, report, asked_in(front, body), timeout_ms=PATIENCE_MS)
        except TooLarge:
            return None
        units = units_by_code(session)
    return ReportTable(
        columns=[_column(x) for x in table.columns],
        rows=_rows(table.columns, table.rows, units),
        totals=_rows(table.columns, table.totals, units),
        notes=[str(x) for x in table.notes],
        cut=table.is_cut,
    )


def described(report: Report) -> ReportShown:
    """What it is, and can be asked for by."""
    return ReportShown(
        name=report.name,
        title=str(report.title),
        about=str(report.about),
        parameters=[
            ParameterShown(
                key=x.key, label=str(x.label), kind=x.kind.value, choices=[value for value, _ in x.choices]
            )
            for x in report.parameters
        ],
    )


def _column(column: Column) -> TableColumn:
    return TableColumn(key=name_of(column), heading=str(column.heading), kind=column.kind.value)


def _rows(
    columns: tuple[Column, ...], rows: list[dict[str, Any]], units: Mapping[str, Unit]
) -> list[dict[str, JsonValue]]:
    return [{name_of(x): value_of(x, row, units) for x in columns} for row in rows]


def _new_run(front: Front, body: WantedFile) -> NewRun:
    return NewRun(
        body.report, body.values, body.format, body.zone, body.language, front.actor.name, None, body.emails
    )


def _run(front: Front, session: Session, id: int) -> ReportRunRow:
    row = run_of(session, front.scope, id)
    if row is None:
        raise Refused(404)
    _check(front, row.report)
    return row


def _check(front: Front, name: str) -> None:
    """403 for a report that there is and the key may not have."""
    if any(x.name == name for x in reports_of(front.scope)) and not may_have(front.actor, name):
        raise Refused(403, "The key may not have this report.")


def _shown(row: ReportRunRow, now_us: int) -> ReportRun:
    far = how_far(row)
    return ReportRun(
        id=row.id,
        report=row.report,
        format=row.format,
        state=state_of(row, now_us),
        progress=far and RunProgress(stage=far.stage, done=far.done, total=far.total or None),
        rows=row.progress or 0,
        file_name=row.file_name or "",
        error=why(row),
        asked=moment(row.asked_us),
        ended=moment_or_none(row.ended_us),
    )
