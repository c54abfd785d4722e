"""The list of what an operator or reseller noted about one account."""

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
    contains,
    equals,
)
from pbxbill.listing.one_account import ACCOUNT_ID
from pbxbill.store.access_models import AccountNoteRow


def _rows(_session: Session, scope: Scope) -> Rows:
    columns = [getattr(AccountNoteRow, x).label(x) for x in ("id", "at_us", "by", "text")]
    return select(*columns).where(
        scope.among(AccountNoteRow.account_id), scope.issued(AccountNoteRow.issuer_id)
    )


ACCOUNT_NOTES = Listing(
    name="notes",
    title=N_("Notes"),
    permission=Permission.ACCOUNTS_WRITE,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("by", N_("By"), wide=True),
        Column("text", N_("Note")),
    ),
    rows=_rows,
    orders=(
        Order("newest", N_("Newest first"), AccountNoteRow.id, AccountNoteRow.id, descending=True),
        Order("oldest", N_("Oldest first"), AccountNoteRow.id, AccountNoteRow.id),
    ),
    filters=(
        Filter("q", N_("Note"), contains(AccountNoteRow.text)),
        Filter("by", N_("By"), contains(AccountNoteRow.by)),
        Filter("from", N_("From"), at_least(AccountNoteRow.at_us), FilterKind.DAY),
        Filter("to", N_("To"), below(AccountNoteRow.at_us), FilterKind.DAY, next_day=True),
        Filter(ACCOUNT_ID, N_("Account"), equals(AccountNoteRow.account_id), FilterKind.NUMBER),
    ),
)
