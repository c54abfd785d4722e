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
from pbxbill.charging.spend_window import spend_window
from pbxbill.clock import SECOND_US
from pbxbill.rating.destination_map import Destination, matches

STEP_US = 60 * SECOND_US
"""By how much the clocks of switches may differ."""
FOR_EVER = 2**62


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
    """Which counter; its unique key. Cycles may become others: a day and a month begin together."""

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
    inbound: bool = False
    """To a DID: nobody chose its destination."""


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


_NOTHING_LIMITED = LimitsPassed()


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
    return [
        limit for limit in limits if limit.account_id in chain and limit.endpoint_id in {0, endpoint_id or 0}
    ]


def counters_of(limits: Iterable[Limit], requested_us: int) -> list[CounterKey]:
    """The counters that deciding, extending or ending a call needs that was requested at a moment."""
    return [_key(limit, requested_us) for limit in limits if limit.kind in _COUNTERS]


_COUNTERS: dict[str, CounterKind] = {
    LimitKind.SPEND: CounterKind.SPEND,
    LimitKind.CALL_RATE: CounterKind.RATE,
    LimitKind.SHORT_CALLS: CounterKind.BURST,
}


def _key(limit: Limit, requested_us: int) -> CounterKey:
    from_us, to_us = 0, FOR_EVER
    if limit.kind == LimitKind.SPEND:
        from_us, to_us = spend_window(limit.window, limit.zone, requested_us)
    return CounterKey(_COUNTERS[limit.kind], limit.account_id, limit.id, from_us, to_us)


def check_limits(limits: Iterable[Limit], call: WantedCall, facts: LimitFacts) -> LimitsPassed | LimitHit:
    """May a call be placed? Of the limits only those count that apply to it."""
    kinds: dict[str, list[Limit]] = {}
    for limit in limits_that_apply(limits, call.chain, call.endpoint_id):
        kinds.setdefault(limit.kind, []).append(limit)
    if not kinds:
        return _NOTHING_LIMITED
    hit = None if call.inbound else _destination_hit(kinds, call, facts)
    hit = hit or _usage_hit(kinds, call, facts)
    if hit is not None:
        return hit
    spend = spend_caps(kinds.get("spend", ()), call.at_us, facts.counters)
    for cap in spend:
        if cap.left <= 0:
            detail = f"what may be spent in this {cap.limit.window} is spent or reserved"
            return _hit(DenialReason.SPENDING_LIMIT, cap.limit, call, detail)
    changes = []
    for limit in kinds.get("call_rate", ()):  # the last, so that no denied call uses any of it
        arrival = _next_arrival(limit, call, facts)
        if isinstance(arrival, LimitHit):
            return arrival
        changes.append(arrival)
    max_cost: dict[tuple[int, str], int] = {}
    for limit in kinds.get("call_cost", ()):
        level = (limit.account_id, limit.unit)
        max_cost[level] = min(limit.value, max_cost.get(level, limit.value))
    max_call_s = min([limit.value for limit in kinds.get("call_length", ())], default=None)
    return LimitsPassed(max_call_s, max_cost, spend, tuple(changes))


def spend_caps(
    limits: Iterable[Limit], requested_us: int, counters: Mapping[CounterKey, Counter]
) -> tuple[SpendCap, ...]:
    """What a call requested at a moment may still take of each spending limit, beside what it holds already.

    A call counts to the window in which it was requested, however long it lasts.
    """
    caps = []
    for limit in limits:
        if limit.kind == "spend":
            key = _key(limit, requested_us)
            caps.append(SpendCap(limit, key, _left(limit, counters.get(key))))
    return tuple(caps)


# --- destinations -----------------------------------------------------------------------------


def _destination_hit(
    kinds: Mapping[str, Sequence[Limit]], call: WantedCall, facts: LimitFacts
) -> LimitHit | None:
    shown = call.destination.name or call.destination.kind
    for limit in kinds.get("blocked", ()):
        if matches(limit.destinations, call.called, call.destination, broadly=True):
            return _hit(DenialReason.DESTINATION_BARRED, limit, call, f"{shown} is blocked")
    refusing: dict[tuple[int, int], Limit] = {}
    allowing: set[tuple[int, int]] = set()
    for limit in kinds.get("allowed", ()):
        whose = (limit.account_id, limit.endpoint_id)
        refusing[whose] = limit
        if matches(limit.destinations, call.called, call.destination):
            allowing.add(whose)
    for whose, limit in refusing.items():
        if whose not in allowing:
            return _hit(DenialReason.DESTINATION_BARRED, limit, call, f"{shown} is not allowed")
    region = call.destination.region
    for limit in kinds.get("new_country", ()) if call.destination.foreign is not False else ():
        if region not in limit.destinations and region not in facts.released.get(limit.account_id, ()):
            detail = f"{region} was never called and is not released"
            hit = _hit(DenialReason.COUNTRY_HELD, limit, call, detail)
            return hit._replace(held_country=(limit.account_id, region))
    return None


