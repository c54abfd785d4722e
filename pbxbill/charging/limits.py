"""Limits before dialling: what an account, its resellers and its endpoints may do at once or in a while.

Pure decisions. Who decides asks counters_of() which counters they need, loads these with the accounts'
wallets locked, and asks check_limits(); what it returns is applied in the same transaction as the
reservation, so that two calls cannot both take the last of anything. Emergency calls are never checked.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from pbxbill.charging.counters import Counter, CounterKind
from pbxbill.charging.events import DenialReason
from pbxbill.rating.destination_map import Destination


class LimitKind(StrEnum):
    """What a limit bounds. The comment names the columns that count beside account and endpoint."""

    SIMULTANEOUS_CALLS = "simultaneous_calls"
    """value calls at once."""
    CALL_RATE = "call_rate"
    """value calls per window_s (0: one second), after a burst of value at once at most."""
    SPEND = "spend"
    """value of unit per window (hour, day or month) of zone; with what live calls have reserved."""
    CALL_COST = "call_cost"
    """value of unit is the most that one call may cost; it is cut there."""
    CALL_LENGTH = "call_length"
    """value seconds."""
    BLOCKED = "blocked"
    """destinations that may not be called."""
    ALLOWED = "allowed"
    """Only these destinations may be called, and those of the same account's other allowed limits."""
    NEW_COUNTRY = "new_country"
    """A first call to a country is held until it is released; destinations: countries free from the start."""
    SHORT_CALLS = "short_calls"
    """value answered calls shorter than shorter_s within window_s: then none for window_s."""


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
    """Names, classes or prefixes; of NEW_COUNTRY countries."""
    suspends: bool = False
    """A hit suspends the endpoint."""
    shorter_s: int = 0


def limit_of(row: Sequence[Any]) -> Limit:
    """A limit from its columns in the order of Limit's fields."""
    *head, destinations, suspends, shorter_s = row
    wanted = tuple(destinations.split("\n")) if destinations else ()
    return Limit(*(*head, wanted, bool(suspends), shorter_s))


class CounterKey(NamedTuple):
    """Which counter; its unique key is (kind, ref_id, account_id, window_from_us)."""

    kind: CounterKind
    account_id: int
    ref_id: int
    window_from_us: int
    window_to_us: int


class CounterSet(NamedTuple):
    """A counter's new content; a counter that does not exist is made with it."""

    key: CounterKey
    used: int
    allowed: int


class WantedCall(NamedTuple):
    """What limits go by."""

    called: str
    destination: Destination
    """DestinationMap.classify(called, rule): its region and whether it is foreign count too."""
    chain: tuple[int, ...]
    """Account ids, the calling account first."""
    endpoint_id: int | None
    at_us: int


class LimitFacts(NamedTuple):
    """What is known of the accounts when a call is decided, with the calls decided before it in the batch."""

    live_of_account: Mapping[int, int] = {}
    """Open calls of an account and all below it."""
    live_of_endpoint: Mapping[int, int] = {}
    counters: Mapping[CounterKey, Counter] = {}
    released: Mapping[int, frozenset[str]] = {}
    """Countries that each account may call."""


class SpendCap(NamedTuple):
    """What may be spent at the levels of an account until a window ends: reserve it on the counter."""

    limit: Limit
    key: CounterKey
    left: int


class LimitsPassed(NamedTuple):
    """The call may be placed, within these bounds."""

    max_call_s: int | None = None
    max_cost: Mapping[tuple[int, str], int] = {}
    """(Account, unit): the most that this call may cost it."""
    spend: tuple[SpendCap, ...] = ()
    changes: tuple[CounterSet, ...] = ()


class LimitHit(NamedTuple):
    """The call may not be placed."""

    reason: DenialReason
    limit: Limit
    detail: str
    suspends_endpoint_id: int | None = None
    held_country: tuple[int, str] | None = None
    """(Account, country): to be recorded as held, if it is not yet."""


def limits_that_apply(limits: Iterable[Limit], chain: Sequence[int], endpoint_id: int | None) -> list[Limit]:
    """Those of the accounts of a chain and of the endpoint that a call came from."""
    raise NotImplementedError


def counters_of(limits: Iterable[Limit], at_us: int) -> list[CounterKey]:
    """The counters that deciding, charging or ending a call requested at a moment needs."""
    raise NotImplementedError


def check_limits(limits: Iterable[Limit], call: WantedCall, facts: LimitFacts) -> LimitsPassed | LimitHit:
    """May a call be placed? limits are those that apply to it."""
    raise NotImplementedError


class ShortCallCounted(NamedTuple):
    """What an ended call changes."""

    changes: tuple[CounterSet, ...] = ()
    hits: tuple[LimitHit, ...] = ()
    """Of the limits that this call has just reached: raise their alerts, suspend the endpoint."""


def count_short_call(
    limits: Iterable[Limit],
    *,
    billed_us: int,
    ended_us: int,
    endpoint_id: int | None,
    counters: Mapping[CounterKey, Counter],
) -> ShortCallCounted:
    """Count an answered call that has just been settled; limits are those that apply to it."""
    raise NotImplementedError


def spend_window(window: str, zone: str, at_us: int) -> tuple[int, int]:
    """The local hour, day or month around a moment, [from, to)."""
    raise NotImplementedError
