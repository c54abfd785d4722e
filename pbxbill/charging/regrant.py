"""How long a reservation could last, and what another granted time means for each of its levels."""

from pbxbill.charging.levels import Levels, rated_levels
from pbxbill.charging.pricing import Leaving, reserve_levels, starts_us
from pbxbill.charging.state import ChargingState, CounterMoved, WalletMoved
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import Reservation, ReservedCount


def regrant(
    reservation: Reservation,
    granted_us: int,
    *,
    final: bool,
    state: ChargingState,
    leaving: Leaving | None = None,
) -> tuple[Reservation, list[WalletMoved], list[CounterMoved]]:
    """A reservation with another granted time, and what that moves in its wallets and counters."""
    levels = rated_levels(reservation, state)
    lines, counts = reserve_levels(levels, granted_us, answers_us(reservation, levels), leaving)
    moves = [
        WalletMoved(line.wallet_id, reserved=line.reserved - before.reserved)
        for line, before in zip(lines, reservation.levels, strict=True)
        if line.reserved != before.reserved
    ]
    # A counter that the call is no longer counted in keeps its row, which must say that nothing is held.
    held = {(count.level, count.counter_id) for count in counts}
    gone = [x._replace(reserved=0) for x in reservation.counts if (x.level, x.counter_id) not in held]
    counts = (*counts, *gone)
    changed = reservation._replace(granted_us=granted_us, final=final, levels=lines, counts=counts)
    return changed, moves, moved_counts(reservation.counts, counts)


def moved_counts(before: tuple[ReservedCount, ...], after: tuple[ReservedCount, ...]) -> list[CounterMoved]:
    """What counters gain or lose between what a call held of them and what it holds now."""
    held = {(count.level, count.counter_id): count.reserved for count in before}
    moves = []
    for level, counter_id, reserved, _ in after:
        change = reserved - held.pop((level, counter_id), 0)
        if change:
            moves.append(CounterMoved(counter_id, reserved=change))
    moves += [CounterMoved(counter_id, reserved=-left) for (_, counter_id), left in held.items() if left]
    return moves


def longest(reservation: Reservation, state: ChargingState, levels: Levels | None = None) -> int:
    """How long a call could last on what it has reserved and what is free at every level, microseconds."""
    priced = rated_levels(reservation, state) if levels is None else levels
    starts = answers_us(reservation, priced)
    lasts_us = [rated.lasts_us(rated.funds(lines), reservation.max_call_s, starts) for rated, lines in priced]
    return min(lasts_us, default=reservation.max_call_s * SECOND_US)


def answers_us(reservation: Reservation, levels: Levels) -> tuple[int, ...]:
    """The moment of its answer, or those at which it may still be answered."""
    if reservation.answered_us is not None:
        return (reservation.answered_us,)
    return starts_us([rated for rated, _ in levels], reservation.requested_us)
