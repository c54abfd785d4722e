"""The list of bundles: what an issuer includes per cycle, and how often accounts have got it."""

from typing import Any

from sqlalchemy import func, select
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
from pbxbill.rating.bundle import Measure
from pbxbill.store.catalogue_models import AccountBundleRow, BundleRow


def _rows(_session: Session, scope: Scope) -> Rows:
    return select(
        BundleRow.id.label("id"),
        BundleRow.name.label("name"),
        BundleRow.measure.label("measure"),
        BundleRow.pieces.label("pieces"),
        BundleRow.cycle.label("cycle"),
        BundleRow.zone.label("zone"),
        BundleRow.destinations.label("destinations"),
        BundleRow.shared.label("shared"),
        BundleRow.rollover_cycles.label("rollover_cycles"),
        BundleRow.priority.label("priority"),
    ).where(scope.issued(BundleRow.issuer_id))


def _given(session: Session, rows: list[dict[str, Any]]) -> None:
    counted = session.execute(
        select(AccountBundleRow.bundle_id, func.count())
        .where(AccountBundleRow.bundle_id.in_([x["id"] for x in rows]))
        .group_by(AccountBundleRow.bundle_id)
    )
    counts: dict[int, int] = {row[0]: row[1] for row in counted}
    for row in rows:
        row["given"] = counts.get(row["id"], 0)
        row["destinations"] = ", ".join(row["destinations"].split("\n")) or None


BUNDLES = Listing(
    name="bundles",
    title=N_("Bundles"),
    permission=Permission.CATALOGUE_READ,
    columns=(
        Column("name", N_("Name")),
        Column("pieces", N_("Included"), ColumnKind.COUNT),
        Column("measure", N_("Of"), ColumnKind.TEXT),
        Column("cycle", N_("Per"), ColumnKind.TEXT),
        Column("destinations", N_("Destinations"), wide=True),
        Column("shared", N_("Shared"), ColumnKind.YES_NO, wide=True),
        Column("rollover_cycles", N_("Cycles kept"), ColumnKind.COUNT, wide=True),
        Column("given", N_("Given"), ColumnKind.COUNT),
    ),
    rows=_rows,
    orders=(
        Order("name", N_("Name"), BundleRow.name, BundleRow.id),
        Order("newest", N_("Newest first"), BundleRow.id, BundleRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Name"), contains(BundleRow.name)),
        Filter(
            "measure",
            N_("Of"),
            equals(BundleRow.measure),
            FilterKind.CHOICE,
            tuple((x.value, x.value.capitalize()) for x in Measure),
        ),
    ),
    finish=_given,
)
