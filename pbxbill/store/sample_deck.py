"""A few rates to begin with, until a real deck is imported: who tries pbxbill out can call at once."""

from sqlalchemy.orm import Session

from pbxbill.money import compile_price, parse_decimal
from pbxbill.store.decks import NewRate, add_deck_version
from pbxbill.store.models import DeckVersionRow

SAMPLE: tuple[tuple[str, str, str], ...] = (
    ("1", "USA and Canada", "0.02"),
    ("33", "France", "0.02"),
    ("336", "France mobile", "0.06"),
    ("337", "France mobile", "0.06"),
    ("34", "Spain", "0.02"),
    ("346", "Spain mobile", "0.06"),
    ("44", "United Kingdom", "0.02"),
    ("447", "United Kingdom mobile", "0.06"),
    ("49", "Germany", "0.02"),
    ("4915", "Germany mobile", "0.06"),
    ("4916", "Germany mobile", "0.06"),
    ("4917", "Germany mobile", "0.06"),
    ("91", "India", "0.03"),
    ("", "Elsewhere", "1"),
)
"""Prefix, destination and price per minute."""


def add_sample_deck(session: Session, name: str, unit: str, now_us: int) -> DeckVersionRow:
    """Write it as a deck of the operator's; a deck of that name gets it as its newest version."""
    rates = [NewRate(prefix, place, compile_price(parse_decimal(price))) for prefix, place, price in SAMPLE]
    return add_deck_version(
        session,
        deck_name=name,
        unit=unit,
        rates=rates,
        effective_from_us=now_us,
        source="sample",
        now_us=now_us,
    )
