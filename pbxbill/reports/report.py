"""What a report is: parameters, columns, rows within a scope, totals by unit, perhaps a chart.

Amounts are exact integers beside their unit's code; no two currencies are ever in one sum. Texts are English
and marked for translation: whoever shows a report translates headings, titles and notes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope, account_in_scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.period import day_start_us, local_date, months_after
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_, Column, ColumnKind
from pbxbill.rating.band_checks import zone_of
from pbxbill.reports.books import zone_of_books
from pbxbill.reports.making import Making
from pbxbill.store.models import AccountRow
from pbxbill.store.rollup_marks import HOUR_US

MAX_PERIODS = 800
MAX_DAYS = 3_660
MAX_ROWS = 200_000
"""Of a file; a page shows far fewer."""


class ParameterKind(StrEnum):
    """How a parameter is entered."""

    DAY = "day"
    """YYYY-MM-DD, in the zone of the seller's books; both ends are included."""
    CHOICE = "choice"
    ACCOUNT = "account"
    """An account's code."""
    DESTINATION = "destination"
    CARRIER = "carrier"
    """A carrier's name."""
    TARIFF = "tariff"
    """A tariff's name."""
    DECK = "deck"
    """A rate deck's name."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter."""

    key: str
    label: str
    kind: ParameterKind = ParameterKind.CHOICE
    choices: tuple[tuple[str, str], ...] = ()
    """Of CHOICE: values and what they are called; the first is the default."""
    operators: bool = False
    """Only the operator is asked for it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """How a report's rows are drawn: by charted.py."""

    kind: str
    """line or bar."""
    x: str
    """The key that names a point."""
    series: tuple[str, ...]
    """Keys of what is drawn; of money one chart for each unit."""


@dataclass(frozen=True, slots=True)
class Table:
    """A report as it was made."""

    columns: tuple[Column, ...]
    rows: list[dict[str, Any]]
    totals: list[dict[str, Any]] = field(default_factory=list)
    """One for each unit."""
    chart: Chart | None = None
    notes: tuple[str, ...] = ()
    """Whole sentences, to be translated."""
    is_cut: bool = False
    """There are more rows than were asked for; totals are of all of them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a report, and with which parameters."""

    scope: Scope
    values: Mapping[str, str] = field(default_factory=dict)
    """By their keys, as they were written; empty ones say nothing."""
    zone: str = "UTC"
    """Of the reader: moments are shown in it."""
    now_us: int = 0
    limit: int = MAX_ROWS
    making: Making = field(default_factory=Making, compare=False)
    """Hears how far it is, and says when it has to end."""
    books_zone: str = ""
    """In which days are meant, the seller's; empty: the reader's, while the seller is not known."""
    is_page: bool = False
    """It is looked at and not kept: what would read many records is TooLarge at once."""

    @property
    def days_zone(self) -> str:
        """In which days begin and end."""
        return self.books_zone or self.zone

    def value(self, key: str) -> str:
        """What was written."""
        return self.values.get(key, "").strip()


@dataclass(frozen=True, slots=True)
class Report:
    """One report."""

    name: str
    """As in addresses and names of files."""
    title: str
    about: str
    parameters: tuple[Parameter, ...]
    make: Callable[[Session, Asked], Table]
    permission: Permission = Permission.REPORTS_READ
    operators: bool = False
    """Only the operator has it."""
    grouped: tuple[tuple[str, str], ...] = ()
    """Values of the parameter "group", the default first."""


class ParameterRefused(InputRefused):
    """A parameter has a value that is none; the field says which."""

    def __init__(self, field_: str, told: str) -> None:
        super().__init__(f"{field_}: {told}")
        self.field = field_


FROM = Parameter("from", N_("From"), ParameterKind.DAY)
TO = Parameter("to", N_("To"), ParameterKind.DAY)
RESELLER = Parameter("reseller", N_("As this reseller sees it"), ParameterKind.ACCOUNT)
ACCOUNT = Parameter("account", N_("Account"), ParameterKind.ACCOUNT)
DESTINATION = Parameter("destination", N_("Destination"), ParameterKind.DESTINATION)
CARRIER = Parameter("carrier", N_("Carrier"), ParameterKind.CARRIER, operators=True)

BY_DAY = ("day", N_("Day"))
BY_WEEK = ("week", N_("Week"))
BY_MONTH = ("month", N_("Month"))
BY_HOUR = ("hour", N_("Hour"))
PERIODS = (BY_DAY, BY_WEEK, BY_MONTH, BY_HOUR)
PERIOD_NAMES = tuple(name for name, _ in PERIODS)


OTHER_DAYS = N_("Days are those of the seller's books, whose time zone is another one than yours.")


