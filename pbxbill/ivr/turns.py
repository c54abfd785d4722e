"""What a line is asked to do, and what it tells back: the two vocabularies of the dialogue."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pbxbill.charging.announcement import Token
from pbxbill.charging.events import DenialReason
from pbxbill.money import Unit


@dataclass(frozen=True, slots=True)
class Card:
    """Who is known to be calling, and what he has."""

    card_id: int
    account_id: int
    endpoint: str
    """By what its calls are charged: the value of its endpoint of kind sip."""
    available: int
    unit: Unit
    valid_until: date | None = None
    """The last day, in the account's zone."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call came to."""

    amount: int
    unit: Unit


class Ending(StrEnum):
    """How a dialled call ended."""

    TALKED = "talked"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"


# --- what a line does ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """Words in one language."""

    language: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Say this until a key is pressed, and collect up to most keys, to the end or #. Answer: Heard."""

    parts: tuple[Part, ...]
    most: int
    first_s: int
    digit_s: int
    secret: bool = False
    """No log of the switch is to hold what is pressed, as far as it can be kept from it."""


@dataclass(frozen=True, slots=True)
class Say:
    """Say this; a key cuts it short. Answer: Said."""

    part: Part


@dataclass(frozen=True, slots=True)
class Wait:
    """Say nothing for so long. Answer: Said."""

    wait_s: int


@dataclass(frozen=True, slots=True)
class FindCaller:
    """Look whether the caller's number is a known one. Answer: CardKnown or CallerUnknown."""


@dataclass(frozen=True, slots=True)
class CheckPin:
    """Answer: CardKnown, PinWrong."""

    pin: str


@dataclass(frozen=True, slots=True)
class Redeem:
    """Answer: Refilled, VoucherWrong."""

    code: str


@dataclass(frozen=True, slots=True)
class FindLastCall:
    """Answer: LastCall."""


@dataclass(frozen=True, slots=True)
class Authorize:
    """Ask whether this number may be called, and reserve. Answer: Allowed, NotAllowed."""

    number: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Call what was allowed. The dialogue is over; another one begins with Resumed."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The end."""


Act = Ask | Say | Wait | FindCaller | CheckPin | Redeem | FindLastCall | Authorize | Dial | HangUp


# --- what it tells ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """Somebody called."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A call that was dialled is over and the caller is still there."""

    card: Card
    language: str
    ending: Ending
    cost: Cost | None = None
    """None: nothing is owed for it, or nobody knows yet."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The keys that were pressed; "" if none was."""

    digits: str


@dataclass(frozen=True, slots=True)
class Said:
    """Everything was said, or cut short."""


@dataclass(frozen=True, slots=True)
class CardKnown:
    """This card calls."""

    card: Card


@dataclass(frozen=True, slots=True)
class CallerUnknown:
    """The caller's number says nothing."""


@dataclass(frozen=True, slots=True)
class PinWrong:
    """No card has this PIN, it may not be used, or nobody looked: who guesses too much learns nothing."""

    wait_s: int = 0
    """How long nothing is looked at."""


@dataclass(frozen=True, slots=True)
class Refilled:
    """A voucher was redeemed."""

    amount: int
    unit: Unit
    card: Card


@dataclass(frozen=True, slots=True)
class VoucherWrong:
    """It was not."""

    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class LastCall:
    """What the card's last call came to; None: there was none."""

    cost: Cost | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call may be dialled, and may last so long."""

    affordable_s: int


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """It may not."""

    reason: DenialReason


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked for cannot be had now: the database is away."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The caller hung up."""


Found = (
    CardKnown | CallerUnknown | PinWrong | Refilled | VoucherWrong | LastCall | Allowed | NotAllowed | Failed
)
Told = Started | Resumed | Heard | Said | Found | Gone
