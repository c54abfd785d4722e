"""What one invoice is made of and what became of it, for whoever shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.dispute_files import DisputeFile, files_of
from pbxbill.billing.invoices.history import Afterwards, afterwards
from pbxbill.billing.taxes.tax_conflicts import conflict_of
from pbxbill.store.dunning_models import DunningStepRow
from pbxbill.store.invoice_models import (
    InvoiceEventRow,
    InvoiceLineRow,
    InvoiceRow,
    InvoiceTaxRow,
    MessageRow,
)

MAX_LINES, MAX_EVENTS, MAX_MESSAGES = 100, 200, 50


@dataclass(frozen=True, slots=True)
class InvoiceParts:
    """All that belongs to it; lines and events as many as are shown."""

    lines: Sequence[InvoiceLineRow]
    """Those that were removed too, unless only what counts is asked for."""
    has_more_lines: bool
    taxes: Sequence[InvoiceTaxRow]
    moves: Sequence[Afterwards]
    """What was posted when it was issued, and since."""
    events: Sequence[InvoiceEventRow]
    """The newest first."""
    steps: Sequence[DunningStepRow]
    notes: Sequence[InvoiceRow]
    """Notes that correct it, or what a quote became."""
    corrects: InvoiceRow | None
    """What it corrects, or the quote that it was made from."""
    messages: Sequence[MessageRow]
    """By which it was sent; the newest first."""
    dispute_files: Sequence[DisputeFile]
    tax_conflict: str
    """Of a draft: that a tariff took another tax than the buyer owes."""


def parts_of(session: Session, row: InvoiceRow, *, removed: bool = True) -> InvoiceParts:
    """Read it."""
    lines = select(InvoiceLineRow).where(InvoiceLineRow.invoice_id == row.id)
    if not removed:
        lines = lines.where(InvoiceLineRow.origin != "removed")
    found = session.scalars(
        lines.order_by(InvoiceLineRow.position, InvoiceLineRow.id).limit(MAX_LINES + 1)
    ).all()
    taxes = select(InvoiceTaxRow).where(InvoiceTaxRow.invoice_id == row.id).order_by(InvoiceTaxRow.position)
    events = select(InvoiceEventRow).where(InvoiceEventRow.invoice_id == row.id)
    steps = select(DunningStepRow).where(DunningStepRow.invoice_id == row.id).order_by(DunningStepRow.level)
    notes = select(InvoiceRow).where(InvoiceRow.corrects_id == row.id).order_by(InvoiceRow.id)
    messages = select(MessageRow).where(MessageRow.invoice_id == row.id).order_by(MessageRow.id.desc())
    return InvoiceParts(
        found[:MAX_LINES],
        len(found) > MAX_LINES,
        session.scalars(taxes).all(),
        afterwards(session, row.id),
        session.scalars(events.order_by(InvoiceEventRow.id.desc()).limit(MAX_EVENTS)).all(),
        session.scalars(steps).all(),
        session.scalars(notes).all(),
        session.get(InvoiceRow, row.corrects_id) if row.corrects_id is not None else None,
        session.scalars(messages.limit(MAX_MESSAGES)).all(),
        files_of(session, row.id),
        conflict_of(session, row.id) if row.state == "draft" else "",
    )
