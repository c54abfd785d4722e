"""A small operator in memory: accounts, wallets and price lists that decide() works on without a database."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType

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
from pbxbill.charging.rerating import tax_taken
from pbxbill.charging.session import decide
from pbxbill.charging.settling import billed_duration
from pbxbill.charging.offers import Offers
from pbxbill.charging.state import ChargedAccount, ChargingState, KnownEndpoint, Wallet
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.money import Unit, compile_price, parse_amount, parse_decimal
from pbxbill.rating.rater import charge
from pbxbill.rating.tariff import Rate, Tariff, TaxMode

EUR = Unit("EUR")
OPERATOR = 1
MINUTE_US = 60 * SECOND_US

RETAIL = """
    49    Germany   0.12  fee 0.00  min 0.00  1/1
    33    France    0.30  fee 0.05  min 0.00  60/60
    1     America   0.60  fee 0.00  min 0.25  30/6
    800   Freephone 0.00  fee 0.00  min 0.00  1/1
    44    Britain   0.12  fee 0.00  min 0.00  1/1    free 10
    7700  Deluxe    6.00  fee 1.00  min 0.00  60/60
"""
WHOLESALE = """
    49    Germany   0.06  fee 0.00  min 0.00  1/1
    33    France    0.15  fee 0.00  min 0.00  60/60
    1     America   0.30  fee 0.00  min 0.00  60/60
    800   Freephone 0.00  fee 0.00  min 0.00  1/1
    44    Britain   0.06  fee 0.00  min 0.00  1/1
    7700  Deluxe    3.00  fee 0.00  min 0.00  60/60
