"""What moved in wallets: the entries of the journal, as the holder of each wallet sees them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
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
from pbxbill.listing.wallet_entries import (
    at_wallets,
    books_of_wallets,
    movements,
    of_kind,
    wallets_and_size,
)
from pbxbill.store.models import AccountRow, JournalEntryRow, PostingRow, WalletRow

LOOKED_THROUGH = ("kind", "unit", "from", "to")
"""Filters that no index serves: entries are many, and have no index by when they were."""

_PLACE, _ENTRY = (PostingRow.entry_id, PostingRow.line), (JournalEntryRow.id,)


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            PostingRow.entry_id.label("id"),
            JournalEntryRow.at_us.label("at_us"),
            JournalEntryRow.kind.label("kind"),
            JournalEntryRow.memo.label("memo"),
            AccountRow.code.label("account"),
            # A wallet is what we owe its holder: what is put in stands at the left of the journal.
            (-PostingRow.amount).label("amount"),
            JournalEntryRow.unit.label("unit"),
            JournalEntryRow.reverses_id.label("reverses"),
        )
        .join(WalletRow, WalletRow.ledger_account_id == PostingRow.ledger_account_id)
        .join(AccountRow, AccountRow.id == WalletRow.account_id)
        .join(JournalEntryRow, JournalEntryRow.id == PostingRow.entry_id)
        .where(scope.among(WalletRow.account_id))
    )


def _at(query: Rows, books: tuple[int, ...]) -> Rows:
    return query.where(at_wallets(PostingRow.ledger_account_id, books))


def _looked(session: Session, _scope: Scope, asked: Asked) -> Looked | None:
    if not is_looked_for(LOOKED_THROUGH, asked):
        return None
    account_id = asked.filters.get("account_id", "").strip()
    wallets = wallets_and_size(session, int(account_id)) if account_id else None
    return movements(wallets, asked.filters.get("kind", "").strip())


LEDGER = Listing(
    name="ledger",
    title=N_("Ledger"),
    permission=Permission.PAYMENTS_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("memo", N_("Note"), wide=True),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("id", N_("Entry"), ColumnKind.CODE, wide=True),
    ),
    rows=_rows,
    orders=(
        # Ids of entries grow with time.
        Order("newest", N_("Newest first"), *_PLACE, descending=True, same=_ENTRY),
        Order("oldest", N_("Oldest first"), *_PLACE, same=_ENTRY),
    ),
    filters=(
        Filter("account_id", N_("Account"), _at, FilterKind.NUMBER, looked_up=books_of_wallets),
        Filter("kind", N_("What"), of_kind),
        Filter("unit", N_("Unit"), equals(JournalEntryRow.unit)),
        Filter("from", N_("From"), at_least(JournalEntryRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(JournalEntryRow.at_us), FilterKind.DAY, next_day=True),
    ),
    candidates=_looked,
)
"""Of one account, unless somebody wants all: account_id narrows it by the index on the wallet's postings."""
