"""/my/reports: what an account used and was charged for calls, by month, day or destination; with files."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, render_template, request, url_for
from flask_babel import gettext

from pbxbill.access.permissions import Permission
from pbxbill.billing.period import months_after
from pbxbill.reports.making import TooLarge
from pbxbill.reports.own_usage import OWN_USAGE
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import ParameterRefused
from pbxbill.web.formatting import day_of
from pbxbill.web.front import Front, needs
from pbxbill.web.report_cells import table_parts
from pbxbill.web.report_charts import charts_of
from pbxbill.web.report_pages import (
    Query,
    entries_of,
    file_at_once,
    made_for_page,
    named_days,
    query_of,
    today_of,
)

FIRST_DAYS = "last-12-months"
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
    def file(form: str) -> Response | str | tuple[str, int]:
        try:
            return file_at_once(front, OWN_USAGE, _query(front), form)
        except ParameterRefused:
            return _page(front)
        except TooLarge:
            abort(413, gettext("This takes longer than a page may wait: ask for fewer days."))

    return section


def _query(front: Front) -> Query:
    return query_of(OWN_USAGE, front.scope, request.args, today_of(front), FIRST_DAYS)


def _page(front: Front) -> str | tuple[str, int]:
    query = _query(front)
    made = made_for_page(front, OWN_USAGE, query)
    table = made.table
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
