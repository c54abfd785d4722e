"""Jobs: what happens by itself, when next, how it went; and running one now."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.jobs import JOB_RUNS, jobs_are_run, jobs_listing
from pbxbill.listing.listing import N_
from pbxbill.store.jobs import ask_for_job, let_job_run
from pbxbill.store.notice_models import JobRow
from pbxbill.web.fields import sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list

PAGE_COLUMNS = ("name", "about", "state", "last_us", "detail")
NAME = "<string(maxlength=32):name>"


def jobs(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("jobs", __name__)
    known = {x.name: x for x in front.rules.installation.jobs}
    listing = jobs_listing({x.name: (x.about, x.every_s) for x in known.values()})

    def standing() -> dict[str, Any]:
        with front.reading() as session:
            return {"are_run": jobs_are_run(session, front.clock.now_us())}

    add_list(
        section,
        front,
        ListPage(
            listing,
            "/jobs",
            link=lambda row: url_for("jobs.show", name=row["id"]),
            template="panel/jobs/list.html",
            columns=PAGE_COLUMNS,
            empty=(N_("No job has run yet"), N_("Start pbxbill jobs or pbxbill run: they run it all.")),
            more=standing,
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            JOB_RUNS,
            "/jobs/history",
            link=lambda row: url_for("jobs.show", name=row["job"]),
            endpoint="history",
            template="panel/jobs/history.html",
            empty=(N_("No job has done anything yet"), N_("Runs that do something, or fail, appear here.")),
        ),
    )

    def of_path() -> dict[str, Any]:
        with front.reading() as session:
            row = _row(session, front, (request.view_args or {})["name"])
        fact = known.get(row.name)
        return {"job": row, "fact": fact, "now_us": front.clock.now_us(), **standing()}

    add_list(
        section,
        front,
        ListPage(
            JOB_RUNS,
            f"/jobs/of/{NAME}",
            endpoint="show",
            template="panel/jobs/show.html",
            empty=(N_("It has not done anything yet"), N_("Runs that do something, or fail, appear here.")),
            more=of_path,
            given=lambda: {"job": str((request.view_args or {})["name"])},
        ),
    )
    _add_actions(section, front)
    return section


def _add_actions(section: Blueprint, front: Front) -> None:
    @section.post(f"/jobs/of/{NAME}/<any(run, enable, disable):do>")
    @needs(Permission.OPERATIONS_WRITE)
    def tell(name: str, do: str) -> Response:
        with front.reading() as session:
            _row(session, front, name)
        try:
            with front.changing(f"job.{do}", name) as change:
                if do == "run":
                    ask_for_job(change.session, name, change.now_us)
                else:
                    let_job_run(change.session, name, enabled=do == "enable")
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            flash(_told(do))
        return redirect(url_for(".show", name=name), 303)


def _told(do: str) -> str:
    if do == "run":
        return str(gettext("It is due now. The process that runs jobs begins within a second."))
    if do == "enable":
        return str(gettext("It runs by itself again."))
    return str(gettext("It no longer runs by itself."))


def _row(session: Session, front: Front, name: str) -> JobRow:
    row = session.get(JobRow, name)
    if row is None or not front.scope.is_everything:
        abort(404)
    return row