"""
INBOUND = "4930 Berlin 0.02 fee 0.00 min 0.00 1/1"


def eur(text: str) -> int:
    """An amount as people write it."""
    return parse_amount(text, EUR)


def minutes(number: int) -> int:
    return number * MINUTE_US


def seconds(number: int) -> int:
    return number * SECOND_US


def rates_of(table: str, ids: Iterable[int]) -> list[Rate]:
    """The rows of a price list as it stands above."""
    rates = []
    lines = [line.split() for line in table.strip().splitlines()]
    for id, (prefix, name, price, _, fee, _, minimum, increments, *free) in zip(ids, lines, strict=False):
        initial_s, following_s = map(int, increments.split("/"))
        price_per_min, connection_fee, minimum_charge = (
            compile_price(parse_decimal(text)) for text in (price, fee, minimum)
        )
        free_s = int(free[1]) if free else 0
        terms = (price_per_min, connection_fee, minimum_charge, initial_s, following_s, free_s)
        rates.append(Rate(id, prefix, name, *terms))
    return rates


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
        return MappingProxyType({"EUR": EUR})

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

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.catalogue = SmallCatalogue()
        self.state = ChargingState(self.catalogue, steered={"s1"})
        self._ids = count(2)
        self._serial = count(1)

    # --- setting up -------------------------------------------------------------------------------

    def tariff(
        self,
        table: str,
        tax_mode: TaxMode = TaxMode.NONE,
        tax_ppm: int = 0,
        *,
        slice_s: int = 60,
        max_call_s: int = 14_400,
    ) -> int:
        """A tariff with these rates; its id."""
        id = next(self._ids)
        rates = rates_of(table, self._ids)
        self.catalogue.decks[id] = rates
        self.catalogue.rates.update({rate.id: rate for rate in rates})
        self.catalogue.tariffs[id] = Tariff(
            id, f"tariff{id}", id, EUR, tax_mode, tax_ppm, slice_s=slice_s, max_call_s=max_call_s
        )
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
        )
        self.state.accounts[id] = account
        self.state.endpoints.setdefault(("sip", code), []).append(KnownEndpoint("", id))
        wallet_id = next(self._ids)
        self.state.wallets[wallet_id] = Wallet(
            id=wallet_id,
            account_id=id,
            unit="EUR",
            ledger_account_id=10_000 + wallet_id,
            posted=0,
            reserved=0,
            credit_limit=eur(limit),
            overdraft=0,
            starved=False,
            news=0,
            told_us=0,
        )
        self.state.wallet_ids[id, "EUR"] = wallet_id
        if eur(funds):
            self.top_up(account, funds)
        return account

    def did(self, number: str, account: ChargedAccount) -> None:
        """Let a DID belong to an account."""
        self.state.endpoints[("did", number)] = [KnownEndpoint("", account.id)]

    # --- doing ------------------------------------------------------------------------------------

    def do(self, command: Command) -> Outcome:
        """Decide a command and make its effects stand."""
        outcome, effects = decide(command, self.state)
        self.state.apply(effects)
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

    def top_up(self, account: ChargedAccount, amount: str, key: str = "") -> Moved:
        key = key or f"top-up-{next(self._serial)}"
        moved = self.do(TopUp(key, account.id, "EUR", eur(amount), self.now_us))
        assert isinstance(moved, Moved), moved
        return moved

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    def wallet(self, account: ChargedAccount) -> Wallet:
        wallet = self.state.wallet(account.id, "EUR")
        assert wallet is not None
        return wallet

    def cdr(self, session_id: str) -> RatedCdr:
        return self.state.cdrs[session_id]

    # --- judging ----------------------------------------------------------------------------------

    def broken_promises(self) -> list[str]:
        """What `pbxbill verify` would find, reckoned here on its own."""
        return [*self._broken_wallets(), *self._broken_calls()]

    def _broken_wallets(self) -> list[str]:
        posted: dict[int, int] = {}
        for entry in self.state.new_entries:
            for posting in entry.postings:
                posted[posting.ledger_account_id] = posted.get(posting.ledger_account_id, 0) - posting.amount
        reserved: dict[int, int] = {}
        for reservation in self.state.reservations.values():
            for level in reservation.levels:
                if reservation.state in OPEN_STATES:
                    reserved[level.wallet_id] = reserved.get(level.wallet_id, 0) + level.reserved
        broken = []
        for wallet in self.state.wallets.values():
            account = self.state.accounts[wallet.account_id]
            if wallet.posted != posted.get(wallet.ledger_account_id, 0):
                broken.append(f"{account.code}: the wallet is not its postings")
            if wallet.reserved != reserved.get(wallet.id, 0):
                broken.append(
                    f"{account.code}: reserved {wallet.reserved}, calls {reserved.get(wallet.id, 0)}"
                )
            if wallet.available < -account.offline_allowance:
                broken.append(f"{account.code}: overspent by {-wallet.available}")
        return broken

    def _broken_calls(self) -> list[str]:
        broken = []
        if len({cdr.session_id for cdr in self.state.new_cdrs}) != len(self.state.new_cdrs):
            broken.append("a session has two records")
        entries = {entry.id: entry for entry in self.state.new_entries}
        for cdr in self.state.new_cdrs:
            known = self.state.reservations.get(cdr.session_id)
            if known is not None and known.state in OPEN_STATES:
                broken.append(f"{cdr.session_id} has a record and is open")
            if cdr.answered_us is None:
                if cdr.charges or cdr.billed_us:
                    broken.append(f"{cdr.session_id} was charged without an answer")
                continue
            if known is not None:
                longest_us = known.max_call_s * SECOND_US
                expected_us = billed_duration(cdr.answered_us, cdr.ended_us, known.granted_us, longest_us)
                if cdr.billed_us != expected_us or len(known.levels) != len(cdr.charges):
                    broken.append(f"{cdr.session_id} is charged for another time, or not at all levels")
            for x in cdr.charges:
                rate, tariff = self.catalogue.rate(x.rate_id), self.catalogue.tariff(x.tariff_version_id)
                owed = charge(rate, tariff, cdr.billed_us)
                if x.total + x.uncollected != owed.total or x.tax != tax_taken(owed, x.total):
                    broken.append(f"{cdr.session_id} level {x.level} does not follow from its rate")
                took = entries[x.entry_id].postings[0].amount if x.entry_id else 0
                if took != x.total:
                    broken.append(f"{cdr.session_id} level {x.level} took {took} for {x.total}")
        return broken
