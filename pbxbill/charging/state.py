"""What the pure decisions see (ChargingState) and what they cause (effects).

The engine fills a state from the database for each batch; decisions read it, and their effects are
applied to it at once, so that the next command of the batch sees them, and written when it commits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pbxbill.charging.cdr import CarrierCost, RatedCdr
from pbxbill.charging.counters import Counter, CounterKind
from pbxbill.charging.events import FailurePolicy
from pbxbill.charging.limits import CounterKey, CounterSet, Limit, LimitHit
from pbxbill.charging.offers import Offers
from pbxbill.errors import check
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.journal import JournalEntry
from pbxbill.ledger.reservation import OPEN_STATES, Reservation, Verb
from pbxbill.money import Unit
from pbxbill.rating.bundle import AccountBundle
from pbxbill.rating.tariff import Rate, Tariff


@dataclass(frozen=True, slots=True)
class ChargedAccount:
    """An account as charging needs it."""

    id: int
    code: str
    status: str
    chain: tuple[int, ...]
    """This account, its reseller, and so on, up to below the operator."""
    issuer_id: int
    """Whose customer it is: the account above, at last the operator."""
    tariff_id: int | None
    inbound_tariff_id: int | None
    language: str
    failure_policy: FailurePolicy
    offline_allowance: int
    announce_balance: bool | None
    announce_minutes: bool | None
    announce_warning: bool | None
    announce_denial: bool | None = None
    dialling_rule_id: int | None = None
    """None: that of the account above."""
    wallet_order: str | None = None
    """Units with commas between; None: the tariff's alone."""
    shadow: bool = False
    minimum_balance: int | None = None
    """With less to spend, in its tariff's unit, no call to the outside begins; None: no such floor."""


class KnownEndpoint(NamedTuple):
    """What an endpoint's value leads to."""

    tech_prefix: str
    account_id: int
    id: int = 0
    status: str = "active"
    tariff_id: int | None = None
    """Of calls to this DID; None: the account's inbound tariff."""


@dataclass(slots=True)
class Wallet:
    """A wallet as it stands after the effects applied so far."""

    id: int
    account_id: int
    unit: str
    ledger_account_id: int
    posted: int
    reserved: int
    credit_limit: int
    overdraft: int
    starved: bool
    news: int
    told_us: int
    tell_below: int | None = None
    """With less to spend than this, a balance mark is written; None: nothing to tell of."""
    tell_from: int | None = None
    """Its highest threshold; None: it has none."""

    @property
    def available(self) -> int:
        """What may still be spent; negative only while an overdraft stands."""
        return self.posted - self.reserved + self.credit_limit


class Payer(NamedTuple):
    """One level that pays for an account's calls, as far as no number decides it."""

    account: ChargedAccount
    tariff: Tariff
    wallet: Wallet | None
    """In the tariff's unit; None where others may pay as well, or instead."""


class Catalogue(Protocol):
    """Tariffs and rates by the ids that reservations freeze."""

    @property
    def units(self) -> Mapping[str, Unit]:
        """By code."""
        ...

    @property
    def offers(self) -> Offers:
        """Destinations, dialling rules, bundles, exchange, carriers."""
        ...

    def current_tariff(self, tariff_id: int) -> Tariff | None:
        """The version that counts for new calls."""
        ...

    def tariff(self, tariff_version_id: int) -> Tariff:
        """A version, current or old."""
        ...

    def rate(self, rate_id: int) -> Rate:
        """A rate row of any deck version."""
        ...

    def find_rate(self, deck_id: int, number: str, at_us: int) -> Rate | None:
        """The rate for a number in the deck version in force at a moment."""
        ...

    def ledger_account(self, issuer_id: int, code: LedgerCode, unit: str) -> int:
        """The id of an issuer's account."""
        ...


# --- effects ----------------------------------------------------------------------------------


class WalletMoved(NamedTuple):
    """Changes of one wallet's sums."""

    wallet_id: int
    posted: int = 0
    reserved: int = 0
    credit_limit: int = 0
    starved: bool | None = None
    tell: bool = False
    """Live calls of the wallet must be re-timed."""
    overdraw: bool = False
    """May go below the floor: a call that passed under failure policy open."""


class ReservationOpened(NamedTuple):
    """A new call session."""

    reservation: Reservation


class ReservationChanged(NamedTuple):
    """A call session as it stands now; verb None: no step of its history."""

    reservation: Reservation
    verb: Verb | None
    at_us: int


