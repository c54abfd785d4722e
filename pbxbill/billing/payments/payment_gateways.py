"""Issuers' accounts at payment services: set up, chosen for a payment, and opened.

An account pays to its issuer: a reseller's customers through the reseller's gateways, everybody else through
the operator's. Secrets are in files; the database holds their names.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.gateways import registry
from pbxbill.gateways.currencies import iso_digits
from pbxbill.gateways.gateway import PaymentGateway
from pbxbill.money import Unit, minor_step
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow

MAX_UNITS_LENGTH = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

OpenGateway = Callable[[PaymentGatewayRow], PaymentGateway]


def open_gateway(row: PaymentGatewayRow) -> PaymentGateway:
    """What speaks to the service; InputRefused or ConfigurationError where its settings cannot be used."""
    return registry.open_gateway(row.kind, row.settings)


def add_gateway(  # noqa: PLR0913  # one parameter per column
    session: Session,
    issuer: AccountRow,
    *,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    units: tuple[str, ...] = (),
    now_us: int,
) -> PaymentGatewayRow:
    """Set up an issuer's account at a service."""
    if issuer.kind == "customer":
        raise InputRefused(f"account {issuer.code} is a customer; the operator and resellers have gateways")
    if _NAME.fullmatch(name) is None:
        raise InputRefused(
            f"gateway name {name[:70]!r}: it is part of an address; use small letters, digits and -"
        )
    if session.scalar(select(PaymentGatewayRow.id).where(PaymentGatewayRow.name == name)) is not None:
        raise InputRefused(f"there is a gateway {name!r} already")
    row = PaymentGatewayRow(
        issuer_id=issuer.id,
        name=name,
        kind=kind,
        settings=registry.checked_settings(kind, json.dumps(dict(settings))),
        units=_units(session, units),
        enabled=True,
        created_us=now_us,
    )
    open_gateway(row)  # what cannot be opened is said now
    session.add(row)
    session.flush()
    return row


def _units(session: Session, codes: tuple[str, ...]) -> str:
    for code in codes:
        coin(unit_of(session, code))
    told = ",".join(dict.fromkeys(codes))
    if len(told) > MAX_UNITS_LENGTH:
        raise InputRefused(f"units of a gateway have up to {MAX_UNITS_LENGTH} characters")
    return told


def change_gateway(
    session: Session,
    row: PaymentGatewayRow,
    *,
    settings: Mapping[str, Any] | None = None,
    units: tuple[str, ...] | None = None,
    enabled: bool | None = None,
) -> None:
    """Change what is given. One that is not enabled takes no new payments; it still hears of those it had."""
    if settings is not None:
        merged = json.loads(row.settings) | dict(settings)
        row.settings = registry.checked_settings(row.kind, json.dumps(merged))
        open_gateway(row)
    if units is not None:
        row.units = _units(session, units)
    if enabled is not None:
        row.enabled = enabled
    session.flush()


def gateway_by_name(session: Session, name: str) -> PaymentGatewayRow:
    """A gateway; InputRefused if there is none of that name."""
    row = session.scalar(select(PaymentGatewayRow).where(PaymentGatewayRow.name == name))
    if row is None:
        raise InputRefused(f"no gateway {name[:70]!r}; `pbxbill payment-gateways list` shows them")
    return row


def gateways_for(session: Session, account: AccountRow, unit: str) -> list[PaymentGatewayRow]:
    """Those that an account can pay by in a unit, the oldest first."""
    rows = session.scalars(
        select(PaymentGatewayRow)
        .where(PaymentGatewayRow.issuer_id == account.parent_id, PaymentGatewayRow.enabled)
        .order_by(PaymentGatewayRow.id)
    )
    return [row for row in rows if takes(row, unit)]


def takes(row: PaymentGatewayRow, unit: str) -> bool:
    """Whether a gateway takes a unit."""
    return not row.units or unit in row.units.split(",")


def chosen_gateway(session: Session, account: AccountRow, unit: str, name: str = "") -> PaymentGatewayRow:
    """The one that is named, or the first that fits; InputRefused if there is none."""
    fitting = gateways_for(session, account, unit)
    found = next((row for row in fitting if name in {"", row.name}), None)
    if found is None:
        which = f"gateway {name[:70]!r} does not take" if name else "no gateway of its issuer takes"
        raise InputRefused(
            f"{which} {unit} from account {account.code}; `pbxbill payment-gateways list` shows them"
        )
    return found


def coin(unit: Unit) -> int:
    """Steps of a currency's minor unit by ISO 4217, in which gateways count; InputRefused for no currency."""
    if not (len(unit.code) == 3 and unit.code.isalpha()):
        raise InputRefused(f"{unit.code} is no currency: gateways take none but those of ISO 4217")
    digits = iso_digits(unit.code)
    if unit.scale < digits:
        raise InputRefused(f"unit {unit.code} has fewer digits than the currency of that name")
    return int(10 ** (unit.scale - digits))


def minor_units(amount: int, unit: Unit) -> int:
    """An amount as gateways count; InputRefused unless it is in whole coins."""
    step = coin(unit)
    if amount <= 0 or amount % step or amount % minor_step(unit):
        raise InputRefused("what goes through a gateway is more than zero, in whole coins")
    return amount // step
