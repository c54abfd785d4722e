"""The list of the rates of one deck version: searched by prefix, by number, by destination."""

from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.decks import visible_decks
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    FilterRefused,
    Listing,
    Order,
    Rows,
    contains,
    equals,
)
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.rate_text import plain_price, price_text
from pbxbill.rating.tariff import Rate
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow

MAX_DIGITS = 20


def _rows(session: Session, scope: Scope) -> Rows:
    # Looked up first, and not joined: a page of a million rates is read in the index's order.
    visible = session.scalars(
        select(DeckVersionRow.id)
        .join(RateDeckRow, RateDeckRow.id == DeckVersionRow.deck_id)
        .where(visible_decks(session, scope), DeckVersionRow.rate_count > 0)
    ).all()
    return select(
        RateRow.id.label("id"),
        RateRow.prefix.label("prefix"),
        RateRow.destination.label("destination"),
        RateRow.price_per_min.label("price"),
        RateRow.connection_fee.label("fee"),
        RateRow.minimum_charge.label("minimum"),
        RateRow.initial_increment_s.label("initial_s"),
        RateRow.following_increment_s.label("following_s"),
        RateRow.free_s.label("free_s"),
        RateRow.effective_from_us.label("from_us"),
        RateRow.effective_to_us.label("to_us"),
        RateRow.terms.label("terms_json"),
    ).where(RateRow.deck_version_id.in_(visible))


def below_prefix(prefix: str) -> Any:
    """The condition that a rate's prefix begins with these digits; an index serves it in any collation."""
    last = prefix.rstrip("9")
    # 49 to below 5; of nines alone nothing but longer nines follows.
    if not last:
        return RateRow.prefix >= prefix
    return and_(RateRow.prefix >= prefix, RateRow.prefix < last[:-1] + str(int(last[-1]) + 1))


def _by_prefix(query: Rows, text: str) -> Rows:
    if text.strip() == "*":
        return query.where(RateRow.prefix == "")
    return query.where(below_prefix(_digits("prefix", text)))


def _by_number(query: Rows, text: str) -> Rows:
    digits = _digits("number", text)
    return query.where(RateRow.prefix.in_([digits[:length] for length in range(len(digits) + 1)]))


def _digits(key: str, text: str) -> str:
    digits = "".join(text.split()).lstrip("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS):
        raise FilterRefused(key, f"{text[:40]!r} is not digits; write them like 4930")
    return digits


def _prices(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        terms = row.pop("terms_json")
        row["prefix"] = row["prefix"] or "*"
        row["increments"] = f"{row['initial_s']}/{row['following_s']}"
        rate = Rate(row["id"], row["prefix"], row["destination"], row["price"])
        row["terms"] = price_text(rate._replace(terms=terms_from_json(terms))) if terms else None
        for key in ("price", "fee", "minimum"):
            row[key] = plain_price(row[key]) if row[key] or key == "price" else None
        row["free_s"] = row["free_s"] or None


RATES = Listing(
    name="rates",
    title=N_("Rates"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("prefix", N_("Prefix"), ColumnKind.CODE),
        Column("destination", N_("Destination")),
        Column("price", N_("Price"), ColumnKind.CODE),
        Column("fee", N_("Connection fee"), ColumnKind.CODE, wide=True),
        Column("increments", N_("Increments"), ColumnKind.CODE, wide=True),
        Column("minimum", N_("Minimum charge"), ColumnKind.CODE, wide=True),
        Column("free_s", N_("Free seconds"), ColumnKind.COUNT, wide=True),
        Column("terms", N_("Bands and steps"), wide=True),
        Column("from_us", N_("From"), ColumnKind.DAY, wide=True),
        Column("to_us", N_("Until"), ColumnKind.DAY, wide=True),
    ),
    rows=_rows,
    orders=(Order("prefix", N_("Prefix"), RateRow.prefix, RateRow.id),),
    filters=(
        Filter("version", N_("Version"), equals(RateRow.deck_version_id), FilterKind.NUMBER),
        Filter("prefix", N_("Prefix begins with"), _by_prefix),
        Filter("destination", N_("Destination"), contains(RateRow.destination)),
        Filter("number", N_("Rates a number"), _by_number),
    ),
    finish=_prices,
)
