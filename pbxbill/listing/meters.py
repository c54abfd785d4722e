"""Lists of meters and of what they showed."""

from typing import Any

from sqlalchemy import func, select
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
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.mediation.meters import quantity_text
from pbxbill.store.mediation_models import MeterReadingRow, MeterRow, MeterTariffRow
from pbxbill.store.models import AccountRow


def _meters(_session: Session, scope: Scope) -> Rows:
    names = ("id", "code", "account_id", "tariff", "measure", "created_us")
    return (
        select(*(getattr(MeterRow, x).label(x) for x in names), AccountRow.code.label("account"))
        .join(AccountRow, AccountRow.id == MeterRow.account_id)
        .where(scope.among(MeterRow.account_id))
    )


def _last_readings(session: Session, rows: list[dict[str, Any]]) -> None:
    reading = MeterReadingRow
    newest = (
        select(reading.meter_id, func.max(reading.at_us).label("at_us"))
        .where(reading.meter_id.in_([x["id"] for x in rows]))
        .group_by(reading.meter_id)
        .subquery()
    )
    found = session.scalars(
        select(reading).join(
            newest, (newest.c.meter_id == reading.meter_id) & (newest.c.at_us == reading.at_us)
        )
    )
    last = {x.meter_id: x for x in found}
    for row in rows:
        shown = last.get(row["id"])
        row["read_us"] = None if shown is None else shown.at_us
        row["shows"] = None
        if shown is not None:
            row["shows"] = quantity_text(shown.value if shown.restarts_at is None else shown.restarts_at)


METERS = Listing(
    name="meters",
    title=N_("Meters"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("code", N_("Meter"), ColumnKind.CODE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("tariff", N_("Tariff")),
        Column("shows", N_("Shows"), ColumnKind.CODE),
        Column("measure", N_("Of what")),
        Column("read_us", N_("Read"), ColumnKind.MOMENT),
    ),
    rows=_meters,
    orders=(Order("code", N_("Meter"), MeterRow.code, MeterRow.id),),
    filters=(
        Filter("q", N_("Meter or tariff"), contains(MeterRow.code, MeterRow.tariff)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
    ),
    finish=_last_readings,
)


def _readings(_session: Session, scope: Scope) -> Rows:
    names = (
        "id",
        "meter_id",
        "at_us",
        "value",
        "restarts_at",
        "consumed",
        "total",
        "tax",
        "uncollected",
        "explanation",
    )
    return (
        select(
            *(getattr(MeterReadingRow, x).label(x) for x in names),
            MeterRow.measure.label("measure"),
            MeterRow.tariff.label("tariff"),
        )
        .join(MeterRow, MeterRow.id == MeterReadingRow.meter_id)
        .where(scope.among(MeterRow.account_id))
    )


def _shown(session: Session, rows: list[dict[str, Any]]) -> None:
    tariffs = {x["tariff"] for x in rows}
    versions = session.execute(
        select(MeterTariffRow.name, MeterTariffRow.unit)
        .where(MeterTariffRow.name.in_(tariffs))
        .order_by(MeterTariffRow.number)
    )
    units = {x.name: x.unit for x in versions}
    for row in rows:
        row["shows"] = quantity_text(row.pop("value"))
        restarts_at = row.pop("restarts_at")
        row["restarts"] = None if restarts_at is None else quantity_text(restarts_at)
        row["used"] = f"{quantity_text(row.pop('consumed'))} {row['measure']}"
        row["unit"] = units.get(row["tariff"])


READINGS = Listing(
    name="readings",
    title=N_("Readings"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("at_us", N_("Read"), ColumnKind.MOMENT),
        Column("shows", N_("Shows"), ColumnKind.CODE),
        Column("restarts", N_("The new one began with"), ColumnKind.CODE, wide=True),
        Column("used", N_("Consumed"), ColumnKind.CODE),
        Column("total", N_("Charged"), ColumnKind.MONEY),
        Column("tax", N_("Tax in it"), ColumnKind.MONEY, wide=True),
        Column("uncollected", N_("Not collected"), ColumnKind.MONEY, wide=True),
    ),
    rows=_readings,
    orders=(Order("newest", N_("Newest first"), MeterReadingRow.at_us, MeterReadingRow.id, descending=True),),
    filters=(
        Filter("meter", N_("Meter"), equals(MeterReadingRow.meter_id), FilterKind.NUMBER),
        Filter("from", N_("From"), at_least(MeterReadingRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(MeterReadingRow.at_us), FilterKind.DAY, next_day=True),
    ),
    finish=_shown,
)

_NEWER = aliased(MeterTariffRow)


def _tariffs(_session: Session, _scope: Scope) -> Rows:
    newer = select(_NEWER.id).where(_NEWER.name == MeterTariffRow.name, _NEWER.number > MeterTariffRow.number)
    names = ("id", "name", "number", "unit", "effective_from_us", "created_us")
    return select(*(getattr(MeterTariffRow, x).label(x) for x in names)).where(~newer.exists())


METER_TARIFFS = Listing(
    name="meter-tariffs",
    title=N_("Meter tariffs"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("name", N_("Name")),
        Column("number", N_("Version"), ColumnKind.COUNT),
        Column("unit", N_("Unit"), ColumnKind.CODE),
        Column("effective_from_us", N_("Counts from"), ColumnKind.MOMENT),
    ),
    rows=_tariffs,
    orders=(Order("name", N_("Name"), MeterTariffRow.name, MeterTariffRow.id),),
    filters=(
        Filter("q", N_("Name"), contains(MeterTariffRow.name)),
        Filter("unit", N_("Unit"), equals(MeterTariffRow.unit)),
    ),
)
"""Newest versions. Meter tariffs are the operator's, and so are all who may read of operations."""
