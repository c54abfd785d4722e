"""The lists of rate decks and of their versions."""

from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    contains,
    equals,
)
from pbxbill.store.catalogue_models import ServiceTariffRow
from pbxbill.store.models import AccountRow, DeckVersionRow, RateDeckRow, TariffRow, TariffVersionRow


def visible_tariffs(scope: Scope) -> ColumnElement[bool]:
    """What somebody made himself, and what he himself is charged by."""
    if scope.is_everything:
        return scope.issued(TariffRow.issuer_id)
    charged = (
        exists()
        .where(
            AccountRow.id == scope.account_id,
            or_(AccountRow.tariff_id == TariffRow.id, AccountRow.inbound_tariff_id == TariffRow.id),
        )
        .correlate(TariffRow)
    )
    service = (
        exists()
        .where(ServiceTariffRow.account_id == scope.account_id, ServiceTariffRow.tariff_id == TariffRow.id)
        .correlate(TariffRow)
    )
    return or_(scope.issued(TariffRow.issuer_id), charged, service)


def visible_decks(session: Session, scope: Scope) -> ColumnElement[bool]:
    """Decks that somebody made himself, and those of the tariffs that he himself is charged by."""
    if scope.is_everything:
        return scope.issued(RateDeckRow.issuer_id)
    newest = (
        select(func.max(TariffVersionRow.number))
        .where(TariffVersionRow.tariff_id == TariffRow.id)
        .correlate(TariffRow)
        .scalar_subquery()
    )
    # They are few: looked up first, so that a page of a million rates has constants to go by.
    charged = session.scalars(
        select(TariffVersionRow.deck_id)
        .join(TariffRow, TariffRow.id == TariffVersionRow.tariff_id)
        .where(
            visible_tariffs(scope),
            TariffRow.issuer_id != scope.account_id,
            TariffVersionRow.number == newest,
            TariffVersionRow.deck_id.is_not(None),
        )
    ).all()
    return or_(scope.issued(RateDeckRow.issuer_id), RateDeckRow.id.in_(charged))


def _rows(session: Session, scope: Scope) -> Rows:
    return select(
        RateDeckRow.id.label("id"),
        RateDeckRow.name.label("name"),
        RateDeckRow.unit.label("unit"),
        RateDeckRow.measure.label("measure"),
        RateDeckRow.per.label("per"),
        (RateDeckRow.issuer_id == scope.account_id).label("own"),
    ).where(visible_decks(session, scope))


def _versions(session: Session, rows: list[dict[str, Any]]) -> None:
    """The newest version of each, and how many there are."""
    query = (
        select(DeckVersionRow)
        .where(DeckVersionRow.deck_id.in_([x["id"] for x in rows]), DeckVersionRow.rate_count > 0)
        .order_by(DeckVersionRow.deck_id, DeckVersionRow.number)
    )
    newest: dict[int, DeckVersionRow] = {x.deck_id: x for x in session.scalars(query)}
    for row in rows:
        found = newest.get(row["id"])
        row["version"] = found.number if found else None
        row["rates"] = found.rate_count if found else None
        row["effective_from_us"] = found.effective_from_us if found else None
        row["prices_for"] = prices_for(row["measure"], row["per"])


def prices_for(measure: str, per: int) -> str:
    """What a price of a deck is for."""
    return "1 min" if (measure, per) == ("seconds", 60) else f"{per} {measure}"


DECKS = Listing(
    name="decks",
    title=N_("Rate decks"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("name", N_("Name")),
        Column("unit", N_("Unit"), ColumnKind.CODE),
        Column("prices_for", N_("Prices per"), wide=True),
        Column("version", N_("Newest version"), ColumnKind.COUNT),
        Column("effective_from_us", N_("Counts from"), ColumnKind.MOMENT),
        Column("rates", N_("Rates"), ColumnKind.COUNT),
    ),
    rows=_rows,
    orders=(
        Order("name", N_("Name"), RateDeckRow.name, RateDeckRow.id),
        Order("newest", N_("Newest first"), RateDeckRow.id, RateDeckRow.id, descending=True),
    ),
    filters=(Filter("q", N_("Name"), contains(RateDeckRow.name)),),
    finish=_versions,
)


def _version_rows(session: Session, scope: Scope) -> Rows:
    return (
        select(
            DeckVersionRow.id.label("id"),
            DeckVersionRow.deck_id.label("deck_id"),
            DeckVersionRow.number.label("number"),
            DeckVersionRow.effective_from_us.label("effective_from_us"),
            DeckVersionRow.created_us.label("created_us"),
            DeckVersionRow.rate_count.label("rates"),
            DeckVersionRow.bands.label("bands"),
            DeckVersionRow.source.label("source"),
        )
        .join(RateDeckRow, RateDeckRow.id == DeckVersionRow.deck_id)
        .where(visible_decks(session, scope), DeckVersionRow.rate_count > 0)
    )


DECK_VERSIONS = Listing(
    name="deck-versions",
    title=N_("Versions"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("number", N_("Version"), ColumnKind.COUNT),
        Column("effective_from_us", N_("Counts from"), ColumnKind.MOMENT),
        Column("rates", N_("Rates"), ColumnKind.COUNT),
        Column("bands", N_("Bands"), wide=True),
        Column("source", N_("From the file"), wide=True),
        Column("created_us", N_("Written"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_version_rows,
    orders=(Order("newest", N_("Newest first"), DeckVersionRow.number, DeckVersionRow.id, descending=True),),
    filters=(Filter("deck", N_("Deck"), equals(DeckVersionRow.deck_id), FilterKind.NUMBER),),
)
