"""The list of invoices, notes, receipts and quotes; billing/invoices/search.py says what each status is."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.search import KINDS, STATUSES, of_cycle, of_group, status_condition
from pbxbill.clock import Clock, SystemClock
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    amount_at_least,
    amount_at_most,
    at_least,
    below,
    equals,
)
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

_WHEN = func.coalesce(InvoiceRow.issued_us, InvoiceRow.created_us)
_TOTAL = InvoiceRow.total, InvoiceRow.unit
_ISSUER = aliased(AccountRow)
ISSUER: tuple[Any, ...] = (
    InvoiceRow.issuer_id.label("issuer_id"),
    select(_ISSUER.code).where(_ISSUER.id == InvoiceRow.issuer_id).scalar_subquery().label("issuer"),
)
"""Whose number it is: each issuer counts from one."""
UNSEEN = ("draft", "discarded")
"""What the account itself does not see: it may still change."""


def _rows(_session: Session, scope: Scope) -> Rows:
    query = (
        select(
            InvoiceRow.id.label("id"),
            InvoiceRow.number.label("number"),
            InvoiceRow.kind.label("kind"),
            InvoiceRow.state.label("state"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            InvoiceRow.issued_us.label("issued_us"),
            InvoiceRow.due_us.label("due_us"),
            InvoiceRow.from_us.label("from_us"),
            InvoiceRow.to_us.label("to_us"),
            InvoiceRow.net.label("net"),
            InvoiceRow.tax.label("tax"),
            InvoiceRow.total.label("total"),
            InvoiceRow.open.label("open"),
            InvoiceRow.disputed.label("disputed"),
            InvoiceRow.dunning_step.label("dunning_step"),
            InvoiceRow.unit.label("unit"),
            InvoiceRow.created_us.label("created_us"),
            *ISSUER,
        )
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .where(scope.among(InvoiceRow.account_id))
    )
    return query.where(InvoiceRow.state.not_in(UNSEEN)) if scope.own else query


def _below(query: Rows, code: str) -> Rows:
    """What a reseller is billed himself, and everybody below him, at any depth."""
    path = (
        select(AccountRow.path)
        .where(AccountRow.code == code, AccountRow.kind != "customer")
        .scalar_subquery()
    )
    return query.where(func.substr(AccountRow.path, 1, func.length(path)) == path)


def _of_issuer(query: Rows, code: str) -> Rows:
    issuer_id = select(_ISSUER.id).where(_ISSUER.code == code).scalar_subquery()
    return query.where(InvoiceRow.issuer_id == issuer_id)


def invoices(clock: Clock) -> Listing:
    """The list, in which what is overdue follows from a clock."""

    def narrow(query: Rows, status: Any) -> Rows:
        return query.where(status_condition(status, clock.now_us()))

    return Listing(
        name="invoices",
        title=N_("Invoices"),
        permission=Permission.INVOICES_READ,
        columns=(
            Column("number", N_("Number"), ColumnKind.CODE),
            Column("issuer", N_("Issuer"), ColumnKind.CODE),
            Column("kind", N_("Kind"), ColumnKind.STATE, wide=True),
            Column("account", N_("Account"), ColumnKind.CODE),
            Column("name", N_("Name"), wide=True),
            Column("state", N_("State"), ColumnKind.STATE),
            Column("issued_us", N_("Issued"), ColumnKind.DAY),
            Column("due_us", N_("Due"), ColumnKind.DAY, wide=True),
            Column("from_us", N_("From"), ColumnKind.DAY, only_in_files=True),
            Column("to_us", N_("To"), ColumnKind.DAY, only_in_files=True),
            Column("net", N_("Net"), ColumnKind.MONEY, only_in_files=True),
            Column("tax", N_("Tax"), ColumnKind.MONEY, only_in_files=True),
            Column("total", N_("Total"), ColumnKind.MONEY),
            Column("open", N_("Open"), ColumnKind.MONEY),
            Column("disputed", N_("Disputed"), ColumnKind.MONEY, wide=True),
            Column("dunning_step", N_("Dunning level"), ColumnKind.COUNT, only_in_files=True),
            Column("created_us", N_("Made"), ColumnKind.MOMENT, only_in_files=True),
        ),
        rows=_rows,
        orders=(
            Order("newest", N_("Newest first"), InvoiceRow.id, InvoiceRow.id, descending=True),
            Order("oldest", N_("Oldest first"), InvoiceRow.id, InvoiceRow.id),
        ),
        filters=(
            Filter(
                "number",
                N_("Number begins"),
                lambda query, text: query.where(InvoiceRow.number.istartswith(text, autoescape=True)),
            ),
            Filter("account", N_("Account's code"), equals(AccountRow.code)),
            Filter(
                "kind",
                N_("Kind"),
                equals(InvoiceRow.kind),
                FilterKind.CHOICE,
                tuple((x, x.replace("_", " ").capitalize()) for x in KINDS),
            ),
            Filter(
                "status",
                N_("Status"),
                narrow,
                FilterKind.CHOICE,
                tuple((x, x.replace("_", " ").capitalize()) for x in STATUSES),
            ),
            Filter("unit", N_("Currency"), equals(InvoiceRow.unit)),
            Filter("from", N_("Issued from"), at_least(_WHEN), FilterKind.DAY),
            Filter("to", N_("Issued to"), below(_WHEN), FilterKind.DAY, next_day=True),
            Filter("due_before", N_("Due before"), below(InvoiceRow.due_us), FilterKind.DAY),
            Filter(
                "least",
                N_("Total at least"),
                amount_at_least(*_TOTAL),
                FilterKind.AMOUNT,
            ),
            Filter(
                "most",
                N_("Total at most"),
                amount_at_most(*_TOTAL),
                FilterKind.AMOUNT,
            ),
            Filter("reseller", N_("Below reseller"), _below),
            Filter("issuer", N_("Issuer's code"), _of_issuer),
            Filter(
                "cycle",
                N_("Billing cycle"),
                lambda query, x: query.where(of_cycle(x)),
                FilterKind.CHOICE,
                tuple((x, x.capitalize()) for x in CYCLES),
            ),
            Filter(
                "group",
                N_("Group"),
                lambda query, x: query.where(of_group(x)),
            ),
            Filter("step", N_("Dunning level"), equals(InvoiceRow.dunning_step), FilterKind.NUMBER),
            Filter("run", N_("Billing run"), equals(InvoiceRow.run_id), FilterKind.NUMBER),
        ),
    )


INVOICES = invoices(SystemClock())
"""By the clock of this machine."""
