"""Cells of reports: sums are rounded to the digits that people are shown, files have them exactly."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from babel.dates import format_skeleton
from babel.numbers import format_decimal
from flask_babel import gettext
from markupsafe import Markup, escape

from pbxbill.listing.listing import Column, ColumnKind
from pbxbill.reports.report import Table
from pbxbill.web.formatting import RIGHT, cell, money, plain_amount, reader_locale, reader_zone, unit_known

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def report_cell(column: Column, row: Mapping[str, Any]) -> Markup | str:
    """A value as its column's kind says; amounts from one up, and ratios, rounded."""
    value = row.get(column.key)
    if value is None or value == "":
        return cell(column, row)
    if column.key == "period":
        return month_text(row["period_us"])
    if column.kind is ColumnKind.MONEY and is_rounded(column, row):
        exact = plain_amount(value, row[column.unit])
        return Markup('<span title="{}">{}</span>').format(exact, money(value, row[column.unit], short=True))
    if column.kind is ColumnKind.PPM and column.key.endswith("_ppm"):
        percent = Decimal(value).scaleb(-4)
        return f"{format_decimal(percent, '#,##0.0', reader_locale())} %".replace("-", "−")
    return cell(column, row)


def is_rounded(column: Column, row: Mapping[str, Any]) -> bool:
    """Whether an amount is shown with fewer digits than it has: below one every digit may count."""
    value, code = row.get(column.key), row.get(column.unit)
    if column.kind is not ColumnKind.MONEY or value is None or not code:
        return False
    unit = unit_known(code)
    return bool(abs(value) >= 10**unit.scale and value % 10 ** (unit.scale - unit.digits))


def any_rounded(table: Table) -> bool:
    """Whether the page has to say so."""
    return any(is_rounded(column, row) for row in (*table.rows, *table.totals) for column in table.columns)


def month_text(at_us: int) -> str:
    """A month and its year, in the reader's zone and language."""
    at = (_EPOCH + timedelta(microseconds=at_us)).astimezone(reader_zone())
    text: str = format_skeleton("yMMM", at, locale=reader_locale())
    return text


def table_parts(table: Table | None) -> dict[str, Any]:
    """What templates show of a table beside its rows. Totals only where they say more than the rows do."""
    if table is None:
        return {
            "totals": [], "report_cell": report_cell, "report_cells": None, "total_facts": total_facts,
            "any_rounded": False,
        }  # fmt: skip
    return {
        "report_cells": _cells_of(table.columns),
        "totals": table.totals if len(table.rows) > 1 or table.is_cut else [],
        "report_cell": report_cell,
        "total_facts": total_facts,
        "any_rounded": any_rounded(table),
    }


def _cells_of(
    columns: Sequence[Column],
) -> Callable[[Mapping[str, Any]], list[tuple[Markup | str, Markup, str]]]:
    """A function of a row: its values, headings and classes. What a column has of its own is made once, not
    for each of a thousand rows."""
    own = [
        (x, escape(gettext(x.heading)), f"{'right ' if x.kind in RIGHT else ''}{'wide ' if x.wide else ''}")
        for x in columns
    ]

    def cells(row: Mapping[str, Any]) -> list[tuple[Markup | str, Markup, str]]:
        return [
            (report_cell(column, row), heading, look if row.get(column.key) else f"{look}none")
            for column, heading, look in own
        ]

    return cells


def total_facts(table: Table, total: Mapping[str, Any]) -> Sequence[tuple[str, Markup | str]]:
    """What all rows come to, as names and values: headings are in English."""
    return [(x.heading, report_cell(x, total)) for x in table.columns if total.get(x.key) is not None]
