"""How long a reservation could last, and what another granted time means for each of its levels."""

from pbxbill.charging.state import ChargingState, WalletMoved
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import Reservation
from pbxbill.rating.rater import affordable, charge_total


def regrant(
    reservation: Reservation, granted_us: int, *, final: bool, state: ChargingState
) -> tuple[Reservation, list[WalletMoved]]:
    """A reservation with another granted time, and what that moves in its wallets."""
    moves: list[WalletMoved] = []
    levels = []
    for level in reservation.levels:
        rate = state.catalogue.rate(level.rate_id)
        reserved = charge_total(rate, state.catalogue.tariff(level.tariff_version_id), granted_us)
        levels.append(level._replace(reserved=reserved))
        if reserved != level.reserved:
            moves.append(WalletMoved(level.wallet_id, reserved=reserved - level.reserved))
    return reservation._replace(granted_us=granted_us, final=final, levels=tuple(levels)), moves


def longest(reservation: Reservation, state: ChargingState) -> int:
    """How long a call could last on what it has reserved and what is free at every level, microseconds."""
    lasts_us = [
        affordable(
            state.catalogue.rate(level.rate_id),
            state.catalogue.tariff(level.tariff_version_id),
            level.reserved + max(0, state.wallets[level.wallet_id].available),
            reservation.max_call_s,
        )
        for level in reservation.levels
    ]
    return min(lasts_us, default=reservation.max_call_s * SECOND_US)
