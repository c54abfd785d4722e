"""Drafts of invoices: made by hand, their lines added, corrected and removed, reckoned again."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.invoices.draft_editing import Correction, NewLine, add_line, correct_line, remove_line
from pbxbill.billing.invoices.drafting import new_draft, recalculate
from pbxbill.money import MAX_AMOUNT, Unit, parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.web.api.api import Answer, Api, Writing
from pbxbill.web.api.fields import Amount, Id, Line, Sent, left_out
from pbxbill.web.api.invoices import TAG, Invoice, InvoicePath, seen_invoice, shown_invoice, written_invoice
from pbxbill.web.api.objects import billed_account, conflicts, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

QUANTITY = Unit("", 6, 0)
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
Description = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
ProductClass = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,31}$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$")]
Use = Callable[[Writing, InvoiceRow], None]


class LinePath(InvoicePath):
    """A line of a draft."""

    line_id: Id


class NewDraft(Sent):
    """A draft without lines."""

    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = Field(examples=["EUR"])


class SentLine(Sent):
    """A line to be added."""

    description: Description
    unit_price: Amount = Field(description="Without tax, in the draft's currency.")
    quantity: Quantity = "1"
    kind: Literal["one_time", "set_up", "recurring", "late_fee", "adjustment", "credit"] = "one_time"
    product_class: ProductClass = "service"
    reason: Reason = Field(description="Kept with it.")


class LineCorrection(Sent):
    """What a line is instead; what is left out stays."""

    net: Amount = left_out("Without tax, in the draft's currency.")
    description: Description = left_out()
    reason: Reason


class Why(Sent):
    """Why it is done."""

    reason: Reason


def drafts(api: Api) -> None:
    """Drafts that the key's account issues."""
    front = api.front

    @api.post("/accounts/<int:account_id>/drafts", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def make_draft(path: AccountPath, body: NewDraft) -> Answer:
        """Begin an invoice by hand; it has no line yet."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("draft.new", code, account_id=path.account_id) as change:
            billed_account(front, change.session, path.account_id)
            with field("unit"):
                row = new_draft(change.session, path.account_id, body.unit, change.now_us, front.actor.name)
            return change.done(shown_invoice(change.session, row), 201)

    @api.post("/invoices/<int:invoice_id>/lines", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def add_draft_line(path: InvoicePath, body: SentLine) -> Answer:
        """Add a line to a draft. 409: it is none any more."""

        def add(change: Writing, row: InvoiceRow) -> None:
            price = _amount(change.session, row, body.unit_price, "unit_price")
            quantity = parse_amount(body.quantity, QUANTITY)
            new = NewLine(body.description, price, quantity, ChargeKind(body.kind), body.product_class)
            add_line(change.session, row.id, new, body.reason, change.now_us, front.actor.name)

        return changed(api, "draft.line-add", path.invoice_id, add)

    @api.patch(
        "/invoices/<int:invoice_id>/lines/<int:line_id>", Invoice, TAG, of="/invoices/<int:invoice_id>"
    )
    @needs(Permission.INVOICES_WRITE)
    def correct_draft_line(path: LinePath, body: LineCorrection) -> Answer:
        """Correct a line of a draft. It stays so when the draft is reckoned again."""
        sent: Any = body
        if sent.net is None and sent.description is None:
            raise Refused(422, "Say what to correct: net, description.")

        def correct(change: Writing, row: InvoiceRow) -> None:
            _line(change.session, row, path.line_id)
            net = None if sent.net is None else _amount(change.session, row, sent.net, "net")
            correction = Correction(net, sent.description)
            by = front.actor.name
            correct_line(change.session, path.line_id, correction, body.reason, change.now_us, by)

        return changed(api, "draft.line-correct", path.invoice_id, correct, status=200)

    @api.post("/invoices/<int:invoice_id>/lines/<int:line_id>/removal", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def remove_draft_line(path: LinePath, body: Why) -> Answer:
        """Let a line count nothing. What a wallet gave for it comes back when the draft is issued."""

        def take_out(change: Writing, row: InvoiceRow) -> None:
            _line(change.session, row, path.line_id)
            remove_line(change.session, path.line_id, body.reason, change.now_us, front.actor.name)

        return changed(api, "draft.line-remove", path.invoice_id, take_out)

    @api.post("/invoices/<int:invoice_id>/recalculation", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def recalculate_draft(path: InvoicePath) -> Answer:
        """Reckon a draft again from what was charged since; lines changed by hand stay."""

        def reckon(change: Writing, row: InvoiceRow) -> None:
            recalculate(change.session, row.id, change.now_us, front.actor.name)

        return changed(api, "draft.recalculate", path.invoice_id, reckon)


def own_invoice(front: Front, session: Session, id: int) -> InvoiceRow:
    """A document that who asks may change: the operator any, a reseller what he issues."""
    row = seen_invoice(session, front.scope, id)
    if not (front.scope.is_everything or row.issuer_id == front.scope.account_id):
        raise Refused(403, "The reseller above the account issues it.")
    return row


def changed(api: Api, action: str, id: int, use: Use, *, status: int = 201) -> Answer:
    """Change a document in a transaction, and show it; what is refused cannot be done as it stands."""
    front = api.front
    with front.reading() as session:
        row = own_invoice(front, session, id)
    subject = row.number or f"{row.kind} {row.id}"
    with api.writing(action, subject, account_id=row.account_id) as change:
        with conflicts():
            use(change, own_invoice(front, change.session, id))
        return change.done(written_invoice(change.session, id), status)


def _amount(session: Session, row: InvoiceRow, text: str, name: str) -> int:
    with field(name):
        amount = parse_amount(text, unit_of(session, row.unit))
    if abs(amount) > MAX_AMOUNT:
        raise wrong(name, "is out of range")
    return amount


def _line(session: Session, row: InvoiceRow, line_id: int) -> InvoiceLineRow:
    line = session.get(InvoiceLineRow, line_id)
    if line is None or line.invoice_id != row.id:
        raise Refused(404)
    return line
