"""The charts of a report: its rows as its Chart says, of money one for each unit. For pages and for files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from babel.dates import format_date, format_skeleton

from pbxbill.errors import check
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.reports.drawing import MAX_POINTS, Picture, Series, Shown, bars, lines, ranks
from pbxbill.reports.reader import Reader, count_text, percent_text, short_amount_text
from pbxbill.reports.report import Table

MAX_UNITS = 3
MAX_RANKED = 10
ORDINAL = ("level",)
"""What stands in an order of its own, whatever it comes to."""
Word = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Charted:
    """One chart."""

    heading: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    picture: Picture
    shown: Shown


@dataclass(frozen=True, slots=True)
class _Charts:
    """What all charts of a report have in common."""

    table: Table
    title: str
    reader: Reader
    word: Word

    def count(self, value: int) -> str:
        return count_text(value, self.reader.locale)

    def percent(self, value: int) -> str:
        return percent_text(value, self.reader.locale)

    def minutes(self, value: int) -> str:
        return self.reader.translate(N_("%(minutes)s min")) % {"minutes": self.count(value)}


def charts_of(table: Table, title: str, reader: Reader, word: Word) -> list[Charted]:
    """Drawn where there is something to draw. title: in the reader's language; word: of a state in it."""
    chart = table.chart
    if chart is None or not table.rows:
        return []
    columns = [x for key in chart.series for x in table.columns if x.key == key]
    if not columns:
        return []
    check(len({x.kind for x in columns}) == 1, "a chart adds no shares to money")
    charts = _Charts(table, title, reader, word)
    if columns[0].kind is not ColumnKind.MONEY:
        # What has money in several units stands in several rows; the first one alone counts.
        rows = [x for x in table.rows if columns[0].key in x]
        if columns[0].kind is ColumnKind.SECONDS:
            rows = [{**x, columns[0].key: x[columns[0].key] // 60} for x in rows]
            return _drawn(charts, columns, rows, charts.minutes)
        is_ratio = columns[0].kind is ColumnKind.PPM
        return _drawn(charts, columns, rows, charts.percent if is_ratio else charts.count)
    units = dict.fromkeys(x["unit"] for x in table.totals or table.rows if x.get("unit"))
    found = []
    for code in list(units)[:MAX_UNITS]:
        unit = reader.units[code]
        if chart.kind == "line":
            rows = _each_period(table, code)
        else:
            rows = [x for x in table.rows if x.get("unit") == code]
        shown = partial(short_amount_text, unit=unit, locale=reader.locale)
        found += _drawn(charts, columns, rows, shown, code)
    return found


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
    charts: _Charts, columns: list[Column], rows: list[dict[str, Any]], shown: Shown, unit: str = ""
) -> list[Charted]:
    table, translate = charts.table, charts.reader.translate
    chart = table.chart
    if chart is None or not any(row.get(x.key) for row in rows for x in columns):
        return []
    draw = lines if chart.kind == "line" else bars if chart.x == "hour" else ranks
    shortened = False
    if draw is ranks and chart.x not in ORDINAL:
        rows = sorted(rows, key=lambda row: -sum(row.get(x.key) or 0 for x in columns))
        rows, shortened = rows[:MAX_RANKED], len(rows) > MAX_RANKED
    if len(rows) > MAX_POINTS:
        return []
    labels = tuple(_label(charts, chart.x, row) for row in rows)
    series = tuple(Series(translate(x.heading), tuple(row.get(x.key) or 0 for row in rows)) for x in columns)
    heading = charts.title
    if len(columns) == 1 and series[0].name != heading:
        heading = f"{heading}: {series[0].name}"
    if unit:
        heading = f"{heading}, {unit}"
    if shortened:
        first = translate(N_("%(heading)s (the first %(count)s)"))
        heading = first % {"heading": heading, "count": charts.count(MAX_RANKED)}
    return [Charted(heading, labels, series, draw(labels, series, shown), shown)]


def _label(charts: _Charts, key: str, row: Mapping[str, Any]) -> str:
    """What a point is called: accounts by their names, days as short as they can be."""
    kind = next((x.kind for x in charts.table.columns if x.key == key), ColumnKind.TEXT)
    value = row.get(key)
    at_us = row.get("period_us")
    if at_us is not None:
        at, locale = charts.reader.at(at_us), charts.reader.locale
        if key == "period":
            return str(format_skeleton("yMMM", at, locale=locale))
        if kind is ColumnKind.MOMENT:
            return f"{format_date(at.date(), 'd MMM', locale=locale)} {at:%H:%M}"
        return str(format_date(at.date(), "d MMM", locale=locale))
    if not value:
        return charts.reader.translate(N_("none"))
    if kind is ColumnKind.STATE:
        return charts.word(str(value))
    name = row.get("name")
    is_account = key == "code" and name and name != value
    return f"{value} {name}" if is_account else str(value)
