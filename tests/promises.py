"""The promises of charging, reckoned on everything that a state holds: what a test ends with."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from pbxbill.charging.cdr import CallCharge, RatedCdr
from pbxbill.charging.chain import Chain, rated_chain
from pbxbill.charging.counters import STEPS_OF_A_TARIFF, CounterKind
from pbxbill.charging.events import Command, SettleOffline
from pbxbill.charging.levels import rated_levels, step_counters
from pbxbill.charging.limits import LimitKind
from pbxbill.charging.pricing import Rated
from pbxbill.charging.rerating import tax_taken
from pbxbill.charging.settling import billed_duration
from pbxbill.charging.state import CdrWritten, ChargingState, Effect
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import OPEN_STATES, Reservation
from pbxbill.rating.allotment import UNLIMITED, Allotment
from pbxbill.rating.exchange import worth
from pbxbill.rating.rater import Charge, charge
from pbxbill.rating.tariff import CycleStepKind
from tests.counted_rows import CountedRows


class Expected(NamedTuple):
    """What a level of an ended call owes by its rate, its bands and the pieces that were free."""

    rated: Rated
    owed: Charge
    counters: tuple[int, ...]
    """Of its allotments."""


def expected_charges(
    command: Command, effects: Iterable[Effect], state: ChargingState
) -> dict[str, list[Expected]]:
    """By session; the state is still as it was before the effects."""
    found: dict[str, list[Expected]] = {}
    for effect in effects:
        if isinstance(effect, CdrWritten) and effect.cdr.answered_us is not None:
            cdr = effect.cdr
            reservation = state.reservations.get(cdr.session_id)
            levels: list[Rated] = []
            if reservation is not None:
                levels = [rated for rated, _ in rated_levels(reservation, state)]
            elif isinstance(command, SettleOffline):
                chain = rated_chain(command.request, state)
                assert isinstance(chain, Chain)
                levels = chain.levels
            found[cdr.session_id] = [_expected(rated, cdr, state) for rated in levels]
    return found


def _expected(rated: Rated, cdr: RatedCdr, state: ChargingState) -> Expected:
    assert cdr.answered_us is not None
    allotments: Sequence[Allotment] = rated.allotments
    steps = rated.tariff.cycle_steps
    counters = [] if steps is None else step_counters(rated.account.id, rated.tariff, cdr.started_us, state)
    stepped = bool(allotments) and allotments[-1].counter_id in {counter.id for counter in counters}
    if steps is not None and steps.kind is CycleStepKind.VOLUME and stepped:
        seconds = charge(rated.rate, rated.tariff, cdr.billed_us, cdr.answered_us, allotments).taken[-1]
        total = seconds + sum(counter.used for counter in counters)
        number = [n for n, step in enumerate(steps.steps) if step.from_s <= total][-1]
        price = steps.steps[number].price_per_min
        allotments = (*allotments[:-1], Allotment(counters[number].id, UNLIMITED, price_per_min=price))
    owed = charge(rated.rate, rated.tariff, cdr.billed_us, cdr.answered_us, allotments)
    return Expected(rated, owed, tuple(allotment.counter_id for allotment in allotments))


def broken_promises(
    state: ChargingState, rows: CountedRows, expected: dict[str, list[Expected]]
) -> list[str]:
    """What `pbxbill verify` would find."""
    broken = [*_broken_wallets(state), *_broken_calls(state, expected)]
    return [*broken, *_broken_counters(state, rows, expected)] if rows.counters else broken


def _broken_wallets(state: ChargingState) -> list[str]:
    posted: dict[int, int] = {}
    for entry in state.new_entries:
        for posting in entry.postings:
            posted[posting.ledger_account_id] = posted.get(posting.ledger_account_id, 0) - posting.amount
    reserved: dict[int, int] = {}
    for reservation in state.reservations.values():
        for level in reservation.levels:
            if reservation.state in OPEN_STATES:
                reserved[level.wallet_id] = reserved.get(level.wallet_id, 0) + level.reserved
    # What calls in shadow used is owed, whoever of their chain must pay it.
    watched = {id for account in state.accounts.values() if account.shadow for id in account.chain}
    broken = []
    for wallet in state.wallets.values():
        account = state.accounts[wallet.account_id]
        name = f"{account.code} {wallet.unit}"
        if wallet.posted != posted.get(wallet.ledger_account_id, 0):
            broken.append(f"{name}: the wallet is not its postings")
        if wallet.reserved != reserved.get(wallet.id, 0):
            broken.append(f"{name}: reserved {wallet.reserved}, calls {reserved.get(wallet.id, 0)}")
        if wallet.available < -account.offline_allowance and account.id not in watched:
            broken.append(f"{name}: overspent by {-wallet.available}")
    return broken


def _broken_calls(state: ChargingState, expected: dict[str, list[Expected]]) -> list[str]:
    broken = []
    if len({cdr.session_id for cdr in state.new_cdrs}) != len(state.new_cdrs):
        broken.append("a session has two records")
    for cdr in state.new_cdrs:
        known = state.reservations.get(cdr.session_id)
        if known is not None and known.state in OPEN_STATES:
            broken.append(f"{cdr.session_id} has a record and is open")
        if cdr.answered_us is None:
            if cdr.charges or cdr.billed_us:
                broken.append(f"{cdr.session_id} was charged without an answer")
            continue
        if known is not None and (
            cdr.billed_us != _duration_us(cdr, known) or len(known.levels) != len(cdr.charges)
        ):
            broken.append(f"{cdr.session_id} is charged for another time, or not at all levels")
        levels = [list(lines) for _, lines in groupby(cdr.charges, key=lambda line: line.level)]
        for lines, level in zip(levels, expected.get(cdr.session_id, ()), strict=True):
            broken += [
                f"{cdr.session_id} level {lines[0].level} {x}" for x in _broken_level(lines, level, state)
            ]
    return broken


def _duration_us(cdr: RatedCdr, known: Reservation) -> int:
    assert cdr.answered_us is not None
    if known.shadow is not None:
        return max(0, cdr.ended_us - cdr.answered_us)
    return billed_duration(cdr.answered_us, cdr.ended_us, known.granted_us, known.max_call_s * SECOND_US)


def _broken_level(lines: Sequence[CallCharge], level: Expected, state: ChargingState) -> Iterable[str]:
    rated, owed, _ = level
    units, exchange = state.catalogue.units, state.catalogue.offers.exchange
    entries = {entry.id: entry for entry in state.new_entries}
    covered = least = 0
    for x in lines:
        rate = None if x.exchange_id is None else exchange.rate(x.exchange_id)
        unit = units[state.wallets[x.wallet_id].unit]
        covered += worth(x.total, rate, rated.tariff.unit, unit)
        # A wallet gives less than one of its smallest steps too much, where amounts go from unit to unit.
        step = 0 if rate is None or not x.total else 1
        least += worth(x.total - step, rate, rated.tariff.unit, unit)
        took = entries[x.entry_id].postings[0].amount if x.entry_id else 0
        if took != x.total:
            yield f"took {took} for {x.total}"
        if x.tax != tax_taken(owed, x.total):
            yield f"has a tax of {x.tax}"
    paid = owed.total - sum(x.uncollected for x in lines)
    if not least <= paid <= covered:
        yield f"does not follow from its rate: {owed.total}, took {covered}, left {owed.total - paid}"


def _broken_counters(
    state: ChargingState, rows: CountedRows, expected: dict[str, list[Expected]]
) -> list[str]:
    reserved: dict[int, int] = {}
    used: dict[int, int] = {}
    beyond: set[int] = set()
    broken: list[str] = []
    for (session_id, _, counter_id), (held, took) in rows.counts.items():
        known = state.reservations.get(session_id)
        if known is not None and known.state in OPEN_STATES:
            reserved[counter_id] = reserved.get(counter_id, 0) + held
        elif held:
            broken.append(f"{session_id} is over and holds {held} of counter {counter_id}")
        used[counter_id] = used.get(counter_id, 0) + took
        cdr = state.cdrs.get(session_id)
        # Nobody could refuse what was used unasked, was only watched, or went beyond what was granted.
        if (
            known is None
            or known.shadow is not None
            or (cdr is not None and cdr.billed_us > known.granted_us)
        ):
            beyond.add(counter_id)
    steps: dict[tuple[int, int, int], int] = {}
    for key, counter in rows.counters.items():
        name = f"counter {counter.id} ({key.kind})"
        if counter.reserved != reserved.get(counter.id, 0):
            broken.append(f"{name} has {counter.reserved} reserved, its calls {reserved.get(counter.id, 0)}")
        if key.kind in {CounterKind.BUNDLE, CounterKind.SPEND} and counter.used != used.get(counter.id, 0):
            broken.append(f"{name} says {counter.used} is used, its calls took {used.get(counter.id, 0)}")
        if key.kind == CounterKind.BUNDLE and counter.free < 0:
            broken.append(f"{name} gave {-counter.free} too much")
        if key.kind == CounterKind.STEPS:
            cycle = key.account_id, key.ref_id // STEPS_OF_A_TARIFF, key.window_from_us
            steps[cycle] = steps.get(cycle, 0) + counter.used - used.get(counter.id, 0)
    broken += _broken_limits(state, rows, beyond)
    broken += [f"cycle {cycle} is off by {off}" for cycle, off in steps.items() if off]
    for session_id, levels in expected.items():
        broken += _broken_pieces(session_id, levels, rows)
    return broken


def _broken_limits(state: ChargingState, rows: CountedRows, beyond: set[int]) -> Iterable[str]:
    limits = {limit.id: limit for found in state.limits.values() for limit in found}
    for key, counter in rows.counters.items():
        limit = limits.get(key.ref_id)
        if limit is None or limit.kind != LimitKind.SPEND or limit.id in rows.late_limits:
            continue
        over = counter.used + counter.reserved - limit.value
        if over > 0 and counter.id not in beyond:
            yield f"limit {limit.id} is exceeded by {over}"


def _broken_pieces(session_id: str, levels: Sequence[Expected], rows: CountedRows) -> Iterable[str]:
    most: dict[int, int] = {}
    for _, owed, counters in levels:
        for counter_id, taken in zip(counters, owed.taken, strict=True):
            most[counter_id] = max(most.get(counter_id, 0), taken)
    for counter_id, taken in most.items():
        counted = sum(x[1] for key, x in rows.counts.items() if key[0] == session_id and key[2] == counter_id)
        if counted != taken:
            yield f"{session_id} took {taken} of counter {counter_id}, counted are {counted}"
