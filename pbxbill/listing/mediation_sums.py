"""The list of what one mediation run charged, by account and unit."""

from sqlalchemy import BigInteger, case, cast, select
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
from pbxbill.listing.operators import operators
from pbxbill.store.mediation_models import MediationTallyRow
from pbxbill.store.models import AccountRow

RUN = "run"
"""The filter that the address's path says."""
_PLACE = MediationTallyRow.subject + ":" + MediationTallyRow.unit
# Other sums have words as subjects, which no database may try to read as a number.
_ACCOUNT = case((MediationTallyRow.name == "money", cast(MediationTallyRow.subject, BigInteger)))


def _rows(_session: Session, scope: Scope) -> Rows:
    names = ("unit", "records", "total", "uncollected")
    return (
        select(
            _PLACE.label("id"),
            AccountRow.id.label("account_id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            *(getattr(MediationTallyRow, x).label(x) for x in names),
        )
        .select_from(MediationTallyRow)
        .join(AccountRow, AccountRow.id == _ACCOUNT)
        .where(operators(scope), MediationTallyRow.name == "money")
    )


MEDIATION_SUMS = Listing(
    name="charged-by-import",
    title=N_("What accounts were charged"),
    permission=Permission.OPERATIONS_READ,
    columns=(
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("records", N_("Records"), ColumnKind.COUNT),
        Column("total", N_("Charged"), ColumnKind.MONEY),
        Column("uncollected", N_("Not collected"), ColumnKind.MONEY),
    ),
    rows=_rows,
    orders=(
        Order("total", N_("Largest first"), MediationTallyRow.total, _PLACE, descending=True),
        Order("account", N_("Account"), AccountRow.code, _PLACE),
    ),
    filters=(
        Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
        Filter("unit", N_("Unit"), equals(MediationTallyRow.unit)),
        Filter(RUN, N_("Run"), equals(MediationTallyRow.run_id), FilterKind.NUMBER),
    ),
)
