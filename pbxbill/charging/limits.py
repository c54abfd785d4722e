"""Limits before dialling: what an account, its resellers and its endpoints may do at once or in a while."""

from enum import StrEnum
from typing import NamedTuple


class LimitKind(StrEnum):
    """What a limit bounds; value is in calls, seconds or an amount of unit."""

    SIMULTANEOUS_CALLS = "simultaneous_calls"
    CALL_RATE = "call_rate"
    """Calls per second."""
    SPEND = "spend"
    """Per hour, day or month (window), in the limit's zone; with what live calls have reserved."""
    CALL_COST = "call_cost"
    """Most that one call may cost; it is cut there."""
    CALL_LENGTH = "call_length"
    """Seconds."""
    BLOCKED = "blocked"
    """Destinations that may not be called."""
    ALLOWED = "allowed"
    """Only these destinations may be called."""
    COUNTRY_HOLD = "country_hold"
    """The first call to a country is held until somebody releases it."""
    SHORT_CALLS = "short_calls"
    """value calls shorter than window_s ... in a minute."""


class Limit(NamedTuple):
    """One limit of an account with all below it, or of one endpoint."""

    id: int
    account_id: int
    endpoint_id: int
    """0: the account."""
    kind: str
    value: int
    unit: str = ""
    window: str = ""
    window_s: int = 0
    zone: str = "UTC"
    destinations: tuple[str, ...] = ()
    """Names, classes or prefixes."""
    suspends: bool = False
    """A hit suspends the endpoint."""
