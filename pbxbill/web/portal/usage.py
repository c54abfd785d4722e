"""/my/reports: what an account used and was charged for calls, by month, day or destination; with files.

What takes longer than a page may wait is made in the background, watched and stopped as in the panel.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.period import months_after
from pbxbill.errors import InputRefused
from pbxbill.reports.making import TooLarge
from pbxbill.reports.own_usage import OWN_USAGE
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import Asked, ParameterRefused
from pbxbill.reports.runs import NewRun, ask, ask_to_stop, run_of, runs_of, state_of
from pbxbill.store.report_models import ReportRunRow
from pbxbill.web.fields import PanelForm, refusals, sentence
from pbxbill.web.formatting import day_of
from pbxbill.web.front import Front, background, needs
from pbxbill.web.report_cells import table_parts
from pbxbill.web.report_charts import charts_of
from pbxbill.web.report_pages import (
    Query,
    asked_by,
    entries_of,
    file_at_once,
    made_for_page,
    named_days,
    query_of,
    sent_file,
    today_of,
)
from pbxbill.web.report_runs import FORMAT_NAMES, facts_shown, run_shown

FIRST_DAYS = "last-12-months"
RECENT = 5
FORM = f"<any({', '.join(FORMATS)}):form>"


def usage(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_reports", __name__)

    @section.get("/reports")
    @needs(Permission.OWN_READ)
    def show() -> str | tuple[str, int]:
        return _page(front)

    @section.get(f"/reports.{FORM}")
    @needs(Permission.OWN_READ)
    def file(form: str) -> AnyResponse | str | tuple[str, int]:
        try:
            return file_at_once(front, OWN_USAGE, _query(front), form)
        except ParameterRefused:
            return _page(front)
        except TooLarge:
            return redirect(f"{url_for('.make')}?{_query(front).text(format=form, large='1')}", 303)

    _add_making(section, front)
    _add_runs(section, front)
    return section


class MakeForm(PanelForm):
    """As what it is made."""

    format = SelectField(lazy_gettext("As"), choices=FORMAT_NAMES)


def _add_making(section: Blueprint, front: Front) -> None:
    @section.route("/reports/make", methods=["GET", "POST"])
    @needs(Permission.OWN_READ)
    def make() -> str | AnyResponse:
        query = _query(front)
        form = MakeForm()
        if request.method == "GET" and request.args.get("format") in FORMATS:
            form.format.data = request.args["format"]
        try:
            facts = facts_shown(OWN_USAGE, asked_by(front, query))
        except ParameterRefused:
            return redirect(f"{url_for('.show')}?{query.text()}", 303)
        if form.validate_on_submit():
            actor = front.actor
            new = NewRun(
                OWN_USAGE.name, query.values, form.format.data, actor.zone, actor.language, actor.name,
                actor.user_id,
            )  # fmt: skip
            with refusals(form):
                with front.changing("report.make", OWN_USAGE.name) as change:
                    run_id = ask(change.session, front.scope, new, change.now_us).id
                return redirect(url_for(".run", run_id=run_id), 303)
        is_large = bool(request.args.get("large"))
        return render_template(
            "portal/usage/make.html", query=query, form=form, facts=facts, is_large=is_large
        )


def _add_runs(section: Blueprint, front: Front) -> None:
    @section.get("/reports/made/<int:run_id>")
    @needs(Permission.OWN_READ)
    def run(run_id: int) -> str:
        return _run_page(front, run_id)

    @section.get("/reports/made/<int:run_id>/now")
    @background
    @needs(Permission.OWN_READ)
    def run_now(run_id: int) -> str:
        """The same page as it is now."""
        return _run_page(front, run_id)

    @section.post("/reports/made/<int:run_id>/stop")
    @needs(Permission.OWN_READ)
    def stop(run_id: int) -> AnyResponse:
        try:
            with front.changing("report.stop", str(run_id)) as change:
                ask_to_stop(change.session, _run(change.session, front, run_id).id, change.now_us)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(url_for(".run", run_id=run_id), 303)

    @section.get("/reports/made/<int:run_id>/file")
    @needs(Permission.OWN_READ)
    def run_file(run_id: int) -> Response:
        with front.reading() as session:
            row = _run(session, front, run_id)
            if row.content is None:
                abort(404)
            return sent_file(row.content, row.format, row.file_name)


def _run(session: Session, front: Front, run_id: int) -> ReportRunRow:
    row = run_of(session, front.scope, run_id)
    if row is None:
        abort(404)
    return row


def _run_page(front: Front, run_id: int) -> str:
    with front.reading() as session:
        row = _run(session, front, run_id)
    values: dict[str, str] = json.loads(row.parameters)
    return render_template(
        "portal/usage/run.html",
        row=row,
        run=run_shown(row, front.clock.now_us()),
        values=values,
        facts=facts_shown(OWN_USAGE, Asked(front.scope, values, row.zone, row.asked_us)),
    )


def _query(front: Front) -> Query:
    return query_of(OWN_USAGE, front.scope, request.args, today_of(front), FIRST_DAYS)


def _page(front: Front) -> str | tuple[str, int]:
    query = _query(front)
    made = made_for_page(front, OWN_USAGE, query)
    table = made.table
    now_us = front.clock.now_us()
    with front.reading() as session:
        runs = [(x, state_of(x, now_us)) for x in runs_of(session, front.scope, RECENT)]
    body = render_template(
        "portal/usage/show.html",
        report=OWN_USAGE,
        query=query,
        made=made,
        entries=entries_of(OWN_USAGE, front.scope, query, made.refused.field if made.refused else ""),
        days=named_days(query),
        charts=[] if table is None else charts_of(table, gettext("Calls")),
        **table_parts(table),
        link=lambda row: _link(query, row),
        formats=FORMATS,
        runs=runs,
    )
    return (body, 400) if made.refused else body


def _link(query: Query, row: Mapping[str, Any]) -> str | None:
    """From a month to its destinations, from a day or a destination to the calls."""
    if row.get("period"):
        begin = day_of(row["period_us"])
        end = months_after(begin.replace(day=1), 1) - timedelta(days=1)
        days = max(begin.isoformat(), query.values["from"]), min(end.isoformat(), query.values["to"])
        text = query.text(**{"from": days[0], "to": days[1], "group": "destination"})
        return f"{url_for('my_reports.show')}?{text}"
    if "my_calls.listed" not in current_app.view_functions:
        return None
    days = query.values["from"], query.values["to"]
    if row.get("period_us") is not None:
        day = day_of(row["period_us"]).isoformat()
        days = day, day
    wanted = {"from": days[0], "to": days[1], "destination": row.get("destination", "")}
    return url_for("my_calls.listed", **{key: value for key, value in wanted.items() if value})
