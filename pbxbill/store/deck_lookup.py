"""Finds rate decks and their versions."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.accounts import issuer_or_operator
from pbxbill.store.models import DeckVersionRow, RateDeckRow


def deck_by_name(session: Session, name: str, issuer_id: int | None = None) -> RateDeckRow:
    """A deck of an issuer, the operator unless said; InputRefused if he has none of that name."""
    deck = find_deck(session, name, issuer_id)
    if deck is None:
        raise InputRefused(f"no rate deck {name!r}; `pbxbill rates import` makes one")
    return deck


def find_deck(session: Session, name: str, issuer_id: int | None = None) -> RateDeckRow | None:
    """The same, where there may be none yet."""
    owner_id = issuer_or_operator(session, issuer_id)
    return session.scalar(
        select(RateDeckRow).where(RateDeckRow.issuer_id == owner_id, RateDeckRow.name == name)
    )


def version_in_force(session: Session, deck_id: int, at_us: int) -> DeckVersionRow | None:
    """The version of a deck that counts at a moment."""
    return session.scalar(
        select(DeckVersionRow)
        .where(
            DeckVersionRow.deck_id == deck_id,
            DeckVersionRow.rate_count > 0,
            DeckVersionRow.effective_from_us <= at_us,
        )
        .order_by(DeckVersionRow.effective_from_us.desc(), DeckVersionRow.number.desc())
        .limit(1)
    )


def newest_number(session: Session, deck_id: int) -> int:
    """The number of the newest whole version of a deck; 0 if there is none."""
    numbers = select(func.max(DeckVersionRow.number)).where(
        DeckVersionRow.deck_id == deck_id, DeckVersionRow.rate_count > 0
    )
    return session.scalar(numbers) or 0
