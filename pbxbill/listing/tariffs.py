"""The list of tariffs: by what calls are charged, with the terms that count now."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.decks import visible_tariffs
from pbxbill.listing.listing import N_, Column, ColumnKind, Filter, Listing, Order, Rows, contains
from pbxbill.rating.rate_text import plain_price
from pbxbill.rating.tariff import MarkUp
from pbxbill.rating.tariff_terms import mark_up_from_json
from pbxbill.store.models import AccountRow, RateDeckRow, TariffRow, TariffVersionRow


def _rows(_session: Session, scope: Scope) -> Rows:
    newer = aliased(TariffVersionRow)
    newest = (
        select(func.max(newer.number))
        .where(newer.tariff_id == TariffRow.id)
        .correlate(TariffRow)
        .scalar_subquery()
    )
    return (
        select(
            TariffRow.id.label("id"),
            TariffRow.name.label("name"),
            TariffVersionRow.number.label("version"),
            TariffVersionRow.unit.label("unit"),
            TariffVersionRow.tax_mode.label("tax_mode"),
            TariffVersionRow.tax_ppm.label("tax_ppm"),
            TariffVersionRow.mark_up.label("mark_up_json"),
            TariffVersionRow.created_us.label("created_us"),
            RateDeckRow.name.label("deck"),
            (TariffRow.issuer_id == scope.account_id).label("own"),
        )
        .select_from(TariffRow)
        .join(
            TariffVersionRow,
            (TariffVersionRow.tariff_id == TariffRow.id) & (TariffVersionRow.number == newest),
        )
        .outerjoin(RateDeckRow, RateDeckRow.id == TariffVersionRow.deck_id)
        .where(visible_tariffs(scope))
    )


def _users(session: Session, rows: list[dict[str, Any]]) -> None:
    """How many accounts are charged by each."""
    ids = [x["id"] for x in rows]
    counted = session.execute(
        select(AccountRow.tariff_id, func.count())
        .where(AccountRow.tariff_id.in_(ids))
        .group_by(AccountRow.tariff_id)
    )
    counts: dict[int | None, int] = {row[0]: row[1] for row in counted}
    for row in rows:
        written = row.pop("mark_up_json")
        row["prices"] = row["deck"] or (mark_up_text(mark_up_from_json(written)) if written else None)
        # How many others the operator charges by it is nobody's business.
        row["accounts"] = counts.get(row["id"], 0) if row["own"] else None
        row["tax_ppm"] = row["tax_ppm"] if row["tax_mode"] != "none" else None


def mark_up_text(mark_up: MarkUp) -> str:
    """A mark-up as people read it."""
    said = f"{mark_up.ppm / 10_000:+g} %" if mark_up.ppm else ""
    if mark_up.absolute:
        sign = "-" if mark_up.absolute < 0 else "+"
        said += f"{' and ' if said else ''}{sign}{plain_price(abs(mark_up.absolute))}"
    return said or "+0 %"


TARIFFS = Listing(
    name="tariffs",
    title=N_("Tariffs"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("name", N_("Name")),
        Column("prices", N_("Deck or mark-up")),
        Column("unit", N_("Unit"), ColumnKind.CODE),
        Column("tax_ppm", N_("Tax"), ColumnKind.PPM, wide=True),
        Column("version", N_("Version"), ColumnKind.COUNT, wide=True),
        Column("accounts", N_("Accounts"), ColumnKind.COUNT),
        Column("created_us", N_("Since"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("name", N_("Name"), TariffRow.name, TariffRow.id),
        Order("newest", N_("Newest first"), TariffRow.id, TariffRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Name"), contains(TariffRow.name)),
        Filter("deck", N_("Deck"), contains(RateDeckRow.name)),
    ),
    finish=_users,
)
