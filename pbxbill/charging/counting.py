"""The counters, bundles and limits of a batch: read under the wallets' locks, made where missing, written.

A counter exists from the first call of its window on. Whoever decides on an account has locked its
wallets, so two batches cannot make or change the same counter at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from typing import NamedTuple

from pbxbill.charging.counters import Counter, CounterKind
from pbxbill.charging.levels import step_keys
from pbxbill.charging.limits import CounterKey, LimitKind, counters_of, limit_of
from pbxbill.charging.state import ChargingState
from pbxbill.ids import new_number
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.rating.bundle import AccountBundle, open_window, window_of
from pbxbill.store import catalogue_models as models
from pbxbill.store.bundles import ACCOUNT_BUNDLE_COLUMNS
from pbxbill.store.driver import Driver, Row
from pbxbill.store.limits import read_countries, read_limits

ACCOUNT_BUNDLES = f"SELECT {ACCOUNT_BUNDLE_COLUMNS} FROM account_bundles WHERE account_id {{any_int}}"  # noqa: S608
COUNTER_COLUMNS = tuple(Counter.__slots__)
COUNTERS = (
    f"SELECT {', '.join(COUNTER_COLUMNS)} FROM counters c "  # noqa: S608 names are ours
    "WHERE id IN (SELECT counter_id FROM reserved_counts WHERE session_id {any_text}) "
    "OR (account_id {any_int} AND window_from_us <= {one_int} AND window_to_us > {one_int}) "
    "ORDER BY id {lock:c}"
)
LAST_WINDOW = (
    "SELECT window_from_us, allowed - used - reserved FROM counters "
    "WHERE kind = 'bundle' AND ref_id {any_int} AND window_from_us < {one_int} "
    "ORDER BY window_from_us DESC LIMIT 1"
)
NEWEST_WINDOWS = (
    "SELECT ref_id, MAX(window_from_us) FROM counters "
    "WHERE kind = 'bundle' AND ref_id {any_int} GROUP BY ref_id"
)
LIVE_OF_ACCOUNT = (
    # One percent sign would be a placeholder to PostgreSQL's library; two match the same.
    "SELECT u.id, COUNT(*) FROM accounts u JOIN accounts a ON a.path LIKE u.path || '%%' "
    "JOIN reservations r ON r.account_id = a.id AND r.state IN ('reserved', 'answered') "
    "WHERE u.id {any_int} GROUP BY u.id"
)
LIVE_OF_ENDPOINT = (
    "SELECT endpoint_id, COUNT(*) FROM reservations "
    "WHERE state IN ('reserved', 'answered') AND endpoint_id {any_int} GROUP BY endpoint_id"
)


LastWindow = Callable[[int, int], tuple[int, int] | None]
"""Of an account's bundle, before a moment: (start of the newest window with a counter, its unused pieces)."""


class Counted(NamedTuple):
    """One call whose counters a batch needs."""

    account_id: int
    at_us: int
    """When it was asked for: that decides which windows it counts in."""
    did_tariff_id: int = 0
    """Of the DID that was called, where it has its own."""


def load_counted(
    driver: Driver, state: ChargingState, calls: Sequence[Counted], session_ids: Sequence[str]
) -> None:
    """Read, and make, everything that calls of these accounts at these moments count in."""
    offers = state.catalogue.offers
    calls = [call for call in calls if call.account_id in state.accounts]
    if not offers.counted or not calls:
        return
    account_ids = sorted({member for call in calls for member in state.accounts[call.account_id].chain})
    if offers.any_account_bundles:
        _load_bundles(driver, state, account_ids)
    if offers.any_limits:
        _load_limits(driver, state, account_ids)
    _load_counters(driver, state, account_ids, calls, session_ids)

    def last_window(account_bundle_id: int, before_us: int) -> tuple[int, int] | None:
        rows = driver.select(LAST_WINDOW, [account_bundle_id], [before_us])
        return (rows[0][0], rows[0][1]) if rows else None

    make_counters(state, calls, last_window)


def make_counters(state: ChargingState, calls: Iterable[Counted], last_window: LastWindow) -> None:
    """Make the counters that are not there yet."""
    for call in sorted(set(calls)):
        for key, allowed in _keys(state, call, last_window):
            if key not in state.counters:
                state.add_counter(key, Counter(new_number(), *key, allowed, 0, 0), is_new=True)
    for key in _frozen_steps(state):
        if key not in state.counters:
            state.add_counter(key, Counter(new_number(), *key, 0, 0, 0), is_new=True)


def _load_bundles(driver: Driver, state: ChargingState, account_ids: Sequence[int]) -> None:
    bundles = state.catalogue.offers.bundles
    for id, account_id, bundle_id, from_us, to_us in driver.select(ACCOUNT_BUNDLES, account_ids):
        if bundle_id in bundles:  # else it is a moment old, and counts once the catalogue was read again
            held = AccountBundle(id, account_id, bundles[bundle_id], from_us, to_us)
            state.bundles.setdefault(account_id, []).append(held)
    rolling = [held.id for found in state.bundles.values() for held in found if held.bundle.rollover_cycles]
    if rolling:
        state.newest_window.update(driver.select(NEWEST_WINDOWS, sorted(rolling)))


