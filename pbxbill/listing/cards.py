"""The lists of calling cards, and of callers who need no PIN."""

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
    begins,
    contains,
    equals,
)
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow


def _rows(_session: Session, scope: Scope) -> Rows:
    row = CallingCardRow
    return (
        select(
            row.id.label("id"),
            AccountRow.code.label("account"),
            row.name.label("name"),
            row.state.label("state"),
            row.expires_us.label("expires_us"),
            row.last_used_us.label("last_used_us"),
            row.created_us.label("created_us"),
        )
        .join(AccountRow, AccountRow.id == row.account_id)
        .where(scope.among(row.account_id))
    )


CARDS = Listing(
    name="cards",
    title=N_("Calling cards"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("id", N_("Card"), ColumnKind.CODE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("state", N_("State"), ColumnKind.STATE),
        Column("expires_us", N_("Expires"), ColumnKind.DAY, wide=True),
        Column("last_used_us", N_("Last used"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), CallingCardRow.id, CallingCardRow.id, descending=True),
        Order("oldest", N_("Oldest first"), CallingCardRow.id, CallingCardRow.id),
    ),
    filters=(
        Filter("q", N_("Name"), contains(CallingCardRow.name)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "state",
            N_("State"),
            equals(CallingCardRow.state),
            FilterKind.CHOICE,
            (("active", N_("Active")), ("locked", N_("Locked")), ("blocked", N_("Blocked"))),
        ),
    ),
)


def _callers(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            KnownCallerRow.number.label("id"),
            KnownCallerRow.number.label("number"),
            KnownCallerRow.card_id.label("card_id"),
            CallingCardRow.name.label("name"),
            AccountRow.code.label("account"),
            KnownCallerRow.created_us.label("created_us"),
        )
        .join(CallingCardRow, CallingCardRow.id == KnownCallerRow.card_id)
        .join(AccountRow, AccountRow.id == CallingCardRow.account_id)
        .where(scope.among(CallingCardRow.account_id))
    )


KNOWN_CALLERS = Listing(
    name="known-callers",
    title=N_("Known callers"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("number", N_("Caller"), ColumnKind.CODE),
        Column("card_id", N_("Card"), ColumnKind.CODE),
        Column("name", N_("Name of the card")),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("created_us", N_("Since"), ColumnKind.DAY, wide=True),
    ),
    rows=_callers,
    orders=(Order("number", N_("Caller"), KnownCallerRow.number, KnownCallerRow.number),),
    filters=(
        Filter("number", N_("Caller begins"), begins(KnownCallerRow.number)),
        Filter("card", N_("Card"), equals(KnownCallerRow.card_id), FilterKind.NUMBER),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
    ),
)
