"""The list of accounts: who is below whom, how they pay, what their wallets hold."""

import re
from typing import Any

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.charging.status import AccountStatus
from pbxbill.listing.at_risk import CHOICES, narrow_to_risk
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    equals,
)
from pbxbill.store.billing_models import DidRow, PartyRow
from pbxbill.store.models import AccountRow, EndpointRow, TariffRow, WalletRow
from pbxbill.store.prefixes import begins_with

NUMBER_FORM = r"[+0-9 ()/.-]+"
"""As people write a telephone number."""
LEAST_DIGITS = 3

_ABOVE, _OVER = aliased(AccountRow), aliased(AccountRow)
_FIRST, _EARLIER = aliased(WalletRow), aliased(WalletRow)


def find_accounts(query: Rows, text: str) -> Rows:
    """Narrow accounts to those that a text names: code or name, or what identifies and reaches them.

    SIP accounts, addresses, caller IDs and numbers by how they begin; e-mail, telephone, VAT id and names
    in law by a part of them.
    """
    named = or_(*(x.icontains(text, autoescape=True) for x in (AccountRow.code, AccountRow.name)))
    party = [
        x.icontains(text, autoescape=True)
        for x in (PartyRow.legal_name, PartyRow.contact, PartyRow.email, PartyRow.phone, PartyRow.vat_id)
    ]
    begun = [text]
    digits = re.sub(r"\D", "", text)
    if re.fullmatch(NUMBER_FORM, text) and len(digits) >= LEAST_DIGITS:
        written: Any = PartyRow.phone
        for sign in " ()/.-+":
            written = func.replace(written, sign, "")
        party.append(written.contains(digits, autoescape=True))
        begun = list(dict.fromkeys((text, digits)))
    identified = select(EndpointRow.account_id).where(
        or_(*(begins_with(EndpointRow.value, x) for x in begun))
    )
    numbers = select(DidRow.account_id).where(
        DidRow.account_id.is_not(None), or_(*(begins_with(DidRow.number, x) for x in begun))
    )
    of_party = select(PartyRow.account_id).where(or_(*party))
    return query.where(or_(named, *(AccountRow.id.in_(x) for x in (identified, numbers, of_party))))


def _below(query: Rows, code: str) -> Rows:
    path = select(_OVER.path).where(_OVER.code == code, _OVER.kind == "reseller").scalar_subquery()
    return query.where(func.substr(AccountRow.path, 1, func.length(path)) == path, AccountRow.code != code)


def _with_first_wallet(query: Rows) -> Rows:
    """What the list shows as balance is that of the wallet which was opened first."""
    earlier = select(_EARLIER.id).where(_EARLIER.account_id == _FIRST.account_id, _EARLIER.id < _FIRST.id)
    first = (_FIRST.account_id == AccountRow.id) & ~earlier.exists()
    return query.outerjoin(_FIRST, first)


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
        Order(
            "balance",
            N_("Lowest balance first"),
            func.coalesce(_FIRST.posted, 0),
            AccountRow.id,
            joined=_with_first_wallet,
        ),
    ),
    filters=(
        Filter("q", N_("Name, number or e-mail"), find_accounts),
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
        Filter("below", N_("Below reseller"), _below),
        Filter("risk", N_("Balance at risk"), narrow_to_risk, FilterKind.CHOICE, CHOICES),
    ),
    finish=_wallets,
)
