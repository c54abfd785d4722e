"""Alerts: what somebody should know of, until somebody says that it is dealt with."""

from dataclasses import replace

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.listing.alerts import ALERTS, open_alerts
from pbxbill.listing.listing import N_, FilterRefused
from pbxbill.store.alerts import mark_done
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list, asked_of

SEEN = replace(ALERTS, permission=Permission.NOTICES_READ)
"""Who sells sees what concerns his accounts; who takes cash for somebody sees none."""


def alerts(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("alerts", __name__)
    add_list(
        section,
        front,
        ListPage(
            SEEN,
            "/alerts",
            link="alerts.show",
            template="panel/alerts/list.html",
            more=lambda: {"may_mark": lambda account_id: _may_mark(front, account_id)},
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
            may_mark = _may_mark(front, row.account_id)
            account = None if row.account_id is None else session.get(AccountRow, row.account_id)
            same = session.scalars(
                select(AlertRow)
                .where(
                    AlertRow.kind == row.kind,
                    AlertRow.subject == row.subject,
                    AlertRow.id != id,
                    _seen(front),
                )
                .order_by(AlertRow.at_us.desc())
                .limit(10)
            ).all()
        return render_template(
            "panel/alerts/show.html", row=row, account=account, same=same, may_mark=may_mark
        )

    @section.post("/alerts/<int:id>/<any(done, open):do>")
    @needs(Permission.NOTICES_WRITE)
    def mark(id: int, do: str) -> Response:
        with front.changing(f"alert.{do}", str(id)) as change:
            row = _row(change.session, front, id)
            if not _may_mark(front, row.account_id):
                abort(404)
            row.done_us = change.now_us if do == "done" else None
            row.done_by = front.actor.name if do == "done" else ""
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
                ids = open_alerts(session, front.scope, asked)
                ids = _markable(session, front, ids)
        except FilterRefused:
            abort(404)
        if form.validate_on_submit():
            with front.changing("alert.done", f"{len(ids)} alerts") as change:
                mark_done(change.session, ids, front.actor.name, change.now_us)
            flash(ngettext("%(num)d alert is done.", "%(num)d alerts are done.", len(ids)))
            return redirect(back, 303)
        return render_template("panel/alerts/mark_all.html", form=form, count=len(ids), back=back)


def _markable(session: Session, front: Front, ids: list[int]) -> list[int]:
    if front.actor.may(Permission.OPERATIONS_WRITE):
        return ids
    of_accounts = select(AlertRow.id).where(AlertRow.account_id.is_not(None), AlertRow.done_us.is_(None))
    known = set(session.scalars(of_accounts.where(_seen(front))))
    return [id for id in ids if id in known]


def _seen(front: Front) -> ColumnElement[bool]:
    return true() if front.scope.is_everything else front.scope.among(AlertRow.account_id)


def _may_mark(front: Front, account_id: int | None) -> bool:
    """What is of the installation itself is the matter of whoever runs it."""
    return front.actor.may(Permission.OPERATIONS_WRITE if account_id is None else Permission.NOTICES_WRITE)


def _row(session: Session, front: Front, id: int) -> AlertRow:
    return Front.one(session, select(AlertRow).where(AlertRow.id == id, _seen(front)))
