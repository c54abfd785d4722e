"""The operator's: alerts, jobs, imports of call records, records in quarantine, reconciliation."""

import json
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.alerts import ALERTS
from pbxbill.listing.jobs import JOB_RUNS, jobs_listing
from pbxbill.listing.mediation import MEDIATION_RUNS, QUARANTINE
from pbxbill.listing.reconciliations import DIFFERENCES, RECONCILIATIONS
from pbxbill.mediation.quarantine import Retry, columns_of, correct, give_up, quarantined
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.jobs import ask_for_job, let_job_run
from pbxbill.store.mediation_models import QuarantinedRow
from pbxbill.store.notice_models import JobRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Sent, moment
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import conflicts, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.background import Background

TAG, QUARANTINED = "Operations", "Quarantine"


class AlertPath(Sent):
    """An alert, by its id."""

    alert_id: Id


class AlertChange(Sent):
    """Whether somebody has dealt with it."""

    done: bool


class JobPath(Sent):
    """A job, by its name."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{0,31}$")


class JobChange(Sent):
    """Whether it runs by itself."""

    enabled: bool


class RecordPath(Sent):
    """A record, by its id."""

    record_id: Id


class Corrections(Sent):
    """What columns hold instead."""

    columns: Annotated[
        dict[
            Annotated[str, StringConstraints(min_length=1, max_length=64)],
            Annotated[Line, StringConstraints(max_length=1000)],
        ],
        Field(min_length=1, max_length=100),
    ]


class GiveUp(Sent):
    """Why a record is given up."""

    reason: Annotated[Line, StringConstraints(min_length=1, max_length=120)]


class Record(BaseModel):
    """A call record that could not be charged."""

    id: int
    source: str
    line: int
    raw: str
    columns: dict[str, str | None]
    known_columns: list[str] = Field(description="Those that the import reads.")
    reason: str
    detail: str
    state: str = Field(description="open, posted or dropped.")
    attempts: int
    created: Moment
    changed: Moment


def operations(api: Api) -> None:
    """Alerts, jobs, imports, reconciliation."""
    front = api.front
    alerts = declare_list(api, "/alerts", ALERTS, TAG)
    declare_item(api, "/alerts/<int:alert_id>", alerts, TAG, "get_alert", "One alert.")
    known = {x.name: (x.about, x.every_s) for x in front.rules.installation.jobs}
    jobs = declare_list(api, "/jobs", jobs_listing(known), TAG)
    declare_list(api, "/job-runs", JOB_RUNS, TAG)
    declare_list(api, "/mediation-runs", MEDIATION_RUNS, TAG)
    declare_list(api, "/reconciliations", RECONCILIATIONS, TAG)
    declare_list(api, "/differences", DIFFERENCES, TAG)

    @api.patch("/alerts/<int:alert_id>", alerts.item, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def change_alert(path: AlertPath, body: AlertChange) -> Answer:
        """Say that an alert is dealt with, or open it again."""
        with api.writing("alert.done" if body.done else "alert.open", str(path.alert_id)) as change:
            row = change.session.get(AlertRow, path.alert_id)
            if row is None or not front.scope.is_everything:
                raise Refused(404)
            row.done_us = change.now_us if body.done else None
            row.done_by = front.actor.name if body.done else ""
            return change.done(alerts.shown(change.session, front.scope, row.id))

    def job_of(session: Session, name: str) -> JobRow:
        row = session.get(JobRow, name)
        if row is None or not front.scope.is_everything:
            raise Refused(404)
        return row

    @api.patch("/jobs/<name>", jobs.item, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def change_job(path: JobPath, body: JobChange) -> Answer:
        """Let a job run by itself, or not."""
        with api.writing("job.enable" if body.enabled else "job.disable", path.name) as change:
            job_of(change.session, path.name)
            let_job_run(change.session, path.name, enabled=body.enabled)
            return change.done(jobs.shown(change.session, front.scope, path.name))

    @api.post("/jobs/<name>/run", jobs.item, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def run_job(path: JobPath) -> Answer:
        """Have a job run now: the process that runs jobs begins within a second. 409: it is off, or runs."""
        with api.writing("job.run", path.name) as change:
            job_of(change.session, path.name)
            with conflicts():
                ask_for_job(change.session, path.name, change.now_us)
            return change.done(jobs.shown(change.session, front.scope, path.name), 202)


def quarantine(api: Api) -> None:
    """Records in quarantine."""
    front = api.front
    background = Background()
    declare_list(api, "/quarantine", QUARANTINE, QUARANTINED)

    @api.get("/quarantine/<int:record_id>", Record, QUARANTINED)
    @needs(Permission.OPERATIONS_READ)
    def get_record(path: RecordPath) -> Record:
        """One record, as it came and as it was corrected."""
        with front.reading() as session:
            return _shown(session, _record(front, session, path.record_id))

    @api.patch("/quarantine/<int:record_id>", Record, QUARANTINED)
    @needs(Permission.OPERATIONS_WRITE)
    def correct_record(path: RecordPath, body: Corrections) -> Answer:
        """Correct columns of a record. 422: it has no such column, or waits no more."""
        with api.writing("quarantine.correct", str(path.record_id)) as change:
            row = _record(front, change.session, path.record_id)
            with field("columns"):
                correct(change.session, row.id, dict(body.columns), change.now_us)
            return change.done(_shown(change.session, row))

    @api.post("/quarantine/<int:record_id>/retry", Record, QUARANTINED, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def retry_record(path: RecordPath) -> Answer:
        """Try to charge a record again. GET says what became of it. 409: it waits no more."""
        application, id = front.desks.application, path.record_id
        with api.writing("quarantine.retry", str(id)) as change:
            row = _record(front, change.session, id)
            if row.state != "open":
                raise Refused(409, f"The record is {row.state}.")
            answer = change.done(_shown(change.session, row), 202)

        def work() -> None:
            Retry(application.database, application.connect, front.clock, None).run(quarantined(ids=[id]))

        background.start("quarantine-retry", work)
        return answer

    @api.post("/quarantine/<int:record_id>/drop", Record, QUARANTINED)
    @needs(Permission.OPERATIONS_WRITE)
    def drop_record(path: RecordPath, body: GiveUp) -> Answer:
        """Give a record up: it is never charged, from whatever file it comes. 409: it waits no more."""
        with api.writing("quarantine.drop", f"{path.record_id}: {body.reason}") as change:
            row = _record(front, change.session, path.record_id)
            if row.state != "open":
                raise Refused(409, f"The record is {row.state}.")
            give_up(change.session, quarantined(ids=[row.id]), change.now_us, body.reason)
            change.session.expire_all()
            return change.done(_shown(change.session, _record(front, change.session, path.record_id)), 201)


def _record(front: Front, session: Session, id: int) -> QuarantinedRow:
    row = session.get(QuarantinedRow, id)
    if row is None or not front.scope.is_everything:
        raise Refused(404)
    return row


def _shown(session: Session, row: QuarantinedRow) -> Record:
    return Record(
        id=row.id,
        source=row.source,
        line=row.line,
        raw=row.raw,
        columns=json.loads(row.fields),
        known_columns=list(columns_of(session, row)),
        reason=row.reason,
        detail=row.detail,
        state=row.state,
        attempts=row.attempts,
        created=moment(row.created_us),
        changed=moment(row.changed_us),
    )
