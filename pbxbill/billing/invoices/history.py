"""Which ledger entries made an invoice, and which invoice an entry is on: both ways, entry by entry.

Every line that the wallet gave for names the entries behind it, and these their calls. What became of it
(issued, paid, credited, written off, taken back) are entries too.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

MAX_PAGE = 1_000

# The wallet's posting is what the account gave; an entry on the books alone has none.
_AMOUNT = (
    "CAST((SELECT COALESCE(SUM(p.amount), 0) FROM postings p JOIN ledger_accounts a "
    "ON a.id = p.ledger_account_id AND a.code = 'wallet' WHERE p.entry_id = e.id) AS BIGINT)"
)
_BEHIND = text(
    f"SELECT e.id, e.at_us, e.kind, e.memo, {_AMOUNT}, l.position, c.session_id, c.caller, c.called, "  # noqa: S608
    "c.started_us, c.billed_us, (SELECT COUNT(*) FROM call_corrections y WHERE y.entry_id = e.id) "
    "FROM invoice_entries x JOIN journal_entries e ON e.id = x.entry_id "
    "JOIN invoice_lines l ON l.id = x.line_id LEFT JOIN cdrs c ON e.kind IN ('usage', 'volume') "
    "AND c.session_id = substr(e.idempotency_key, 8, 32) "
    "WHERE x.invoice_id = :invoice_id AND x.entry_id > :after ORDER BY x.entry_id LIMIT :page"
)
_AFTER = text(
    "SELECT e.id, e.at_us, e.kind, e.memo, f.amount, f.role, f.note, f.number FROM ("
    "SELECT i.entry_id AS entry_id, 'issued' AS role, i.total AS amount, i.id AS note, i.number AS number "
    "FROM invoices i WHERE i.id = :invoice_id AND i.entry_id IS NOT NULL UNION ALL "
    "SELECT a.entry_id, a.kind, a.amount, a.note_id, n.number FROM allocations a "
    "LEFT JOIN invoices n ON n.id = a.note_id WHERE a.invoice_id = :invoice_id) f "
    "JOIN journal_entries e ON e.id = f.entry_id ORDER BY e.at_us, e.id"
)
_OF_ENTRY = text(
    "SELECT i.id, i.kind, i.number, i.state, a.code, f.role, f.position, f.amount FROM ("
    "SELECT x.invoice_id AS invoice_id, 'line' AS role, l.position AS position, NULL AS amount "
    "FROM invoice_entries x JOIN invoice_lines l ON l.id = x.line_id WHERE x.entry_id = :entry_id UNION ALL "
    "SELECT id, 'issued', NULL, total FROM invoices WHERE entry_id = :entry_id UNION ALL "
    "SELECT invoice_id, kind, NULL, amount FROM allocations WHERE entry_id = :entry_id) f "
    "JOIN invoices i ON i.id = f.invoice_id JOIN accounts a ON a.id = i.account_id ORDER BY i.id"
)
_OF_CALL = text(
    "SELECT DISTINCT f.entry_id FROM (SELECT entry_id FROM call_charges WHERE session_id = :session_id "
    "UNION ALL SELECT entry_id FROM call_corrections WHERE session_id = :session_id) f "
    "WHERE f.entry_id IS NOT NULL ORDER BY f.entry_id"
)


class BehindLine(NamedTuple):
    """An entry that is on a line."""

    entry_id: str
    at_us: int
    kind: str
    memo: str
    amount: int
    """What the wallet gave; below zero: what it got."""
    position: int
    """Of the line."""
    session_id: str | None
    """Of the call; None: it is none, or many."""
    caller: str | None
    called: str | None
    started_us: int | None
    billed_us: int | None
    corrected: int
    """Calls whose correction it is."""


class Afterwards(NamedTuple):
    """An entry by which the invoice was issued, or what became of it."""

    entry_id: str
    at_us: int
    kind: str
    memo: str
    amount: int
    """Of it for this invoice; below zero: taken back."""
    role: str
    """issued, payment, credit_note or write_off."""
    note_id: int | None
    number: str | None
    """Of the note."""


class OnInvoice(NamedTuple):
    """An invoice that an entry belongs to."""

    invoice_id: int
    kind: str
    number: str | None
    state: str
    account: str
    role: str
    """line, issued, payment, credit_note or write_off."""
    position: int | None
    """Of the line."""
    amount: int | None


def behind_lines(session: Session, invoice_id: int, *, after: str = "", limit: int = 200) -> list[BehindLine]:
    """The entries that made an invoice, in the order of their ids; after: the last id of the page before."""
    values = {"invoice_id": invoice_id, "after": after, "page": min(limit, MAX_PAGE)}
    return [BehindLine(*row) for row in session.execute(_BEHIND, values)]


def afterwards(session: Session, invoice_id: int) -> list[Afterwards]:
    """What was posted when it was issued, and since."""
    return [Afterwards(*row) for row in session.execute(_AFTER, {"invoice_id": invoice_id})]


def invoices_of(session: Session, entry_id: str) -> list[OnInvoice]:
    """The invoices that a ledger entry belongs to."""
    return [OnInvoice(*row) for row in session.execute(_OF_ENTRY, {"entry_id": entry_id})]


def entries_of_call(session: Session, session_id: str) -> list[str]:
    """The entries that a call was charged by, at each level, and corrected by."""
    return list(session.execute(_OF_CALL, {"session_id": session_id}).scalars())
