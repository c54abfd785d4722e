"""Takes from every level of an ended call what it owes: charges, journal entries, counters, carrier cost.

What can be taken is bounded by what the call had reserved and what is free; the rest is recorded as
uncollected, never overspent. Only what has been used already and nobody could refuse goes below the floor.
"""

from typing import NamedTuple

from pbxbill.charging.cdr import CallCharge, CarrierCost
from pbxbill.charging.counters import Counter
from pbxbill.charging.events import FailurePolicy
from pbxbill.charging.levels import Levels, step_allotment, step_counters, step_reached
from pbxbill.charging.pricing import LevelTerms, Rated
from pbxbill.charging.state import (
    ChargingState,
    CostRecorded,
    CounterMoved,
    Effect,
    EntryPosted,
    Wallet,
    WalletMoved,
)
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.journal import JournalEntry, Posting
from pbxbill.ledger.reservation import ReservationLevel, ReservedCount
from pbxbill.money import Rounding, round_ratio
from pbxbill.rating.bundle import counted_once
from pbxbill.rating.exchange import Source, allocate, to_wallet, worth
from pbxbill.rating.margin import call_cost
from pbxbill.rating.rater import Charge
from pbxbill.rating.tariff import PPM, CycleStepKind, CycleSteps, TaxMode


class Usage(NamedTuple):
    """An ended call as it is charged."""

    session_id: str
    billed_us: int
    answered_us: int
    ended_us: int
    requested_us: int
    failure_policy: str
    in_full: bool = False
    """Taken whatever the funds are: it was used, and nobody enforced a limit."""


class Collected(NamedTuple):
    """What was taken, and what it changes."""

    charges: tuple[CallCharge, ...]
    counts: tuple[ReservedCount, ...]
    effects: list[Effect]


def collect(usage: Usage, levels: Levels, held: tuple[ReservedCount, ...], state: ChargingState) -> Collected:
    """Take from every level what it owes, as far as its funds go, and release what it had reserved."""
    charges: list[CallCharge] = []
    effects: list[Effect] = []
    used: list[ReservedCount] = []
    for number, (rated, lines) in enumerate(levels):
        level = lines[0].level if lines else number
        if rated.terms is None:
            owed = rated.charge(usage.billed_us, usage.answered_us)
            reserved = lines[0].reserved if lines else 0
            taken = owed.total
            if not usage.in_full:
                taken = min(taken, reserved + _beyond(rated.wallet, rated, usage))
            share = _Share(level, 0, rated.wallet, None, taken, reserved, owed.total - taken)
            charges.append(_take(usage, rated, owed, share, effects, state))
            continue
        volume = _by_volume(usage, level, rated, state)
        priced = rated if volume is None else volume.rated
        owed = priced.charge(usage.billed_us, usage.answered_us)
        shares = _shares(usage, level, priced, owed, lines)
        if volume is not None:
            effects += volume.effects
            effects += _remembered(usage, volume, owed, sum(share.uncollected for share in shares))
        charges += [_take(usage, priced, owed, share, effects, state) for share in shares]
        used += _used(level, priced, owed)
    if not used and not held:
        return Collected(tuple(charges), (), effects)
    counts = _settled_counts(held, used)
    effects += [CounterMoved(x.counter_id, x.used, -x.reserved) for x in counts if x.used or x.reserved]
    if any(x.reserved > x.used for x in counts):
        effects += _heard(levels, effects, state)
    return Collected(tuple(charges), tuple([count._replace(reserved=0) for count in counts]), effects)


def _heard(levels: Levels, effects: list[Effect], state: ChargingState) -> list[Effect]:
    """News for calls that ended short: pieces are free again, even where no money is."""
    told = {x.wallet_id for x in effects if isinstance(x, WalletMoved) and x.tell}
    waiting = {line.wallet_id for _, lines in levels for line in lines} - told
    return [WalletMoved(id, starved=False, tell=True) for id in sorted(waiting) if state.wallets[id].starved]


def _beyond(wallet: Wallet, rated: Rated, usage: Usage) -> int:
    """What may be taken from a wallet beside what the call had reserved of it."""
    funds = max(0, wallet.available)
    if usage.failure_policy == FailurePolicy.OPEN:
        funds += max(0, rated.account.offline_allowance - wallet.overdraft)
    return funds


class LevelOwed(NamedTuple):
    """What a level of an open call would be charged if the call ended now."""

    level: int
    rated: Rated
    owed: Charge
    taken: tuple[tuple[Wallet, int], ...]
    """Of each of its wallets, whatever their funds are."""


def owed_so_far(usage: Usage, levels: Levels, state: ChargingState) -> list[LevelOwed]:
    """What collect() would take now, had the wallets enough; usage is in full."""
    found: list[LevelOwed] = []
    for number, (rated, lines) in enumerate(levels):
        level = lines[0].level if lines else number
        if rated.terms is None:
            owed = rated.charge(usage.billed_us, usage.answered_us)
            found.append(LevelOwed(level, rated, owed, ((rated.wallet, owed.total),)))
            continue
        volume = _by_volume(usage, level, rated, state)
        priced = rated if volume is None else volume.rated
        owed = priced.charge(usage.billed_us, usage.answered_us)
        shares = _shares(usage, level, priced, owed, lines)
        found.append(LevelOwed(level, priced, owed, tuple((x.wallet, x.taken) for x in shares)))
    return found


