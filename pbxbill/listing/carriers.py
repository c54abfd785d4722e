"""The list of carriers: whom calls are sent through, by which gateways, and what they ask."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_, Column, ColumnKind, Filter, Listing, Order, Rows, contains
from pbxbill.store.catalogue_models import CarrierRow, GatewayRow
from pbxbill.store.models import RateDeckRow, TariffRow, TariffVersionRow


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            CarrierRow.id.label("id"),
            CarrierRow.name.label("name"),
            CarrierRow.tariff_id.label("tariff_id"),
            TariffRow.name.label("tariff"),
        )
        .join(TariffRow, TariffRow.id == CarrierRow.tariff_id)
        # Carriers are the operator's alone.
        .where(scope.issued(TariffRow.issuer_id))
    )


def _gateways(session: Session, rows: list[dict[str, Any]]) -> None:
    named: dict[int, list[str]] = {}
    ids = [x["id"] for x in rows]
    query = select(GatewayRow).where(GatewayRow.carrier_id.in_(ids)).order_by(GatewayRow.name)
    for gateway in session.scalars(query):
        named.setdefault(gateway.carrier_id, []).append(gateway.name)
    versions = session.execute(
        select(TariffVersionRow.tariff_id, TariffVersionRow.unit, RateDeckRow.name)
        .outerjoin(RateDeckRow, RateDeckRow.id == TariffVersionRow.deck_id)
        .where(TariffVersionRow.tariff_id.in_([x["tariff_id"] for x in rows]))
        .order_by(TariffVersionRow.number)
    )
    newest = {tariff_id: (unit, deck) for tariff_id, unit, deck in versions}
    for row in rows:
        row["gateways"] = ", ".join(named.get(row["id"], []))
        row["unit"], row["deck"] = newest[row["tariff_id"]]


CARRIERS = Listing(
    name="carriers",
    title=N_("Carriers"),
    permission=Permission.CARRIERS_READ,
    columns=(
        Column("name", N_("Name")),
        Column("gateways", N_("Gateways")),
        Column("tariff", N_("Asks by tariff")),
        Column("deck", N_("Deck"), wide=True),
        Column("unit", N_("Unit"), ColumnKind.CODE, wide=True),
    ),
    rows=_rows,
    orders=(Order("name", N_("Name"), CarrierRow.name, CarrierRow.id),),
    filters=(Filter("q", N_("Name"), contains(CarrierRow.name)),),
    finish=_gateways,
)
