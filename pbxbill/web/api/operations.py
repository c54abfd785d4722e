"""The operator's: jobs, imports of call records, reconciliation."""

from pydantic import Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.jobs import JOB_RUNS, jobs_listing
from pbxbill.listing.mediation import mediation_runs
from pbxbill.listing.reconciliations import DIFFERENCES, RECONCILIATIONS
from pbxbill.store.jobs import ask_for_job, let_job_run
from pbxbill.store.notice_models import JobRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Sent
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import conflicts
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Operations"


class JobPath(Sent):
    """A job, by its name."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{0,31}$")


class JobChange(Sent):
    """Whether it runs by itself."""

    enabled: bool


def operations(api: Api) -> None:
    """Jobs, imports, reconciliation."""
    front = api.front
    known = {x.name: (x.about, x.every_s) for x in front.rules.installation.jobs}
    jobs = declare_list(api, "/jobs", jobs_listing(known), TAG)
    declare_list(api, "/job-runs", JOB_RUNS, TAG)
    runs = declare_list(api, "/mediation-runs", mediation_runs(front.clock), TAG)
    declare_item(api, "/mediation-runs/<int:run_id>", runs, TAG, "get_mediation_run", "One import.")
    declare_list(api, "/reconciliations", RECONCILIATIONS, TAG)
    declare_list(api, "/differences", DIFFERENCES, TAG)

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
