"""Charges of accounts: those of subscriptions and those made by hand, on an invoice already or waiting."""

from typing import Any

from sqlalchemy import and_, not_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.subscriptions.charges_by_hand import VOID
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
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.invoice_models import InvoiceEntryRow, InvoiceRow
from pbxbill.store.models import AccountRow


def _waits() -> Any:
    """That no invoice shows a charge yet, be it a draft."""
    entries = select(InvoiceEntryRow.entry_id).where(InvoiceEntryRow.entry_id == ChargeRow.entry_id)
    return and_(ChargeRow.invoice_id.is_(None), not_(entries.exists()), ChargeRow.collection != VOID)


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            ChargeRow.id.label("id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            ChargeRow.kind.label("kind"),
            ChargeRow.description.label("description"),
            ChargeRow.net.label("net"),
            ChargeRow.tax.label("tax"),
            ChargeRow.unit.label("unit"),
            ChargeRow.at_us.label("at_us"),
            ChargeRow.collection.label("collection"),
            ChargeRow.invoice_id.label("invoice_id"),
            InvoiceRow.number.label("invoice"),
        )
        .join(AccountRow, AccountRow.id == ChargeRow.account_id)
        .outerjoin(InvoiceRow, InvoiceRow.id == ChargeRow.invoice_id)
        .where(scope.among(ChargeRow.account_id))
    )


def _shown(query: Rows, value: str) -> Rows:
    match value:
        case "waiting":
            return query.where(_waits())
        case "withdrawn":
            return query.where(ChargeRow.collection == VOID)
        case _:
            return query.where(not_(_waits()), ChargeRow.collection != VOID)


CHARGES = Listing(
    name="charges",
    title=N_("Charges"),
    permission=Permission.INVOICES_READ,
    columns=(
        Column("description", N_("What")),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("kind", N_("Kind"), ColumnKind.STATE, wide=True),
        Column("at_us", N_("On the invoice of"), ColumnKind.DAY),
        Column("net", N_("Net"), ColumnKind.MONEY),
        Column("tax", N_("Tax taken"), ColumnKind.MONEY, wide=True),
        Column("collection", N_("Paid by"), ColumnKind.STATE, wide=True),
        Column("invoice", N_("Invoice"), ColumnKind.CODE),
        Column("id", N_("Charge"), ColumnKind.CODE, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), ChargeRow.id, ChargeRow.id, descending=True),
        Order("oldest", N_("Oldest first"), ChargeRow.id, ChargeRow.id),
    ),
    filters=(
        Filter("q", N_("What"), contains(ChargeRow.description)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "billed",
            N_("Billed"),
            _shown,
            FilterKind.CHOICE,
            (
                ("waiting", N_("Not yet: it waits for an invoice")),
                ("billed", N_("On an invoice")),
                ("withdrawn", N_("Withdrawn")),
            ),
        ),
        Filter(
            "kind",
            N_("Kind"),
            equals(ChargeRow.kind),
            FilterKind.CHOICE,
            tuple((x.value, x.value.replace("_", " ").capitalize()) for x in ChargeKind),
        ),
        Filter("unit", N_("Currency"), equals(ChargeRow.unit)),
        Filter("from", N_("From"), at_least(ChargeRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(ChargeRow.at_us), FilterKind.DAY, next_day=True),
    ),
)
