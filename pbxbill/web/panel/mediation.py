"""Imports of call records: what each run read, charged, left out and could not charge."""

from flask import Blueprint, abort, render_template, request, url_for

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_, Asked, page_of
from pbxbill.listing.mediation import mediation_runs
from pbxbill.listing.mediation_sums import MEDIATION_SUMS, RUN
from pbxbill.mediation.report import report_of_row
from pbxbill.mediation.runs import SENT
from pbxbill.store.mediation_models import MediationRunRow
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.mediation_uploads import add_uploads

PAGE_COLUMNS = (
    "started_us",
    "file",
    "switch",
    "state",
    "read",
    "rated",
    "duplicates",
    "quarantined",
    "ended_us",
)
SUMS_SHOWN = 25


def mediation(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("mediation", __name__)
    add_list(
        section,
        front,
        ListPage(
            mediation_runs(front.clock),
            "/imports",
            link="mediation.show",
            template="panel/mediation/list.html",
            columns=PAGE_COLUMNS,
            empty=(
                N_("No file was imported yet"),
                N_("Send the file of a switch here, or let pbxbill mediate read it. A record counts once."),
            ),
            actions=((N_("Import a file"), "mediation.new", Permission.OPERATIONS_WRITE),),
        ),
    )

    add_uploads(section, front)

    @section.get("/imports/<int:id>")
    @needs(Permission.OPERATIONS_READ)
    def show(id: int) -> str:
        if not front.scope.is_everything:
            abort(404)
        with front.reading() as session:
            try:
                report = report_of_row(session, id, front.clock.now_us(), with_money=False)
            except InputRefused:
                abort(404)
            asked = Asked({RUN: str(id)}, size=SUMS_SHOWN)
            charged = page_of(session, MEDIATION_SUMS, front.scope, asked)
        return render_template(
            "panel/mediation/show.html",
            report=report,
            charged=charged,
            columns=MEDIATION_SUMS.columns,
            sent=report["source"].startswith(SENT),
        )

    def of_path() -> int:
        id = int((request.view_args or {})["id"])
        with front.reading() as session:
            if not front.scope.is_everything or session.get(MediationRunRow, id) is None:
                abort(404)
        return id

    add_list(
        section,
        front,
        ListPage(
            MEDIATION_SUMS,
            "/imports/<int:id>/charged",
            endpoint="charged",
            link=lambda row: url_for("accounts.show", id=row["account_id"]),
            template="panel/mediation/charged.html",
            empty=(N_("Nothing was charged yet"), N_("What its records cost appears here, by account.")),
            more=lambda: {"run": of_path()},
            given=lambda: {RUN: str(of_path())},
        ),
    )

    @section.get("/imports/<int:id>/now")
    @background
    @needs(Permission.OPERATIONS_READ)
    def show_now(id: int) -> str:
        """The same as it is now, for a page that is watched while the work goes on."""
        return show(id)

    return section
