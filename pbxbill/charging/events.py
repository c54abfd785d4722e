"""The commands that the charging engine takes and the outcomes it gives.

Commands are immutable and carry their own idempotency: a session_id for everything about one call,
a key for money that moves by hand. Sending a command again returns the first result. Durations are
microseconds since the answer; moments are UTC microseconds by the switch's clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import Unit


class Direction(StrEnum):
    """Who is charged: the caller's account, or the owner of the DID that was called."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class FailurePolicy(StrEnum):
    """What happens to an account's calls while the daemon or the database cannot be reached."""

    CLOSED = "closed"
    OPEN = "open"


POLICIES = {policy.value: policy for policy in FailurePolicy}
"""By what a row holds; asking the enumeration takes three times as long."""


class DenialReason(StrEnum):
    """Why a call may not go on; names as in RFC 8506, section 9.1, where it has one."""

    CREDIT_LIMIT_REACHED = "credit_limit_reached"
    END_USER_SERVICE_DENIED = "end_user_service_denied"
    """The account is suspended or closed."""
    USER_UNKNOWN = "user_unknown"
    RATING_FAILED = "rating_failed"
    """No rate for the destination, or the dialled digits are no number."""
    SERVICE_UNAVAILABLE = "service_unavailable"
    """Not in RFC 8506, as are those below: pbxbill itself could not decide in time."""
    SIMULTANEOUS_CALLS = "simultaneous_calls"
    """As many calls are up as the account, its reseller or the endpoint may have."""
    CALL_RATE = "call_rate"
    """More calls a second than allowed."""
    SPENDING_LIMIT = "spending_limit"
    """What may be spent in this hour, day or month is spent or reserved."""
    DESTINATION_BARRED = "destination_barred"
    COUNTRY_HELD = "country_held"
    """The first call to a country waits until somebody releases it."""
    SHORT_CALLS = "short_calls"
    """A burst of short calls."""
    LOSS_MAKING = "loss_making"
    """The call would cost the account above more than it brings."""


class Evidence(StrEnum):
    """Where the times of a settled call come from, best first."""

    EVENT = "event"
    """The switch's hang-up event."""
    CDR_LOG = "cdr_log"
    """The switch's own CDR file, read at reconciliation."""
    ESTIMATE = "estimate"
    """Nothing exact was left: the granted time, or when the call was last seen."""
    IMPORT = "import"
    """A record from elsewhere, read by mediation."""


_KEPT = {
    "call_id": 128,
    "caller": 64,
    "dialled": 64,
    "account_code": 200,
    "source_ip": 200,
    "caller_id": 200,
    "did": 200,
}
"""What a caller or a switch sent may be of any length; it is kept as far as a record holds it."""


def _storable(text: str, longest: int) -> str:
    """What every database takes: no control characters, no halves of characters, not too long."""
    if len(text) > longest:
        text = text[:longest]
    if text.isprintable():
        return text
    # Replaced, not removed: "20\0001" must not become another account's "2001".
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


# --- commands ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authorize:
    """May this call be bridged? Reserves its first slice. The adapter makes session_id with ids.new_id().

    The fields that identify the account are tried in this order: did (inbound only), account_code,
    source_ip (with the technical prefix that called starts with, if the endpoint has one), and caller_id,
    which a caller may choose and which therefore counts only where there is no account_code.
    account_code must come from the switch's own knowledge of the endpoint, never from what a caller sent.
    """

    session_id: str
    switch: str
    call_id: str
    direction: Direction
    dialled: str
    caller: str
    at_us: int
    account_code: str = ""
    source_ip: str = ""
    caller_id: str = ""
    did: str = ""
    shadow: bool = False
    """The switch only watches: the call is charged, and goes on whatever the answer would have been."""
    service: str = ""
    """What is used, where it is no call: messages, data. The account's tariff for it rates it."""

    def __post_init__(self) -> None:
        for name, longest in _KEPT.items():
            value = getattr(self, name)
            if len(value) > longest or not value.isprintable():
                object.__setattr__(self, name, _storable(value, longest))


