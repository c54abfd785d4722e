"""Lists of bundles: what an issuer includes per cycle, and which accounts have one of them."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, or_, select
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
from pbxbill.store.models import AccountRow

BUNDLE_ID = "bundle_id"
"""The filter that the address's path says."""


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
        Column("measure", N_("Of"), ColumnKind.STATE),
        Column("cycle", N_("Per"), ColumnKind.STATE),
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


def bundle_holders(now_us: Callable[[], int]) -> Listing:
    """The list of accounts that have a bundle now, or will."""

    def rows(_session: Session, scope: Scope) -> Rows:
        held = AccountBundleRow
        return (
            select(
                held.id.label("id"),
                held.account_id.label("account_id"),
                held.from_us.label("from_us"),
                held.to_us.label("to_us"),
                AccountRow.code.label("account"),
                AccountRow.name.label("name"),
            )
            .join(AccountRow, AccountRow.id == held.account_id)
            .where(scope.among(held.account_id), or_(held.to_us.is_(None), held.to_us > now_us()))
        )

    return Listing(
        name="bundle-holders",
        title=N_("Accounts that have it"),
        permission=Permission.CATALOGUE_READ,
        columns=(
            Column("account", N_("Account"), ColumnKind.CODE),
            Column("name", N_("Name"), wide=True),
            Column("from_us", N_("From"), ColumnKind.MOMENT),
            Column("to_us", N_("Until"), ColumnKind.MOMENT),
        ),
        rows=rows,
        orders=(
            Order("account", N_("Account"), AccountRow.code, AccountBundleRow.id),
            Order("newest", N_("Newest first"), AccountBundleRow.id, AccountBundleRow.id, descending=True),
        ),
        filters=(
            Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
            Filter(BUNDLE_ID, N_("Bundle"), equals(AccountBundleRow.bundle_id), FilterKind.NUMBER),
        ),
    )
