"""What the key's own account is offered: it takes a quote up, or turns it down."""

from dataclasses import replace

from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.quotes import accept, refuse
from pbxbill.listing.quotes import quotes as listing_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.drafts import Why
from pbxbill.web.api.invoices import Invoice, seen_invoice, shown_invoice, written_invoice
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import conflicts
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.quotes import TAG, AcceptedQuote, QuotePath
from pbxbill.web.front import needs


def own_quotes(api: Api) -> None:
    """Quotes of the key's own account."""
    front = api.front

    def own() -> Scope:
        return replace(front.scope, own=True)

    def seen(session: Session, id: int) -> InvoiceRow:
        row = seen_invoice(session, own(), id)
        if row.kind != "quote":
            raise Refused(404)
        return row

    listing, read = listing_of(front.clock), Permission.OWN_READ
    declare_list(api, "/own/quotes", listing, TAG, permission=read, scope=own, name="list_own_quotes")

    @api.get("/own/quotes/<int:quote_id>", Invoice, TAG)
    @needs(Permission.OWN_READ)
    def get_own_quote(path: QuotePath) -> Invoice:
        """One quote that the key's own account was made; `due` is its last moment."""
        with front.reading() as session:
            return shown_invoice(session, seen(session, path.quote_id))

    @api.post("/own/quotes/<int:quote_id>/acceptance", AcceptedQuote, TAG)
    @needs(Permission.OWN_WRITE)
    def accept_own_quote(path: QuotePath) -> Answer:
        """Take an offer up: its lines are invoiced at its prices, a plan becomes a subscription.

        409: it is over or refused. Accepted before: the same answer again.
        """
        with front.reading() as session:
            row = seen(session, path.quote_id)
        with api.writing("quote.accept", row.number or "", account_id=row.account_id) as change:
            seen(change.session, row.id)
            with conflicts():
                done = accept(change.session, change.books, row.id, change.now_us, front.actor.name)
            answer = AcceptedQuote(
                quote=written_invoice(change.session, row.id),
                # A draft may still change: the account sees it when it is issued.
                invoice_id=done.invoice_id if done.number else None,
                number=done.number or None,
                subscription_id=done.subscription_id,
            )
            return change.done(answer, 201)

    @api.post("/own/quotes/<int:quote_id>/refusal", Invoice, TAG)
    @needs(Permission.OWN_WRITE)
    def refuse_own_quote(path: QuotePath, body: Why) -> Answer:
        """Say that the offer is not wanted, and why: who made it reads it. 409: it is not open any more."""
        with front.reading() as session:
            row = seen(session, path.quote_id)
        with api.writing("quote.refuse", row.number or "", account_id=row.account_id) as change:
            seen(change.session, row.id)
            with conflicts():
                refuse(change.session, row.id, body.reason, change.now_us, front.actor.name)
            return change.done(written_invoice(change.session, row.id), 201)
