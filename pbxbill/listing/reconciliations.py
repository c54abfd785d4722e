"""Lists of reconciliation: what daemons found when they compared a switch with what is reserved."""

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
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.listing.operators import operators
from pbxbill.store.switch_models import DifferenceRow, ReconciliationRow


def _runs(_session: Session, scope: Scope) -> Rows:
    names = ("id", "at_us", "switch", "open_count", "live_count", "record_count")
    return select(*(getattr(ReconciliationRow, x).label(x) for x in names)).where(operators(scope))


def _counted(session: Session, rows: list[dict[str, Any]]) -> None:
    ids = [x["id"] for x in rows]
    query = (
        select(DifferenceRow.reconciliation_id, func.count().label("number"))
        .where(DifferenceRow.reconciliation_id.in_(ids))
        .group_by(DifferenceRow.reconciliation_id)
    )
    found = {row.reconciliation_id: row.number for row in session.execute(query)}
    for row in rows:
        row["differences"] = found.get(row["id"], 0)


RECONCILIATIONS = Listing(
    name="reconciliations",
    title=N_("Reconciliation"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("switch", N_("Switch"), ColumnKind.CODE),
        Column("open_count", N_("Open calls in the books"), ColumnKind.COUNT),
        Column("live_count", N_("Calls on the switch"), ColumnKind.COUNT),
        Column("record_count", N_("Records read"), ColumnKind.COUNT, wide=True),
        Column("differences", N_("Differences"), ColumnKind.COUNT),
    ),
    rows=_runs,
    orders=(
        Order("newest", N_("Newest first"), ReconciliationRow.id, ReconciliationRow.id, descending=True),
    ),
    filters=(
        Filter("switch", N_("Switch"), equals(ReconciliationRow.switch)),
        Filter("from", N_("From"), at_least(ReconciliationRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(ReconciliationRow.at_us), FilterKind.DAY, next_day=True),
    ),
    finish=_counted,
)


def _differences(_session: Session, scope: Scope) -> Rows:
    difference = DifferenceRow
    return (
        select(
            difference.id.label("id"),
            ReconciliationRow.at_us.label("at_us"),
            ReconciliationRow.switch.label("switch"),
            difference.session_id.label("session_id"),
            difference.kind.label("kind"),
            difference.detail.label("detail"),
            difference.reconciliation_id.label("run"),
        )
        .join(ReconciliationRow, ReconciliationRow.id == difference.reconciliation_id)
        .where(operators(scope))
    )


DIFFERENCES = Listing(
    name="differences",
    title=N_("Differences"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("What was found"), ColumnKind.STATE),
        Column("detail", N_("What was done"), ColumnKind.SENTENCE),
        Column("switch", N_("Switch"), ColumnKind.CODE, wide=True),
        Column("session_id", N_("Call"), ColumnKind.CODE, wide=True),
    ),
    rows=_differences,
    orders=(Order("newest", N_("Newest first"), DifferenceRow.id, DifferenceRow.id, descending=True),),
    filters=(
        Filter("q", N_("What was done"), contains(DifferenceRow.detail)),
        Filter("kind", N_("What was found"), equals(DifferenceRow.kind)),
        Filter("switch", N_("Switch"), equals(ReconciliationRow.switch)),
        Filter("run", N_("Number of the run"), equals(DifferenceRow.reconciliation_id), FilterKind.NUMBER),
        Filter("from", N_("From"), at_least(ReconciliationRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(ReconciliationRow.at_us), FilterKind.DAY, next_day=True),
    ),
)
