"""Disputes: what accounts contest of their invoices, what was said about it, and how it ends."""

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.dispute_decisions import decide_dispute
from pbxbill.billing.invoices.dispute_files import (
    KINDS,
    MAX_BYTES,
    MAX_NAME_LENGTH,
    attach,
    checked_file,
    content_of,
    files_of,
)
from pbxbill.billing.invoices.disputes import dispute, remark
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.errors import InputRefused
from pbxbill.listing.dunning import DISPUTES
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.drafts import own_invoice
from pbxbill.web.api.fields import (
    Amount,
    Id,
    Line,
    Moment,
    Money,
    Sent,
    left_out,
    moment,
    moment_or_none,
    money,
)
from pbxbill.web.api.invoices import InvoicePath, seen_invoice
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import conflicts, field, sent_amount
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.uploads import content_of as sent_content
from pbxbill.web.api.uploads import request_bytes, sent_file
from pbxbill.web.front import needs

TAG = "Disputes"
CONTENT = File("application/octet-stream", "The file; its own type is told with the dispute.")
THREAD = ("disputed", "dispute_remark", "dispute_file", "dispute_settled", "credited")
Reason = Annotated[Line, StringConstraints(min_length=1, max_length=200)]


class NewDispute(Sent):
    """What is contested of an invoice, and why."""

    amount: Amount = left_out("Default: all that is open.")
    reason: Reason


class Remark(Sent):
    """What somebody says about it."""

    text: Annotated[Line, StringConstraints(min_length=1, max_length=300)]


class DisputeDecision(Sent):
    """How a dispute ends."""

    outcome: Literal["credit", "reject"] = Field(description="credit: it is given back by a credit note.")
    reason: Reason


class FilePath(InvoicePath):
    """A file of a dispute, by its id."""

    file_id: Id


class SentFile(Sent):
    """Something that belongs to it."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)] = Field(
        description=f"It ends with one of {', '.join(sorted(KINDS))}.", examples=["letter.pdf"]
    )
    content: sent_file(MAX_BYTES)  # type: ignore[valid-type]  # by its size


class KeptFile(BaseModel):
    """A file of a dispute."""

    id: int
    name: str
    media_type: str
    bytes: int
    at: Moment
    by: str


class Said(BaseModel):
    """What happened in a dispute."""

    at: Moment
    kind: str
    detail: str
    by: str


class Dispute(BaseModel):
    """A dispute of an invoice."""

    invoice_id: int
    number: str | None
    disputed: Money = Field(description="Zero: it is settled, or nothing is contested.")
    since: Moment | None
    open: Money
    thread: list[Said] = Field(description="The oldest first.")
    files: list[KeptFile]


def disputes(api: Api) -> None:
    """Disputes of accounts in scope, and of one's own."""
    front = api.front
    declare_list(api, "/disputes", DISPUTES, TAG)
    for own, read, write in (
        (False, Permission.DUNNING_READ, Permission.DUNNING_WRITE),
        (True, Permission.OWN_READ, Permission.OWN_WRITE),
    ):
        _declare(api, own=own, read=read, write=write)
        _declare_files(api, own=own, read=read, write=write)

    @api.post("/invoices/<int:invoice_id>/dispute/decision", Dispute, TAG)
    @needs(Permission.DUNNING_WRITE)
    def decide_a_dispute(path: InvoicePath, body: DisputeDecision) -> Answer:
        """Give back what is contested, or have it dunned again. 409: nothing is contested.

        Of an invoice that a reseller below issued he decides (403). A credit note needs `invoices:write` too.
        """
        with front.reading() as session:
            row = _asking(session, api, path.invoice_id)
            own_invoice(front, session, path.invoice_id)
        if body.outcome == "credit" and not front.actor.may(Permission.INVOICES_WRITE):
            raise Refused(403, "The key may not issue the credit note.")
        with api.writing("dispute.decide", row.number or "", account_id=row.account_id) as change:
            with conflicts():
                decide_dispute(
                    change.session,
                    change.books,
                    row.id,
                    credited=body.outcome == "credit",
                    reason=body.reason,
                    now_us=change.now_us,
                    by=front.actor.name,
                )
            return change.done(_shown(change.session, row.id), 201)


