"""The journal: every entry in the books of those who sell, and what stands behind one."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.history import OnInvoice, invoices_of
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
    at_least,
    below,
    equals,
    is_looked_for,
)
from pbxbill.listing.sellers import kept_by_sellers, posted_by_sellers
from pbxbill.listing.wallet_entries import (
    USAGE,
    Wallets,
    at_wallets,
    entries_beside_calls,
    of_kind,
    wallets_of_code,
)
from pbxbill.store.invoice_models import AllocationRow, InvoiceEntryRow, InvoiceRow
from pbxbill.store.models import (
    AccountRow,
    CdrRow,
    JournalEntryRow,
    LedgerAccountRow,
    PostingRow,
    WalletRow,
)

CHART_NAMES: dict[LedgerCode, str] = {
    LedgerCode.WALLET: N_("Wallets"),
    LedgerCode.REVENUE_USAGE: N_("Revenue: usage"),
    LedgerCode.REVENUE_RECURRING: N_("Revenue: recurring charges"),
    LedgerCode.REVENUE_ONE_TIME: N_("Revenue: one-time charges"),
    LedgerCode.REVENUE_DIDS: N_("Revenue: numbers"),
    LedgerCode.REVENUE_READINGS: N_("Revenue: meter readings"),
    LedgerCode.REVENUE_MINIMUM: N_("Revenue: minimum spend"),
    LedgerCode.REVENUE_FEES: N_("Revenue: fees"),
    LedgerCode.DEFERRED: N_("Deferred revenue"),
    LedgerCode.TAX_PAYABLE: N_("Tax payable"),
    LedgerCode.RECEIVABLE: N_("Receivable"),
    LedgerCode.INVOICED: N_("Of wallets, on invoices"),
    LedgerCode.CASH: N_("Cash"),
    LedgerCode.ADJUSTMENT: N_("Adjustments"),
    LedgerCode.ROUNDING: N_("Rounding"),
    LedgerCode.WRITTEN_OFF: N_("Written off"),
    LedgerCode.VOUCHERS: N_("Vouchers"),
    LedgerCode.TRANSFER: N_("Transfers"),
    LedgerCode.POINTS: N_("Points"),
}
"""What the accounts of the chart are called."""
CALL_KEY = ("usage", "volume")
"""Kinds of entries whose idempotency key names their call, as usage:SESSION."""
LOOKED_THROUGH = ("ledger", "kind", "unit", "issuer", "from", "to")
"""Filters that no index serves."""
_ISSUER = aliased(AccountRow)
_PLACE, _POSTING = (JournalEntryRow.id, PostingRow.line), (PostingRow.entry_id,)


def _rows(session: Session, scope: Scope) -> Rows:
    # An entry stands in the books of one issuer: its first posting tells whose.
    return (
        select(
            JournalEntryRow.id.label("id"),
            JournalEntryRow.at_us.label("at_us"),
            JournalEntryRow.kind.label("kind"),
            JournalEntryRow.memo.label("memo"),
            JournalEntryRow.unit.label("unit"),
            JournalEntryRow.reverses_id.label("reverses"),
            _ISSUER.code.label("issuer"),
        )
        .join(PostingRow, (PostingRow.entry_id == JournalEntryRow.id) & (PostingRow.line == 0))
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .join(_ISSUER, _ISSUER.id == LedgerAccountRow.issuer_id)
        .where(*posted_by_sellers(session, scope))
    )


def _of_account(query: Rows, wallets: Wallets) -> Rows:
    """Whose wallet an entry moved, or whose invoice it issued or paid."""
    posting = aliased(PostingRow)
    at = at_wallets(posting.ledger_account_id, wallets.ledger_account_ids)
    in_wallets = select(posting.entry_id).where(at)
    issued, put = _at_invoices(InvoiceRow.account_id == wallets.account_id)
    if wallets.are_busy:
        of_entry = in_wallets.where(posting.entry_id == JournalEntryRow.id).exists()
        return query.where(of_entry | JournalEntryRow.id.in_(issued.union(put)))
    return query.where(JournalEntryRow.id.in_(in_wallets.union(issued, put)))


def _of_document(query: Rows, number: str) -> Rows:
    """What issued a document, is on its lines, or paid it."""
    first, *others = _at_invoices(InvoiceRow.number == number)
    on_lines = (
        select(InvoiceEntryRow.entry_id)
        .join(InvoiceRow, InvoiceRow.id == InvoiceEntryRow.invoice_id)
        .where(InvoiceRow.number == number)
    )
    return query.where(JournalEntryRow.id.in_(first.union(*others, on_lines)))


def _at_invoices(which: Any) -> tuple[Any, Any]:
    issued = select(InvoiceRow.entry_id).where(InvoiceRow.entry_id.is_not(None), which)
    put = (
        select(AllocationRow.entry_id)
        .join(InvoiceRow, InvoiceRow.id == AllocationRow.invoice_id)
        .where(which)
    )
    return issued, put


def _at_ledger_account(query: Rows, code: str) -> Rows:
    """Entries with a posting at an account of the chart."""
    posting, account = aliased(PostingRow), aliased(LedgerAccountRow)
    found = (
        select(posting.entry_id)
        .join(account, account.id == posting.ledger_account_id)
        .where(posting.entry_id == JournalEntryRow.id, account.code == code)
    )
    return query.where(found.exists())


def _looked(session: Session, _scope: Scope, asked: Asked) -> Looked | None:
    code = asked.filters.get("account", "").strip()
    is_busy = bool(code) and wallets_of_code(session, code).are_busy
    # What a document or most accounts name is few.
    if is_looked_for(("document",), asked) or (code and not is_busy):
        return None
    if not is_busy and not is_looked_for(LOOKED_THROUGH, asked):
        return None
    if asked.filters.get("kind", "").strip() not in ("", USAGE):
        return entries_beside_calls()
    return Looked(select(JournalEntryRow.id), is_scattered=is_busy or is_looked_for(("ledger",), asked))


def _amounts(session: Session, rows: list[dict[str, Any]]) -> None:
    """What each entry moved, whose wallet or invoice it was, and the document."""
    ids = [x["id"] for x in rows]
    debit = func.sum(case((PostingRow.amount > 0, PostingRow.amount), else_=0))
    sums = session.execute(
        select(PostingRow.entry_id, debit).where(PostingRow.entry_id.in_(ids)).group_by(PostingRow.entry_id)
    )
    amounts = {entry: int(amount) for entry, amount in sums}
    holders: dict[str, str] = {}
    documents: dict[str, str] = {}
    on_lines = (
        select(InvoiceEntryRow.entry_id, AccountRow.code, InvoiceRow.number)
        .join(InvoiceRow, InvoiceRow.id == InvoiceEntryRow.invoice_id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .where(InvoiceEntryRow.entry_id.in_(ids))
    )
    put = (
        select(AllocationRow.entry_id, AccountRow.code, InvoiceRow.number)
        .join(InvoiceRow, InvoiceRow.id == AllocationRow.invoice_id)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .where(AllocationRow.entry_id.in_(ids))
        .order_by(AllocationRow.id.desc())
    )
    issued = (
        select(InvoiceRow.entry_id, AccountRow.code, InvoiceRow.number)
        .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
        .where(InvoiceRow.entry_id.in_(ids))
    )
    for query in (on_lines, put, issued):
        for entry, code, number in session.execute(query):
            holders[str(entry)] = code
            if number:
                documents[str(entry)] = number
    in_wallets = (
        select(PostingRow.entry_id, AccountRow.code)
        .join(WalletRow, WalletRow.ledger_account_id == PostingRow.ledger_account_id)
        .join(AccountRow, AccountRow.id == WalletRow.account_id)
        .where(PostingRow.entry_id.in_(ids))
    )
    holders |= {entry: code for entry, code, _ in session.execute(in_wallets.add_columns(PostingRow.line))}
    for row in rows:
        id = row["id"]
        row["amount"] = amounts.get(id, 0)
        row["account"], row["document"] = holders.get(id), documents.get(id)


JOURNAL = Listing(
    name="journal",
    title=N_("Journal"),
    permission=Permission.REPORTS_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("document", N_("Document"), ColumnKind.CODE, wide=True),
        Column("memo", N_("Note"), wide=True),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("issuer", N_("In the books of"), ColumnKind.CODE, wide=True),
        Column("id", N_("Entry"), ColumnKind.CODE, only_in_files=True),
    ),
    rows=_rows,
    orders=(
        # Ids of entries grow with time.
        Order("newest", N_("Newest first"), *_PLACE, descending=True, same=_POSTING),
        Order("oldest", N_("Oldest first"), *_PLACE, same=_POSTING),
    ),
    filters=(
        Filter("account", N_("Account's code"), _of_account, looked_up=wallets_of_code),
        Filter("document", N_("Number of the document"), _of_document),
        Filter(
            "ledger",
            N_("Account of the chart"),
            _at_ledger_account,
            FilterKind.CHOICE,
            tuple((code.value, name) for code, name in CHART_NAMES.items()),
        ),
        Filter("kind", N_("What"), of_kind),
        Filter("unit", N_("Unit"), equals(JournalEntryRow.unit)),
        Filter("issuer", N_("In the books of"), equals(_ISSUER.code)),
        Filter("from", N_("From"), at_least(JournalEntryRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(JournalEntryRow.at_us), FilterKind.DAY, next_day=True),
    ),
    finish=_amounts,
    candidates=_looked,
)


@dataclass(frozen=True, slots=True)
class Leg:
    """A posting; debit above zero."""

    ledger: LedgerCode
    holder_id: int | None
    """Whose wallet it is; None: it is none."""
    holder: str | None
    amount: int


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """An entry, and what it belongs to."""

    entry: JournalEntryRow
    issuer: str
    legs: tuple[Leg, ...]
    documents: tuple[OnInvoice, ...]
    session_id: str | None
    """Of its call."""
    reversed_by: str | None


def journal_entry(session: Session, scope: Scope, id: str) -> EntryFacts | None:
    """An entry in the books of whoever acts, or of a reseller of his; None for any other."""
    found = session.execute(_rows(session, scope).where(JournalEntryRow.id == id[:32])).mappings().first()
    if found is None or found["id"] != id:
        return None
    row = session.get_one(JournalEntryRow, id)
    postings = session.execute(
        select(LedgerAccountRow.code, AccountRow.id, AccountRow.code, PostingRow.amount)
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .outerjoin(AccountRow, AccountRow.id == LedgerAccountRow.holder_id)
        .where(PostingRow.entry_id == id, kept_by_sellers(scope, LedgerAccountRow.issuer_id))
        .order_by(PostingRow.line)
    )
    legs = tuple(Leg(LedgerCode(x[0]), x[1], x[2], x[3]) for x in postings)
    reversing = select(JournalEntryRow.id).where(JournalEntryRow.reverses_id == id)
    return EntryFacts(
        row, found["issuer"], legs, tuple(invoices_of(session, id)), _call(session, row),
        session.scalar(reversing),
    )  # fmt: skip


def _call(session: Session, row: JournalEntryRow) -> str | None:
    if row.kind not in CALL_KEY:
        return None
    named = row.idempotency_key[7:39]
    return session.scalar(select(CdrRow.session_id).where(CdrRow.session_id == named))


def sellers_of(session: Session, scope: Scope) -> list[AccountRow]:
    """Who has books that may be seen: whoever acts, then the resellers of his scope."""
    query = select(AccountRow).where(
        kept_by_sellers(scope, AccountRow.id), AccountRow.kind.in_(("operator", "reseller"))
    )
    return list(session.scalars(query.order_by(AccountRow.path, AccountRow.id).limit(MOST_SELLERS)))


MOST_SELLERS = 500
"""In one choice."""
