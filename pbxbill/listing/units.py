"""Lists of units, of exchange rates, and of calendars of time bands."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    below,
    contains,
)
from pbxbill.money import to_decimal
from pbxbill.rating.exchange import EXCHANGE_SCALE
from pbxbill.store.calendars import calendar_of
from pbxbill.store.catalogue_models import BandCalendarRow, ExchangeRateRow
from pbxbill.store.models import UnitRow


def _units(_session: Session, _scope: Scope) -> Rows:
    names = ("code", "name", "symbol", "scale", "digits")
    return select(UnitRow.code.label("id"), *(getattr(UnitRow, x).label(x) for x in names))


UNITS = Listing(
    name="units",
    title=N_("Units"),
    permission=Permission.SETTINGS_READ,
    columns=(
        Column("code", N_("Code"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("symbol", N_("Symbol")),
        Column("scale", N_("Digits kept"), ColumnKind.COUNT),
        Column("digits", N_("Digits shown"), ColumnKind.COUNT),
    ),
    rows=_units,
    orders=(Order("code", N_("Code"), UnitRow.code, UnitRow.code),),
    filters=(Filter("q", N_("Code or name"), contains(UnitRow.code, UnitRow.name)),),
)


def _exchange(_session: Session, _scope: Scope) -> Rows:
    names = ("id", "from_unit", "to_unit", "rate", "effective_from_us", "source", "created_us")
    return select(*(getattr(ExchangeRateRow, x).label(x) for x in names))


def exchange_text(rate: int) -> str:
    """A rate without the zeros at its end."""
    return f"{to_decimal(rate, EXCHANGE_SCALE).normalize():f}"


def _rates_written(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["rate"] = exchange_text(row["rate"])


EXCHANGE_RATES = Listing(
    name="exchange-rates",
    title=N_("Exchange rates"),
    permission=Permission.SETTINGS_READ,
    columns=(
        Column("effective_from_us", N_("Counts from"), ColumnKind.MOMENT),
        Column("from_unit", N_("One"), ColumnKind.CODE),
        Column("rate", N_("is"), ColumnKind.CODE),
        Column("to_unit", N_("In"), ColumnKind.CODE),
        Column("source", N_("Source"), wide=True),
    ),
    rows=_exchange,
    orders=(
        Order(
            "newest",
            N_("Newest first"),
            ExchangeRateRow.effective_from_us,
            ExchangeRateRow.id,
            descending=True,
        ),
    ),
    filters=(
        Filter(
            "unit",
            N_("Unit"),
            lambda query, code: query.where(
                (ExchangeRateRow.from_unit == code.upper()) | (ExchangeRateRow.to_unit == code.upper())
            ),
        ),
        Filter(
            "to", N_("Counts until"), below(ExchangeRateRow.effective_from_us), FilterKind.DAY, next_day=True
        ),
    ),
    finish=_rates_written,
)

_LATER = aliased(BandCalendarRow)


def _calendars(_session: Session, _scope: Scope) -> Rows:
    later = select(_LATER.id).where(
        _LATER.name == BandCalendarRow.name, _LATER.number > BandCalendarRow.number
    )
    names = ("id", "name", "number", "created_us")
    return select(*(getattr(BandCalendarRow, x).label(x) for x in names)).where(~later.exists())


def _described(session: Session, rows: list[dict[str, Any]]) -> None:
    ids = [x["id"] for x in rows]
    known = {x.id: x for x in session.scalars(select(BandCalendarRow).where(BandCalendarRow.id.in_(ids)))}
    for row in rows:
        calendar = calendar_of(known[row["id"]])
        row["zone"] = calendar.zone
        row["bands"] = ", ".join(dict.fromkeys(rule.band for rule in calendar.rules))


CALENDARS = Listing(
    name="calendars",
    title=N_("Calendars"),
    permission=Permission.SETTINGS_READ,
    columns=(
        Column("name", N_("Name")),
        Column("zone", N_("Zone")),
        Column("bands", N_("Bands")),
        Column("number", N_("Version"), ColumnKind.COUNT),
        Column("created_us", N_("Made"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_calendars,
    orders=(Order("name", N_("Name"), BandCalendarRow.name, BandCalendarRow.id),),
    filters=(Filter("q", N_("Name"), contains(BandCalendarRow.name)),),
    finish=_described,
)
