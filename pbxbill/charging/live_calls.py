"""What open calls cost up to a moment, and what is then left in the wallets that pay for them.

A call is priced as settle() would price it if it ended at that moment: by the tariff versions and rates that
it has frozen, its bands, bundles and steps. Nothing here changes anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pbxbill.charging.batch import load_open
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.collecting import LevelOwed, Usage, owed_so_far
from pbxbill.charging.levels import rated_levels
from pbxbill.charging.pricing import PayingWallet
from pbxbill.charging.settling import billed_duration
from pbxbill.charging.state import ChargingState, Wallet
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import Reservation
from pbxbill.money import Unit
from pbxbill.rating.exchange import Source, total_worth
from pbxbill.store.driver import Driver


@dataclass(slots=True)
class LiveWallet:
    """A wallet that open calls draw on, with what those that were read cost so far."""

    id: int
    account_id: int
    unit: Unit
    posted: int
    reserved: int
    credit_limit: int
    cost: int = 0
    calls: int = 0
    """That are answered, of those that were read."""

    @property
    def left(self) -> int:
        """What could be spent if all its calls ended now; negative only where nothing is enforced."""
        return self.posted + self.credit_limit - self.cost

    @property
    def available(self) -> int:
        """What a new call finds: without all that is reserved."""
        return self.posted + self.credit_limit - self.reserved


@dataclass(frozen=True, slots=True)
class LevelCost:
    """What one account of the chain would be charged for a call that ended now, in its tariff's unit."""

    level: int
    account_id: int
    unit: Unit
    total: int
    """With tax."""
    tax: int
    billable_s: int


@dataclass(frozen=True, slots=True)
class LiveFunds:
    """What is left for one level of a call, in its tariff's unit."""

    left: int
    remaining_us: int | None
    """About how long the call can go on: at its price, with an equal share of what is left where several
    calls run; exact where it ends with what it has been granted. None: it has not been answered."""


@dataclass(frozen=True, slots=True)
class PricedCall:
    """One open call at a moment. The caller's own level comes first; nobody may pay for it."""

    reservation: Reservation
    elapsed_us: int
    costs: tuple[LevelCost, ...]
    levels: tuple[LevelOwed, ...]


@dataclass(frozen=True, slots=True)
class PricedCalls:
    """Some open calls at a moment. What is left in a wallet holds if all calls of it were read."""

    at_us: int
    calls: dict[str, PricedCall]
    """By session."""
    wallets: dict[int, LiveWallet]

    def funds(self, call: PricedCall, number: int = 0) -> LiveFunds | None:
        """What is left for one of its levels; None: it has no such level."""
        if number >= len(call.levels):
            return None
        level = call.levels[number]
        rated = level.rated
        paying = (
            (PayingWallet(rated.wallet, rated.tariff.unit),) if rated.terms is None else rated.terms.wallets
        )
        left = self._worth(paying, rated.tariff.unit)
        remaining_us = None
        reservation = call.reservation
        if reservation.answered_us is not None:
            if reservation.final and reservation.shadow is None:
                ends_us = reservation.granted_us
            else:
                shared = max([self.wallets[x.wallet.id].calls for x in paying], default=1)
                funds = level.owed.total + max(0, left) // max(1, shared)
                ends_us = rated.lasts_us(funds, reservation.max_call_s, (reservation.answered_us,))
            remaining_us = max(0, ends_us - call.elapsed_us)
        return LiveFunds(left, remaining_us)

    def _worth(self, paying: Sequence[PayingWallet], unit: Unit) -> int:
        if len(paying) == 1 and paying[0].exchange is None:
            return self.wallets[paying[0].wallet.id].left
        sources = [Source(x.unit, self.wallets[x.wallet.id].left, x.exchange) for x in paying]
        return total_worth(unit, sources)


def price_open_calls(
    driver: Driver, session_ids: Sequence[str], catalogue: LoadedCatalogue, at_us: int
) -> PricedCalls:
    """Price those of these sessions that are open; catalogue: kept from one time to the next."""
    catalogue.refresh(driver, at_us)
    state = load_open(driver, session_ids, catalogue)
    wallets = {id: _live_wallet(wallet, state) for id, wallet in state.wallets.items()}
    calls: dict[str, PricedCall] = {}
    for session_id, reservation in state.reservations.items():
        call = calls[session_id] = price_open_call(reservation, state, at_us)
        for level in call.levels:
            for wallet, amount in level.taken:
                live = wallets[wallet.id]
                live.cost += amount
                live.calls += reservation.answered_us is not None
    return PricedCalls(at_us, calls, wallets)


def price_open_call(reservation: Reservation, state: ChargingState, at_us: int) -> PricedCall:
    """Price one open call of a state that was loaded."""
    levels = rated_levels(reservation, state)
    answered_us = reservation.answered_us
    if answered_us is None:
        # Nothing is owed before the answer, not even a fee.
        start_us, billed_us, elapsed_us = reservation.requested_us, 0, 0
    else:
        start_us, elapsed_us = answered_us, max(0, at_us - answered_us)
        longest_us = reservation.max_call_s * SECOND_US
        billed_us = billed_duration(answered_us, at_us, reservation.granted_us, longest_us)
        if reservation.shadow is not None:
            billed_us = elapsed_us
    usage = Usage(
        reservation.session_id,
        billed_us,
        start_us,
        start_us + elapsed_us,
        reservation.requested_us,
        reservation.failure_policy,
        in_full=True,
    )
    owed = tuple(owed_so_far(usage, levels, state))
    costs = tuple(
        LevelCost(
            x.level, x.rated.account.id, x.rated.tariff.unit, x.owed.total, x.owed.tax, x.owed.billable_s
        )
        for x in owed
    )
    return PricedCall(reservation, elapsed_us, costs, owed)


def _live_wallet(wallet: Wallet, state: ChargingState) -> LiveWallet:
    unit = state.catalogue.units[wallet.unit]
    return LiveWallet(wallet.id, wallet.account_id, unit, wallet.posted, wallet.reserved, wallet.credit_limit)
