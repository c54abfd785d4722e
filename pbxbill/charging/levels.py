"""The levels of a call with everything that their prices follow from, for a new call and for an open one."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from pbxbill.charging.counters import STEPS_OF_A_TARIFF, Counter, CounterKind
from pbxbill.charging.limits import CounterKey, LimitKind, limits_that_apply, spend_caps
from pbxbill.charging.pricing import Cap, LevelTerms, PayingWallet, Rated, with_mark_ups
from pbxbill.charging.state import ChargedAccount, ChargingState
from pbxbill.ledger.reservation import Reservation, ReservationLevel
from pbxbill.rating.allotment import UNLIMITED, Allotment
from pbxbill.rating.bundle import CALL_MEASURES, Measure, allotment, usable, window_of
from pbxbill.rating.cycles import cycle_of
from pbxbill.rating.destination import DiallingRule
from pbxbill.rating.destination_map import matches
from pbxbill.rating.exchange import wallet_order
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, Tariff

Levels = list[tuple[Rated, tuple[ReservationLevel, ...]]]
NOTHING_HELD: Mapping[int, int] = {}


def rated_levels(reservation: Reservation, state: ChargingState) -> Levels:
    """Each level of an open call with the lines that it reserves from its wallets."""
    catalogue = state.catalogue
    counted = bool(reservation.counts) or catalogue.offers.counted
    own = reservation.levels
    if own and len(own) != own[-1].level + 1:
        grouped = [tuple(lines) for _, lines in groupby(own, key=lambda line: line.level)]
    else:
        grouped = [(line,) for line in own]  # as a rule a level has one wallet
    priced = [
        (catalogue.tariff(lines[0].tariff_version_id), catalogue.rate(lines[0].rate_id)) for lines in grouped
    ]
    if any(tariff.mark_up for tariff, _ in priced):
        priced = with_mark_ups(priced)
    held: dict[int, int] = {}
    for count in reservation.counts:
        held[count.counter_id] = held.get(count.counter_id, 0) + count.reserved
    call = _counted_call(reservation, state) if counted else None
    found: Levels = []
    for lines, (tariff, rate) in zip(grouped, priced, strict=True):
        first = lines[0]
        account, wallet = state.accounts[first.account_id], state.wallets[first.wallet_id]
        terms = None
        if call is not None or len(lines) > 1 or first.exchange_id is not None:
            wallets = tuple(_paying(line, state) for line in lines)
            terms = level_terms(account, tariff, wallets, call, held, state)
        found.append((Rated(account, wallet, tariff, rate, terms), lines))
    return found


def measures_of(tariff: Tariff) -> frozenset[Measure]:
    """What bundles must count to pay by a tariff."""
    return CALL_MEASURES if tariff.measure == Measure.SECONDS else frozenset({Measure(tariff.measure)})


def _counted_call(reservation: Reservation, state: ChargingState) -> "CountedCall":
    caller = state.accounts.get(reservation.account_id)
    rule = None if caller is None else dialling_rule(caller, state)
    return CountedCall(reservation.called, rule, reservation.requested_us, reservation.endpoint_id)


class CountedCall(NamedTuple):
    """What decides which bundles, cycle steps and limits a call counts in."""

    called: str
    rule: DiallingRule | None
    """Of the calling account: it says which country is its own."""
    at_us: int
    endpoint_id: int | None

    def leads_to(self, wanted: tuple[str, ...], state: ChargingState) -> bool:
        """Whether the number called is one of these destinations or classes."""
        destination = state.catalogue.offers.destinations.classify(self.called, self.rule)
        return matches(wanted, self.called, destination)


def dialling_rule(account: ChargedAccount, state: ChargingState) -> DiallingRule | None:
    """How an account dials: its own rule, or that of the nearest account above it that has one."""
    rules = state.catalogue.offers.dialling_rules
    if rules:
        for account_id in account.chain:
            member = state.accounts.get(account_id)
            if member is not None and member.dialling_rule_id is not None:
                return rules.get(member.dialling_rule_id)
    return None


def level_terms(
    account: ChargedAccount,
    tariff: Tariff,
    wallets: tuple[PayingWallet, ...],
    call: CountedCall | None,
    held: Mapping[int, int],
    state: ChargingState,
) -> LevelTerms | None:
    """What a level has beside one wallet in its tariff's unit; None where that is all.

    call is None where nothing is counted.
    """
    allotments: tuple[Allotment, ...] = ()
    caps: tuple[Cap, ...] = ()
    if call is not None and state.catalogue.offers.counted:
        bundles = _bundle_allotments(account, tariff, call, held, state)
        steps = _step_allotments(account, tariff, call, held, state)
        allotments = (*bundles, *steps)
        caps = tuple(_caps(account, tariff, call, held, state))
    if len(wallets) == 1 and wallets[0].exchange is None and not allotments and not caps:
        return None
    return LevelTerms(wallets, allotments, caps)


def _bundle_allotments(
    account: ChargedAccount, tariff: Tariff, call: CountedCall, held: Mapping[int, int], state: ChargingState
) -> list[Allotment]:
    of_chain = [bundle for member in account.chain for bundle in state.bundles.get(member, ())]
    if not of_chain:
        return []
    kept = {
        counter.ref_id
        for counter_id, reserved in held.items()
        if reserved and (counter := state.counters_by_id[counter_id]).kind == CounterKind.BUNDLE
    }
    found = []

    def matches_now(wanted: tuple[str, ...]) -> bool:
        return call.leads_to(wanted, state)

    for bundle in usable(of_chain, account.id, call.at_us, matches_now, measures_of(tariff), kept):
        window = window_of(bundle, call.at_us)
        counter = state.counters[CounterKey(CounterKind.BUNDLE, bundle.account_id, bundle.id, *window)]
        free = 0 if state.rolled_over(bundle, window[0]) else counter.free
        found.append(allotment(bundle, counter.id, free + held.get(counter.id, 0)))
    return found


def _step_allotments(
    account: ChargedAccount, tariff: Tariff, call: CountedCall, held: Mapping[int, int], state: ChargingState
) -> list[Allotment]:
    steps = tariff.cycle_steps
    if steps is None:
        return []
    counters = step_counters(account.id, tariff, call.at_us, state)
    begun = any(held.get(counter.id) for counter in counters)
    if not counters or not (begun or not steps.destinations or call.leads_to(steps.destinations, state)):
        return []
    if steps.kind is CycleStepKind.VOLUME:
        # Prices of a volume only fall: the step that is reached is the dearest that it may come to.
        number = step_reached(steps, sum(counter.used for counter in counters))
        return [step_allotment(steps, number, counters[number])]
    found = []
    overrun = 0
    for number, (step, counter) in enumerate(zip(steps.steps, counters, strict=True)):
        own = held.get(counter.id, 0)
        available = UNLIMITED
        if number + 1 < len(steps.steps):
            # The last increment of a step is priced by it whole: what lies beyond it is taken from the next.
            width = steps.steps[number + 1].from_s - step.from_s - overrun
            overrun = max(0, counter.used + counter.reserved - width)
            later = any(held.get(other.id, 0) for other in counters[number + 1 :])
            # Pieces that others have given back are not taken by a call that is priced beyond them already:
            # what it has reserved must go on paying for what it was granted.
            free = 0 if later else max(0, width - counter.used - counter.reserved)
            available = own + free
        found.append(Allotment(counter.id, available, price_per_min=step.price_per_min))
    return found


def step_counters(account_id: int, tariff: Tariff, at_us: int, state: ChargingState) -> list[Counter]:
    """The counters of a tariff's cycle steps; none where the call was not asked for by it."""
    keys = step_keys(account_id, tariff, at_us)
    return [state.counters[key] for key in keys] if all(key in state.counters for key in keys) else []