class EntryPosted(NamedTuple):
    """A balanced journal entry."""

    entry: JournalEntry


class CdrWritten(NamedTuple):
    """The session's one record."""

    cdr: RatedCdr


class CounterMoved(NamedTuple):
    """Changes of a counter's sums."""

    counter_id: int
    used: int = 0
    reserved: int = 0
    allowed: int = 0


class LimitStruck(NamedTuple):
    """A limit denied a call, or was reached by one."""

    hit: LimitHit
    account_id: int
    at_us: int


class CostRecorded(NamedTuple):
    """What the carrier asks for the session's call."""

    cost: CarrierCost


Effect = (
    WalletMoved
    | ReservationOpened
    | ReservationChanged
    | EntryPosted
    | CdrWritten
    | CounterMoved
    | CounterSet
    | LimitStruck
    | CostRecorded
)


@dataclass(slots=True)
class ChargingState:
    """The rows that a batch concerns, and everything that its effects have changed or added."""

    catalogue: Catalogue
    accounts: dict[int, ChargedAccount] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], list[KnownEndpoint]] = field(default_factory=dict)
    """(kind, value) -> endpoints, the longest technical prefix first."""
    wallets: dict[int, Wallet] = field(default_factory=dict)
    wallet_ids: dict[tuple[int, str], int] = field(default_factory=dict)
    payers: dict[int, tuple[Payer, ...]] | None = None
    """By account, the highest level first: who pays for its calls to the outside; None: not remembered."""
    steered: set[str] = field(default_factory=set)
    """Switches whose daemon is alive, so that it can move their timers."""
    reservations: dict[str, Reservation] = field(default_factory=dict)
    cdrs: dict[str, RatedCdr] = field(default_factory=dict)
    entries: dict[str, JournalEntry] = field(default_factory=dict)
    """By idempotency key."""

    bundles: dict[int, list[AccountBundle]] = field(default_factory=dict)
    """By account, as all that follows."""
    limits: dict[int, list[Limit]] = field(default_factory=dict)
    released: dict[int, frozenset[str]] = field(default_factory=dict)
    live_of_account: dict[int, int] = field(default_factory=dict)
    """Open calls of accounts that a limit bounds, with all below them."""
    live_of_endpoint: dict[int, int] = field(default_factory=dict)
    counters: dict[CounterKey, Counter] = field(default_factory=dict)
    counters_by_id: dict[int, Counter] = field(default_factory=dict)
    newest_window: dict[int, int] = field(default_factory=dict)
    """Where the newest window with a counter begins, by account's bundle whose pieces roll over."""
    written_counts: set[tuple[str, int, int]] = field(default_factory=set)
    """(session, level, counter) that have a row."""

    changed_counters: set[int] = field(default_factory=set)
    new_counters: set[int] = field(default_factory=set)
    new_costs: list[CarrierCost] = field(default_factory=list)
    struck: list[LimitStruck] = field(default_factory=list)
    changed_wallets: set[int] = field(default_factory=set)
    opened: dict[str, Reservation] = field(default_factory=dict)
    changed: dict[str, Reservation] = field(default_factory=dict)
    relevelled: set[str] = field(default_factory=set)
    """Those of them whose levels hold other amounts than before."""
    ended: dict[str, Reservation] = field(default_factory=dict)
    """Those whose only change is their end."""
    steps: list[tuple[str, str, int, int, int]] = field(default_factory=list)
    new_entries: list[JournalEntry] = field(default_factory=list)
    new_cdrs: list[RatedCdr] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    """Wallets whose live calls must be re-timed once the batch is committed."""
    filled: set[int] = field(default_factory=set)
    """Those of them that got money, or a higher limit."""

    def wallet(self, account_id: int, unit: str) -> Wallet | None:
        """An account's wallet in a unit."""
        wallet_id = self.wallet_ids.get((account_id, unit))
        return None if wallet_id is None else self.wallets[wallet_id]

    def add_counter(self, key: CounterKey, counter: Counter, *, is_new: bool) -> None:
        """Make a counter known; a new one is written once something counts in it."""
        self.counters[key] = counter
        self.counters_by_id[counter.id] = counter
        if key.kind is CounterKind.BUNDLE:
            before_us = self.newest_window.get(key.ref_id, key.window_from_us)
            self.newest_window[key.ref_id] = max(before_us, key.window_from_us)
        if is_new:
            self.new_counters.add(counter.id)

    def rolled_over(self, held: AccountBundle, window_from_us: int) -> bool:
        """Whether what a window left has gone into a later one: a call that comes late finds nothing."""
        later = self.newest_window.get(held.id, window_from_us) > window_from_us
        return later and held.bundle.rollover_cycles > 0

    def held(self, wallet_id: int) -> list[Reservation]:
        """Open reservations that earmark funds of a wallet, the youngest first."""
        found = [
            reservation
            for reservation in self.reservations.values()
            if reservation.state in OPEN_STATES
            and any(level.wallet_id == wallet_id and level.reserved for level in reservation.levels)
        ]
        return sorted(found, key=lambda reservation: (-reservation.requested_us, reservation.session_id))

    def apply(self, effects: list[Effect]) -> None:
        """Make the effects of one decision visible to the next and part of what will be written."""
        for effect in effects:
            match effect:
                case WalletMoved():
                    self._move(effect)
                case ReservationOpened():
                    reservation = effect.reservation
                    session_id = reservation.session_id
                    self.reservations[session_id] = reservation
                    self.opened[session_id] = reservation
                    self._step(reservation, Verb.RESERVE, reservation.requested_us)
                    self._count_live(reservation, 1)
                case ReservationChanged():
                    self._change(effect)
                case EntryPosted():
                    entry = effect.entry
                    self.entries[entry.idempotency_key] = entry
                    self.new_entries.append(entry)
                case CdrWritten():
                    cdr = effect.cdr
                    check(cdr.session_id not in self.cdrs, "second CDR for session {}", cdr.session_id)
                    self.cdrs[cdr.session_id] = cdr
                    self.new_cdrs.append(cdr)
                case CostRecorded():
                    self.new_costs.append(effect.cost)
                case LimitStruck():
                    self.struck.append(effect)
                case _:
                    self._count(effect)

    def _move(self, effect: WalletMoved) -> None:
        wallet_id, posted, reserved, credit_limit, starved, tell, overdraw = effect
        wallet = self.wallets[wallet_id]
        before = wallet.available
        after = before + posted - reserved + credit_limit
        wallet.posted += posted
        wallet.reserved += reserved
        wallet.credit_limit += credit_limit
        if starved is not None:
            wallet.starved = starved
        if tell:
            wallet.news += 1
            self.told.add(wallet_id)
            if posted > 0 or credit_limit > 0:
                self.filled.add(wallet_id)
        wallet.overdraft = -after if after < 0 else 0
        check(after >= 0 or after >= before or overdraw, "wallet {} would be overspent", wallet_id)
        check(wallet.reserved >= 0, "wallet {} would release more than it reserved", wallet_id)
        self.changed_wallets.add(wallet_id)

    def _change(self, effect: ReservationChanged) -> None:
        reservation, verb, at_us = effect
        session_id = reservation.session_id
        before = self.reservations[session_id]
        ended = reservation.state not in OPEN_STATES
        if ended and before.state in OPEN_STATES:
            self._count_live(reservation, -1)
        self.reservations[session_id] = reservation
        if session_id in self.opened:
            self.opened[session_id] = reservation
        elif ended and session_id not in self.changed:
            self.ended[session_id] = reservation
        else:
            self.changed[session_id] = reservation
            if reservation.levels is not before.levels:
                self.relevelled.add(session_id)
        if verb is not None:
            self._step(reservation, verb, at_us)

    def _count(self, effect: CounterMoved | CounterSet) -> None:
        if isinstance(effect, CounterMoved):
            counter = self.counters_by_id[effect.counter_id]
            counter.used += effect.used
            counter.reserved += effect.reserved
            counter.allowed += effect.allowed
            check(counter.reserved >= 0, "counter {} would release more than it holds", counter.id)
        else:
            counter = self.counters[effect.key]
            counter.used, counter.allowed = effect.used, effect.allowed
        self.changed_counters.add(counter.id)

    def _count_live(self, reservation: Reservation, change: int) -> None:
        if not self.live_of_account and not self.live_of_endpoint:
            return
        account = self.accounts.get(reservation.account_id)
        if account is not None:
            for account_id in account.chain:
                if account_id in self.live_of_account:
                    self.live_of_account[account_id] += change
        if reservation.endpoint_id in self.live_of_endpoint:
            self.live_of_endpoint[reservation.endpoint_id] += change

    def _step(self, reservation: Reservation, verb: Verb, at_us: int) -> None:
        reserved = reservation.levels[0].reserved if reservation.levels else 0
        self.steps.append((reservation.session_id, str(verb), at_us, reservation.granted_us, reserved))
