"""Disputes: what accounts contest of their invoices, what was said about it, and how it ends."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.dispute_decisions import decide_dispute
from pbxbill.billing.invoices.disputes import dispute, remark
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.listing.dunning import DISPUTES
from pbxbill.money import parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.drafts import own_invoice
from pbxbill.web.api.fields import Amount, Line, Moment, Money, Sent, left_out, moment, moment_or_none, money
from pbxbill.web.api.invoices import InvoicePath, seen_invoice
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import conflicts, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Disputes"
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


def disputes(api: Api) -> None:
    """Disputes of accounts in scope, and of one's own."""
    front = api.front
    declare_list(api, "/disputes", DISPUTES, TAG)
    for own, read, write in (
        (False, Permission.DUNNING_READ, Permission.DUNNING_WRITE),
        (True, Permission.OWN_READ, Permission.OWN_WRITE),
    ):
        _declare(api, own=own, read=read, write=write)

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
            row = _asking(session, api, path.invoice_id)
            amount = None
            if sent is not None:
                with field("amount"):
                    amount = parse_amount(sent, unit_of(session, row.unit))
                if amount <= 0:
                    raise wrong("amount", "must be more than zero")
        with api.writing("dispute.begin", row.number or "", account_id=row.account_id) as change:
            by = front.actor.name
            with conflicts():
                dispute(
                    change.session, row.id, reason=body.reason, now_us=change.now_us, amount=amount, by=by
                )
            return change.done(_shown(change.session, row.id), 201)

    def say(path: InvoicePath, body: Remark) -> Answer:
        with front.reading() as session:
            row = _asking(session, api, path.invoice_id)
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


def _asking(session: Session, api: Api, id: int) -> InvoiceRow:
    row = seen_invoice(session, api.front.scope, id)
    if row.kind not in ASKING or row.number is None:
        raise Refused(404)
    return row


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
    )
