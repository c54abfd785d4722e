"""What every format is read into: one UsageRecord per line, or the reason why it is none."""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from pbxbill.charging.events import Direction

RAW_KEPT = 4000
"""Of a line that could not be rated, so many characters are kept to be looked at."""


class Kind(StrEnum):
    """What a record speaks of."""

    CALL = "call"
    EVENT = "event"
    """Messages, bytes or items at one moment."""
    READING = "reading"
    """What a meter showed."""


class Reason(StrEnum):
    """Why a record is in quarantine. The first ones say that the line itself cannot be read."""

    COLUMNS = "columns"
    NOT_JSON = "not_json"
    TOO_LONG = "too_long"
    CUT = "cut"
    NOT_TEXT = "not_text"
    FINGERPRINT_MISSING = "fingerprint_missing"
    """None of the columns that tell it from other records has anything in it."""
    FIELD_MISSING = "field_missing"
    FIELD_MALFORMED = "field_malformed"
    TIME_AMBIGUOUS = "time_ambiguous"
    TIME_ABSURD = "time_absurd"
    TIMES_DISORDERED = "times_disordered"
    FUTURE = "future"
    QUANTITY_ABSURD = "quantity_absurd"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_INCOMPLETE = "account_incomplete"
    """It, or an account above it, has no tariff or no wallet in the tariff's unit."""
    NUMBER_UNUSABLE = "number_unusable"
    RATE_MISSING = "rate_missing"
    CONTRADICTORY = "contradictory"
    """Another record has its fingerprint."""
    METER_UNKNOWN = "meter_unknown"
    READING_REFUSED = "reading_refused"
    NOT_CHARGEABLE = "not_chargeable"
    FAULT = "fault"


SHAPE = frozenset(
    {
        Reason.COLUMNS,
        Reason.NOT_JSON,
        Reason.FINGERPRINT_MISSING,
        Reason.FIELD_MISSING,
        Reason.FIELD_MALFORMED,
    }
)
"""What a whole file has in common when its mapping is another file's."""


class Unusable(NamedTuple):
    """A line that cannot be charged; detail is a sentence that names the field and what to do."""

    reason: Reason
    detail: str
    field: str = ""


class Identification(NamedTuple):
    """What may name the account, by kind of endpoint; tried in the order of a live call."""

    did: str = ""
    account_code: str = ""
    source_ip: str = ""
    caller_id: str = ""

    def __str__(self) -> str:
        """What would name an account: a caller ID counts only where there is no account code."""
        kinds = ("did", "sip", "ip", "caller_id")
        named = [(kind, value) for kind, value in zip(kinds, self, strict=True) if value]
        if self.account_code:
            named = [(kind, value) for kind, value in named if kind != "caller_id"]
        return ", ".join(f"{kind} {value[:40]!r}" for kind, value in named)


class UsageRecord(NamedTuple):
    """One thing that was used, as its source tells it. Moments are UTC microseconds."""

    key: str
    """Made from the record's fingerprint: the session that it is charged under, once."""
    kind: Kind
    account: Identification
    direction: Direction
    caller: str
    called: str
    started_us: int
    answered_us: int | None
    """None: nobody answered, nothing is owed. For an event its moment."""
    ended_us: int
    quantity: int
    """Pieces of the measure; of a call its microseconds since the answer."""
    measure: str
    service: str
    """Of an event: which of the account's tariffs rates it."""
    call_ids: tuple[str, ...]
    """The switch's own; a call that a daemon charged under one of them is not charged again."""
    session_id: str
    """pbxbill's own, where the record carries it."""
    gateway: str
    hangup_cause: int
    ringing_us: int | None = None
    """Post-dial delay of a call; None: the source does not tell."""


def record_key(namespace: str, values: Iterable[str]) -> str:
    """32 hexadecimal digits made from what makes a record that record."""
    text = "\x1f".join([namespace, *values])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
