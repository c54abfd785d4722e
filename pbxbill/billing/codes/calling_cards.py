"""Calling cards: PINs by which callers are known at access numbers, and caller IDs that need none.

A PIN is drawn here, told once and kept as a hash. What a card calls is charged to its account through an
endpoint of its own, kind sip, value card:ID, so that limits and tariffs of endpoints hold for cards too.
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.codes.code_hashing import Purpose, hashed
from pbxbill.billing.codes.guessing import GuessKind, succeeded
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import add_endpoint
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow

LEAST_PIN_DIGITS, MOST_PIN_DIGITS, USUAL_PIN_DIGITS = 8, 20, 10
MAX_NAME_LENGTH = 64
MAX_CALLER_LENGTH = 32
_DRAWS = 20
"""Of ten digits none is drawn twice before there are very many cards."""


@dataclass(frozen=True, slots=True)
class NewCard:
    """A card, and the PIN that is told this once."""

    card_id: int
    pin: str


def card_endpoint(card_id: int) -> str:
    """By what a card's calls are charged."""
    return f"card:{card_id}"


def add_card(
    session: Session,
    account: AccountRow,
    now_us: int,
    *,
    digits: int = USUAL_PIN_DIGITS,
    name: str = "",
    expires_us: int | None = None,
) -> NewCard:
    """Make a card of an account."""
    if account.kind == "operator":
        raise InputRefused("the operator has no wallet that a card could draw on")
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise InputRefused(f"a card's name has up to {MAX_NAME_LENGTH} printable characters")
    pin, pin_hash = _drawn(session, digits)
    card = CallingCardRow(
        account_id=account.id,
        name=name,
        pin_hash=pin_hash,
        state="active",
        expires_us=expires_us,
        created_us=now_us,
    )
    session.add(card)
    session.flush()
    add_endpoint(session, account, "sip", card_endpoint(card.id))
    return NewCard(card.id, pin)


def new_pin(session: Session, card: CallingCardRow, digits: int = USUAL_PIN_DIGITS) -> str:
    """Give a card another PIN, for one that was lost; the old one opens nothing from now on."""
    pin, card.pin_hash = _drawn(session, digits)
    session.flush()
    return pin


def card_by_id(session: Session, card_id: int) -> CallingCardRow:
    """A card; InputRefused if there is none."""
    card = session.get(CallingCardRow, card_id)
    if card is None:
        raise InputRefused(f"there is no card {card_id}; `pbxbill cards list` shows them")
    return card


def card_of_pin(session: Session, pin_hash: str) -> CallingCardRow | None:
    """The card that a PIN of this hash opens, whatever its state."""
    return session.scalar(
        select(CallingCardRow)
        .where(CallingCardRow.pin_hash == pin_hash)
        .execution_options(populate_existing=True)
    )


def is_usable(card: CallingCardRow, now_us: int) -> bool:
    """Whether a card may be used now."""
    return card.state == "active" and (card.expires_us is None or now_us < card.expires_us)


def block(session: Session, card: CallingCardRow) -> None:
    """Nobody is let in with it, and no further call begins; one that is up goes on."""
    card.state = "blocked"
    session.flush()


def unblock(session: Session, card: CallingCardRow) -> None:
    """Let it be used again, and forgive what was guessed at it."""
    card.state = "active"
    session.flush()
    succeeded(session, GuessKind.PIN_CARD, str(card.id))
    for number in session.scalars(select(KnownCallerRow.number).where(KnownCallerRow.card_id == card.id)):
        succeeded(session, GuessKind.PIN_CALLER, number)


# --- caller IDs ---------------------------------------------------------------------------------


def caller_number(text: str) -> str:
    """A caller's number as it is compared; "" if it is none."""
    number = text.strip().removeprefix("+")
    return number if number.isascii() and number.isdigit() and len(number) <= MAX_CALLER_LENGTH else ""


def add_known_caller(session: Session, card: CallingCardRow, number: str, now_us: int) -> str:
    """Let a caller ID stand for a card's PIN, where an access number's terms allow that."""
    digits = caller_number(number)
    if len(digits) < 3:
        raise InputRefused(f"{number[:40]!r} is no caller's number: 3 to {MAX_CALLER_LENGTH} digits")
    known = session.get(KnownCallerRow, digits)
    if known is not None:
        whose = "this card" if known.card_id == card.id else "another card"
        raise InputRefused(f"caller {digits} stands for {whose} already")
    session.add(KnownCallerRow(number=digits, card_id=card.id, created_us=now_us))
    session.flush()
    return digits


def remove_known_caller(session: Session, number: str) -> None:
    """Ask this caller for a PIN from now on."""
    known = session.get(KnownCallerRow, caller_number(number))
    if known is None:
        raise InputRefused(f"caller {number[:40]} stands for no card")
    session.delete(known)
    session.flush()


def card_of_caller(session: Session, number: str) -> CallingCardRow | None:
    """The card that a caller ID stands for, whatever its state."""
    digits = caller_number(number)
    known = session.get(KnownCallerRow, digits) if digits else None
    return session.get(CallingCardRow, known.card_id) if known is not None else None


def _drawn(session: Session, digits: int) -> tuple[str, str]:
    if not LEAST_PIN_DIGITS <= digits <= MOST_PIN_DIGITS:
        raise InputRefused(f"a PIN has {LEAST_PIN_DIGITS} to {MOST_PIN_DIGITS} digits")
    for _ in range(_DRAWS):
        pin = f"{secrets.randbelow(10**digits):0{digits}d}"
        pin_hash = hashed(session, pin, Purpose.PIN)
        taken = select(CallingCardRow.id).where(CallingCardRow.pin_hash == pin_hash)
        if session.scalar(taken) is None:
            return pin, pin_hash
    raise InputRefused(f"nearly every PIN of {digits} digits is in use; make longer ones")
