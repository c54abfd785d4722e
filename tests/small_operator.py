"""A small operator in memory: accounts, wallets and price lists that decide() works on without a database."""

from dataclasses import dataclass, field, replace
from itertools import count
from types import MappingProxyType
from typing import Any

from pbxbill.charging.cdr import RatedCdr
from pbxbill.charging.events import (
    Authorize,
    Command,
    Direction,
    FailurePolicy,
    Granted,
    Moved,
    Outcome,
    TopUp,
)
from pbxbill.charging.limits import Limit, LimitKind
from pbxbill.charging.offers import Carrier, Offers
from pbxbill.charging.session import decide
from pbxbill.charging.state import ChargedAccount, ChargingState, KnownEndpoint, Wallet
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.money import Unit, parse_amount, parse_decimal
from pbxbill.rating.bands import BandCalendar
from pbxbill.rating.bundle import AccountBundle, Bundle, Measure
from pbxbill.rating.exchange import EXCHANGE_SCALE, ExchangeRate, ExchangeTable
from pbxbill.rating.tariff import CycleSteps, MarkUp, Rate, Tariff, TaxMode
from tests.counted_rows import CountedRows
from tests.promises import Expected, broken_promises, expected_charges
from tests.rate_tables import INBOUND, RETAIL, WHOLESALE, price, rates_of

__all__ = [
    "INBOUND",
    "RETAIL",
    "WHOLESALE",
    "SmallOperator",
    "eur",
    "minutes",
    "price",
    "rates_of",
    "seconds",
]

EUR = Unit("EUR")
USD = Unit("USD")
BTC = Unit("BTC", 8, 8)
YEN = Unit("JPY", 2, 0)
OPERATOR = 1
MINUTE_US = 60 * SECOND_US


def eur(text: str) -> int:
    """An amount as people write it."""
    return parse_amount(text, EUR)


def minutes(number: int) -> int:
    return number * MINUTE_US


def seconds(number: int) -> int:
    return number * SECOND_US


@dataclass
class SmallCatalogue:
    """Tariffs and rates held in dictionaries."""

    tariffs: dict[int, Tariff] = field(default_factory=dict)
    rates: dict[int, Rate] = field(default_factory=dict)
    decks: dict[int, list[Rate]] = field(default_factory=dict)
    books: dict[tuple[int, str, str], int] = field(default_factory=dict)
    offers: Offers = field(default_factory=Offers)

    @property
    def units(self) -> MappingProxyType[str, Unit]:
        return MappingProxyType({unit.code: unit for unit in (EUR, USD, BTC, YEN)})

    def current_tariff(self, tariff_id: int) -> Tariff | None:
        return self.tariffs.get(tariff_id)

    def tariff(self, tariff_version_id: int) -> Tariff:
        return self.tariffs[tariff_version_id]

    def rate(self, rate_id: int) -> Rate:
        return self.rates[rate_id]

    def find_rate(self, deck_id: int, number: str, at_us: int) -> Rate | None:
        matches = [rate for rate in self.decks[deck_id] if number.startswith(rate.prefix)]
        return max(matches, key=lambda rate: len(rate.prefix), default=None)

    def ledger_account(self, issuer_id: int, code: LedgerCode, unit: str) -> int:
        return self.books.setdefault((issuer_id, code, unit), 1000 + len(self.books))


