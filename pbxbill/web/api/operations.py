"""The operator's: alerts, jobs, imports of call records, reconciliation."""

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.alerts import ALERTS, open_alerts
from pbxbill.listing.jobs import JOB_RUNS, jobs_listing
from pbxbill.listing.mediation import MEDIATION_RUNS
from pbxbill.listing.reconciliations import DIFFERENCES, RECONCILIATIONS
from pbxbill.store.alerts import mark_done
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.jobs import ask_for_job, let_job_run
from pbxbill.store.notice_models import JobRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Sent
from pbxbill.web.api.listed import asked_by, declare_item, declare_list, filters_of
from pbxbill.web.api.objects import conflicts
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Operations"


class AlertPath(Sent):
    """An alert, by its id."""

    alert_id: Id


class AlertChange(Sent):
    """Whether somebody has dealt with it."""

    done: bool


class AlertsDone(BaseModel):
    """What is dealt with now."""

    alerts: int


AlertFilters = filters_of(ALERTS, "AlertFilters")


class JobPath(Sent):
    """A job, by its name."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{0,31}$")


class JobChange(Sent):
    """Whether it runs by itself."""

    enabled: bool


def operations(api: Api) -> None:
    """Alerts, jobs, imports, reconciliation."""
    front = api.front
    alerts = declare_list(api, "/alerts", ALERTS, TAG)
    declare_item(api, "/alerts/<int:alert_id>", alerts, TAG, "get_alert", "One alert.")
    known = {x.name: (x.about, x.every_s) for x in front.rules.installation.jobs}
    jobs = declare_list(api, "/jobs", jobs_listing(known), TAG)
    declare_list(api, "/job-runs", JOB_RUNS, TAG)
    runs = declare_list(api, "/mediation-runs", MEDIATION_RUNS, TAG)
    declare_item(api, "/mediation-runs/<int:run_id>", runs, TAG, "get_mediation_run", "One import.")
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

    @api.post("/alerts/completion", AlertsDone, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def finish_alerts(body: AlertFilters) -> Answer:  # type: ignore[valid-type]  # made of the list's filters
        """Say that all alerts are dealt with that filters leave."""
        asked = asked_by(body)
        with api.writing("alert.done", "alerts") as change:
            ids = open_alerts(change.session, front.scope, asked)
            mark_done(change.session, ids, front.actor.name, change.now_us)
            return change.done(AlertsDone(alerts=len(ids)), 201)

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
