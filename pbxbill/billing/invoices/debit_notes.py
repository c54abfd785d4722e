"""Debit notes by hand: what an issued invoice asked too little for is asked for by a document of its own."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.draft_editing import NewLine, add_line
from pbxbill.billing.invoices.drafting import new_draft
from pbxbill.billing.invoices.issuing import Issued, issue
from pbxbill.billing.invoices.standing import happened, locked_standing, named, reason_given
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused, check


def debit(  # noqa: PLR0913, PLR0917  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    invoice_id: int,
    lines: Sequence[NewLine],
    reason: str,
    now_us: int,
    by: str = "",
) -> Issued:
    """Issue a debit note for an invoice: it is paid, credited and disputed like one."""
    reason = reason_given(reason)
    if not lines:
        raise InputRefused("a debit note has a line at least")
    row = locked_standing(session, invoice_id)
    if row.kind != "invoice":
        raise InputRefused(f"{named(row)} is a note itself: debit its invoice")
    note = new_draft(session, row.account_id, row.unit, now_us, by)
    for line in lines:
        add_line(session, note.id, line, reason, now_us, by)
    note.kind, note.corrects_id, note.note = "debit_note", row.id, reason
    note.purchase_order = row.purchase_order
    session.flush()
    issued = issue(session, books, note.id, now_us, by)
    check(isinstance(issued, Issued), "a debit note was not issued: {}", issued)
    assert isinstance(issued, Issued)
    happened(session, invoice_id, "debited", f"debit note {issued.number}: {reason}", at_us=now_us, by=by)
    session.flush()
    return issued
