"""Alerts: what somebody should know of, until somebody says that it is dealt with."""

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.listing.alerts import ALERTS, alert_seen, may_mark, open_alerts
from pbxbill.listing.listing import N_, FilterRefused
from pbxbill.store.alerts import mark as mark_alert
from pbxbill.store.alerts import mark_done
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list, asked_of


def alerts(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("alerts", __name__)
    add_list(
        section,
        front,
        ListPage(
            ALERTS,
            "/alerts",
            link="alerts.show",
            template="panel/alerts/list.html",
            more=lambda: {"may_mark": lambda account_id: may_mark(front.actor, account_id)},
            empty=(
                N_("Nothing to tell"),
                N_(
                    "Limits that were hit, lost switches, records in quarantine and failing jobs appear here."
                ),
            ),
        ),
    )
    _add_page(section, front)
    _add_many(section, front)
    return section


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/alerts/<int:id>")
    @needs(Permission.NOTICES_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _row(session, front, id)
            account = None if row.account_id is None else session.get(AccountRow, row.account_id)
            same = session.scalars(
                select(AlertRow)
                .where(
                    AlertRow.kind == row.kind,
                    AlertRow.subject == row.subject,
                    AlertRow.id != id,
                    alert_seen(front.scope),
                )
                .order_by(AlertRow.at_us.desc())
                .limit(10)
            ).all()
        return render_template(
            "panel/alerts/show.html",
            row=row,
            account=account,
            same=same,
            may_mark=may_mark(front.actor, row.account_id),
        )

    @section.post("/alerts/<int:id>/<any(done, open):do>")
    @needs(Permission.NOTICES_WRITE)
    def mark(id: int, do: str) -> Response:
        with front.changing(f"alert.{do}", str(id)) as change:
            row = _row(change.session, front, id)
            if not may_mark(front.actor, row.account_id):
                abort(404)
            mark_alert(row, front.actor.name, change.now_us, done=do == "done")
        flash(gettext("The alert is done.") if do == "done" else gettext("The alert is open again."))
        return redirect(url_for(".show", id=id) if do == "open" else url_for(".listed"), 303)


def _add_many(section: Blueprint, front: Front) -> None:
    @section.route("/alerts/done", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def mark_all() -> str | Response:
        form = PanelForm()
        asked = asked_of(ALERTS, {})
        back = url_for(".listed", **{key: value for key, value in asked.filters.items() if value})  # type: ignore[arg-type]  # names of filters
        try:
            with front.reading() as session:
                ids = open_alerts(session, front.actor, asked)
        except FilterRefused:
            abort(404)
        if form.validate_on_submit():
            with front.changing("alert.done", f"{len(ids)} alerts") as change:
                mark_done(change.session, ids, front.actor.name, change.now_us)
            flash(ngettext("%(num)d alert is done.", "%(num)d alerts are done.", len(ids)))
            return redirect(back, 303)
        return render_template("panel/alerts/mark_all.html", form=form, count=len(ids), back=back)


def _row(session: Session, front: Front, id: int) -> AlertRow:
    return Front.one(session, select(AlertRow).where(AlertRow.id == id, alert_seen(front.scope)))
