"""Days that have names, so that a view of last month that is kept stays one: which days they are. Pure."""

from datetime import date, timedelta

from pbxbill.billing.period import months_after
from pbxbill.listing.listing import N_

NAMED_DAYS = (
    ("today", N_("Today")),
    ("yesterday", N_("Yesterday")),
    ("this-week", N_("This week")),
    ("last-week", N_("Last week")),
    ("this-month", N_("This month")),
    ("last-month", N_("Last month")),
    ("this-year", N_("This year")),
    ("last-12-months", N_("Last 12 months")),
)
"""This week ends today, the last one is whole; the last 12 months hold the one that is not over."""


def days_named(name: str, today: date) -> tuple[date, date] | None:
    """The first and the last of them; None if nothing is called so. Weeks begin on Monday."""
    monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
    match name:
        case "today":
            return today, today
        case "yesterday":
            return today - timedelta(days=1), today - timedelta(days=1)
        case "this-week":
            return monday, today
        case "last-week":
            return monday - timedelta(days=7), monday - timedelta(days=1)
        case "this-month":
            return first, today
        case "last-month":
            return months_after(first, -1), first - timedelta(days=1)
        case "this-year":
            return first.replace(month=1), today
        case "last-12-months":
            return months_after(first, -11), today
        case _:
            return None
