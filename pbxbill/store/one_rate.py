"""One prefix of a deck by hand: its rate corrected, added or ended.

What is wanted becomes a small sheet that amends the deck, and is shown, agreed to and written as any other.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused, TermRefused
from pbxbill.rating.deck import is_prefix
from pbxbill.rating.deck_change import in_force
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.sheet_cells import DEFAULT_ROUTE
from pbxbill.rating.tariff import PPM, Rate
from pbxbill.store.deck_export import COLUMNS, sheet_of
from pbxbill.store.deck_import import USUAL_MAX_PRICE
from pbxbill.store.deck_lookup import version_in_force
from pbxbill.store.models import RateDeckRow, RateRow
from pbxbill.store.rate_uploads import Upload

STEEP_PPM = PPM // 5
"""Rises above a fifth are told."""


class RatePrices(NamedTuple):
    """What is said of a prefix; its bands, steps and highest charge stay as they are."""

    destination: str
    price_per_min: int
    connection_fee: int = 0
    minimum_charge: int = 0
    initial_increment_s: int = 1
    following_increment_s: int = 1
    free_s: int = 0


@dataclass(frozen=True, slots=True)
class Saying:
    """Who says so, and from when on."""

    by: str
    now_us: int
    effective_us: int | None = None
    """None: as soon as it is agreed to."""
    against: str | None = None
    """A sales deck whose prices must not be below."""


def read_prefix(text: str) -> str:
    """A prefix as people write it: +49 30, or * for what no other prefix rates."""
    digits = "".join(text.split()).removeprefix("+")
    if digits == DEFAULT_ROUTE:
        return ""
    if not digits or not is_prefix(digits):
        raise TermRefused("a prefix is up to 15 digits, or * for every number that has no other", "prefix")
    return digits


def rate_of(session: Session, deck_id: int, prefix: str, at_us: int) -> Rate | None:
    """The rate of exactly this prefix that counts at a moment."""
    return in_force(_rates(session, deck_id, prefix, at_us), at_us)


def prices_of(rate: Rate) -> RatePrices:
    """What a rate says of its prefix now."""
    return RatePrices(
        rate.destination,
        rate.price_per_min,
        rate.connection_fee,
        rate.minimum_charge,
        rate.initial_increment_s,
        rate.following_increment_s,
        rate.free_s,
    )


def upload_of_rate(
    session: Session, deck: RateDeckRow, prefix: str, prices: RatePrices, said: Saying
) -> Upload:
    """A prefix gets these prices, be it new or not; rates of it that begin later stay."""
    at_us = said.effective_us or said.now_us
    rates = _rates(session, deck.id, prefix, at_us)
    kept = in_force(rates, at_us)
    later = [x for x in rates if x is not kept and (x.effective_to_us is None or x.effective_to_us > at_us)]
    if kept is None:
        ends_us = min((x.effective_from_us for x in later if x.effective_from_us is not None), default=None)
        new = Rate(0, prefix, *prices, effective_to_us=ends_us)
    elif kept.terms is not None and kept.terms.banded_only:
        raise InputRefused("this prefix has prices in bands alone: a sheet changes them")
    else:
        new = kept._replace(**prices._asdict())
    return _upload(deck, prefix, sheet_of([new, *later]), said, {})


def upload_of_end(session: Session, deck: RateDeckRow, prefix: str, said: Saying) -> Upload:
    """A prefix has no rate of its own any more: a shorter prefix rates its numbers, or none does."""
    if not _rates(session, deck.id, prefix, said.effective_us or said.now_us):
        raise TermRefused("this prefix has no rate of its own then", "prefix")
    heading = (",".join(COLUMNS) + "\n").encode()
    return _upload(deck, prefix, heading, said, {"ended": [prefix]})


def _rates(session: Session, deck_id: int, prefix: str, at_us: int) -> list[Rate]:
    version = version_in_force(session, deck_id, at_us)
    if version is None:
        raise InputRefused("the deck has no version that counts then: import a whole sheet first")
    rows = session.scalars(
        select(RateRow)
        .where(RateRow.deck_version_id == version.id, RateRow.prefix == prefix)
        .order_by(RateRow.id)
    )
    return [
        Rate(
            x.id,
            x.prefix,
            x.destination,
            x.price_per_min,
            x.connection_fee,
            x.minimum_charge,
            x.initial_increment_s,
            x.following_increment_s,
            x.free_s,
            x.effective_from_us,
            x.effective_to_us,
            terms_from_json(x.terms),
        )
        for x in rows
    ]


def _upload(deck: RateDeckRow, prefix: str, content: bytes, said: Saying, more: dict[str, Any]) -> Upload:
    options = {
        "amend": True,
        "effective_us": said.effective_us,
        "against": said.against,
        "steep_ppm": STEEP_PPM,
        "max_price": USUAL_MAX_PRICE,
    }
    name = f"prefix-{prefix or 'default'}.csv"
    return Upload(deck.issuer_id, said.by, deck.name, name, content, options | more)
