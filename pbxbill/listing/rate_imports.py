"""The list of rate sheets that were uploaded: read, waiting to be agreed to, written, refused."""

from sqlalchemy import select
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
from pbxbill.store.catalogue_models import RateImportRow


def _rows(_session: Session, scope: Scope) -> Rows:
    row = RateImportRow
    return select(
        row.id.label("id"),
        row.deck.label("deck"),
        row.file_name.label("file_name"),
        row.by.label("by"),
        row.state.label("state"),
        row.total.label("total"),
        row.reason.label("reason"),
        row.version_id.label("version_id"),
        row.created_us.label("created_us"),
    ).where(scope.issued(row.issuer_id))


RATE_IMPORTS = Listing(
    name="rate-imports",
    title=N_("Uploaded rate sheets"),
    permission=Permission.CATALOGUE_WRITE,
    columns=(
        Column("created_us", N_("When"), ColumnKind.MOMENT),
        Column("deck", N_("Deck")),
        Column("file_name", N_("File")),
        Column("by", N_("By"), ColumnKind.CODE, wide=True),
        Column("state", N_("Status"), ColumnKind.STATE),
        Column("total", N_("Rates"), ColumnKind.COUNT),
        Column("reason", N_("Why it was refused"), wide=True),
    ),
    rows=_rows,
    orders=(Order("newest", N_("Newest first"), RateImportRow.id, RateImportRow.id, descending=True),),
    filters=(
        Filter("deck", N_("Deck"), contains(RateImportRow.deck)),
        Filter(
            "state",
            N_("Status"),
            equals(RateImportRow.state),
            FilterKind.CHOICE,
            (
                ("reading", N_("Being read")),
                ("ready", N_("Waits to be agreed to")),
                ("writing", N_("Being written")),
                ("done", N_("Written")),
                ("refused", N_("Refused")),
            ),
        ),
    ),
)
