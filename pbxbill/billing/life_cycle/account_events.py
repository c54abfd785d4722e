"""What happened to an account's service, kept for ever: barred, lifted, alerted, prolonged, terminated."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.store.dunning_models import AccountEventRow

MAX_DETAIL_LENGTH, MAX_BY_LENGTH = 500, 64


def note_event(
    session: Session, account_id: int, kind: str, detail: str, *, now_us: int, by: str = ""
) -> AccountEventRow:
    """Write one, in the transaction of what it tells."""
    row = AccountEventRow(
        account_id=account_id,
        at_us=now_us,
        kind=kind,
        detail=detail[:MAX_DETAIL_LENGTH],
        by=by[:MAX_BY_LENGTH],
    )
    session.add(row)
    return row


def events_of(session: Session, account_id: int, most: int = 100) -> list[AccountEventRow]:
    """The newest first."""
    query = select(AccountEventRow).where(AccountEventRow.account_id == account_id)
    return list(session.scalars(query.order_by(AccountEventRow.id.desc()).limit(most)))
