"""Entries that moved the wallets of one account: most have few, a reseller's are moved by each of his calls.

The database plans well with the wallets' ledger accounts as they are, and not with how they are found.
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session, aliased

from pbxbill.listing.listing import Looked, Rows
from pbxbill.store.invoice_models import AllocationRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow, PostingRow, WalletRow

USAGE = "usage"
"""The kind of entries of calls."""
MOST_OF_WALLETS = 20_000
"""So many movements of an account are read to find the few that are not of calls."""


class Wallets(NamedTuple):
    """Of one account."""

    account_id: int
    ledger_account_ids: tuple[int, ...]
    are_busy: bool = False
    """They have so many movements that those beside calls are looked for among all of these."""


def at_wallets(column: Any, ledger_account_ids: tuple[int, ...]) -> ColumnElement[bool]:
    """That a column names one of some; of one alone an index gives them in the order of their ids."""
    one = len(ledger_account_ids) == 1
    found: ColumnElement[bool] = column == ledger_account_ids[0] if one else column.in_(ledger_account_ids)
    return found


def books_of_wallets(
    session: Session, account_id: int | None, only: ColumnElement[bool] | None = None
) -> tuple[int, ...]:
    """The ledger accounts of an account's wallets; only: of those of which it is true."""
    query = select(WalletRow.ledger_account_id).where(WalletRow.account_id == account_id)
    found = session.scalars((query if only is None else query.where(only)).order_by(WalletRow.id))
    return tuple(found)


def wallets_and_size(
    session: Session, account_id: int | None, only: ColumnElement[bool] | None = None
) -> Wallets:
    """The wallets of an account, and whether they are busy; only: those of which it is true."""
    books = books_of_wallets(session, account_id, only)
    some = select(PostingRow.entry_id).where(at_wallets(PostingRow.ledger_account_id, books))
    counted = select(func.count()).select_from(some.limit(MOST_OF_WALLETS + 1).subquery())
    return Wallets(account_id or 0, books, (session.scalar(counted) or 0) > MOST_OF_WALLETS)


def wallets_of_code(session: Session, code: str) -> Wallets:
    """Those of an account that is named by its code; none where there is no such account."""
    account_id = session.scalar(select(AccountRow.id).where(AccountRow.code == code))
    return wallets_and_size(session, account_id)


def beside_calls(entry: Any) -> ColumnElement[bool]:
    """That an entry is not of a call, as most are: the others have indexes of their own. Written out, as
    these are: SQLite compares no parameters."""
    found: ColumnElement[bool] = entry.kind != literal_column("'usage'")
    return found


def moved_or_paid(wallets: Wallets) -> ColumnElement[bool]:
    """That an entry which is not of a call moved a wallet of an account, or went to an invoice of it."""
    posting, entry = aliased(PostingRow), aliased(JournalEntryRow)
    in_wallets = select(posting.entry_id).where(
        at_wallets(posting.ledger_account_id, wallets.ledger_account_ids)
    )
    at_invoices = (
        select(AllocationRow.entry_id)
        .join(InvoiceRow, InvoiceRow.id == AllocationRow.invoice_id)
        .where(InvoiceRow.account_id == wallets.account_id)
    )
    if wallets.are_busy:
        # Asked of each of the entries that a page looks through: an index knows each answer.
        of_entry = in_wallets.where(posting.entry_id == JournalEntryRow.id).exists()
        return of_entry | JournalEntryRow.id.in_(at_invoices)
    in_wallets = in_wallets.join(entry, (entry.id == posting.entry_id) & beside_calls(entry))
    found: ColumnElement[bool] = JournalEntryRow.id.in_(in_wallets.union(at_invoices))
    return found


def of_kind(query: Rows, kind: str) -> Rows:
    """Narrow entries of the journal to a kind; those beside calls have an index."""
    query = query.where(JournalEntryRow.kind == kind)
    return query if kind == USAGE else query.where(beside_calls(JournalEntryRow))


def movements(wallets: Wallets | None, kind: str) -> Looked | None:
    """What a page looks through for movements of some wallets, or of all (None); kind: "" for any."""
    if wallets is not None and not wallets.are_busy:
        return None
    if kind not in ("", USAGE):
        return entries_beside_calls()
    rows = select(PostingRow.entry_id)
    if wallets is None:
        return Looked(rows, is_scattered=True)
    at = at_wallets(PostingRow.ledger_account_id, wallets.ledger_account_ids)
    return Looked(rows.where(at), is_scattered=True)


def entries_beside_calls() -> Looked:
    """What a page looks through for entries of busy wallets."""
    return Looked(select(JournalEntryRow.id).where(beside_calls(JournalEntryRow)), is_scattered=True)
