"""What an explanation holds: facts about a call, frozen when it was charged, with nothing left to look up."""

from dataclasses import dataclass

from pbxbill.charging.arithmetic import Line
from pbxbill.money import Unit
from pbxbill.rating.exchange import ExchangeRate
from pbxbill.rating.margin import Margin
from pbxbill.rating.tariff import Rate, Tariff


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the record, or an open reservation, says about the call."""

    session_id: str
    switch: str
    call_id: str
    direction: str
    account: str
    """Code; empty: nobody was identified."""
    caller: str
    dialled: str
    called: str
    destination: str
    state: str
    """reserved, answered, settled, voided, denied, imported (from a file), or unauthorized (it passed and
    was charged afterwards)."""
    started_us: int
    answered_us: int | None
    ended_us: int | None
    """None: the call lives."""
    billed_us: int
    granted_us: int
    hangup_cause: int
    denial: str
    detail: str
    evidence: str
    shadow: str | None = None
    """None: enforced. Else what enforcement would have done; empty: nothing else."""
    ringing_us: int | None = None
    """From dialling to the first ringing; None: not known."""

    @property
    def duration_us(self) -> int:
        """How long the switch had the call up."""
        if self.answered_us is None or self.ended_us is None:
            return 0
        return max(0, self.ended_us - self.answered_us)

    @property
    def uncharged_us(self) -> int:
        """What the call lasted beyond what is charged: lateness of the cut, or the longest call."""
        return max(0, self.duration_us - self.billed_us)


@dataclass(frozen=True, slots=True)
class DeckOrigin:
    """Which import a rate row came from."""

    deck: str
    number: int
    source: str
    effective_from_us: int


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One leg of the level's journal entry."""

    ledger_account: str
    amount: int


@dataclass(frozen=True, slots=True)
class WalletShare:
    """What one wallet gave for a level, or has reserved."""

    unit: Unit
    total: int | None
    """What was taken, with tax; None: the call is not charged yet."""
    tax: int
    uncollected: int
    """In the tariff's unit."""
    reserved: int
    exchange: ExchangeRate | None
    entry_id: str
    postings: tuple[PostingLine, ...]


@dataclass(frozen=True, slots=True)
class Correction:
    """What a re-rating changed of a level afterwards."""

    run_id: int
    at_us: int
    unit: Unit
    old_total: int
    new_total: int
    tax_delta: int
    uncollected_delta: int
    rate_id: int
    tariff: str
    entry_id: str


@dataclass(frozen=True, slots=True)
class Repriced:
    """What a level is charged by since it was corrected the last time."""

    rate: Rate
    """With mark-ups."""
    tariff: Tariff
    arithmetic: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class LevelExplanation:
    """One level of the account chain."""

    level: int
    account: str
    rate: Rate
    """With mark-ups."""
    marked_up: tuple[Line, ...]
    """From the topmost level's price to this one's."""
    origin: DeckOrigin
    tariff: Tariff
    tariff_number: int
    arithmetic: tuple[Line, ...]
    shares: tuple[WalletShare, ...]
    limits: tuple[str, ...]
    """Spending limits that it counts in."""
    priced_anew: tuple[WalletShare, ...]
    """What earlier calls of the cycle cost more or less, since this one reached another step."""
    corrections: tuple[Correction, ...]
    repriced: Repriced | None = None
    """None: it was never corrected."""

    @property
    def total(self) -> int | None:
        """What the first wallet gave; None: the call is not charged yet."""
        return self.shares[0].total

    @property
    def tax(self) -> int:
        """The tax in it."""
        return self.shares[0].tax

    @property
    def postings(self) -> tuple[PostingLine, ...]:
        """Of the first wallet's entry."""
        return self.shares[0].postings


@dataclass(frozen=True, slots=True)
class Cost:
    """What the carrier asks for the call, without tax."""

    carrier: str
    gateway: str
    tariff: str
    unit: Unit
    rate_id: int | None
    prefix: str
    price_per_min: int
    billable_s: int
    cost: int
    margin: Margin | None
    """Of the topmost level's charge, in its unit; None: the two units cannot be compared."""


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One reserve, extend or shrink."""

    verb: str
    at_us: int
    granted_us: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that a call's charge follows from."""

    call: CallFacts
    levels: tuple[LevelExplanation, ...]
    history: tuple[HistoryStep, ...]
    cost: Cost | None = None

    @property
    def is_emergency(self) -> bool:
        """A call for help: it is free, so that no level pays for it."""
        return self.call.destination == "Emergency" and not self.levels
