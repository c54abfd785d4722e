"""The list for a collection agency: invoices whose last level was collection and that are still open."""

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.dunning_policy import Action
from pbxbill.listing.chosen_invoices import own_documents
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
from pbxbill.store.billing_models import PartyRow
from pbxbill.store.dunning_models import DunningStepRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

_ISSUER = aliased(AccountRow)
_OF_PARTIES = ("legal_name", "street", "postal_code", "city", "country", "email", "phone")
_OF_INVOICES = ("number", "issued_us", "due_us", "total", "unit")


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            InvoiceRow.id.label("id"),
            AccountRow.id.label("account_id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            *(getattr(PartyRow, x).label(x) for x in _OF_PARTIES),
            *(getattr(InvoiceRow, x).label(x) for x in _OF_INVOICES),
            (InvoiceRow.open - InvoiceRow.disputed).label("overdue"),
            DunningStepRow.at_us.label("since_us"),
            _ISSUER.code.label("issuer"),
        )
        .join(InvoiceRow, InvoiceRow.id == DunningStepRow.invoice_id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .join(_ISSUER, _ISSUER.id == InvoiceRow.issuer_id)
        .outerjoin(PartyRow, PartyRow.account_id == InvoiceRow.account_id)
        .where(
            DunningStepRow.action == Action.COLLECTION,
            DunningStepRow.ended_us.is_(None),
            InvoiceRow.open > InvoiceRow.disputed,
            scope.among(InvoiceRow.account_id),
            own_documents(scope),
        )
    )


COLLECTION = Listing(
    name="collection",
    title=N_("For collection"),
    permission=Permission.DUNNING_READ,
    columns=(
        Column("number", N_("Invoice"), ColumnKind.CODE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
        Column("legal_name", N_("Legal name"), only_in_files=True),
        Column("street", N_("Street"), only_in_files=True),
        Column("postal_code", N_("Postal code"), only_in_files=True),
        Column("city", N_("City"), only_in_files=True),
        Column("country", N_("Country"), only_in_files=True),
        Column("email", N_("E-mail"), only_in_files=True),
        Column("phone", N_("Telephone"), only_in_files=True),
        Column("overdue", N_("Overdue"), ColumnKind.MONEY),
        Column("total", N_("Total"), ColumnKind.MONEY, wide=True),
        Column("issued_us", N_("Issued"), ColumnKind.DAY, wide=True),
        Column("due_us", N_("Due on"), ColumnKind.DAY),
        Column("since_us", N_("On this list since"), ColumnKind.DAY),
        Column("issuer", N_("Issued by"), ColumnKind.CODE, wide=True),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), DunningStepRow.id, DunningStepRow.id, descending=True),
        Order("oldest", N_("Oldest first"), DunningStepRow.id, DunningStepRow.id),
    ),
    filters=(
        Filter(
            "q",
            N_("Account or invoice"),
            contains(AccountRow.code, AccountRow.name, PartyRow.legal_name, InvoiceRow.number),
        ),
        Filter("issuer", N_("Reseller's code"), equals(_ISSUER.code)),
        Filter("unit", N_("Unit"), equals(InvoiceRow.unit)),
        Filter("from", N_("On this list from"), at_least(DunningStepRow.at_us), FilterKind.DAY),
        Filter("to", N_("On this list to"), below(DunningStepRow.at_us), FilterKind.DAY, next_day=True),
    ),
)
