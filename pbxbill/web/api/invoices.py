"""Invoices and notes: found, shown with their lines, fetched as files, exported."""

from dataclasses import replace

from flask import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.invoice_files import UNISSUED, file_shown
from pbxbill.listing.invoices import UNSEEN
from pbxbill.listing.invoices import invoices as listing_of
from pbxbill.listing.own import own_invoices
from pbxbill.money import Unit, format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Api, File
from pbxbill.web.api.fields import Id, Moment, Money, Sent, moment, moment_or_none, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import conflicts
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

TAG = "Invoices"
QUANTITY = Unit("", 6, 0)
PDF = File("application/pdf", "As the account gets it, with the structured invoice inside.")
XML = File("application/xml", "The structured invoice alone: EN 16931.")
CALLS = File("text/csv", "The calls that it charges, one a line, with a heading.")


class InvoicePath(Sent):
    """An invoice or note, by its id."""

    invoice_id: Id


class InvoiceLine(BaseModel):
    """One line."""

    id: int
    position: int
    kind: str
    description: str
    quantity: str
    measure: str
    unit_price: Money | None
    net: Money


class Invoice(BaseModel):
    """An invoice, note, receipt or quote."""

    id: int
    number: str | None = Field(description="Null: it is not issued.")
    kind: str
    state: str
    account: str
    account_id: int
    issued: Moment | None
    due: Moment | None
    from_: Moment | None = Field(serialization_alias="from")
    to: Moment | None
    created: Moment
    net: Money
    tax: Money
    total: Money
    open: Money = Field(description="What is neither paid nor credited nor written off.")
    disputed: Money
    corrects_id: int | None = Field(description="Of a note: the invoice that it corrects.")
    lines: list[InvoiceLine]


def invoices(api: Api) -> None:
    """Invoices, and the same of the key's own account."""
    front = api.front
    listing = listing_of(front.clock)
    declare_list(api, "/invoices", listing, TAG)
    declare_file(api, "/invoices.csv", listing, TAG)
    own = replace(listing, filters=own_invoices(front.clock).filters)
    declare_list(api, "/own/invoices", own, TAG, permission=Permission.OWN_READ, name="list_own_invoices")

    def shown(path: InvoicePath) -> Invoice:
        with front.reading() as session:
            return shown_invoice(session, seen_invoice(session, front.scope, path.invoice_id))

    def as_file(path: InvoicePath, kind: str, mimetype: str) -> Response:
        return file_of_invoice(front, path.invoice_id, kind, mimetype)

    @api.get("/invoices/<int:invoice_id>", Invoice, TAG, moving=("open", "disputed"))
    @needs(Permission.INVOICES_READ)
    def get_invoice(path: InvoicePath) -> Invoice:
        """One document, with its lines."""
        return shown(path)

    @api.get("/own/invoices/<int:invoice_id>", Invoice, TAG)
    @needs(Permission.OWN_READ)
    def get_own_invoice(path: InvoicePath) -> Invoice:
        """One document of the key's own account, with its lines."""
        return shown(path)

    @api.get("/invoices/<int:invoice_id>.pdf", PDF, TAG, conflict=True)
    @needs(Permission.INVOICES_READ)
    def get_invoice_pdf(path: InvoicePath) -> Response:
        """The document as PDF. 409: it is not issued yet."""
        return as_file(path, "pdf", PDF.mimetype)

    @api.get("/own/invoices/<int:invoice_id>.pdf", PDF, TAG, conflict=True)
    @needs(Permission.OWN_READ)
    def get_own_invoice_pdf(path: InvoicePath) -> Response:
        """The document of the key's own account as PDF."""
        return as_file(path, "pdf", PDF.mimetype)

    @api.get("/invoices/<int:invoice_id>.xml", XML, TAG, conflict=True)
    @needs(Permission.INVOICES_READ)
    def get_invoice_xml(path: InvoicePath) -> Response:
        """The structured invoice. 409: it is not issued yet, or has no such form."""
        return as_file(path, "xml", XML.mimetype)

    @api.get("/own/invoices/<int:invoice_id>.xml", XML, TAG, conflict=True)
    @needs(Permission.OWN_READ)
    def get_own_invoice_xml(path: InvoicePath) -> Response:
        """The structured invoice of the key's own account. 409: it has no such form."""
        return as_file(path, "xml", XML.mimetype)

    @api.get("/invoices/<int:invoice_id>.csv", CALLS, TAG, conflict=True)
    @needs(Permission.INVOICES_READ)
    def get_invoice_calls(path: InvoicePath) -> Response:
        """The calls of an invoice as a file. 409: it is not issued yet, or is no invoice."""
        return as_file(path, "csv", CALLS.mimetype)

    @api.get("/own/invoices/<int:invoice_id>.csv", CALLS, TAG, conflict=True)
    @needs(Permission.OWN_READ)
    def get_own_invoice_calls(path: InvoicePath) -> Response:
        """The calls of an invoice of the key's own account as a file. 409: it is no invoice."""
        return as_file(path, "csv", CALLS.mimetype)


