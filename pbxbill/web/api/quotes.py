"""Quotes: lines or a plan offered until a day, accepted, refused."""

from datetime import date
from typing import Annotated, Any

from flask import Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.quotes import (
    MAX_LINES,
    MAX_NOTE,
    NewQuote,
    QuoteLine,
    accept,
    end_of_validity,
    offer,
    plan_quote,
    refuse,
    seller_of,
)
from pbxbill.billing.subscriptions.plan_catalogue import offered_version
from pbxbill.errors import InputRefused
from pbxbill.listing.quotes import quotes as listing_of
from pbxbill.money import Unit, parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.drafts import QUANTITY, Description, Quantity, Why, own_invoice
from pbxbill.web.api.fields import Amount, Id, Line, Sent, left_out
from pbxbill.web.api.invoices import (
    PDF,
    Invoice,
    file_of_invoice,
    seen_invoice,
    shown_invoice,
    written_invoice,
)
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import SentDay, billed_account, conflicts, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

TAG = "Quotes"


class QuotePath(Sent):
    """A quote, by its id."""

    quote_id: Id


class OfferedLine(Sent):
    """Something that is offered."""

    description: Description
    unit_price: Amount = Field(description="Without tax, in the quote's currency.")
    quantity: Quantity = "1"


class SentQuote(Sent):
    """What is offered: either lines, or a plan."""

    until: SentDay = Field(description="Its last day, whole, where its issuer is.")
    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = left_out(
        "Of the lines; a plan has its own.", examples=["EUR"]
    )
    lines: Annotated[list[OfferedLine], Field(min_length=1, max_length=MAX_LINES)] = left_out()
    plan: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Its newest version, with set-up and the first whole period."
    )
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=1, description="Of the plan.")
    note: Annotated[str, StringConstraints(max_length=MAX_NOTE)] = Field(default="", description="Printed.")


class QuoteAcceptance(Sent):
    """How an offer is taken up."""

    issue: bool = Field(default=False, description="Issue the invoice of its lines at once; else: a draft.")


class AcceptedQuote(BaseModel):
    """What became of it."""

    quote: Invoice
    invoice_id: int | None = Field(description="Of its lines.")
    number: str | None = Field(description="Of the invoice, once it is issued.")
    subscription_id: int | None = Field(description="To its plan.")


def quotes(api: Api) -> None:
    """Quotes that accounts in scope were made, and those that the key's account makes."""
    front = api.front
    listing = listing_of(front.clock)
    declare_list(api, "/quotes", listing, TAG)
    declare_file(api, "/quotes.csv", listing, TAG)

    @api.get("/quotes/<int:quote_id>", Invoice, TAG)
    @needs(Permission.INVOICES_READ)
    def get_quote(path: QuotePath) -> Invoice:
        """One quote, with its lines; `due` is its last moment."""
        with front.reading() as session:
            return shown_invoice(session, _quote(front, session, path.quote_id))

    @api.get("/quotes/<int:quote_id>.pdf", PDF, TAG, conflict=True)
    @needs(Permission.INVOICES_READ)
    def get_quote_pdf(path: QuotePath) -> Response:
        """The quote as PDF."""
        with front.reading() as session:
            row = _quote(front, session, path.quote_id)
        return file_of_invoice(front, row.id, "pdf", PDF.mimetype)

    @api.post("/accounts/<int:account_id>/quotes", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def make_quote(path: AccountPath, body: SentQuote) -> Answer:
        """Offer lines or a plan. It is numbered, and changes no more."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("quote.offer", code, account_id=path.account_id) as change:
            account = billed_account(front, change.session, path.account_id)
            with conflicts():
                seller_of(change.session, account)
            wanted = _wanted(change.session, account, body)
            made = offer(change.session, account, wanted, change.now_us, front.actor.name)
            row = change.session.get_one(InvoiceRow, made.quote_id)
            return change.done(shown_invoice(change.session, row), 201)

    _declare_ends(api)


def _declare_ends(api: Api) -> None:
    front = api.front

    @api.post("/quotes/<int:quote_id>/acceptance", AcceptedQuote, TAG)
    @needs(Permission.INVOICES_WRITE)
    def accept_quote(path: QuotePath, body: QuoteAcceptance) -> Answer:
        """Take an offer up: its lines become a draft at its prices, a plan becomes a subscription.

        409: it is over, refused, or its invoice cannot be issued. Accepted before: the same answer again.
        """
        with front.reading() as session:
            row = _own_quote(front, session, path.quote_id)
        with api.writing("quote.accept", row.number or "", account_id=row.account_id) as change:
            session, now_us = change.session, change.now_us
            _own_quote(front, session, row.id)
            with conflicts():
                done = accept(session, change.books, row.id, now_us, front.actor.name, issue_now=body.issue)
            answer = AcceptedQuote(
                quote=written_invoice(session, row.id),
                invoice_id=done.invoice_id,
                number=done.number or None,
                subscription_id=done.subscription_id,
            )
            return change.done(answer, 201)

    @api.post("/quotes/<int:quote_id>/refusal", Invoice, TAG)
    @needs(Permission.INVOICES_WRITE)
    def refuse_quote(path: QuotePath, body: Why) -> Answer:
        """Note that nobody wants it. 409: it is not open any more."""
        with front.reading() as session:
            row = _own_quote(front, session, path.quote_id)
        with api.writing("quote.refuse", row.number or "", account_id=row.account_id) as change:
            _own_quote(front, change.session, row.id)
            with conflicts():
                refuse(change.session, row.id, body.reason, change.now_us, front.actor.name)
            return change.done(written_invoice(change.session, row.id), 201)


def _wanted(session: Session, account: AccountRow, body: SentQuote) -> NewQuote:
    sent: Any = body
    if (sent.plan is None) == (sent.lines is None):
        raise wrong("lines", "say what is offered: either lines, or a plan")
    with field("until"):
        until_us = end_of_validity(session, account, date.fromisoformat(body.until))
    if sent.plan is not None:
        with field("plan"):
            version = offered_version(session, seller_of(session, account), sent.plan)
            return plan_quote(version, body.quantity, until_us, body.note)
    if sent.unit is None:
        raise wrong("unit", "say in which currency the lines are")
    with field("unit"):
        unit = unit_of(session, sent.unit)
    lines = tuple(_line(place, x, unit) for place, x in enumerate(sent.lines))
    return NewQuote(unit.code, lines, until_us, body.note)


def _line(place: int, line: OfferedLine, unit: Unit) -> QuoteLine:
    with field(f"lines.{place}"):
        price, quantity = parse_amount(line.unit_price, unit), parse_amount(line.quantity, QUANTITY)
        if quantity == 0:
            raise InputRefused("a quantity is above zero")
        return QuoteLine(line.description, price, quantity)


def _quote(front: Front, session: Session, id: int) -> InvoiceRow:
    return _is_quote(seen_invoice(session, front.scope, id))


def _own_quote(front: Front, session: Session, id: int) -> InvoiceRow:
    _quote(front, session, id)
    return own_invoice(front, session, id)


def _is_quote(row: InvoiceRow) -> InvoiceRow:
    if row.kind != "quote":
        raise Refused(404)
    return row
