"""Reports that make themselves and are sent by e-mail: written, paused, begun again, removed."""

import json
from dataclasses import replace
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import RadioField, SelectField, TextAreaField
from wtforms.validators import Length
from wtforms.widgets import TextInput

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.report_runs import REPORT_SCHEDULES
from pbxbill.notify.sending import mail_settings
from pbxbill.reports.catalogue import REPORTS, may_have
from pbxbill.reports.report import Asked, ParameterKind, ParameterRefused, Report
from pbxbill.reports.runs import state_of, why
from pbxbill.reports.schedules import NewSchedule, add_schedule, schedule_of
from pbxbill.store.access_models import UserRow
from pbxbill.store.report_models import ReportRunRow, ReportScheduleRow
from pbxbill.web.fields import LineField, PanelForm, at_most, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.reports_asked import REPORT, asked_query, report_of
from pbxbill.web.panel.reports_made import MAX_EMAILS_LENGTH, addresses_of, refuse, titled
from pbxbill.web.report_runs import FORMAT_NAMES, facts_shown

SHOWN_RUNS = 10


class TimeField(LineField):
    """A time of day. minutes is what it says, since midnight."""

    widget = TextInput(input_type="time")

    @property
    def minutes(self) -> int:
        """-1: it says none."""
        hour, _, minute = (self.data or "").partition(":")
        sound = hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit()
        return int(hour) * 60 + int(minute) if sound and int(hour) < 24 and int(minute) < 60 else -1


class ScheduleForm(PanelForm):
    """How often, when, as what and to whom."""

    name = LineField(
        lazy_gettext("Name"),
        [required(), at_most(100)],
        description=lazy_gettext("What it is called in your list of scheduled reports."),
    )
    every = RadioField(
        lazy_gettext("Made of every"),
        choices=[
            ("month", lazy_gettext("month, when it is over")),
            ("week", lazy_gettext("week, from Monday, when it is over")),
            ("day", lazy_gettext("day, when it is over")),
        ],
        default="month",
    )
    minute = TimeField(
        lazy_gettext("At"),
        [required()],
        default="06:00",
        description=lazy_gettext("From this time of the day after, in your own zone."),
    )
    format = SelectField(lazy_gettext("As"), choices=FORMAT_NAMES, default="xlsx")
    emails = TextAreaField(
        lazy_gettext("Send it to"),
        [required(), Length(max=MAX_EMAILS_LENGTH)],
        render_kw={"rows": 3},
        description=lazy_gettext("E-mail addresses, one in each line."),
    )


class RemoveForm(PanelForm):
    """Nothing but the decision."""


def add_schedules(section: Blueprint, front: Front) -> None:
    """Give the section their routes."""
    finish = REPORT_SCHEDULES.finish

    def finished(session: Session, rows: list[dict[str, Any]]) -> None:
        finish(session, rows)
        titled(session, rows)

    add_list(
        section,
        front,
        ListPage(
            replace(REPORT_SCHEDULES, finish=finished),
            "/reports/schedules",
            endpoint="schedules",
            link=lambda row: url_for("reports.schedule", schedule_id=row["id"]),
            template="panel/reports/schedules.html",
            empty=(
                N_("No report makes itself yet"),
                N_("Open a report, set its filters, and choose to have it by e-mail."),
            ),
        ),
    )
    _add_new(section, front)
    _add_one(section, front)


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route(f"/reports/{REPORT}/schedule", methods=["GET", "POST"])
    @needs(Permission.REPORTS_READ)
    def new_schedule(report: str) -> str | Response:
        found = report_of(front, report)
        query = asked_query(front, found)
        kept = {key: value for key, value in query.values.items() if key not in ("from", "to")}
        form = ScheduleForm()
        if request.method == "GET":
            form.name.data = gettext(found.title)
            form.emails.data = _own_address(front)
        if form.validate_on_submit():
            new = NewSchedule(
                name=form.name.data or "", report=found.name, every=form.every.data, format=form.format.data,
                emails=addresses_of(form.emails.data), values=kept, zone=front.actor.zone,
                language=front.actor.language, minute=form.minute.minutes, by=front.actor.name,
                user_id=front.actor.user_id,
            )  # fmt: skip
            try:
                with front.changing("report.schedule", new.name) as change:
                    row_id = add_schedule(change.session, front.scope, new, change.now_us).id
                flash(gettext("It is scheduled: made first when the period that runs now is over."))
                return redirect(url_for(".schedule", schedule_id=row_id), 303)
            except InputRefused as error:
                refuse(form, error)
        try:
            facts = _facts(front, found, kept)
        except ParameterRefused:
            return redirect(f"{url_for('.show', report=report)}?{query.text()}", 303)
        with front.reading() as session:
            server = mail_settings(session, front.scope.account_id, front.rules.mail).host
        return render_template(
            "panel/reports/new_schedule.html",
            report=found,
            query=query,
            form=form,
            facts=facts,
            is_mailed=bool(server),
        )