def _declare(api: Api, *, own: bool, read: Permission, write: Permission) -> None:
    front = api.front
    before, prefix = ("own_", "/own") if own else ("", "")

    def get(path: InvoicePath) -> Dispute:
        with front.reading() as session:
            return _shown(session, _asking(session, api, path.invoice_id).id)

    def begin(path: InvoicePath, body: NewDispute) -> Answer:
        sent: Any = body.amount
        with front.reading() as session:
            row = _changed(session, api, path.invoice_id, own=own)
            amount = None if sent is None else sent_amount(sent, unit_of(session, row.unit))
        with api.writing("dispute.begin", row.number or "", account_id=row.account_id) as change:
            by = front.actor.name
            with conflicts():
                dispute(
                    change.session, row.id, reason=body.reason, now_us=change.now_us, amount=amount, by=by
                )
            return change.done(_shown(change.session, row.id), 201)

    def say(path: InvoicePath, body: Remark) -> Answer:
        with front.reading() as session:
            row = _changed(session, api, path.invoice_id, own=own)
        with api.writing("dispute.remark", row.number or "", account_id=row.account_id) as change:
            with conflicts():
                remark(change.session, row.id, body.text, now_us=change.now_us, by=front.actor.name)
            return change.done(_shown(change.session, row.id), 201)

    rule = f"{prefix}/invoices/<int:invoice_id>/dispute"
    for view, name, about in (
        (get, "get", "What is contested of an invoice, and what was said about it."),
        (begin, "begin", "Contest an invoice, or a part of it. That is not dunned until it is decided."),
        (say, "say_in", "Say something about a dispute."),
    ):
        view.__name__, view.__doc__ = f"{name}_{before}dispute", about
    api.get(rule, Dispute, TAG)(needs(read)(get))
    api.post(rule, Dispute, TAG)(needs(write)(begin))
    api.post(f"{rule}/remarks", Dispute, TAG)(needs(write)(say))


def _declare_files(api: Api, *, own: bool, read: Permission, write: Permission) -> None:
    front = api.front
    before, prefix = ("own_", "/own") if own else ("", "")
    rule = f"{prefix}/invoices/<int:invoice_id>/dispute/files"
    api.take_larger(rule, request_bytes(MAX_BYTES))

    def add(path: InvoicePath, body: SentFile) -> Answer:
        with front.reading() as session:
            row = _changed(session, api, path.invoice_id, own=own)
        content = sent_content(body.content, "content", MAX_BYTES)
        with field("content"):
            name, _media_type = checked_file(body.name, content)
        with api.writing("dispute.file", row.number or "", account_id=row.account_id) as change:
            with conflicts():
                by = front.actor.name
                attach(change.session, row.id, name, content, now_us=change.now_us, by=by)
            return change.done(_shown(change.session, row.id), 201)

    def get(path: FilePath) -> Response:
        with front.reading() as session:
            row = _asking(session, api, path.invoice_id)
            try:
                kept, content = content_of(session, row.id, path.file_id)
            except InputRefused:
                raise Refused(404) from None
        answer = Response(content, mimetype=CONTENT.mimetype)
        answer.headers.set("Content-Disposition", "attachment", filename=kept.name)
        return answer

    add.__name__, get.__name__ = f"attach_{before}dispute_file", f"get_{before}dispute_file"
    add.__doc__ = "Keep a file with a dispute; the same again is kept once. 409: nothing is contested."
    get.__doc__ = "A file of a dispute, as it came."
    api.post(rule, Dispute, TAG)(needs(write)(add))
    api.get(f"{rule}/<int:file_id>", CONTENT, TAG)(needs(read)(get))


def _asking(session: Session, api: Api, id: int) -> InvoiceRow:
    row = seen_invoice(session, api.front.scope, id)
    if row.kind not in ASKING or row.number is None:
        raise Refused(404)
    return row


def _changed(session: Session, api: Api, id: int, *, own: bool) -> InvoiceRow:
    """One whose dispute who asks may go on with: whom it asks for money, and who issued it."""
    row = _asking(session, api, id)
    return row if own else own_invoice(api.front, session, id)


def _shown(session: Session, id: int) -> Dispute:
    session.expire_all()
    row = session.get_one(InvoiceRow, id)
    unit = unit_of(session, row.unit)
    events = session.scalars(
        select(InvoiceEventRow)
        .where(InvoiceEventRow.invoice_id == id, InvoiceEventRow.kind.in_(THREAD))
        .order_by(InvoiceEventRow.id)
        .limit(500)
    )
    return Dispute(
        invoice_id=row.id,
        number=row.number,
        disputed=money(row.disputed, unit),
        since=moment_or_none(row.disputed_us),
        open=money(row.open, unit),
        thread=[Said(at=moment(x.at_us), kind=x.kind, detail=x.detail, by=x.by) for x in events],
        files=[
            KeptFile(
                id=x.id, name=x.name, media_type=x.media_type, bytes=x.bytes, at=moment(x.at_us), by=x.by
            )
            for x in files_of(session, id)
        ],
    )
