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
    """One level of the account chain: 0 is the caller's account, then its reseller, and so on."""

    level: int
    account_id: int
    wallet_id: int
    issuer_id: int
    tariff_version_id: int
    rate_id: int
    reserved: int


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
    levels: tuple[ReservationLevel, ...]

    @property
    def deadline_us(self) -> int | None:
        """When the money ends, in the switch's time; None before the answer."""
        return None if self.answered_us is None else self.answered_us + self.granted_us
