"""Reports: by theme, each with its parameters, table, charts, files, and views that a user keeps of it."""

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.reports.catalogue import REPORTS, reports_of
from pbxbill.reports.making import TooLarge
from pbxbill.reports.names import destinations_like, has_resellers, known_names
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import ParameterRefused, Report
from pbxbill.reports.runs import runs_of, state_of
from pbxbill.reports.schedules import schedules_of
from pbxbill.web.fields import sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.kept_views import forget_view, keep_view, views_of
from pbxbill.web.panel.reports_asked import REPORT, asked_query, report_of
from pbxbill.web.panel.reports_links import links_of
from pbxbill.web.panel.reports_made import add_made
from pbxbill.web.panel.reports_schedules import add_schedules
from pbxbill.web.report_cells import table_parts
from pbxbill.web.report_charts import charts_of
from pbxbill.web.report_pages import (
    entries_of,
    file_at_once,
    made_for_page,
    named_days,
)

THEMES = (
    (
        N_("Calls and what they brought"),
        ("revenue", "margin", "top-accounts", "destinations", "usage", "simulation"),
    ),
    (N_("Quality and traffic"), ("quality", "carriers", "hours", "shadow")),
    (N_("Invoices and payments"), ("taxes", "ageing", "payment-behaviour", "dunning", "statement")),
    (N_("What is held, deferred and sold ahead"), ("prepaid", "deferred", "vouchers")),
    (N_("Resellers"), ("resellers",)),
)
"""What each report is about."""
FORM = f"<any({', '.join(FORMATS)}):form>"
RECENT = 5
METRICS = "[metrics]"


def reports(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("reports", __name__)
    _add_index(section, front)
    _add_report(section, front)
    _add_views(section, front)
    add_made(section, front)
    add_schedules(section, front)
    return section


def _add_index(section: Blueprint, front: Front) -> None:
    @section.get("/reports")
    @needs(Permission.REPORTS_READ)
    def listed() -> str:
        known = {x.name: x for x in reports_of(front.scope) if front.actor.may(x.permission)}
        themes = [(title, [known[x] for x in names if x in known]) for title, names in THEMES]
        with front.reading() as session:
            if not has_resellers(session, front.scope):
                themes = [(title, some) for title, some in themes if [x.name for x in some] != ["resellers"]]
            views = [(x, x.page.partition(":")[2]) for x in views_of(session, front, "report:")]
            now_us = front.clock.now_us()
            runs = [(x, state_of(x, now_us)) for x in runs_of(session, front.scope, RECENT)]
            schedules = len(schedules_of(session, front.scope))
        return render_template(
            "panel/reports/index.html",
            themes=[x for x in themes if x[1]],
            views=[(view, REPORTS[name]) for view, name in views if name in known],
            runs=runs,
            titles={name: x.title for name, x in REPORTS.items()},
            schedules=schedules,
            metrics=_metrics(front),
        )

    @section.get("/reports/suggested-destinations")
    @needs(Permission.REPORTS_READ)
    def destinations() -> Response:
        """Names that begin or go on as what is typed."""
        with front.reading() as session:
            found = destinations_like(session, front.scope, request.args.get("q", ""), front.clock.now_us())
        return jsonify([{"value": x, "label": ""} for x in found])


def _metrics(front: Front) -> dict[str, str]:
    """Where Prometheus finds its figures, for whoever runs the installation."""
    if not front.actor.may(Permission.OPERATIONS_READ):
        return {}
    for table in front.rules.installation.tables:
        if table.heading == METRICS:
            options = {x.name: x.value for x in table.options}
            return options if options.get("enabled") == "true" else {}
    return {}


def _add_report(section: Blueprint, front: Front) -> None:
    @section.get(f"/reports/{REPORT}")
    @needs(Permission.REPORTS_READ)
    def show(report: str) -> str | tuple[str, int]:
        return _page(front, report_of(front, report))

    @section.get(f"/reports/{REPORT}.{FORM}")
    @needs(Permission.REPORTS_READ)
    def file(report: str, form: str) -> str | tuple[str, int] | AnyResponse:
        found = report_of(front, report)
        query = asked_query(front, found)
        try:
            return file_at_once(front, found, query, form)
        except ParameterRefused:
            return _page(front, found)
        except TooLarge:
            address = url_for(".make", report=report)
            return redirect(f"{address}?{query.text(format=form, large='1')}", 303)


def _page(front: Front, report: Report) -> str | tuple[str, int]:
    query = asked_query(front, report)
    made = made_for_page(front, report, query)
    table = made.table
    with front.reading() as session:
        without = () if has_resellers(session, front.scope) else ("reseller",)
        views = views_of(session, front, f"report:{report.name}")
        link = None if table is None else links_of(session, front.actor, report, query, table)
        known = known_names(session, front.scope, report)
    body = render_template(
        "panel/reports/show.html",
        report=report,
        query=query,
        made=made,
        entries=entries_of(report, front.scope, query, made.refused.field if made.refused else "", without),
        days=named_days(query),
        charts=[] if table is None else charts_of(table, gettext(report.title)),
        **table_parts(table),
        link=link,
        views=views,
        known=known,
        formats=FORMATS,
    )
    return (body, 400) if made.refused else body


def _add_views(section: Blueprint, front: Front) -> None:
    @section.post(f"/reports/{REPORT}/views")
    @needs(Permission.REPORTS_READ)
    def view_keep(report: str) -> AnyResponse:
        found = report_of(front, report)
        text = asked_query(front, found).text()
        try:
            with front.changing("view.keep", found.name) as change:
                keep_view(change.session, front, f"report:{found.name}", request.form.get("name", ""), text)
            flash(gettext("The view is kept."))
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(f"{url_for('.show', report=report)}?{text}", 303)

    @section.post(f"/reports/{REPORT}/views/<int:view_id>/forget")
    @needs(Permission.REPORTS_READ)
    def view_forget(report: str, view_id: int) -> AnyResponse:
        found = report_of(front, report)
        with front.changing("view.forget", found.name) as change:
            forget_view(change.session, front, view_id)
        flash(gettext("The view is forgotten."))
        return redirect(url_for(".show", report=report), 303)
