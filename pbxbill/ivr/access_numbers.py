"""The access numbers of the database."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.ivr.access_number import AccessTerms, access_number
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import AccessNumberRow


def put_access_number(
    session: Session, issuer: AccountRow, number: str, terms: AccessTerms, now_us: int
) -> bool:
    """Make a number an access number, or give one other terms; whether it is new."""
    digits = access_number(number)
    row = session.get(AccessNumberRow, digits)
    if row is not None and row.issuer_id != issuer.id:
        raise InputRefused(f"access number {digits} belongs to another seller")
    if row is None:
        session.add(
            AccessNumberRow(number=digits, issuer_id=issuer.id, definition=terms.written(), created_us=now_us)
        )
    else:
        row.definition = terms.written()
    session.flush()
    return row is None


def access_number_row(session: Session, number: str) -> AccessNumberRow:
    """An access number; InputRefused if it is none."""
    row = session.get(AccessNumberRow, access_number(number))
    if row is None:
        raise InputRefused(f"{number[:40]} is no access number; `pbxbill access-numbers list` shows them")
    return row


def all_access_numbers(session: Session) -> list[tuple[AccessNumberRow, str]]:
    """Each with its seller's code."""
    query = select(AccessNumberRow, AccountRow.code).join(
        AccountRow, AccountRow.id == AccessNumberRow.issuer_id
    )
    return [(row, code) for row, code in session.execute(query.order_by(AccessNumberRow.number))]


def remove_access_number(session: Session, number: str) -> None:
    """Whoever calls it from now on is turned away; lines that are up go on."""
    session.delete(access_number_row(session, number))
    session.flush()
