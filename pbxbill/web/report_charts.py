"""The charts of a report: its rows as its Chart says, of money one for each unit."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from babel.dates import format_date
from flask_babel import gettext
from markupsafe import Markup

from pbxbill.listing.listing import Column, ColumnKind
from pbxbill.money import Unit
from pbxbill.reports.report import Table
from pbxbill.web.charts import Series, bar_chart, line_chart, rank_chart
from pbxbill.web.formatting import count, ppm, reader_locale, reader_zone, short_amount_text, unit_known
from pbxbill.web.report_cells import month_text
from pbxbill.web.words import word_of

MAX_UNITS = 3
MAX_RANKED = 10
ORDINAL = ("level",)
"""What stands in an order of its own, whatever it comes to."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN: dict[ColumnKind, Callable[[int], str]] = {
    ColumnKind.COUNT: count,
    ColumnKind.PPM: ppm,
}


def charts_of(table: Table, title: str) -> list[Markup]:
    """Drawn where there is something to draw."""
    chart = table.chart
    if chart is None or not table.rows:
        return []
    columns = [x for key in chart.series for x in table.columns if x.key == key]
    if not columns:
        return []
    if columns[0].kind is not ColumnKind.MONEY:
        # What has money in several units stands in several rows; the first one alone counts.
        rows = [x for x in table.rows if columns[0].key in x]
        if columns[0].kind is ColumnKind.SECONDS:
            rows = [{**x, columns[0].key: x[columns[0].key] // 60} for x in rows]
            return _drawn(table, columns, title, rows, _minutes)
        return _drawn(table, columns, title, rows, _SHOWN.get(columns[0].kind, count))
    units = dict.fromkeys(x["unit"] for x in table.totals or table.rows if x.get("unit"))
    found = []
    for code in list(units)[:MAX_UNITS]:
        unit = unit_known(code)
        if chart.kind == "line":
            rows = _each_period(table, code)
        else:
            rows = [x for x in table.rows if x.get("unit") == code]
        shown = partial(_amount, unit=unit)
        found += _drawn(table, columns, title, rows, shown, code)
    return found


def _amount(value: int, unit: Unit) -> str:
    return short_amount_text(value, unit)


def _minutes(value: int) -> str:
    return str(gettext("%(minutes)s min", minutes=count(value)))


def _each_period(table: Table, unit: str) -> list[dict[str, Any]]:
    """A row for each period, whether it has money of the unit or not."""
    found: dict[Any, dict[str, Any]] = {}
    for row in table.rows:
        bare: dict[str, Any] = {key: row[key] for key in ("period", "period_us") if key in row}
        found.setdefault(row.get("period_us"), bare)
        if row.get("unit") == unit:
            found[row.get("period_us")] = row
    return list(found.values())


def _drawn(
    table: Table,
    columns: list[Column],
    title: str,
    rows: list[dict[str, Any]],
    shown: Callable[[int], str],
    unit: str = "",
) -> list[Markup]:
    chart = table.chart
    if chart is None or not any(row.get(x.key) for row in rows for x in columns):
        return []
    draw = line_chart if chart.kind == "line" else bar_chart if chart.x == "hour" else rank_chart
    shortened = False
    if draw is rank_chart and chart.x not in ORDINAL:
        rows = sorted(rows, key=lambda row: -sum(row.get(x.key) or 0 for x in columns))
        rows, shortened = rows[:MAX_RANKED], len(rows) > MAX_RANKED
    labels = [_label(chart.x, table.columns, row) for row in rows]
    series = [Series(gettext(x.heading), tuple(row.get(x.key) or 0 for row in rows)) for x in columns]
    heading = title if len(columns) > 1 or series[0].name == title else f"{title}: {series[0].name}"
    if unit:
        heading = f"{heading}, {unit}"
    if shortened:
        heading = gettext("%(heading)s (the first %(count)s)", heading=heading, count=count(MAX_RANKED))
    return [draw(heading, labels, series, shown=shown)]


def _label(key: str, columns: tuple[Column, ...], row: Mapping[str, Any]) -> str:
    """What a point is called: accounts by their names, days as short as they can be."""
    kind = next((x.kind for x in columns if x.key == key), ColumnKind.TEXT)
    value = row.get(key)
    at_us = row.get("period_us")
    if at_us is not None:
        at, locale = (_EPOCH + timedelta(microseconds=at_us)).astimezone(reader_zone()), reader_locale()
        if key == "period":
            return month_text(at_us)
        if kind is ColumnKind.MOMENT:
            return f"{format_date(at.date(), 'd MMM', locale=locale)} {at:%H:%M}"
        return str(format_date(at.date(), "d MMM", locale=locale))
    if not value:
        return str(gettext("none"))
    if kind is ColumnKind.STATE:
        return word_of(str(value))
    name = row.get("name")
    is_account = key == "code" and name and name != value
    return f"{value} {name}" if is_account else str(value)
