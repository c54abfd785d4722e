"""The list of money that came in and went back: every entry at the cash accounts of those who sell."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.listing.listing import (
    N_,
    Asked,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Looked,
    Order,
    Rows,
    amount_at_least,
    amount_at_most,
    at_least,
    below,
    contains,
    equals,
)
from pbxbill.listing.payment_methods import METHODS, method_of
from pbxbill.listing.sellers import posted_by_sellers
from pbxbill.listing.wallet_entries import (
    Wallets,
    beside_calls,
    entries_beside_calls,
    moved_or_paid,
    wallets_of_code,
)
from pbxbill.store.invoice_models import AllocationRow, InvoiceEventRow, InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow, WalletRow

KINDS = (
    ("top-up", N_("Top-up")),
    ("payment", N_("Payment")),
    ("refund", N_("Refund")),
    ("charge-back", N_("Charge-back")),
    ("reversal", N_("Reversal")),
)
"""Kinds of entries that move cash."""
_REVERSING = aliased(JournalEntryRow)
_METHOD = method_of(JournalEntryRow.memo)
_AMOUNT = func.abs(PostingRow.amount), JournalEntryRow.unit
RECEIPT = "receipt:"
"""What keys of receipts begin with; the id of their entry follows."""

_PLACE, _POSTING = (JournalEntryRow.id, PostingRow.line), (PostingRow.entry_id,)


def _rows(session: Session, scope: Scope) -> Rows:
    return (
        select(
            PostingRow.entry_id.label("id"),
            JournalEntryRow.at_us.label("at_us"),
            JournalEntryRow.kind.label("kind"),
            JournalEntryRow.memo.label("memo"),
            _METHOD.label("method"),
            PostingRow.amount.label("amount"),
            JournalEntryRow.unit.label("unit"),
            _REVERSING.at_us.label("reversed_us"),
        )
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .join(JournalEntryRow, JournalEntryRow.id == PostingRow.entry_id)
        .outerjoin(_REVERSING, _REVERSING.reverses_id == JournalEntryRow.id)
        .where(
            beside_calls(JournalEntryRow),
            *posted_by_sellers(session, scope, LedgerAccountRow.code == LedgerCode.CASH),
        )
    )


def _of_account(query: Rows, wallets: Wallets) -> Rows:
    """An account's entries, found from its wallets and its invoices."""
    return query.where(moved_or_paid(wallets))


def _looked(session: Session, _scope: Scope, asked: Asked) -> Looked | None:
    code = asked.filters.get("account", "").strip()
    return entries_beside_calls() if code and wallets_of_code(session, code).are_busy else None


def accounts_of_entries(session: Session, entry_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Whose wallet an entry moved, or whose invoice it paid: id and code."""
    found: dict[str, tuple[int, str]] = {}
    in_wallets = (
        select(PostingRow.entry_id, AccountRow.id, AccountRow.code)
        .join(WalletRow, WalletRow.ledger_account_id == PostingRow.ledger_account_id)
        .join(AccountRow, AccountRow.id == WalletRow.account_id)
        .where(PostingRow.entry_id.in_(entry_ids))
    )
    at_invoices = (
        select(AllocationRow.entry_id, AccountRow.id, AccountRow.code)
        .join(InvoiceRow, InvoiceRow.id == AllocationRow.invoice_id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .where(AllocationRow.entry_id.in_(entry_ids))
    )
    for query in (at_invoices, in_wallets):
        found.update({entry: (id, code) for entry, id, code in session.execute(query)})
    return found


def _taken_by(query: Rows, by: str) -> Rows:
    """What somebody took, as its receipt says."""
    receipts = (
        select(InvoiceRow.entry_id)
        .join(InvoiceEventRow, InvoiceEventRow.invoice_id == InvoiceRow.id)
        .where(InvoiceRow.kind == "receipt", InvoiceEventRow.kind == "issued", InvoiceEventRow.by == by)
    )
    return query.where(JournalEntryRow.id.in_(receipts))


def _accounts(session: Session, rows: list[dict[str, Any]]) -> None:
    found = accounts_of_entries(session, [x["id"] for x in rows])
    takers = (
        select(InvoiceRow.period_key, InvoiceEventRow.by)
        .join(InvoiceEventRow, InvoiceEventRow.invoice_id == InvoiceRow.id)
        .where(InvoiceRow.period_key.in_([f"{RECEIPT}{x['id']}" for x in rows]))
        .where(InvoiceEventRow.kind == "issued")
    )
    by = {str(key).removeprefix(RECEIPT): taker for key, taker in session.execute(takers)}
    for row in rows:
        row["account"] = found[row["id"]][1] if row["id"] in found else None
        row["taken_by"] = by.get(row["id"])


PAYMENTS = Listing(
    name="payments",
    title=N_("Payments"),
    permission=Permission.PAYMENTS_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("method", N_("How"), ColumnKind.STATE, wide=True),
        Column("memo", N_("How, and its reference"), wide=True),
        Column("taken_by", N_("Taken by"), ColumnKind.CODE, wide=True),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("reversed_us", N_("Taken back"), ColumnKind.DAY, wide=True),
    ),
    rows=_rows,
    orders=(
        # Ids of entries grow with time.
        Order("newest", N_("Newest first"), *_PLACE, descending=True, same=_POSTING),
        Order("oldest", N_("Oldest first"), *_PLACE, same=_POSTING),
    ),
    filters=(
        Filter("q", N_("Reference"), contains(JournalEntryRow.memo)),
        Filter("account", N_("Account's code"), _of_account, looked_up=wallets_of_code),
        Filter("kind", N_("What"), equals(JournalEntryRow.kind), FilterKind.CHOICE, KINDS),
        Filter("method", N_("How"), equals(_METHOD), FilterKind.CHOICE, METHODS),
        Filter("by", N_("Taken by"), _taken_by),
        Filter("least", N_("Amount at least"), amount_at_least(*_AMOUNT), FilterKind.AMOUNT),
        Filter("most", N_("Amount at most"), amount_at_most(*_AMOUNT), FilterKind.AMOUNT),
        Filter("unit", N_("Unit"), equals(JournalEntryRow.unit)),
        Filter("from", N_("From"), at_least(JournalEntryRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(JournalEntryRow.at_us), FilterKind.DAY, next_day=True),
    ),
    finish=_accounts,
    candidates=_looked,
)
