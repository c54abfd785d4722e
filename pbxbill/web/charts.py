"""Charts of pages, drawn by the server as SVG: bars, stacked bars, lines, and bars that lie where names are
long. No script, no library, and a table of the same figures below each, for whoever reads rather than looks.

    bar_chart(_("Revenue per day"), labels, [Series(_("Revenue"), values)], shown=euros)

Values are whole numbers (steps of a unit, seconds, calls) and shown() says what one is in words. Colours are
classes of panel.css, so that dark screens have their own.
"""

from collections.abc import Sequence

from flask_babel import gettext
from markupsafe import Markup

from pbxbill.reports.drawing import HEIGHT, WIDTH, Picture, Series, Shown, bars, legend_of, lines
from pbxbill.web.formatting import count

__all__ = ["HEIGHT", "WIDTH", "Series", "bar_chart", "figure", "line_chart"]


def bar_chart(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    shown: Shown = count,
    stacked: bool = False,
) -> Markup:
    """Bars beside each other, or on top of each other."""
    return figure(title, labels, series, shown, bars(labels, series, shown, stacked=stacked))


def line_chart(
    title: str, labels: Sequence[str], series: Sequence[Series], *, shown: Shown = count
) -> Markup:
    """Lines, with a dot for each figure where there are few."""
    return figure(title, labels, series, shown, lines(labels, series, shown))


def figure(
    title: str, labels: Sequence[str], series: Sequence[Series], shown: Shown, picture: Picture
) -> Markup:
    """A picture with its heading, its legend and its figures as a table."""
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>{}{}</figure>'
    ).format(
        title,
        WIDTH,
        picture.height,
        gettext("Chart: %(title)s. The figures are in the table below it.", title=title),
        picture.drawn,
        legend_of(series),
        _table(title, labels, series, shown),
    )


def _table(title: str, labels: Sequence[str], series: Sequence[Series], shown: Shown) -> Markup:
    heads = Markup("").join(Markup('<th scope="col" class="right">{}</th>').format(x.name) for x in series)
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            label,
            Markup("").join(Markup('<td class="right">{}</td>').format(shown(x.values[at])) for x in series),
        )
        for at, label in enumerate(labels)
    )
    return Markup(
        '<details><summary>{}</summary><table class="list plain-table">'
        '<caption class="visually-hidden">{}</caption>'
        '<thead><tr><th scope="col"><span class="visually-hidden">{}</span></th>{}</tr></thead>'
        "<tbody>{}</tbody></table></details>"
    ).format(gettext("As a table"), title, gettext("What"), heads, rows)
