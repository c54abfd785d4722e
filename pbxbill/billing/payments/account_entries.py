"""What an account paid, and what was given up or taken back of it: entries of the ledger, newest first."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from pbxbill.billing.payments.payments import ALLOCATION, PAYMENT, REVERSAL, WRITE_OFF
from pbxbill.billing.payments.top_ups import TOP_UP

FOR_INVOICES = (PAYMENT, ALLOCATION, WRITE_OFF, REVERSAL)
ALL = (*FOR_INVOICES, TOP_UP)
NEWEST = "g"
"""Comes after every id."""

_LISTED = text(
    "SELECT e.id, e.at_us, e.kind, e.memo, e.unit, CAST((SELECT COALESCE(SUM(p.amount), 0) FROM postings p "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'cash' "
    "WHERE p.entry_id = e.id) AS BIGINT), "
    "CAST((SELECT COALESCE(SUM(x.amount), 0) FROM allocations x WHERE x.entry_id = e.id) AS BIGINT), "
    "(SELECT r.id FROM journal_entries r WHERE r.reverses_id = e.id) FROM journal_entries e WHERE e.id IN ("
    "SELECT a.entry_id FROM allocations a JOIN invoices i ON i.id = a.invoice_id "
    "WHERE i.account_id = :account_id AND i.unit = :unit UNION "
    "SELECT p.entry_id FROM postings p JOIN wallets w "
    "ON w.ledger_account_id = p.ledger_account_id WHERE w.account_id = :account_id AND w.unit = :unit) "
    "AND e.kind IN :kinds AND e.id < :before ORDER BY e.id DESC LIMIT :most"
).bindparams(bindparam("kinds", expanding=True))


@dataclass(frozen=True, slots=True)
class PaidEntry:
    """One entry."""

    id: str
    at_us: int
    kind: str
    memo: str
    unit: str
    received: int
    """In cash, at the bank or by a gateway; below zero: it went back."""
    to_invoices: int
    reversed_by: str | None


def paid_entries(  # whose, in what, which, where from
    session: Session,
    account_id: int,
    unit: str,
    *,
    kinds: Collection[str] = FOR_INVOICES,
    before: str = "",
    most: int = 50,
) -> list[PaidEntry]:
    """Entries of an account in a unit, from before an entry on."""
    values = {
        "account_id": account_id,
        "unit": unit,
        "kinds": list(kinds),
        "before": before or NEWEST,
        "most": most,
    }
    return [PaidEntry(*row) for row in session.execute(_LISTED, values)]
