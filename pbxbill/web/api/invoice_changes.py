"""What becomes of invoices: issued, given up, sent, given back by notes, written off."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.draft_editing import NewLine
from pbxbill.billing.invoices.drafting import discard
from pbxbill.billing.invoices.issuing import NotIssued, issue
from pbxbill.billing.invoices.note_amounts import Amount as OfAmount
from pbxbill.billing.invoices.note_amounts import Lines, What, Whole
from pbxbill.billing.invoices.notes import credit, lines_of
from pbxbill.billing.invoices.sending import NotQueued, send_invoice
from pbxbill.billing.payments.payments import write_off
from pbxbill.errors import InputRefused
from pbxbill.money import parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.web.api.api import Answer, Api, Writing
from pbxbill.web.api.drafts import (
    QUANTITY,
    Description,
    ProductClass,
    Quantity,
    Reason,
    Why,
    changed,
    own_invoice,
)
from pbxbill.web.api.fields import Amount, Id, Sent, left_out
from pbxbill.web.api.invoices import TAG, Invoice, InvoicePath, written_invoice
from pbxbill.web.api.objects import conflicts, wrong
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.front import needs

Address = Annotated[str, StringConstraints(min_length=3, max_length=200)]


class CreditedLine(Sent):
    """What of a line is given back."""

    line_id: Id
    net: Amount = left_out("Without tax. Default: all that is left of it.")


class NewCreditNote(Sent):
    """What is given back: an amount, lines, or (neither) all that is left."""

    amount: Amount = left_out("With tax, in the invoice's currency.")
    lines: Annotated[list[CreditedLine], Field(min_length=1, max_length=200)] = left_out()
    reason: Reason = Field(description="Printed on it.")


class NewDebitNote(Sent):
    """What is asked for besides."""

    description: Description
    unit_price: Amount = Field(description="Without tax, in the invoice's currency.")
    quantity: Quantity = "1"
    product_class: ProductClass = "service"
    reason: Reason = Field(description="Printed on it.")


class SendTo(Sent):
    """To whom it goes."""

    to: Annotated[list[Address], Field(min_length=1, max_length=20)] = left_out(
        "Default: as the account's billing profile says."
    )


class Queued(BaseModel):
    """It is on its way."""

    recipients: list[str]


class WriteOff(Sent):
    """What is given up."""

    amount: Amount = left_out("Default: all that is open.")
    reason: Reason


def invoice_changes(api: Api) -> None:
    """Documents that the key's account issues."""
    front = api.front
    _declare_notes(api)

    @api.post("/invoices/<int:invoice_id>/issue", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def issue_draft(path: InvoicePath) -> Answer:
        """Number a draft, and post it: it changes no more. 409 says why it cannot be."""

        def number_it(change: Writing, row: InvoiceRow) -> None:
            outcome = issue(change.session, change.books, row.id, change.now_us, front.actor.name)
            if isinstance(outcome, NotIssued):
                raise InputRefused(outcome.reason)

        return changed(api, "invoice.issue", path.invoice_id, number_it)

    @api.post("/invoices/<int:invoice_id>/discard", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def discard_draft(path: InvoicePath, body: Why) -> Answer:
        """Give a draft up; what it would have asked for waits for another. 409: it is issued."""

        def give_up(change: Writing, row: InvoiceRow) -> None:
            discard(change.session, row.id, body.reason, change.now_us, front.actor.name)

        return changed(api, "draft.discard", path.invoice_id, give_up)

    @api.post("/invoices/<int:invoice_id>/dispatch", Queued, TAG, 202)
    @needs(Permission.INVOICES_WRITE)
    def send_an_invoice(path: InvoicePath, body: SendTo) -> Answer:
        """Send it by e-mail. 409 says why it cannot be."""
        with front.reading() as session:
            row = own_invoice(front, session, path.invoice_id)
        subject = row.number or f"{row.kind} {row.id}"
        to: Any = body.to
        # It makes files, which takes longer than a transaction may: what was done is noted after.
        database, now_us = front.desks.application.database, front.clock.now_us()
        with conflicts():
            outcome = send_invoice(database, row.id, now_us, to=tuple(to or ()), by=front.actor.name)
        if isinstance(outcome, NotQueued):
            raise Refused(409, outcome.reason)
        with api.writing("invoice.send", subject, account_id=row.account_id) as change:
            return change.done(Queued(recipients=list(outcome.recipients)), 202)

    @api.post("/invoices/<int:invoice_id>/write-off", Invoice, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def write_invoice_off(path: InvoicePath, body: WriteOff) -> Answer:
        """Give up what is open of it: a loss. Reversing the entry asks for it again."""
        sent: Any = body.amount

        def give_up(change: Writing, row: InvoiceRow) -> None:
            amount = None if sent is None else _positive(change.session, row, sent, "amount")
            write_off(
                change.session,
                change.books,
                row.id,
                reason=body.reason,
                now_us=change.now_us,
                amount=amount,
                by=front.actor.name,
            )

        return changed(api, "invoice.write-off", path.invoice_id, give_up)


def _declare_notes(api: Api) -> None:
    front = api.front

    @api.post("/invoices/<int:invoice_id>/credit-notes", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def credit_invoice(path: InvoicePath, body: NewCreditNote) -> Answer:
        """Give an invoice back, in part or whole, by a credit note: the answer."""

        def give_back(change: Writing, row: InvoiceRow) -> int:
            what = _what(change.session, row, body)
            by = front.actor.name
            done = credit(change.session, change.books, row.id, what, body.reason, change.now_us, by)
            return done.note_id

        return _noted(api, "invoice.credit", path.invoice_id, give_back)

    @api.post("/invoices/<int:invoice_id>/cancellation", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def cancel_invoice(path: InvoicePath, body: Why) -> Answer:
        """Give back all that is left of an invoice by a credit note: the answer."""

        def give_back(change: Writing, row: InvoiceRow) -> int:
            by = front.actor.name
            done = credit(change.session, change.books, row.id, Whole(), body.reason, change.now_us, by)
            return done.note_id

        return _noted(api, "invoice.cancel", path.invoice_id, give_back)

    @api.post("/invoices/<int:invoice_id>/debit-notes", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def debit_invoice(path: InvoicePath, body: NewDebitNote) -> Answer:
        """Ask for more than an invoice did, by a debit note: the answer."""

        def ask_more(change: Writing, row: InvoiceRow) -> int:
            price = _positive(change.session, row, body.unit_price, "unit_price")
            quantity = parse_amount(body.quantity, QUANTITY)
            line = NewLine(body.description, price, quantity, product_class=body.product_class)
            by = front.actor.name
            return debit(
                change.session, change.books, row.id, [line], body.reason, change.now_us, by
            ).invoice_id

        return _noted(api, "invoice.debit", path.invoice_id, ask_more)


def _noted(api: Api, action: str, id: int, use: Any) -> Answer:
    front = api.front
    with front.reading() as session:
        row = own_invoice(front, session, id)
    subject = row.number or f"{row.kind} {row.id}"
    with api.writing(action, subject, account_id=row.account_id) as change:
        with conflicts():
            note_id: int = use(change, own_invoice(front, change.session, id))
        return change.done(written_invoice(change.session, note_id), 201)


def _what(session: Session, row: InvoiceRow, body: NewCreditNote) -> What:
    sent: Any = body
    if sent.amount is not None and sent.lines is not None:
        raise wrong("lines", "give back an amount, or lines")
    if sent.amount is not None:
        return OfAmount(_positive(session, row, sent.amount, "amount"))
    if sent.lines is None:
        return Whole()
    known = lines_of(session, row.id)
    nets: list[tuple[int, int | None]] = []
    for place, line in enumerate(sent.lines):
        if line.line_id not in known:
            raise wrong(f"lines.{place}.line_id", "the invoice has no such line")
        net = line.net
        nets.append(
            (line.line_id, None if net is None else _positive(session, row, net, f"lines.{place}.net"))
        )
    return Lines(tuple(nets))


def _positive(session: Session, row: InvoiceRow, text: str, name: str) -> int:
    try:
        amount = parse_amount(text, unit_of(session, row.unit))
    except InputRefused as error:
        raise wrong(name, said(error)) from None
    if amount <= 0:
        raise wrong(name, "must be more than zero")
    return amount
