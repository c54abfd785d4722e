"""The list of telephone numbers: which there are, who has them, and the access numbers of calling cards."""

from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

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
    begins,
    equals,
)
from pbxbill.store.billing_models import DidRow
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import AccessNumberRow

_HOLDER = aliased(AccountRow)
_OWNER = aliased(AccountRow)


def _rows(_session: Session, scope: Scope) -> Rows:
    # Somebody's own inventory, and those of his resellers: their customers are in his scope.
    return (
        select(
            DidRow.id.label("id"),
            DidRow.number.label("number"),
            DidRow.country.label("country"),
            DidRow.state.label("state"),
            DidRow.account_id.label("account_id"),
            DidRow.subscription_id.label("subscription_id"),
            DidRow.free_from_us.label("free_from_us"),
            _HOLDER.code.label("account"),
            _OWNER.code.label("inventory"),
            (DidRow.issuer_id == scope.account_id).label("own"),
        )
        .join(_OWNER, _OWNER.id == DidRow.issuer_id)
        .outerjoin(_HOLDER, _HOLDER.id == DidRow.account_id)
        .where(visible_dids(scope))
    )


def visible_dids(scope: Scope) -> Any:
    """Of one's own inventory, and of those below."""
    return or_(scope.issued(DidRow.issuer_id), scope.among(DidRow.issuer_id))


DIDS = Listing(
    name="dids",
    title=N_("Numbers"),
    permission=Permission.NUMBERS_READ,
    columns=(
        Column("number", N_("Number"), ColumnKind.CODE),
        Column("country", N_("Country"), ColumnKind.CODE, wide=True),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("inventory", N_("Inventory of"), ColumnKind.CODE, wide=True),
        Column("free_from_us", N_("In quarantine until"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("number", N_("Number"), DidRow.number, DidRow.id),
        Order("newest", N_("Newest first"), DidRow.id, DidRow.id, descending=True),
    ),
    filters=(
        Filter("number", N_("Number begins with"), begins(DidRow.number)),
        Filter(
            "state",
            N_("State"),
            equals(DidRow.state),
            FilterKind.CHOICE,
            (
                ("free", N_("Free")),
                ("assigned", N_("Assigned")),
                ("quarantined", N_("In quarantine")),
                ("withdrawn", N_("Withdrawn")),
            ),
        ),
        Filter("account", N_("Account's code"), equals(_HOLDER.code)),
        Filter("inventory", N_("Reseller's code"), equals(_OWNER.code)),
        Filter("country", N_("Country"), lambda query, text: query.where(DidRow.country == text.upper())),
    ),
)


def _access_rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            AccessNumberRow.number.label("id"),
            AccessNumberRow.number.label("number"),
            AccountRow.code.label("seller"),
            AccessNumberRow.created_us.label("created_us"),
        )
        .join(AccountRow, AccountRow.id == AccessNumberRow.issuer_id)
        .where(or_(scope.issued(AccessNumberRow.issuer_id), scope.among(AccessNumberRow.issuer_id)))
    )


ACCESS_NUMBERS = Listing(
    name="access-numbers",
    title=N_("Access numbers"),
    permission=Permission.NUMBERS_READ,
    columns=(
        Column("number", N_("Number"), ColumnKind.CODE),
        Column("seller", N_("Seller"), ColumnKind.CODE),
        Column("created_us", N_("Since"), ColumnKind.DAY),
    ),
    rows=_access_rows,
    orders=(Order("number", N_("Number"), AccessNumberRow.number, AccessNumberRow.number),),
    filters=(Filter("number", N_("Number begins with"), begins(AccessNumberRow.number)),),
)