class _Share(NamedTuple):
    """What one wallet of a level gives."""

    level: int
    line: int
    wallet: Wallet
    exchange_id: int | None
    taken: int
    reserved: int
    uncollected: int
    """In the tariff's unit, on the level's last line."""


def _shares(
    usage: Usage,
    level: int,
    rated: Rated,
    owed: Charge,
    lines: tuple[ReservationLevel, ...],
) -> list[_Share]:
    assert rated.terms is not None
    wallets = rated.terms.wallets
    reserved = [line.reserved for line in lines] if lines else [0] * len(wallets)
    sources = []
    for paying, held in zip(wallets, reserved, strict=True):
        funds = held + _beyond(paying.wallet, rated, usage)
        sources.append(Source(paying.unit, funds, paying.exchange))
    amounts, uncollected = allocate(owed.total, rated.tariff.unit, sources)
    taken = [share.amount for share in amounts]
    if usage.in_full and uncollected:
        last = wallets[-1]
        more = amounts[-1].worth + uncollected
        taken[-1] = to_wallet(more, last.exchange, rated.tariff.unit, last.unit)
        uncollected = 0
    shares = []
    for line, (paying, amount, held) in enumerate(zip(wallets, taken, reserved, strict=True)):
        left = uncollected if line + 1 == len(wallets) else 0
        exchange_id = None if paying.exchange is None else paying.exchange.id
        shares.append(_Share(level, line, paying.wallet, exchange_id, amount, held, left))
    return shares


def _take(
    usage: Usage, rated: Rated, owed: Charge, share: _Share, effects: list[Effect], state: ChargingState
) -> CallCharge:
    level, line, wallet, exchange_id, taken, reserved, uncollected = share
    tax = owed.tax
    if taken != owed.total:
        tax = round_ratio(taken * owed.tax, owed.total, Rounding.HALF_UP) if owed.total else 0
    entry_id = None
    if taken:
        key = f"settle:{usage.session_id}:{level}:{line}" if line else f"settle:{usage.session_id}:{level}"
        entry = usage_entry(key, rated, wallet, taken, tax, usage.ended_us, state)
        effects.append(EntryPosted(entry))
        entry_id = entry.id
    tell = wallet.starved and reserved > taken
    overdraw = usage.in_full or usage.failure_policy == FailurePolicy.OPEN
    effects.append(WalletMoved(wallet.id, -taken, -reserved, 0, False if tell else None, tell, overdraw))
    return CallCharge(
        level,
        rated.account.id,
        wallet.id,
        rated.tariff.version_id,
        rated.rate.id,
        owed.billable_s,
        taken,
        tax,
        uncollected,
        entry_id,
        line,
        exchange_id,
    )


def usage_entry(  # noqa: PLR0913, PLR0917 what an entry is made of
    key: str,
    rated: Rated,
    wallet: Wallet,
    taken: int,
    tax: int,
    at_us: int,
    state: ChargingState,
    kind: str = "usage",
) -> JournalEntry:
    """What a charge posts: from the wallet to the issuer's revenue and tax. Negative: given back."""
    book = state.catalogue.ledger_account
    issuer_id = rated.account.issuer_id
    postings = [
        Posting(wallet.ledger_account_id, taken),
        Posting(book(issuer_id, LedgerCode.REVENUE_USAGE, wallet.unit), tax - taken),
    ]
    if tax:
        postings.append(Posting(book(issuer_id, LedgerCode.TAX_PAYABLE, wallet.unit), -tax))
    return JournalEntry(new_id(), key, kind, wallet.unit, at_us, tuple(postings))


def _used(level: int, rated: Rated, owed: Charge) -> list[ReservedCount]:
    """Pieces and amounts that the call took of each counter."""
    assert rated.terms is not None
    used = [
        ReservedCount(level, allotment.counter_id, 0, pieces)
        for allotment, pieces in zip(rated.allotments, owed.taken, strict=True)
    ]
    return used + [
        ReservedCount(level, cap.counter_id, 0, owed.total)
        for cap in rated.terms.caps
        if cap.counter_id is not None
    ]


def _settled_counts(held: tuple[ReservedCount, ...], used: list[ReservedCount]) -> tuple[ReservedCount, ...]:
    """What the call held, with what it took; of a bundle that served several levels each piece once.

    What it does not hold any more is named too: its row may still say that it does.
    """
    reserved = {(count.level, count.counter_id): count.reserved for count in held}
    found: list[ReservedCount] = []
    added = counted_once([(count.counter_id, count.used) for count in used])
    for (level, counter_id, _, taken), counted in zip(used, added, strict=True):
        own = reserved.pop((level, counter_id), None)
        if own is not None or taken:
            found.append(ReservedCount(level, counter_id, own or 0, counted))
    found += [ReservedCount(level, counter_id, left) for (level, counter_id), left in reserved.items()]
    return tuple(found)


