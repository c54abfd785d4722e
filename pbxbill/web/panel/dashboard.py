"""The first page of the panel: calls now, today against last week, what is owed, whose credit ends."""

from datetime import UTC, datetime

from babel.dates import format_date, format_time
from flask import Blueprint, render_template
from flask_babel import gettext
from markupsafe import Markup

from pbxbill.access.permissions import Permission
from pbxbill.clock import SECOND_US
from pbxbill.money import Unit
from pbxbill.reports.dashboard import (
    Earned,
    HourSums,
    at_risk,
    first_page,
    fresh_alerts,
    overdue,
    waiting,
)
from pbxbill.store.models import AccountRow
from pbxbill.web.charts import Series, bar_chart, line_chart
from pbxbill.web.formatting import count, reader_locale, reader_zone, short_amount_text, unit_known
from pbxbill.web.front import Front, needs

MAX_UNITS = 3
"""Charts of so many units; a list of more belongs into a report."""


def dashboard(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("dashboard", __name__)

    @section.get("/")
    @needs(Permission.REPORTS_READ)
    def show() -> str:
        actor, scope, now_us = front.actor, front.scope, front.clock.now_us()
        sees_alerts = actor.may(Permission.OPERATIONS_READ) or actor.may(Permission.ACCOUNTS_READ)
        with front.reading() as session:
            seller = session.get_one(AccountRow, scope.account_id)
            sums, hours = first_page(session, seller, now_us, str(reader_zone()))
            owed = overdue(session, scope, now_us) if actor.may(Permission.INVOICES_READ) else []
            risks, riskiest = at_risk(session, scope)
            alerts = fresh_alerts(session, scope, now_us) if sees_alerts else []
            waits = waiting(session, scope, now_us) if sees_alerts else None
        live = front.desks.live.totals(scope) if actor.may(Permission.CALLS_READ) else None
        units = [unit_known(code) for code in list(sums.by_unit)[:MAX_UNITS]]
        return render_template(
            "panel/dashboard/show.html",
            live=live,
            sums=sums,
            today={unit.code: sums.by_unit[unit.code][-1] for unit in units},
            changes={unit.code: _change(sums, unit.code) for unit in units},
            units=units,
            calls_chart=_calls_chart(sums),
            hour_charts=[x for unit in units if (x := _hour_chart(hours, unit)) is not None],
            calls_by_hour=_calls_by_hour(hours),
            revenue_charts=[_revenue_chart(sums, unit) for unit in units],
            owed=owed,
            seller=seller.code,
            risks=risks,
            riskiest=riskiest,
            alerts=alerts,
            waits=waits,
        )

    return section


def _change(sums: Earned, unit: str) -> str:
    """Today's revenue against the same part of the day a week ago, in words."""
    now, then = sums.by_unit[unit][-1].income, sums.then[unit].income
    if then <= 0:
        return str(gettext("nothing to compare it with a week ago"))
    percent = (now - then) * 100 // then
    if percent == 0:
        return str(gettext("as a week ago at this time"))
    if percent > 0:
        return str(gettext("%(percent)s %% more than a week ago at this time", percent=count(percent)))
    return str(gettext("%(percent)s %% less than a week ago at this time", percent=count(-percent)))


def _labels(sums: Earned) -> list[str]:
    days = [
        datetime.fromtimestamp(x // SECOND_US, UTC).astimezone(reader_zone()).date() for x in sums.starts_us
    ]
    return [format_date(x, "d MMM", locale=reader_locale()) for x in days]


def _calls_chart(sums: Earned) -> Markup | None:
    if not any(sums.calls):
        return None
    unanswered = tuple(a - b for a, b in zip(sums.calls, sums.answered, strict=True))
    return bar_chart(
        gettext("Calls per day"),
        _labels(sums),
        [Series(gettext("answered"), sums.answered), Series(gettext("not answered"), unanswered)],
        stacked=True,
    )


def _hour_labels(hours: HourSums) -> list[str]:
    zone, locale = reader_zone(), reader_locale()
    moments = [datetime.fromtimestamp(x // SECOND_US, UTC).astimezone(zone) for x in hours.starts_us]
    return [format_time(x, "HH:mm", locale=locale) for x in moments]


def _hour_chart(hours: HourSums, unit: Unit) -> Markup | None:
    net, then = hours.net.get(unit.code, ()), hours.net_then.get(unit.code, ())
    if not any(net) and not any(then):
        return None
    return bar_chart(
        gettext("Revenue of calls today by hour, %(unit)s without tax", unit=unit.code),
        _hour_labels(hours),
        [Series(gettext("today"), net), Series(gettext("a week ago"), then)],
        shown=lambda amount: short_amount_text(amount, unit),
    )


def _calls_by_hour(hours: HourSums) -> Markup | None:
    if not any(hours.calls) and not any(hours.calls_then):
        return None
    return bar_chart(
        gettext("Calls today by hour"),
        _hour_labels(hours),
        [Series(gettext("today"), hours.calls), Series(gettext("a week ago"), hours.calls_then)],
    )


def _revenue_chart(sums: Earned, unit: Unit) -> Markup:
    days = sums.by_unit[unit.code]
    return line_chart(
        gettext("Revenue per day, %(unit)s without tax", unit=unit.code),
        _labels(sums),
        [
            Series(gettext("revenue"), tuple(x.income for x in days)),
            Series(gettext("revenue of calls"), tuple(x.net for x in days)),
            Series(gettext("cost"), tuple(x.cost for x in days), is_faint=True),
        ],
        shown=lambda amount: short_amount_text(amount, unit),
    )