def in_books(session: Session, asked: Asked) -> Asked:
    """With the zone of the seller's days."""
    account = seller_of(session, asked)
    id = account.parent_id if asked.scope.own and account.parent_id is not None else account.id
    return replace(asked, books_zone=zone_of_books(session, id))


def has_own_days(asked: Asked) -> bool:
    """Whether days are those of the reader's own zone, too."""
    return period_of(asked) == period_of(replace(asked, books_zone=""))


def days_of(asked: Asked) -> tuple[date, date]:
    """The first and last day that are asked for; by default this month until today."""
    zone_of(asked.zone)
    today = local_date(asked.now_us, asked.days_zone)
    last = _day("to", asked.value("to")) or today
    first = _day("from", asked.value("from")) or last.replace(day=1)
    if last < first:
        raise ParameterRefused("to", "it is before the first day")
    if (last - first).days > MAX_DAYS:
        raise ParameterRefused("from", "a report covers ten years at most")
    return first, last


def period_of(asked: Asked) -> tuple[int, int]:
    """From the beginning of the first day to the end of the last one."""
    first, last = days_of(asked)
    return day_start_us(first, asked.days_zone), day_start_us(last + timedelta(days=1), asked.days_zone)


def buckets_of(asked: Asked, by: str) -> list[tuple[int, int]]:
    """The days, weeks, months or hours asked for; the first and last as far as they are."""
    first, last = days_of(asked)
    from_us, to_us = period_of(asked)
    if by == "hour":
        starts = list(range(from_us, to_us, HOUR_US))
    else:
        starts = [max(from_us, day_start_us(x, asked.days_zone)) for x in _starts(first, last, by)]
    if len(starts) > MAX_PERIODS:
        raise ParameterRefused("from", f"more than {MAX_PERIODS} periods: take longer ones or fewer days")
    return list(zip(starts, [*starts[1:], to_us], strict=True))


def _starts(first: date, last: date, by: str) -> list[date]:
    match by:
        case "day":
            at, following = first, _in_days(1)
        case "week":
            at, following = first - timedelta(days=first.weekday()), _in_days(7)
        case "month":
            at, following = first.replace(day=1), _in_a_month
        case _:
            raise ParameterRefused("group", "there is no such period")
    found = []
    while at <= last:
        found.append(at)
        at = following(at)
    return found


def _in_days(days: int) -> Callable[[date], date]:
    return lambda day: day + timedelta(days=days)


def _in_a_month(day: date) -> date:
    return months_after(day, 1)


def choice_of(asked: Asked, key: str, choices: Sequence[tuple[str, str]]) -> str:
    """A choice, or the default."""
    value = asked.value(key) or choices[0][0]
    if value not in (name for name, _ in choices):
        raise ParameterRefused(key, f"{value[:40]!r} is none of: {', '.join(x for x, _ in choices)}")
    return value


def seller_of(session: Session, asked: Asked) -> AccountRow:
    """Whose customers a report is about: who asks, or a reseller of his."""
    code = asked.value("reseller")
    if not code:
        return session.get_one(AccountRow, asked.scope.account_id)
    found = _account(session, asked, "reseller", code)
    if found.kind == "customer":
        raise ParameterRefused("reseller", f"{code[:40]!r} is no reseller")
    return found


def account_of(session: Session, asked: Asked) -> AccountRow | None:
    """The one account that is asked for."""
    code = asked.value("account")
    return _account(session, asked, "account", code) if code else None


def _account(session: Session, asked: Asked, key: str, code: str) -> AccountRow:
    id = session.scalar(select(AccountRow.id).where(AccountRow.code == code))
    found = None if id is None else account_in_scope(session, asked.scope, id)
    if found is None:
        raise ParameterRefused(key, f"there is no account {code[:40]!r}")
    return found


def _day(key: str, text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        raise ParameterRefused(key, f"{text[:40]!r} is not a day; write it as 2026-01-31") from None
    if day is not None and not 1990 <= day.year <= 2200:
        raise ParameterRefused(key, "it is too far away")
    return day


PERIOD_COLUMN = {
    "day": Column("period_us", N_("Day"), ColumnKind.DAY),
    "week": Column("period_us", N_("Week from"), ColumnKind.DAY),
    "month": Column("period", N_("Month"), ColumnKind.CODE),
    "hour": Column("period_us", N_("Hour"), ColumnKind.MOMENT),
}


def period_cells(by: str, from_us: int, asked: Asked) -> dict[str, Any]:
    """What a row says of its period. A day is told by the moment at which it begins for the reader."""
    if by == "hour":
        return {"period_us": from_us}
    day = local_date(from_us, asked.days_zone)
    cells: dict[str, Any] = {"period_us": day_start_us(day, asked.zone)}
    return {"period": f"{day:%Y-%m}"} | cells if by == "month" else cells