class _Volume(NamedTuple):
    """Where a level stands whose price depends on the cycle's sum."""

    rated: Rated
    """Priced by the step that is reached with this call."""
    reached: int
    counters: list[Counter]
    effects: list[Effect]


def _by_volume(usage: Usage, level: int, rated: Rated, state: ChargingState) -> _Volume | None:
    """The step that the cycle's sum reaches with this call, and what that means for the calls before it.

    Prices of a volume only fall. What the earlier calls of the cycle cost at the step that is reached now was
    added up, call by call, when each ended: what was taken beyond that is given back.
    """
    steps = rated.tariff.cycle_steps
    if steps is None or steps.kind is not CycleStepKind.VOLUME or rated.terms is None:
        return None
    counters = step_counters(rated.account.id, rated.tariff, usage.requested_us, state)
    numbers = [n for n, counter in enumerate(counters) if counter.id == _last_counter(rated)]
    if not numbers:
        return None
    before = sum(counter.used for counter in counters)
    stood = step_reached(steps, before)
    owed = rated.charge(usage.billed_us, usage.answered_us)
    reached = step_reached(steps, before + owed.taken[-1])
    effects: list[Effect] = []
    if reached != stood and before:
        effects += [
            CounterMoved(counters[reached].id, used=sum(counter.used for counter in counters[:reached])),
            *[CounterMoved(counter.id, used=-counter.used) for counter in counters[:reached] if counter.used],
        ]
        taken, would_cost = counters[stood].allowed, counters[reached].allowed
        if taken > would_cost:
            effects += _give_back(usage, level, rated, taken - would_cost, state)
        else:
            effects.append(CounterMoved(counters[reached].id, allowed=taken - would_cost))
    return _Volume(_at_step(rated, steps, reached, counters), reached, counters, effects)


def _at_step(rated: Rated, steps: CycleSteps, number: int, counters: list[Counter]) -> Rated:
    assert rated.terms is not None
    wallets, allotments, caps = rated.terms.wallets, rated.terms.allotments, rated.terms.caps
    last = step_allotment(steps, number, counters[number])
    return rated._replace(terms=LevelTerms(wallets, (*allotments[:-1], last), caps))


def _remembered(usage: Usage, volume: _Volume, owed: Charge, uncollected: int) -> list[Effect]:
    """What this call was charged, and what it would cost at each step that the cycle may still reach."""
    steps = volume.rated.tariff.cycle_steps
    assert steps is not None
    effects: list[Effect] = [
        CounterMoved(volume.counters[volume.reached].id, allowed=owed.total - uncollected)
    ]
    for number in range(volume.reached + 1, len(volume.counters)):
        later = _at_step(volume.rated, steps, number, volume.counters)
        cost = later.charge(usage.billed_us, usage.answered_us).total
        effects.append(CounterMoved(volume.counters[number].id, allowed=cost))
    return effects


def _last_counter(rated: Rated) -> int | None:
    return rated.allotments[-1].counter_id if rated.allotments else None


def _give_back(usage: Usage, level: int, rated: Rated, difference: int, state: ChargingState) -> list[Effect]:
    assert rated.terms is not None
    wallet, unit, exchange = rated.terms.wallets[0]
    amount = to_wallet(difference, exchange, rated.tariff.unit, unit)
    if worth(amount, exchange, rated.tariff.unit, unit) > difference:
        amount -= 1  # never more than was taken
    ppm = 0 if rated.tariff.tax_mode is TaxMode.NONE else rated.tariff.tax_ppm
    tax = round_ratio(amount * ppm, PPM + ppm, Rounding.HALF_UP) if ppm else 0
    key = f"volume:{usage.session_id}:{level}"
    entry = usage_entry(key, rated, wallet, -amount, -tax, usage.ended_us, state, "volume")
    return [EntryPosted(entry), WalletMoved(wallet.id, posted=amount, tell=True, starved=False)]


def carrier_cost(
    session_id: str, gateway: str, called: str, answered_us: int, ended_us: int, state: ChargingState
) -> list[Effect]:
    """What the carrier that the call went out by asks for it; nothing where nobody knows the carrier."""
    carrier = state.catalogue.offers.carriers.get(gateway) if gateway else None
    tariff = None if carrier is None else state.catalogue.current_tariff(carrier.tariff_id)
    if carrier is None or tariff is None:
        return []
    rate = state.catalogue.find_rate(tariff.deck_id, called, answered_us)
    terms = (session_id, gateway, carrier.id, tariff.version_id)
    if rate is None:
        return [CostRecorded(CarrierCost(*terms, None, tariff.unit.code, 0, 0))]
    asked = call_cost(rate, tariff, max(0, ended_us - answered_us), answered_us)
    cost = CarrierCost(*terms, rate.id, tariff.unit.code, asked.billable_s, asked.cost)
    return [CostRecorded(cost)]
