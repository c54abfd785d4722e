"""Imports of call records: what each run read, charged, left out and could not charge."""

from flask import Blueprint, abort, render_template

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.mediation import mediation_runs
from pbxbill.mediation.report import report_of_row
from pbxbill.mediation.runs import SENT
from pbxbill.money import parse_amount
from pbxbill.web.formatting import unit_known
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
                report = report_of_row(session, id, front.clock.now_us())
            except InputRefused:
                abort(404)
        for row in report["money"]:
            unit = unit_known(row["unit"])
            row |= {key: parse_amount(row[key], unit) for key in ("total", "uncollected")}
        return render_template(
            "panel/mediation/show.html", report=report, sent=report["source"].startswith(SENT)
        )

    @section.get("/imports/<int:id>/now")
    @background
    @needs(Permission.OPERATIONS_READ)
    def show_now(id: int) -> str:
        """The same as it is now, for a page that is watched while the work goes on."""
        return show(id)

    return section