# --- usage ------------------------------------------------------------------------------------


def _usage_hit(kinds: Mapping[str, Sequence[Limit]], call: WantedCall, facts: LimitFacts) -> LimitHit | None:
    for limit in kinds.get("short_calls", ()):
        counter = facts.counters.get(_key(limit, call.at_us))
        if counter is not None and _in_burst(limit, counter, call.at_us):
            detail = f"{limit.value} calls were shorter than {limit.shorter_s} s"
            return _hit(DenialReason.SHORT_CALLS, limit, call, detail)
    for limit in kinds.get("simultaneous_calls", ()):
        of_endpoint = facts.live_of_endpoint.get(limit.endpoint_id, 0)
        up = of_endpoint if limit.endpoint_id else facts.live_of_account.get(limit.account_id, 0)
        if up >= limit.value:
            detail = f"up at once: {up}, allowed: {limit.value}"
            return _hit(DenialReason.SIMULTANEOUS_CALLS, limit, call, detail)
    return None


def _left(limit: Limit, counter: Counter | None) -> int:
    return limit.value if counter is None else max(0, limit.value - counter.used - counter.reserved)


def _hit(reason: DenialReason, limit: Limit, call: WantedCall, detail: str) -> LimitHit:
    suspended = call.endpoint_id if limit.suspends else None
    return LimitHit(reason, limit, f"limit {limit.id}: {detail}"[:200], suspended)


# --- rate -------------------------------------------------------------------------------------
# The generic cell rate algorithm: one stored number, the theoretical arrival time of the next call. It is
# kept in 1/value microseconds, in which the interval between two calls is a whole number: nothing drifts.
#
# Two of them are stored, for clocks that differ: used is the newest arrival time, allowed that of calls whose
# moments lie further behind it than clocks may differ. A clock behind can so neither set back the count of
# one that is right, nor is it silenced by it, and neither is an account whose only clock was set back.


def _interval(limit: Limit) -> int:
    return (limit.window_s or 1) * SECOND_US


def _next_arrival(limit: Limit, call: WantedCall, facts: LimitFacts) -> CounterSet | LimitHit:
    key = _key(limit, call.at_us)
    counter = facts.counters.get(key)
    newest, behind = (0, 0) if counter is None else (counter.used, counter.allowed)
    now = call.at_us * limit.value
    believed = now + limit.value * (_interval(limit) + STEP_US)
    is_behind = newest > believed
    stored = behind if is_behind else newest
    # What lies in the future even of the clocks behind was left by one that has been set back since.
    arrival = now if stored > believed else max(now, stored)
    if arrival - now > (limit.value - 1) * _interval(limit):
        detail = f"more than {limit.value} calls in {limit.window_s or 1} s"
        return _hit(DenialReason.CALL_RATE, limit, call, detail)
    due = arrival + _interval(limit)
    return CounterSet(key, newest, due) if is_behind else CounterSet(key, due, behind)


# --- short calls ------------------------------------------------------------------------------
# used counts them, allowed is when the window began: at the first of them or, once there were too many, at
# the last. One row for ever instead of one per window.


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
    changes, hits = [], []
    for limit in limits:
        if limit.kind != LimitKind.SHORT_CALLS or billed_us >= limit.shorter_s * SECOND_US:
            continue
        key = _key(limit, ended_us)
        counter = counters.get(key)
        if counter is None or not _in_window(limit, counter, ended_us):
            count, began_us = 1, ended_us
        else:
            count, began_us = counter.used + 1, counter.allowed
        if count == limit.value:
            began_us = ended_us
            suspended = endpoint_id if limit.suspends else None
            detail = f"limit {limit.id}: {count} calls shorter than {limit.shorter_s} s in {limit.window_s} s"
            hits.append(LimitHit(DenialReason.SHORT_CALLS, limit, detail, suspended))
        changes.append(CounterSet(key, count, began_us))
    return ShortCallCounted(tuple(changes), tuple(hits))


def _in_window(limit: Limit, counter: Counter, at_us: int) -> bool:
    # One that begins in the future was left by a clock that has been set back.
    return counter.allowed - STEP_US <= at_us < counter.allowed + limit.window_s * SECOND_US


def _in_burst(limit: Limit, counter: Counter, at_us: int) -> bool:
    return counter.used >= limit.value and _in_window(limit, counter, at_us)
