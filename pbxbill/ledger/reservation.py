"""Reservations: the earmarked funds of one call, and the table of their states."""

from enum import StrEnum
from typing import NamedTuple


class ReservationState(StrEnum):
    """Where a call session stands."""

    RESERVED = "reserved"
    """Authorized, not answered yet."""
    ANSWERED = "answered"
    SETTLED = "settled"
    """Charged; its CDR is written."""
    VOIDED = "voided"
    """Never answered: nothing was owed."""


STATES = {state.value: state for state in ReservationState}
"""By what a row holds; asking the enumeration takes three times as long."""


class Verb(StrEnum):
    """What can happen to a reservation."""

    RESERVE = "reserve"
    ANSWER = "answer"
    EXTEND = "extend"
    SHRINK = "shrink"
    SETTLE = "settle"
    VOID = "void"


OPEN_STATES = frozenset({ReservationState.RESERVED, ReservationState.ANSWERED})

TRANSITIONS: dict[tuple[ReservationState, Verb], ReservationState] = {
    (ReservationState.RESERVED, Verb.ANSWER): ReservationState.ANSWERED,
    (ReservationState.RESERVED, Verb.EXTEND): ReservationState.RESERVED,
    (ReservationState.RESERVED, Verb.SHRINK): ReservationState.RESERVED,
    (ReservationState.RESERVED, Verb.SETTLE): ReservationState.SETTLED,  # the answer was never seen
    (ReservationState.RESERVED, Verb.VOID): ReservationState.VOIDED,
    (ReservationState.ANSWERED, Verb.ANSWER): ReservationState.ANSWERED,
    (ReservationState.ANSWERED, Verb.EXTEND): ReservationState.ANSWERED,
    (ReservationState.ANSWERED, Verb.SHRINK): ReservationState.ANSWERED,
    (ReservationState.ANSWERED, Verb.SETTLE): ReservationState.SETTLED,
    (
        ReservationState.ANSWERED,
        Verb.VOID,
    ): ReservationState.VOIDED,  # the switch's record knows better
}
"""Every transition there is; what is missing leaves the reservation as it was."""


class ReservationLevel(NamedTuple):
    """What one wallet of one level has earmarked: level 0 is the caller's account, then its reseller ..."""

    level: int
    account_id: int
    wallet_id: int
    issuer_id: int
    tariff_version_id: int
    rate_id: int
    """Where the tariff is a mark-up, the rate that it is made from."""
    reserved: int
    """In the wallet's unit."""
    line: int = 0
    """Wallets of a level, in the order in which a charge takes from them."""
    exchange_id: int | None = None
    """The exchange rate between the tariff's unit and the wallet's; None: they are the same."""


class ReservedCount(NamedTuple):
    """Pieces, or an amount, that a call holds of a counter, and what it took in the end."""

    level: int
    counter_id: int
    reserved: int
    used: int = 0


class Reservation(NamedTuple):
    """One charged call: written before the call is bridged, all that is needed to settle it after a crash."""

    session_id: str
    switch: str
    call_id: str
    direction: str
    account_id: int
    caller: str
    dialled: str
    called: str
    destination: str
    state: ReservationState
    requested_us: int
    answered_us: int | None
    paid_leg: str
    granted_us: int
    """Call time that is paid for, counted from the answer."""
    final: bool
    """Funds were short: granted_us ends with the last increment that could be paid."""
    slice_s: int
    renew_before_s: int
    max_call_s: int
    failure_policy: str
    endpoint_id: int | None
    """That named the account."""
    gateway: str
    """By which the paid leg was sent out; empty: not known."""
    shadow: str | None
    """None: it is enforced. Else what enforcement would have done; empty: nothing else."""
    ringing_us: int | None
    """From dialling the paid leg to its first ringing, told with its answer; None: not known."""
    levels: tuple[ReservationLevel, ...]
    """By level, then by line."""
    counts: tuple[ReservedCount, ...] = ()

    def ended(
        self,
        state: ReservationState,
        answered_us: int | None,
        levels: tuple[ReservationLevel, ...],
        counts: tuple[ReservedCount, ...],
    ) -> "Reservation":
        """As it stands after the call, with what its levels and counters still hold."""
        # By position: _replace() takes more than twice as long.
        return Reservation(
            *self[:9],
            state,
            self.requested_us,
            answered_us,
            self.paid_leg,
            self.granted_us,
            self.final,
            self.slice_s,
            self.renew_before_s,
            self.max_call_s,
            self.failure_policy,
            self.endpoint_id,
            self.gateway,
            self.shadow,
            self.ringing_us,
            levels,
            counts,
        )

    @property
    def deadline_us(self) -> int | None:
        """When the money ends, in the switch's time; None before the answer."""
        return None if self.answered_us is None else self.answered_us + self.granted_us
