"""Writes carriers and the gateways that lead to them."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.accounts import bump_catalogue, tariff_by_name
from pbxbill.store.catalogue_models import CarrierRow, GatewayRow
from pbxbill.store.models import TariffRow, TariffVersionRow

CARRIERS = "SELECT g.name, c.id, c.name, c.tariff_id FROM gateways g JOIN carriers c ON c.id = g.carrier_id"
"""Gateway, carrier and the tariff that it asks by; for a Driver."""


@dataclass(frozen=True, slots=True)
class CarrierShown:
    """A carrier with its tariff and gateways, by name."""

    name: str
    tariff: str
    unit: str
    gateways: tuple[str, ...]


def carrier_by_name(session: Session, name: str) -> CarrierRow:
    """A carrier; InputRefused if there is none of that name."""
    row = session.scalar(select(CarrierRow).where(CarrierRow.name == name))
    if row is None:
        raise InputRefused(f"no carrier {name!r}; `pbxbill carriers list` shows them")
    return row


def put_carrier(session: Session, name: str, tariff: str) -> tuple[CarrierRow, bool]:
    """Make a carrier, or give one another tariff for calls from now on; whether it is new."""
    _check_name("carrier", name)
    terms = tariff_by_name(session, tariff)
    newest = session.scalar(
        select(TariffVersionRow)
        .where(TariffVersionRow.tariff_id == terms.id)
        .order_by(TariffVersionRow.number.desc())
        .limit(1)
    )
    if newest is None or newest.deck_id is None:
        raise InputRefused(
            f"tariff {tariff!r} is a mark-up on the prices of the account above; a carrier needs a rate deck"
        )
    if newest.cycle_steps is not None:
        raise InputRefused(f"tariff {tariff!r} has cycle steps, which are counted for accounts only")
    row = session.scalar(select(CarrierRow).where(CarrierRow.name == name))
    is_new = row is None
    if row is None:
        row = CarrierRow(name=name, tariff_id=terms.id)
        session.add(row)
    else:
        row.tariff_id = terms.id
    session.flush()
    bump_catalogue(session)
    return row, is_new


def all_carriers(session: Session) -> list[CarrierShown]:
    """Every carrier, by name."""
    gateways: dict[int, list[str]] = {}
    for gateway in session.scalars(select(GatewayRow).order_by(GatewayRow.name)):
        gateways.setdefault(gateway.carrier_id, []).append(gateway.name)
    rows = session.execute(
        select(CarrierRow, TariffRow.name, TariffVersionRow.unit)
        .join(TariffRow, TariffRow.id == CarrierRow.tariff_id)
        .join(TariffVersionRow, TariffVersionRow.tariff_id == TariffRow.id)
        .order_by(CarrierRow.name, TariffVersionRow.number)
    )
    newest = {
        carrier.name: CarrierShown(carrier.name, tariff, unit, tuple(gateways.get(carrier.id, ())))
        for carrier, tariff, unit in rows
    }
    return list(newest.values())


def set_gateway(session: Session, name: str, carrier: CarrierRow) -> GatewayRow:
    """Say which carrier a switch's gateway leads to; one that is known already changes its carrier."""
    _check_name("gateway", name)
    row = session.get(GatewayRow, name)
    if row is None:
        row = GatewayRow(name=name, carrier_id=carrier.id)
        session.add(row)
    else:
        row.carrier_id = carrier.id
    session.flush()
    bump_catalogue(session)
    return row


def remove_gateway(session: Session, name: str) -> None:
    """Forget a gateway: what calls through it cost is unknown from now on."""
    row = session.get(GatewayRow, name)
    if row is None:
        raise InputRefused(f"no gateway {name!r}; `pbxbill gateways list` shows them")
    session.delete(row)
    session.flush()
    bump_catalogue(session)


def all_gateways(session: Session) -> list[tuple[str, str]]:
    """Every gateway with its carrier, by name."""
    query = (
        select(GatewayRow.name, CarrierRow.name)
        .join(CarrierRow, CarrierRow.id == GatewayRow.carrier_id)
        .order_by(GatewayRow.name)
    )
    return [(gateway, carrier) for gateway, carrier in session.execute(query)]


def _check_name(what: str, name: str) -> None:
    if not (name.isprintable() and 0 < len(name) <= 64):
        raise InputRefused(f"a {what}'s name has 1 to 64 printable characters")
