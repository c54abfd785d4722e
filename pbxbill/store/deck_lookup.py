"""Finds rate decks and their versions."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.models import DeckVersionRow, RateDeckRow


def deck_by_name(session: Session, name: str) -> RateDeckRow:
    """A deck; InputRefused if there is none of that name."""
    deck = session.scalar(select(RateDeckRow).where(RateDeckRow.name == name))
    if deck is None:
        raise InputRefused(f"no rate deck {name!r}; `pbxbill rates import` makes one")
    return deck


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
