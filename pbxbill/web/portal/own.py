"""What sections of the portal have in common: the account itself, its wallets, and what is its own."""

from typing import TypeVar

from flask import abort
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.listing.invoices import UNSEEN
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, Base, WalletRow
from pbxbill.store.points_units import is_points_unit
from pbxbill.web.front import Front

Row = TypeVar("Row", bound=Base)


def own_account(front: Front, session: Session) -> AccountRow:
    """The account whose portal it is."""
    return front.account(session, front.scope.account_id)


def own_wallets(front: Front, session: Session) -> list[WalletRow]:
    """Its wallets of money, the oldest first."""
    query = select(WalletRow).where(WalletRow.account_id == front.scope.account_id).order_by(WalletRow.id)
    return [x for x in session.scalars(query) if not is_points_unit(session, x.unit)]


def own_wallet(front: Front, session: Session, unit: str) -> WalletRow:
    """Its wallet in a unit; 404 without one."""
    found = next((x for x in own_wallets(front, session) if x.unit == unit), None)
    if found is None:
        abort(404)
    return found


def own_row(front: Front, session: Session, model: type[Row], id: int) -> Row:
    """A row that is the account's; 404 for any other."""
    row = session.get(model, id)
    if row is None or row.account_id != front.scope.account_id:  # type: ignore[attr-defined]  # rows of accounts
        abort(404)
    return row


def own_invoice(front: Front, session: Session, id: int) -> InvoiceRow:
    """A document that the account got; 404 for drafts, which may still change."""
    row = own_row(front, session, InvoiceRow, id)
    if row.state in UNSEEN:
        abort(404)
    return row