def _load_limits(driver: Driver, state: ChargingState, account_ids: Sequence[int]) -> None:
    for row in read_limits(driver, account_ids):
        limit = limit_of(row)
        state.limits.setdefault(limit.account_id, []).append(limit)
    limits = [limit for found in state.limits.values() for limit in found]
    if any(limit.kind == LimitKind.NEW_COUNTRY for limit in limits):
        for account_id, countries in read_countries(driver, account_ids).items():
            state.released[account_id] = frozenset(region for region, ok in countries.items() if ok)
    bounded = [limit for limit in limits if limit.kind == LimitKind.SIMULTANEOUS_CALLS]
    accounts = sorted({limit.account_id for limit in bounded if not limit.endpoint_id})
    endpoints = sorted({limit.endpoint_id for limit in bounded if limit.endpoint_id})
    state.live_of_account = dict.fromkeys(accounts, 0)
    state.live_of_endpoint = dict.fromkeys(endpoints, 0)
    if accounts:
        state.live_of_account.update(driver.select(LIVE_OF_ACCOUNT, accounts))
    if endpoints:
        state.live_of_endpoint.update(driver.select(LIVE_OF_ENDPOINT, endpoints))


def _load_counters(
    driver: Driver,
    state: ChargingState,
    account_ids: Sequence[int],
    calls: Sequence[Counted],
    session_ids: Sequence[str],
) -> None:
    first_us, last_us = min(call.at_us for call in calls), max(call.at_us for call in calls)
    for row in driver.select(COUNTERS, list(session_ids), account_ids, [last_us], [first_us]):
        counter = Counter(*row)
        key = CounterKey(CounterKind(counter.kind), *row[2:6])
        state.add_counter(key, counter, is_new=False)


def _keys(state: ChargingState, call: Counted, last_window: LastWindow) -> Iterable[tuple[CounterKey, int]]:
    """Every counter that a call may count in, with what a new one allows."""
    at_us = call.at_us
    for account_id in state.accounts[call.account_id].chain:
        for held in state.bundles.get(account_id, ()):
            if held.held_at(at_us):
                key = CounterKey(CounterKind.BUNDLE, account_id, held.id, *window_of(held, at_us))
                if key in state.counters:
                    continue
                window = open_window(held, at_us, last_window(held.id, key.window_from_us))
                yield key, 0 if state.rolled_over(held, key.window_from_us) else window.allowed
        for key in counters_of(state.limits.get(account_id, ()), at_us):
            yield key, 0
        own_tariff_id = call.did_tariff_id if account_id == call.account_id else 0
        yield from _steps(state, account_id, own_tariff_id, at_us)


def _steps(
    state: ChargingState, account_id: int, did_tariff_id: int, at_us: int
) -> Iterable[tuple[CounterKey, int]]:
    if not state.catalogue.offers.any_cycle_steps or account_id not in state.accounts:
        return
    account = state.accounts[account_id]
    of_services = state.catalogue.offers.service_tariffs.get(account_id, {}).values()
    for tariff_id in {account.tariff_id, account.inbound_tariff_id, did_tariff_id, *of_services} - {None, 0}:
        tariff = state.catalogue.current_tariff(tariff_id or 0)
        if tariff is not None:
            for key in step_keys(account_id, tariff, at_us):
                yield key, 0


def _frozen_steps(state: ChargingState) -> Iterable[CounterKey]:
    """Those that open calls count in by the tariffs they began with, which may be others now."""
    if not state.catalogue.offers.any_cycle_steps:
        return
    for reservation in state.reservations.values():
        for line in reservation.levels if reservation.state in OPEN_STATES else ():
            tariff = state.catalogue.tariff(line.tariff_version_id)
            yield from step_keys(line.account_id, tariff, reservation.requested_us)


def write_counters(driver: Driver, state: ChargingState) -> None:
    """Write counters that changed, and what calls hold of them."""
    table = models.CounterRow.__table__
    changed = [state.counters_by_id[id] for id in sorted(state.changed_counters)]
    new = [counter for counter in changed if counter.id in state.new_counters]
    old = [counter for counter in changed if counter.id not in state.new_counters]
    if new:
        driver.insert(table, COUNTER_COLUMNS, [_row(counter) for counter in new])  # type: ignore[arg-type]
    if old:
        rows = [(counter.allowed, counter.used, counter.reserved, counter.id) for counter in old]
        driver.update(table, ("id",), ("allowed", "used", "reserved"), rows)  # type: ignore[arg-type]


def _row(counter: Counter) -> Row:
    return tuple(str(value) if isinstance(value, str) else value for value in astuple(counter))