@dataclass(frozen=True, slots=True)
class Answer:
    """The paid leg was answered."""

    session_id: str
    answered_us: int
    paid_leg: str
    gateway: str = ""
    """By which the switch sent the paid leg out."""
    ringing_us: int | None = None
    """Post-dial delay: how long after it was dialled the paid leg first rang, or sent or took media; None:
    not known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "paid_leg", _storable(self.paid_leg, 128))
        object.__setattr__(self, "gateway", _storable(self.gateway, 64))


@dataclass(frozen=True, slots=True)
class Extend:
    """Let the call last until want_us after its answer.

    Also the question "what is granted now?": the outcome is what stands in the database after it.
    """

    session_id: str
    want_us: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Settle:
    """The call ended; answered_us None: it was never answered (the same as Void)."""

    session_id: str
    answered_us: int | None
    ended_us: int
    hangup_cause: int
    evidence: Evidence = Evidence.EVENT
    gateway: str = ""
    """As in Answer; empty: what the answer said."""
    detail: str = ""
    """Why it ended, where the switch does not know: what the record is to say."""
    ringing_us: int | None = None
    """As in Answer; None: what the answer said."""


@dataclass(frozen=True, slots=True)
class Void:
    """The call was never answered; nothing is owed."""

    session_id: str
    ended_us: int
    hangup_cause: int
    evidence: Evidence = Evidence.EVENT
    detail: str = ""
    """As in Settle."""
    ringing_us: int | None = None
    """Of the leg that rang first; None: none did, as far as is known."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Nothing is known of the call any more: settle it from the best evidence the reservation holds.

    Answered: charged from its answer to last_seen_us (None: the end of what was granted). Else voided.
    """

    session_id: str
    at_us: int
    last_seen_us: int | None = None


@dataclass(frozen=True, slots=True)
class SettleOffline:
    """Charge a call that passed unauthorized (failure policy open), from the switch's CDR."""

    request: Authorize
    answered_us: int
    ended_us: int
    hangup_cause: int
    paid_leg: str = ""
    evidence: Evidence = Evidence.CDR_LOG
    unasked: bool = False
    """The dialplan let it pass by itself: never believed of an account whose failure policy is closed."""
    gateway: str = ""
    owed_in_full: bool = False
    """A record of what has been used: charged even below the floor, which a top-up pays back first."""
    quantity: int | None = None
    """Pieces used, where the request's service is no call."""
    ringing_us: int | None = None
    """As in Answer."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """Funds received: adds to a wallet."""

    idempotency_key: str
    account_id: int
    unit: str
    amount: int
    at_us: int
    memo: str = ""


@dataclass(frozen=True, slots=True)
class Adjust:
    """Money put into (positive) or taken out of (negative) a wallet by the operator.

    What calls have reserved but not used yet can be taken back: those calls are shortened.
    """

    idempotency_key: str
    account_id: int
    unit: str
    amount: int
    at_us: int
    memo: str = ""


@dataclass(frozen=True, slots=True)
class PostCharge:
    """A meter's reading, reckoned elsewhere, with its tax.

    Charged even below the floor: what was used is owed.
    """

    idempotency_key: str
    account_id: int
    unit: str
    total: int
    tax: int
    at_us: int
    memo: str = ""


@dataclass(frozen=True, slots=True)
class PostEntry:
    """An entry that billing has reckoned: what the wallet gets or gives, and where from or where to."""

    idempotency_key: str
    account_id: int
    unit: str
    amount: int
    """Into the wallet; below zero: out of it; 0: the issuer's books alone."""
    parts: tuple[tuple[LedgerCode, int], ...]
    """Postings on the issuer's books, debit above zero; they add up to amount."""
    kind: str
    """At most 16 characters, the journal entry's."""
    at_us: int
    memo: str = ""
    owed: bool = False
    """Taken even below the floor, which a top-up pays back first. Else Refused where funds are short."""
    reverses_id: str | None = None
    """The entry that this one is equal and opposite to."""


@dataclass(frozen=True, slots=True)
class SetCreditLimit:
    """Change how far below zero a wallet may go; never below what is already used or reserved."""

    account_id: int
    unit: str
    credit_limit: int
    at_us: int


Command = (
    Authorize
    | Answer
    | Extend
    | Settle
    | Void
    | Expire
    | SettleOffline
    | TopUp
    | Adjust
    | PostCharge
    | PostEntry
    | SetCreditLimit
)


# --- outcomes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the caller is to hear, in which language."""

    language: str = "en"
    balance: bool = False
    minutes: bool = False
    warning: bool = False
    denial: bool = True
    """Whether a caller hears why the call may not go on."""


class Granted(NamedTuple):
    """The call may go on, for granted_us after its answer."""

    session_id: str
    account_id: int
    account_code: str
    destination: str
    called: str
    """E.164 digits."""
    unit: Unit
    available: int
    """What the account may still spend, before this call's reservation."""
    affordable_us: int
    """How long that would last for this call, capped by the tariff's longest call."""
    granted_us: int
    final: bool
    slice_us: int
    renew_before_us: int
    max_call_us: int
    announcement: Announcement
    failure_policy: FailurePolicy
    wallet_ids: tuple[int, ...]
    offline: bool = False
    """Granted from memory while the database was away; reconciliation charges it from the CDR log."""
    shadow: bool = False
    """Nobody enforces it: no timer, no hang-up, no words."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The call may not go on."""

    session_id: str
    reason: DenialReason
    announcement: Announcement = Announcement()
    account_id: int | None = None
    detail: str = ""
    """For the operator's log and the CDR, never for the caller."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer is recorded; the money reserved so far ends at deadline_us."""

    session_id: str
    granted_us: int
    final: bool
    deadline_us: int


@dataclass(frozen=True, slots=True)
class Extended:
    """What is granted now; final: funds were short and the call ends there unless they grow."""

    session_id: str
    granted_us: int
    final: bool
    affordable_us: int
    """How long the call could last if nobody else spent from its wallets."""


class Settled(NamedTuple):
    """The call is charged, once; a repeated command gets the same figures."""

    session_id: str
    account_id: int
    unit: Unit
    billed_us: int
    total: int
    """The caller's account's charge, with tax."""
    uncollected: int
    """What was owed and could not be taken without overspending."""
    available: int
    """What the account may spend now."""


@dataclass(frozen=True, slots=True)
class Voided:
    """The reservation is released and nothing was charged."""

    session_id: str


@dataclass(frozen=True, slots=True)
class UnknownSession:
    """No reservation has this session_id."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The command came after the call had been settled or voided; nothing changed."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Money moved by hand; balance is what is posted, available what may be spent."""

    entry_id: str
    wallet_id: int
    balance: int
    available: int
    shortened: tuple[str, ...] = ()
    """Sessions whose granted time became shorter."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The money command cannot be done; nothing changed."""

    reason: str
    most: int | None = None
    """The largest amount that could be taken out now."""


Outcome = (
    Granted | Denied | Answered | Extended | Settled | Voided | UnknownSession | Closed | Moved | Refused
)
