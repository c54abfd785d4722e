"""Behind an invoice: the ledger entries that made its lines, each with its call."""

from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.history import MAX_PAGE, behind_lines
from pbxbill.clock import SECOND_US
from pbxbill.store.accounts import unit_of
from pbxbill.web.api.api import Api
from pbxbill.web.api.fields import Moment, Money, Sent, moment, moment_or_none, money
from pbxbill.web.api.invoices import TAG, InvoicePath, seen_invoice
from pbxbill.web.front import needs

PAGE = 100


class EntriesQuery(Sent):
    """Which page."""

    size: int = Field(default=PAGE, ge=1, le=MAX_PAGE - 1)
    after: str = Field(default="", max_length=32, description="The last entry of the page before.")


class BehindInvoice(BaseModel):
    """A ledger entry that is on a line."""

    entry: str
    at: Moment
    kind: str
    memo: str
    amount: Money = Field(description="What the account gave; below zero: what it got.")
    position: int = Field(description="Of the line.")
    session_id: str | None = Field(description="Of the call; null: it is none, or many.")
    caller: str | None
    called: str | None
    started: Moment | None
    billed_s: int | None
    corrected_calls: int = Field(description="So many calls' correction it is.")


class BehindInvoicePage(BaseModel):
    """Entries, by their ids."""

    items: list[BehindInvoice]
    after: str | None = Field(description="To be sent for the next page; null: there is none.")


def invoice_entries(api: Api) -> None:
    """The list."""
    front = api.front

    @api.get("/invoices/<int:invoice_id>/entries", BehindInvoicePage, TAG)
    @needs(Permission.INVOICES_READ)
    def list_entries_of_invoice(path: InvoicePath, query: EntriesQuery) -> BehindInvoicePage:
        """The ledger entries behind an invoice's lines."""
        with front.reading() as session:
            row = seen_invoice(session, front.scope, path.invoice_id)
            unit = unit_of(session, row.unit)
            found = behind_lines(session, row.id, after=query.after, limit=query.size + 1)
        items = [
            BehindInvoice(
                entry=x.entry_id,
                at=moment(x.at_us),
                kind=x.kind,
                memo=x.memo,
                amount=money(x.amount, unit),
                position=x.position,
                session_id=x.session_id,
                caller=x.caller,
                called=x.called,
                started=moment_or_none(x.started_us),
                billed_s=None if x.billed_us is None else x.billed_us // SECOND_US,
                corrected_calls=x.corrected,
            )
            for x in found[: query.size]
        ]
        return BehindInvoicePage(items=items, after=items[-1].entry if len(found) > query.size else None)