def step_keys(account_id: int, tariff: Tariff, at_us: int) -> list[CounterKey]:
    """The keys of the counters of a tariff's cycle steps."""
    steps = tariff.cycle_steps
    if steps is None:
        return []
    window = cycle_of(steps.cycle, steps.zone, at_us)
    first = tariff.tariff_id * STEPS_OF_A_TARIFF
    numbers = range(len(steps.steps))
    return [CounterKey(CounterKind.STEPS, account_id, first + number, *window) for number in numbers]


def step_allotment(steps: CycleSteps, number: int, counter: Counter) -> Allotment:
    """All of a call at the price of one step."""
    return Allotment(counter.id, UNLIMITED, price_per_min=steps.steps[number].price_per_min)


def step_reached(steps: CycleSteps, used: int) -> int:
    """The number of the step that a sum of pieces has reached."""
    return max(number for number, step in enumerate(steps.steps) if used >= step.from_s)


def _caps(
    account: ChargedAccount, tariff: Tariff, call: CountedCall, held: Mapping[int, int], state: ChargingState
) -> Iterable[Cap]:
    applying = [
        limit
        for limit in limits_that_apply(state.limits.get(account.id, ()), (account.id,), call.endpoint_id)
        if limit.unit == tariff.unit.code  # of an amount in another unit nobody knows the worth
    ]
    for limit in applying:
        if limit.kind == LimitKind.CALL_COST:
            yield Cap(limit.value)
    for cap in spend_caps(applying, call.at_us, state.counters):
        counter = state.counters[cap.key]
        yield Cap(cap.left + held.get(counter.id, 0), counter.id)


def _paying(line: ReservationLevel, state: ChargingState) -> PayingWallet:
    wallet = state.wallets[line.wallet_id]
    exchange = None if line.exchange_id is None else state.catalogue.offers.exchange.rate(line.exchange_id)
    return PayingWallet(wallet, state.catalogue.units[wallet.unit], exchange)


def paying_wallets(
    account: ChargedAccount, tariff: Tariff, at_us: int, state: ChargingState
) -> tuple[PayingWallet, ...] | str:
    """The wallets of an account that pay by a tariff, in their order; or why there is none."""
    found = []
    for unit in wallet_order(account.wallet_order, tariff.unit.code):
        wallet = state.wallet(account.id, unit)
        exchange = None
        if wallet is None:
            continue
        if unit != tariff.unit.code:
            exchange = state.catalogue.offers.exchange.find(tariff.unit.code, unit, at_us)
            if exchange is None:
                continue
        found.append(PayingWallet(wallet, state.catalogue.units[unit], exchange))
    if found:
        return tuple(found)
    return f"account {account.code} has no wallet that pays in {tariff.unit.code}"
