"""Reconciliation: what is up on the switch and what its CDR log says, against open reservations."""

from dataclasses import dataclass

from pbxbill.charging.events import Direction


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """A paid leg that is up on the switch now, or a call in set-up (answered_us None)."""

    session_id: str
    paid_leg: str
    answered_us: int | None
    seen_us: int
    """The switch's clock when it was seen."""


@dataclass(frozen=True, slots=True)
class SwitchRecord:
    """One leg from the switch's own CDR log: the paid leg's, or the caller's if there was none."""

    session_id: str
    """Empty only for calls that passed while nobody could be asked (offline)."""
    call_id: str
    account_code: str
    direction: Direction
    caller: str
    dialled: str
    started_us: int
    answered_us: int | None
    ended_us: int
    hangup_cause: int
    paid_leg: str
    offline: bool = False
