"""What is being talked about money now: open reservations with their cost so far and the funds left."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.money import Rounding, Unit
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import Rate, Tariff, TaxMode
from pbxbill.store.models import (
    AccountRow,
    RateRow,
    ReservationLevelRow,
    ReservationRow,
    TariffVersionRow,
    UnitRow,
    WalletRow,
)

OPEN = ("reserved", "answered")


@dataclass(frozen=True, slots=True)
class OpenCall:
    """One call as the database knows it at a moment."""

    session_id: str
    switch: str
    call_id: str
    account: str
    direction: str
    caller: str
    called: str
    destination: str
    state: str
    unit: Unit | None
    """None: nobody pays, a call to a DID that is free."""
    elapsed_us: int
    granted_us: int
    final: bool
    cost: int
    funds_left: int
    """What the account could still spend, its live calls counted up to now."""


def open_calls(session: Session, now_us: int) -> list[OpenCall]:
    """All calls in set-up or up, oldest first."""
    reservations = session.execute(
        select(ReservationRow, AccountRow.code)
        .join(AccountRow, AccountRow.id == ReservationRow.account_id)
        .where(ReservationRow.state.in_(OPEN))
        .order_by(ReservationRow.requested_us, ReservationRow.session_id)
    ).all()
    elapsed = {
        row.session_id: 0 if row.answered_us is None else max(0, now_us - row.answered_us)
        for row, _ in reservations
    }
    units = {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
    levels = session.execute(
        select(ReservationLevelRow, WalletRow, TariffVersionRow, RateRow)
        .join(ReservationRow, ReservationRow.session_id == ReservationLevelRow.session_id)
        .join(WalletRow, WalletRow.id == ReservationLevelRow.wallet_id)
        .join(TariffVersionRow, TariffVersionRow.id == ReservationLevelRow.tariff_version_id)
        .join(RateRow, RateRow.id == ReservationLevelRow.rate_id)
        .where(ReservationRow.state.in_(OPEN))
    ).all()
    costs, own, left = _costs(levels, elapsed, units)
    return [
        OpenCall(
            session_id=row.session_id,
            switch=row.switch,
            call_id=row.call_id,
            account=code,
            direction=row.direction,
            caller=row.caller,
            called=row.called,
            destination=row.destination,
            state=row.state,
            unit=units[own[row.session_id].unit] if row.session_id in own else None,
            elapsed_us=elapsed[row.session_id],
            granted_us=row.granted_us,
            final=row.final,
            cost=costs.get(row.session_id, 0),
            funds_left=left[own[row.session_id].id] if row.session_id in own else 0,
        )
        for row, code in reservations
    ]


def _costs(
    levels: Iterable[Any], elapsed: dict[str, int], units: dict[str, Unit]
) -> tuple[dict[str, int], dict[str, WalletRow], dict[int, int]]:
    """Per session the caller's cost and wallet, per wallet what is left when all costs are taken off."""
    costs: dict[str, int] = {}
    own: dict[str, WalletRow] = {}
    left: dict[int, int] = {}
    for level, wallet, version, rate in levels:
        session_id = level.session_id
        cost = charge(_rate(rate), _tariff(version, units[version.unit]), elapsed[session_id]).total
        left.setdefault(wallet.id, wallet.posted + wallet.credit_limit)
        left[wallet.id] -= cost
        if level.level == 0:
            costs[session_id], own[session_id] = cost, wallet
    return costs, own, left


def _rate(row: RateRow) -> Rate:
    return Rate(
        id=row.id,
        prefix=row.prefix,
        destination=row.destination,
        price_per_min=row.price_per_min,
        connection_fee=row.connection_fee,
        minimum_charge=row.minimum_charge,
        initial_increment_s=row.initial_increment_s,
        following_increment_s=row.following_increment_s,
        free_s=row.free_s,
    )


def _tariff(row: TariffVersionRow, unit: Unit) -> Tariff:
    return Tariff(
        version_id=row.id,
        name="",
        deck_id=row.deck_id,
        unit=unit,
        tax_mode=TaxMode(row.tax_mode),
        tax_ppm=row.tax_ppm,
        rounding=Rounding(row.rounding),
        rounding_step=row.rounding_step,
    )
