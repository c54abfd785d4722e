"""The list of accounts: who is below whom, how they pay, what their wallets hold."""

from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.charging.status import AccountStatus
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
from pbxbill.store.models import AccountRow, TariffRow, WalletRow

_ABOVE = aliased(AccountRow)


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            AccountRow.id.label("id"),
            AccountRow.code.label("code"),
            AccountRow.name.label("name"),
            AccountRow.kind.label("kind"),
            AccountRow.mode.label("mode"),
            AccountRow.status.label("status"),
            case((_ABOVE.kind != "operator", _ABOVE.code)).label("parent"),
            TariffRow.name.label("tariff"),
            AccountRow.created_us.label("created_us"),
        )
        .outerjoin(_ABOVE, _ABOVE.id == AccountRow.parent_id)
        .outerjoin(TariffRow, TariffRow.id == AccountRow.tariff_id)
        .where(scope.among(AccountRow.id), AccountRow.kind != "operator")
    )


def _wallets(session: Session, rows: list[dict[str, Any]]) -> None:
    """The first wallet of each, which is the one that calls are charged to unless an order is set."""
    query = select(WalletRow).where(WalletRow.account_id.in_([x["id"] for x in rows])).order_by(WalletRow.id)
    first: dict[int, WalletRow] = {}
    for wallet in session.scalars(query):
        first.setdefault(wallet.account_id, wallet)
    for row in rows:
        held = first.get(row["id"])
        row["unit"] = held.unit if held else None
        row["balance"] = held.posted if held else None
        row["available"] = held.posted - held.reserved + held.credit_limit if held else None


ACCOUNTS = Listing(
    name="accounts",
    title=N_("Accounts"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("code", N_("Code"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("kind", N_("Kind"), ColumnKind.STATE, wide=True),
        Column("mode", N_("Pays"), ColumnKind.STATE, wide=True),
        Column("status", N_("Status"), ColumnKind.STATE),
        Column("parent", N_("Reseller"), ColumnKind.CODE, wide=True),
        Column("tariff", N_("Tariff"), wide=True),
        Column("balance", N_("Balance"), ColumnKind.MONEY),
        Column("available", N_("Available"), ColumnKind.MONEY, wide=True),
        Column("created_us", N_("Opened"), ColumnKind.DAY, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("code", N_("Code"), AccountRow.code, AccountRow.id),
        Order("newest", N_("Newest first"), AccountRow.created_us, AccountRow.id, descending=True),
        Order("name", N_("Name"), AccountRow.name, AccountRow.id),
    ),
    filters=(
        Filter("q", N_("Code or name"), contains(AccountRow.code, AccountRow.name)),
        Filter(
            "kind",
            N_("Kind"),
            equals(AccountRow.kind),
            FilterKind.CHOICE,
            (("customer", N_("Customer")), ("reseller", N_("Reseller"))),
        ),
        Filter(
            "status",
            N_("Status"),
            equals(AccountRow.status),
            FilterKind.CHOICE,
            tuple((x.value, x.value.replace("_", " ").capitalize()) for x in AccountStatus),
        ),
        Filter("parent", N_("Reseller's code"), equals(_ABOVE.code)),
    ),
    finish=_wallets,
)
