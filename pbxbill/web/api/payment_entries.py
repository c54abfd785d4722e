"""One entry of payments: what stands behind it, and its receipt."""

from flask import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.receipts import issue_receipt
from pbxbill.listing.payment_entries import facts_of_entry, payment_entry, receipt_of
from pbxbill.money import Unit
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import JournalEntryRow
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.fields import Moment, Money, moment, money
from pbxbill.web.api.invoices import file_of_invoice
from pbxbill.web.api.objects import conflicts
from pbxbill.web.api.payment_corrections import EntryPath
from pbxbill.web.api.payments import TAG
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

PDF = File("application/pdf", "As its payer gets it.")


class PaidInvoice(BaseModel):
    """What an invoice got of it."""

    invoice_id: int
    number: str | None
    amount: Money
    open: Money
    state: str


class PaymentEntry(BaseModel):
    """An entry, and what stands behind it."""

    id: str
    at: Moment
    kind: str
    memo: str
    account: str | None
    received: Money = Field(description="Below zero: it was given back.")
    to_wallet: Money = Field(description="Below zero: it left the wallet.")
    invoices: list[PaidInvoice]
    receipt: str | None = Field(description="Its number.")
    receipt_id: int | None = Field(description="Its id as a document.")
    reversed_by: str | None
    reverses: str | None
    gateway_payment_id: int | None


def payment_entries(api: Api) -> None:
    """In the books of the key's account, and of resellers below it."""
    front = api.front
    rule = "/payments/<entry_id>"

    @api.get(rule, PaymentEntry, TAG)
    @needs(Permission.PAYMENTS_READ)
    def get_payment_entry(path: EntryPath) -> PaymentEntry:
        """One payment, refund or correction."""
        with front.reading() as session:
            return _shown(session, _entry(session, front, path.entry_id))

    @api.post(f"{rule}/receipt", PaymentEntry, TAG)
    @needs(Permission.PAYMENTS_TAKE)
    def make_receipt(path: EntryPath) -> Answer:
        """Make the receipt of a payment or top-up; there is one. 409: the entry brought no money."""
        with front.reading() as session:
            _entry(session, front, path.entry_id)
        with api.writing("payment.receipt", path.entry_id) as change:
            row = _entry(change.session, front, path.entry_id)
            with conflicts():
                issue_receipt(change.session, row.id, change.now_us, front.actor.name)
            return change.done(_shown(change.session, row), 201)

    @api.get(f"{rule}/receipt.pdf", PDF, TAG, conflict=True)
    @needs(Permission.PAYMENTS_READ)
    def get_receipt_pdf(path: EntryPath) -> Response:
        """The receipt as PDF. 404: none was made."""
        with front.reading() as session:
            made = receipt_of(session, _entry(session, front, path.entry_id).id)
        if made is None:
            raise Refused(404)
        return file_of_invoice(front, made.id, "pdf", PDF.mimetype)


def _entry(session: Session, front: Front, id: str) -> JournalEntryRow:
    row = payment_entry(session, front.scope, id)
    if row is None:
        raise Refused(404)
    return row


def _shown(session: Session, row: JournalEntryRow) -> PaymentEntry:
    facts, unit = facts_of_entry(session, row), unit_of(session, row.unit)
    account, receipt = facts["account"], facts["receipt"]
    return PaymentEntry(
        id=row.id,
        at=moment(row.at_us),
        kind=row.kind,
        memo=row.memo,
        account=None if account is None else account.code,
        received=money(facts["cash"], unit),
        to_wallet=money(facts["in_wallet"], unit),
        invoices=[_paid(x, unit) for x in facts["invoices"]],
        receipt=None if receipt is None else receipt.number,
        receipt_id=None if receipt is None else receipt.id,
        reversed_by=facts["reversed_by"],
        reverses=row.reverses_id,
        gateway_payment_id=facts["gateway_payment"],
    )


def _paid(part: dict[str, object], unit: Unit) -> PaidInvoice:
    return PaidInvoice.model_validate(
        {
            "invoice_id": part["id"],
            "number": part["number"],
            "amount": money(int(str(part["amount"])), unit),
            "open": money(int(str(part["open"])), unit),
            "state": part["state"],
        }
    )