def _add_one(section: Blueprint, front: Front) -> None:
    path = "/reports/schedules/<int:schedule_id>"

    @section.get(path)
    @needs(Permission.REPORTS_READ)
    def schedule(schedule_id: int) -> str:
        with front.reading() as session:
            row = _seen(session, front, schedule_id)
            query = select(ReportRunRow).where(
                ReportRunRow.schedule_id == row.id, front.scope.issued(ReportRunRow.scope_id)
            )
            runs = session.scalars(query.order_by(ReportRunRow.id.desc()).limit(SHOWN_RUNS)).all()
        report, values = REPORTS.get(row.report), json.loads(row.parameters)
        return render_template(
            "panel/reports/schedule.html",
            row=row,
            report=report,
            title=row.report if report is None else gettext(report.title),
            values=values,
            facts=[] if report is None else _facts(front, report, values),
            addresses=row.emails.split("\n"),
            runs=[(x, state_of(x, front.clock.now_us()), why(x)) for x in runs],
        )

    @section.post(f"{path}/pause")
    @needs(Permission.REPORTS_READ)
    def pause_schedule(schedule_id: int) -> Response:
        return _switch(front, schedule_id, enabled=False)

    @section.post(f"{path}/resume")
    @needs(Permission.REPORTS_READ)
    def resume_schedule(schedule_id: int) -> Response:
        return _switch(front, schedule_id, enabled=True)

    @section.route(f"{path}/remove", methods=["GET", "POST"])
    @needs(Permission.REPORTS_READ)
    def remove_schedule(schedule_id: int) -> str | Response:
        with front.reading() as session:
            row = _seen(session, front, schedule_id)
        form = RemoveForm()
        if form.validate_on_submit():
            with front.changing("report.unschedule", row.name) as change:
                change.session.delete(_seen(change.session, front, schedule_id))
            flash(gettext("The schedule is removed. What it made stays for as long as it is kept."))
            return redirect(url_for(".schedules"), 303)
        return render_template("panel/reports/remove_schedule.html", row=row, form=form)


def _switch(front: Front, schedule_id: int, *, enabled: bool) -> Response:
    with front.reading() as session:
        name = _seen(session, front, schedule_id).name
    with front.changing("report.resume" if enabled else "report.pause", name) as change:
        _seen(change.session, front, schedule_id).enabled = enabled
    flash(
        gettext("It is made again, beginning with the last period that is over.")
        if enabled
        else gettext("It pauses: nothing is made and sent until you resume it.")
    )
    return redirect(url_for(".schedule", schedule_id=schedule_id), 303)


def _seen(session: Session, front: Front, schedule_id: int) -> ReportScheduleRow:
    row = schedule_of(session, front.scope, schedule_id)
    if row is None or not may_have(front.actor, row.report):
        abort(404)
    return row


def _facts(front: Front, report: Report, values: dict[str, str]) -> list[tuple[str, str]]:
    """What it is asked for, but its days, which each time are other ones."""
    lasting = tuple(x for x in report.parameters if x.kind is not ParameterKind.DAY)
    report = replace(report, parameters=lasting)
    return facts_shown(report, Asked(front.scope, values, front.actor.zone, front.clock.now_us()))


def _own_address(front: Front) -> str:
    if front.actor.user_id is None:
        return ""
    with front.reading() as session:
        user = session.get(UserRow, front.actor.user_id)
        return "" if user is None else user.email
