"""Reports that are made in the background: asked for, watched while they are made, fetched while kept."""

import json
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField, TextAreaField
from wtforms.validators import Length

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.jobs import jobs_are_run
from pbxbill.listing.listing import N_
from pbxbill.reports.catalogue import REPORTS, may_have
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import Asked, ParameterRefused
from pbxbill.reports.runs import NewRun, ask, ask_to_stop, run_of
from pbxbill.store.report_models import ReportRunRow
from pbxbill.web.fields import PanelForm, sentence
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.reports_asked import REPORT, asked_query, report_of
from pbxbill.web.report_pages import asked_by, sent_file, told_of
from pbxbill.web.report_runs import FORMAT_NAMES, facts_shown, listed_runs, run_shown

MAX_EMAILS_LENGTH = 6_000


class MakeForm(PanelForm):
    """As what a report is made, and where it is sent."""

    format = SelectField(lazy_gettext("As"), choices=FORMAT_NAMES)
    emails = TextAreaField(
        lazy_gettext("Send it to"),
        [Length(max=MAX_EMAILS_LENGTH)],
        render_kw={"rows": 2},
        description=lazy_gettext("E-mail addresses, one in each line. You can fetch it here as well."),
    )


def addresses_of(written: str | None) -> tuple[str, ...]:
    """E-mail addresses that somebody wrote below or beside each other."""
    return tuple((written or "").replace(",", " ").replace(";", " ").split())


def refuse(form: PanelForm, error: InputRefused) -> None:
    """Tell it beside the field where the refusal names one."""
    key = error.field if isinstance(error, ParameterRefused) else ""
    told = told_of(error) if isinstance(error, ParameterRefused) else sentence(str(error))
    if key in form:
        form[key].errors = [*form[key].errors, told]
    elif "e-mail address" in str(error) and "emails" in form:
        form["emails"].errors = [*form["emails"].errors, told]
    else:
        form.form_errors.append(told)


def titled(_session: Session, rows: list[dict[str, Any]]) -> None:
    """Reports by their titles instead of their names."""
    for row in rows:
        known = REPORTS.get(row["report"])
        row["report"] = row["report"] if known is None else gettext(known.title)


def add_made(section: Blueprint, front: Front) -> None:
    """Give the section their routes."""
    add_list(
        section,
        front,
        ListPage(
            listed_runs(front.clock, titled),
            "/reports/made",
            endpoint="made",
            link=lambda row: url_for("reports.run", run_id=row["id"]),
            template="panel/reports/made.html",
            empty=(
                N_("No report was made in the background yet"),
                N_("Large files and what is sent by e-mail are made so: ask for one on a report's page."),
            ),
        ),
    )
    _add_making(section, front)

    @section.get("/reports/made/<int:run_id>")
    @needs(Permission.REPORTS_READ)
    def run(run_id: int) -> str:
        return _run_page(front, run_id)

    @section.get("/reports/made/<int:run_id>/now")
    @background
    @needs(Permission.REPORTS_READ)
    def run_now(run_id: int) -> str:
        """The same page as it is now."""
        return _run_page(front, run_id)

    @section.post("/reports/made/<int:run_id>/stop")
    @needs(Permission.REPORTS_READ)
    def stop(run_id: int) -> Response:
        try:
            with front.changing("report.stop", str(run_id)) as change:
                ask_to_stop(change.session, _seen(change.session, front, run_id).id, change.now_us)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(url_for(".run", run_id=run_id), 303)

    @section.get("/reports/made/<int:run_id>/file")
    @needs(Permission.REPORTS_READ)
    def run_file(run_id: int) -> Response:
        with front.reading() as session:
            row = _seen(session, front, run_id)
            if row.content is None:
                abort(404)
            return sent_file(row.content, row.format, row.file_name)


def _add_making(section: Blueprint, front: Front) -> None:
    @section.route(f"/reports/{REPORT}/make", methods=["GET", "POST"])
    @needs(Permission.REPORTS_READ)
    def make(report: str) -> str | Response:
        found = report_of(front, report)
        query = asked_query(front, found)
        form = MakeForm()
        if request.method == "GET" and request.args.get("format") in FORMATS:
            form.format.data = request.args["format"]
        try:
            facts = facts_shown(found, asked_by(front, query))
        except ParameterRefused:
            return redirect(f"{url_for('.show', report=report)}?{query.text()}", 303)
        if form.validate_on_submit():
            new = NewRun(
                found.name, query.values, form.format.data, front.actor.zone, front.actor.language,
                front.actor.name, front.actor.user_id, addresses_of(form.emails.data),
            )  # fmt: skip
            try:
                with front.changing("report.make", found.name) as change:
                    run_id = ask(change.session, front.scope, new, change.now_us).id
                return redirect(url_for(".run", run_id=run_id), 303)
            except InputRefused as error:
                refuse(form, error)
        return render_template(
            "panel/reports/make.html",
            report=found,
            query=query,
            form=form,
            facts=facts,
            is_large=bool(request.args.get("large")),
        )


def _seen(session: Session, front: Front, run_id: int) -> ReportRunRow:
    row = run_of(session, front.scope, run_id)
    if row is None or not may_have(front.actor, row.report):
        abort(404)
    return row


def _run_page(front: Front, run_id: int) -> str:
    now_us = front.clock.now_us()
    with front.reading() as session:
        row = _seen(session, front, run_id)
        are_run = jobs_are_run(session, now_us)
    report = REPORTS.get(row.report)
    values: dict[str, str] = json.loads(row.parameters)
    shown = Asked(front.scope, values, row.zone, row.asked_us)
    return render_template(
        "panel/reports/run.html",
        row=row,
        run=run_shown(row, now_us),
        report=report,
        title=row.report if report is None else gettext(report.title),
        values=values,
        facts=[] if report is None else facts_shown(report, shown),
        addresses=[x for x in row.emails.split("\n") if x],
        are_run=are_run,
    )