def file_of_invoice(front: Front, id: int, kind: str, mimetype: str) -> Response:
    """A file of a document of the scope; 409 where it is not issued, or has none of the kind."""
    with front.reading() as session:
        row = seen_invoice(session, front.scope, id)
        if row.state in UNISSUED:
            raise Refused(409, f"It is {row.state}: only what is issued has files.")
    database = front.desks.application.database
    with conflicts():
        found = file_shown(database, row.id, kind, front.clock.now_us())
    answer = Response(found.content, mimetype=mimetype)
    name = (row.number or str(row.id)).replace("/", "-").encode("ascii", "replace").decode()
    answer.headers["Content-Disposition"] = f'attachment; filename="{name.replace(chr(34), "")}.{kind}"'
    return answer


def seen_invoice(session: Session, scope: Scope, invoice_id: int) -> InvoiceRow:
    """A document of the scope; 404 for any other."""
    row = session.get(InvoiceRow, invoice_id)
    if row is None or not scope.covers(session.get_one(AccountRow, row.account_id)):
        raise Refused(404)
    if scope.own and row.state in UNSEEN:
        raise Refused(404)
    return row


def written_invoice(session: Session, id: int) -> Invoice:
    """One as the transaction leaves it."""
    session.flush()
    session.expire_all()
    return shown_invoice(session, session.get_one(InvoiceRow, id))


def shown_invoice(session: Session, row: InvoiceRow) -> Invoice:
    """As it stands, with its lines."""
    unit = unit_of(session, row.unit)
    lines = session.scalars(
        select(InvoiceLineRow)
        .where(InvoiceLineRow.invoice_id == row.id, InvoiceLineRow.origin != "removed")
        .order_by(InvoiceLineRow.position, InvoiceLineRow.id)
    )
    return Invoice(
        id=row.id,
        number=row.number,
        kind=row.kind,
        state=row.state,
        account=session.get_one(AccountRow, row.account_id).code,
        account_id=row.account_id,
        issued=moment_or_none(row.issued_us),
        due=moment_or_none(row.due_us),
        from_=moment_or_none(row.from_us),
        to=moment_or_none(row.to_us),
        created=moment(row.created_us),
        net=money(row.net, unit),
        tax=money(row.tax, unit),
        total=money(row.total, unit),
        open=money(row.open, unit),
        disputed=money(row.disputed, unit),
        corrects_id=row.corrects_id,
        lines=[_line(x, unit) for x in lines],
    )


def _line(row: InvoiceLineRow, unit: Unit) -> InvoiceLine:
    return InvoiceLine(
        id=row.id,
        position=row.position,
        kind=row.kind,
        description=row.description,
        quantity=format_amount(row.quantity, QUANTITY),
        measure=row.measure,
        unit_price=None if row.unit_price is None else money(row.unit_price, unit),
        net=money(row.net, unit),
    )
