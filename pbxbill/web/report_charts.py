"""The charts of a report on a page, as files have them, with their figures as tables."""

from flask_babel import get_locale, gettext
from markupsafe import Markup

from pbxbill.reports.charted import charts_of as drawn_of
from pbxbill.reports.reader import Reader
from pbxbill.reports.report import Table
from pbxbill.web.charts import figure
from pbxbill.web.formatting import reader_zone, unit_known
from pbxbill.web.words import word_of


def charts_of(table: Table, title: str) -> list[Markup]:
    """Drawn where there is something to draw."""
    # Of rows that the page has no room for, the totals alone have the unit.
    codes = {row["unit"] for row in (*table.rows, *table.totals) if row.get("unit")}
    units = {code: unit_known(code) for code in codes}
    reader = Reader(gettext, str(get_locale()), str(reader_zone()), units)
    return [
        figure(x.heading, x.labels, x.series, x.shown, x.picture)
        for x in drawn_of(table, title, reader, word_of)
    ]
