"""What moved in wallets: the entries of the journal, as the holder of each wallet sees them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    at_least,
    below,
    equals,
)
from pbxbill.store.models import AccountRow, JournalEntryRow, PostingRow, WalletRow


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
        Order("newest", N_("Newest first"), PostingRow.entry_id, PostingRow.line, descending=True),
        Order("oldest", N_("Oldest first"), PostingRow.entry_id, PostingRow.line),
    ),
    filters=(
        Filter("account_id", N_("Account"), equals(WalletRow.account_id), FilterKind.NUMBER),
        Filter("kind", N_("What"), equals(JournalEntryRow.kind)),
        Filter("unit", N_("Unit"), equals(JournalEntryRow.unit)),
        Filter("from", N_("From"), at_least(JournalEntryRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(JournalEntryRow.at_us), FilterKind.DAY, next_day=True),
    ),
)
"""Of one account, unless somebody wants all: account_id narrows it by the index on the wallet's postings."""
