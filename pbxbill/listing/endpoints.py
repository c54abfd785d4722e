"""Lists of what identifies accounts, all or one: SIP accounts, addresses, caller IDs and numbers."""

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
from pbxbill.listing.one_account import of_one_account
from pbxbill.store.accounts import ENDPOINT_KINDS
from pbxbill.store.models import AccountRow, EndpointRow


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            EndpointRow.id.label("id"),
            EndpointRow.value.label("value"),
            EndpointRow.kind.label("kind"),
            EndpointRow.tech_prefix.label("tech_prefix"),
            EndpointRow.status.label("status"),
            EndpointRow.account_id.label("account_id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
        )
        .join(AccountRow, AccountRow.id == EndpointRow.account_id)
        .where(scope.among(EndpointRow.account_id))
    )


ENDPOINTS = Listing(
    name="identification",
    title=N_("Identification"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("value", N_("Value"), ColumnKind.CODE),
        Column("kind", N_("Kind"), ColumnKind.STATE),
        Column("tech_prefix", N_("Technical prefix"), ColumnKind.CODE, wide=True),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("status", N_("Status"), ColumnKind.STATE),
    ),
    rows=_rows,
    orders=(
        Order("value", N_("Value"), EndpointRow.value, EndpointRow.id),
        Order("newest", N_("Newest first"), EndpointRow.id, EndpointRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Value"), contains(EndpointRow.value)),
        Filter(
            "kind",
            N_("Kind"),
            equals(EndpointRow.kind),
            FilterKind.CHOICE,
            tuple((x, x) for x in ENDPOINT_KINDS),
        ),
        Filter("prefix", N_("Technical prefix"), equals(EndpointRow.tech_prefix)),
        Filter(
            "status",
            N_("Status"),
            equals(EndpointRow.status),
            FilterKind.CHOICE,
            (("active", N_("Active")), ("suspended", N_("Suspended"))),
        ),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
    ),
)

ACCOUNT_ENDPOINTS = of_one_account(ENDPOINTS, EndpointRow.account_id)
