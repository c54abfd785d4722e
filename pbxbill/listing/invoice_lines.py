"""Lists of the lines of one document, which may have ten thousand: for who bills, and for who is billed."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, case, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.charge import QUANTITY_SCALE, ChargeKind
from pbxbill.errors import InputRefused
from pbxbill.listing.invoices import UNSEEN
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
from pbxbill.money import to_decimal
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow

INVOICE_ID = "invoice_id"
"""The filter that the address's path says."""
ORIGINS = ("reckoned", "added", "corrected", "removed")
MOST_FOUND = 100
MOST_CHOSEN = 1_000
_COUNTS: ColumnElement[bool] = InvoiceLineRow.origin != "removed"


def _rows(_session: Session, scope: Scope) -> Rows:
    line = InvoiceLineRow
    names = ("id", "invoice_id", "position", "description", "kind", "product_class", "quantity", "measure")
    more = ("unit_price", "credited", "collection", "origin", "reason", "from_us", "to_us")
    return (
        select(
            *(getattr(line, x).label(x) for x in (*names, *more)),
            case((_COUNTS, line.net), else_=0).label("net"),
            InvoiceRow.unit.label("unit"),
            InvoiceRow.state.label("invoice_state"),
        )
        .join(InvoiceRow, InvoiceRow.id == line.invoice_id)
        .where(scope.among(InvoiceRow.account_id))
    )


def _finish(_session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["quantity"] = f"{to_decimal(row['quantity'], QUANTITY_SCALE).normalize():f}"


INVOICE_LINES = Listing(
    name="invoice-lines",
    title=N_("Lines"),
    permission=Permission.INVOICES_READ,
    columns=(
        Column("description", N_("What")),
        Column("position", N_("Line"), ColumnKind.COUNT, only_in_files=True),
        Column("kind", N_("Kind"), ColumnKind.STATE, wide=True),
        Column("product_class", N_("Product class"), only_in_files=True),
        Column("from_us", N_("From"), ColumnKind.MOMENT, only_in_files=True),
        Column("to_us", N_("To"), ColumnKind.MOMENT, only_in_files=True),
        Column("quantity", N_("Quantity"), ColumnKind.CODE),
        Column("measure", N_("Of what"), ColumnKind.STATE, wide=True),
        Column("unit_price", N_("Price"), ColumnKind.MONEY),
        Column("net", N_("Net"), ColumnKind.MONEY),
        Column("credited", N_("Credited"), ColumnKind.MONEY, only_in_files=True),
        Column("collection", N_("Paid by"), ColumnKind.STATE, only_in_files=True),
        Column("origin", N_("How it came"), ColumnKind.STATE, wide=True),
        Column("reason", N_("Reason"), only_in_files=True),
    ),
    rows=_rows,
    orders=(
        Order("position", N_("As they stand"), InvoiceLineRow.position, InvoiceLineRow.id),
        Order("net", N_("Largest first"), InvoiceLineRow.net, InvoiceLineRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("What"), contains(InvoiceLineRow.description)),
        Filter(
            "kind",
            N_("Kind"),
            equals(InvoiceLineRow.kind),
            FilterKind.CHOICE,
            tuple((x.value, x.value) for x in ChargeKind),
        ),
        Filter(
            "origin",
            N_("How it came"),
            equals(InvoiceLineRow.origin),
            FilterKind.CHOICE,
            tuple((x, x) for x in ORIGINS),
        ),
        Filter(INVOICE_ID, N_("Invoice"), equals(InvoiceLineRow.invoice_id), FilterKind.NUMBER),
    ),
    finish=_finish,
)
_OWN = {"description", "position", "from_us", "to_us", "quantity", "measure", "unit_price", "net"}


def _own_rows(session: Session, scope: Scope) -> Rows:
    return _rows(session, scope).where(_COUNTS, InvoiceRow.state.not_in(UNSEEN))


OWN_INVOICE_LINES = replace(
    INVOICE_LINES,
    name="my-invoice-lines",
    title=N_("What it is for"),
    permission=Permission.OWN_READ,
    columns=tuple(x for x in INVOICE_LINES.columns if x.key in _OWN),
    filters=tuple(x for x in INVOICE_LINES.filters if x.key != "origin"),
    rows=_own_rows,
)


def lines_to_choose(
    session: Session, invoice_id: int, text: str, chosen: Collection[int]
) -> tuple[list[InvoiceLineRow], bool]:
    """Lines that count: those that are chosen, and others with a text in them; and whether there are more."""
    if len(chosen) > MOST_CHOSEN:
        raise InputRefused(f"up to {MOST_CHOSEN:,} lines are chosen at once; choose an amount for more")
    line = InvoiceLineRow
    query = select(line).where(line.invoice_id == invoice_id, _COUNTS).order_by(line.position, line.id)
    others = query.where(line.id.not_in(chosen), line.description.icontains(text, autoescape=True))
    found = session.scalars(others.limit(MOST_FOUND + 1)).all()
    ids = {*chosen, *(x.id for x in found[:MOST_FOUND])}
    return list(session.scalars(query.where(line.id.in_(ids)))), len(found) > MOST_FOUND
