"""One entry of payments: which ones have a page, and what stands behind each."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.payments.taking_back import gateway_payment_of
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.listing.payments import accounts_of_entries
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.invoice_models import AllocationRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow

SHOWN = (
    "top-up",
    "payment",
    "allocation",
    "write-off",
    "reversal",
    "refund",
    "charge-back",
    "transfer",
    "voucher",
)
"""Kinds of entries that have a page here."""


def payment_entry(session: Session, scope: Scope, entry: str) -> JournalEntryRow | None:
    """An entry in the books of whoever acts, or of a reseller of his; None for any other."""
    in_books = (
        select(PostingRow.entry_id)
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(PostingRow.entry_id == entry[:32], kept_by_sellers(scope, LedgerAccountRow.issuer_id))
    )
    row = session.scalar(
        select(JournalEntryRow).where(
            JournalEntryRow.id == entry[:32], JournalEntryRow.kind.in_(SHOWN), in_books.exists()
        )
    )
    return row if row is not None and row.id == entry else None


def receipt_of(session: Session, entry: str) -> InvoiceRow | None:
    """The receipt that was made for an entry."""
    return session.scalar(select(InvoiceRow).where(InvoiceRow.period_key == f"receipt:{entry}"))


def facts_of_entry(session: Session, row: JournalEntryRow) -> dict[str, Any]:
    """What stands behind an entry."""
    moved = session.execute(
        select(LedgerAccountRow.code, func.sum(PostingRow.amount))
        .join(PostingRow, PostingRow.ledger_account_id == LedgerAccountRow.id)
        .where(PostingRow.entry_id == row.id, LedgerAccountRow.code.in_((LedgerCode.CASH, LedgerCode.WALLET)))
        .group_by(LedgerAccountRow.code)
    )
    amounts = {code: int(amount) for code, amount in moved}
    allocations = session.execute(
        select(AllocationRow.amount, InvoiceRow.id, InvoiceRow.number, InvoiceRow.open, InvoiceRow.state)
        .join(InvoiceRow, InvoiceRow.id == AllocationRow.invoice_id)
        .where(AllocationRow.entry_id == row.id)
        .order_by(AllocationRow.id)
    )
    whose = accounts_of_entries(session, [row.id]).get(row.id)
    return {
        "account": session.get(AccountRow, whose[0]) if whose else None,
        "cash": amounts.get(LedgerCode.CASH, 0),
        # A wallet is what we owe its holder: what is put in stands at the left of the journal.
        "in_wallet": -amounts.get(LedgerCode.WALLET, 0),
        "invoices": [x._asdict() for x in allocations],
        "receipt": receipt_of(session, row.id),
        "reversed_by": session.scalar(
            select(JournalEntryRow.id).where(JournalEntryRow.reverses_id == row.id)
        ),
        "gateway_payment": gateway_payment_of(session, row.id),
    }
