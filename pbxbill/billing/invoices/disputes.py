"""Disputes: an amount of an invoice that the account contests, with its history; not dunned meanwhile.

A dispute moves no money. It ends with a credit note for what was wrong, or goes back to dunning. What people
send with it is kept by dispute_files.py.
"""

from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning import settled_or_changed
from pbxbill.billing.invoices.standing import (
    happened,
    locked_standing,
    named,
    reason_given,
    said,
    whole_coins,
)
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow


def dispute(
    session: Session, invoice_id: int, *, reason: str, now_us: int, amount: int | None = None, by: str = ""
) -> InvoiceRow:
    """Begin a dispute about what is open, or part of it; or change the amount of the one there is."""
    reason = reason_given(reason)
    row = locked_standing(session, invoice_id)
    unit = unit_of(session, row.unit)
    if not row.open:
        raise InputRefused(f"nothing is open of {named(row)}; a credit note gives back what was paid for")
    disputed = whole_coins(row.open if amount is None else amount, unit, "what is disputed")
    if disputed > row.open:
        raise InputRefused(f"only {said(row.open, unit)} is open of {named(row)}")
    row.disputed = disputed
    if row.disputed_us is None:
        row.disputed_us = now_us
    happened(session, row.id, "disputed", f"{said(disputed, unit)}: {reason}", at_us=now_us, by=by)
    session.flush()
    settled_or_changed(session, (row.id,), now_us)
    return row


def remark(session: Session, invoice_id: int, text: str, *, now_us: int, by: str = "") -> InvoiceRow:
    """Write what was said about a dispute."""
    text = reason_given(text)
    row = locked_standing(session, invoice_id)
    if row.disputed_us is None:
        raise InputRefused(f"{named(row)} is not disputed")
    happened(session, row.id, "dispute_remark", text, at_us=now_us, by=by)
    session.flush()
    return row


def settle_dispute(
    session: Session, invoice_id: int, *, reason: str, now_us: int, by: str = ""
) -> tuple[InvoiceRow, int]:
    """End a dispute; the invoice is due as before. Also what was disputed, for who wants to credit that."""
    reason = reason_given(reason)
    row = locked_standing(session, invoice_id)
    if row.disputed_us is None:
        raise InputRefused(f"{named(row)} is not disputed")
    disputed = row.disputed
    row.disputed, row.disputed_us = 0, None
    happened(session, row.id, "dispute_settled", reason, at_us=now_us, by=by)
    session.flush()
    settled_or_changed(session, (row.id,), now_us)
    return row, disputed