class SmallOperator:
    """Opens accounts, carries out commands, and says afterwards whether a promise broke."""

    def __init__(self, now_us: int | None = None) -> None:
        self.clock = ManualClock() if now_us is None else ManualClock(now_us)
        self.catalogue = SmallCatalogue()
        self.state = ChargingState(self.catalogue, steered={"s1"})
        self.rows = CountedRows()
        self.expected: dict[str, list[Expected]] = {}
        """What each level of an ended call owes, reckoned at its end."""
        self._ids = count(2)
        self._serial = count(1)
        self._exchange: list[ExchangeRate] = []

    # --- setting up -------------------------------------------------------------------------------

    def tariff(
        self,
        table: str,
        tax_mode: TaxMode = TaxMode.NONE,
        tax_ppm: int = 0,
        *,
        slice_s: int = 60,
        max_call_s: int = 14_400,
        unit: Unit = EUR,
        calendar: BandCalendar | None = None,
        mark_up: MarkUp | None = None,
        cycle_steps: CycleSteps | None = None,
        refuse_loss: bool = False,
    ) -> int:
        """A tariff with these rates, its only version; its id. A mark-up needs none."""
        id = next(self._ids)
        rates = rates_of(table, self._ids)
        self.catalogue.decks[id] = rates
        self.catalogue.rates.update({rate.id: rate for rate in rates})
        tariff = Tariff(
            id, f"tariff{id}", id, unit, tax_mode, tax_ppm, slice_s=slice_s, max_call_s=max_call_s
        )
        self.catalogue.tariffs[id] = replace(
            tariff,
            calendar=calendar,
            mark_up=mark_up,
            cycle_steps=cycle_steps,
            refuse_loss=refuse_loss,
            tariff_id=id,
        )
        if cycle_steps is not None:
            self._offer(any_cycle_steps=True)
        return id

    def account(
        self,
        code: str,
        *,
        tariff: int | None,
        funds: str = "0",
        limit: str = "0",
        below: ChargedAccount | None = None,
        inbound: int | None = None,
        policy: FailurePolicy = FailurePolicy.CLOSED,
        allowance: str = "0",
        status: str = "active",
        wallet_order: str | None = None,
        shadow: bool = False,
    ) -> ChargedAccount:
        """An account whose SIP account code is its code, with a wallet."""
        id = next(self._ids)
        account = ChargedAccount(
            id=id,
            code=code,
            status=status,
            chain=(id, *(below.chain if below else ())),
            issuer_id=below.id if below else OPERATOR,
            tariff_id=tariff,
            inbound_tariff_id=inbound,
            language="en",
            failure_policy=policy,
            offline_allowance=eur(allowance),
            announce_balance=None,
            announce_minutes=None,
            announce_warning=None,
            wallet_order=wallet_order,
            shadow=shadow,
        )
        self.state.accounts[id] = account
        endpoint = KnownEndpoint("", id, next(self._ids))
        self.state.endpoints.setdefault(("sip", code), []).append(endpoint)
        self.open_wallet(account, EUR, funds=funds, limit=limit)
        return account

    def open_wallet(
        self, account: ChargedAccount, unit: Unit, *, funds: str = "0", limit: str = "0"
    ) -> Wallet:
        """One more wallet of an account."""
        wallet_id = next(self._ids)
        wallet = self.state.wallets[wallet_id] = Wallet(
            id=wallet_id,
            account_id=account.id,
            unit=unit.code,
            ledger_account_id=10_000 + wallet_id,
            posted=0,
            reserved=0,
            credit_limit=parse_amount(limit, unit),
            overdraft=0,
            starved=False,
            news=0,
            told_us=0,
        )
        self.state.wallet_ids[account.id, unit.code] = wallet_id
        if parse_amount(funds, unit):
            self.top_up(account, funds, unit=unit)
        return wallet

    def did(self, number: str, account: ChargedAccount) -> None:
        """Let a DID belong to an account."""
        self.state.endpoints[("did", number)] = [KnownEndpoint("", account.id)]

    def endpoint_of(self, account: ChargedAccount) -> KnownEndpoint:
        """The endpoint that its SIP code is."""
        return self.state.endpoints["sip", account.code][0]

    def suspend(self, account: ChargedAccount, status: str = "suspended") -> None:
        """Let an account place no more calls."""
        self.state.accounts[account.id] = replace(account, status=status)

    def change_tariff(self, account: ChargedAccount, tariff: int) -> None:
        """Let an account's next calls be charged by another tariff."""
        self.state.accounts[account.id] = replace(account, tariff_id=tariff)

    def exchange(self, from_unit: Unit, to_unit: Unit, rate: str, from_us: int = 0) -> None:
        """One of from_unit is so much of to_unit from a moment on."""
        scaled = int(parse_decimal(rate).scaleb(EXCHANGE_SCALE))
        self._exchange.append(ExchangeRate(next(self._ids), from_unit.code, to_unit.code, scaled, from_us))
        self._offer(exchange=ExchangeTable(self._exchange))

    def bundle(self, pieces: int, measure: Measure = Measure.SECONDS, **terms: Any) -> Bundle:
        """A bundle; terms are further fields of Bundle."""
        id = next(self._ids)
        bundle = Bundle(id, f"bundle{id}", measure, pieces, **terms)
        self._offer(bundles={**self.catalogue.offers.bundles, id: bundle})
        return bundle

    def give(
        self, account: ChargedAccount, bundle: Bundle, from_us: int | None = None, to_us: int | None = None
    ) -> AccountBundle:
        """Let an account have a bundle, from now on if nothing else is said."""
        from_us = self.now_us if from_us is None else from_us
        held = AccountBundle(next(self._ids), account.id, bundle, from_us, to_us)
        self.state.bundles.setdefault(account.id, []).append(held)
        self._offer(any_account_bundles=True)
        return held

    def take(self, held: AccountBundle) -> None:
        """End an account's bundle now."""
        own = self.state.bundles[held.account_id]
        own[own.index(held)] = held._replace(to_us=max(self.now_us, held.from_us))

    def limit(
        self,
        account: ChargedAccount,
        kind: LimitKind,
        value: int = 0,
        *,
        at_endpoint: bool = False,
        **terms: Any,
    ) -> Limit:
        """Set a limit; terms are further fields of Limit."""
        endpoint_id = self.endpoint_of(account).id if at_endpoint else 0
        limit = Limit(next(self._ids), account.id, endpoint_id, str(kind), value, **terms)
        self.state.limits.setdefault(account.id, []).append(limit)
        if any(reservation.state in OPEN_STATES for reservation in self.state.reservations.values()):
            self.rows.late_limits.add(limit.id)
        self._offer(any_limits=True)
        return limit

    def unlimit(self, limit: Limit) -> None:
        """Remove a limit."""
        self.state.limits[limit.account_id].remove(limit)

    def carrier(self, gateway: str, tariff: int) -> None:
        """Whom a gateway leads to, and its price list."""
        found = Carrier(next(self._ids), gateway, tariff)
        self._offer(carriers={**self.catalogue.offers.carriers, gateway: found})

    def _offer(self, **changes: Any) -> None:
        self.catalogue.offers = replace(self.catalogue.offers, **changes)

    # --- doing ------------------------------------------------------------------------------------

    def do(self, command: Command) -> Outcome:
        """Decide a command and make its effects stand."""
        counted = self.catalogue.offers.counted
        if counted:
            self.rows.load(command, self.state)
        outcome, effects = decide(command, self.state)
        self.expected.update(expected_charges(command, effects, self.state))
        self.state.apply(effects)
        if counted:
            self.rows.store(effects, self.state)
        return outcome

    def request(self, account: ChargedAccount | str, number: str, session_id: str = "") -> Authorize:
        """A call of an account, now."""
        session_id = session_id or f"{next(self._serial):032x}"
        code = account if isinstance(account, str) else account.code
        return Authorize(
            session_id, "s1", f"call-{session_id}", Direction.OUTBOUND, number, "", self.now_us, code
        )

    def inbound_request(self, did: str) -> Authorize:
        """A call from outside to a DID, now."""
        session_id = f"{next(self._serial):032x}"
        return Authorize(
            session_id, "s1", f"call-{session_id}", Direction.INBOUND, did, "33123", self.now_us, did=did
        )

    def call(self, account: ChargedAccount, number: str) -> Granted:
        """A call that must be granted."""
        granted = self.do(self.request(account, number))
        assert isinstance(granted, Granted), granted
        return granted

    def top_up(self, account: ChargedAccount, amount: str, key: str = "", unit: Unit = EUR) -> Moved:
        key = key or f"top-up-{next(self._serial)}"
        moved = self.do(TopUp(key, account.id, unit.code, parse_amount(amount, unit), self.now_us))
        assert isinstance(moved, Moved), moved
        return moved

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    def wallet(self, account: ChargedAccount, unit: Unit = EUR) -> Wallet:
        wallet = self.state.wallet(account.id, unit.code)
        assert wallet is not None
        return wallet

    def cdr(self, session_id: str) -> RatedCdr:
        return self.state.cdrs[session_id]

    # --- judging ----------------------------------------------------------------------------------

    def broken_promises(self) -> list[str]:
        """What `pbxbill verify` would find, reckoned here on its own."""
        return broken_promises(self.state, self.rows, self.expected)
