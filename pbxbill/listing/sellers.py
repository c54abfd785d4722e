"""Whose books a row stands in: of whoever acts, or of a reseller below him."""

from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.store.models import LedgerAccountRow, PostingRow

FEW = 300
"""Accounts of the chart that are named to the database."""


def kept_by_sellers(scope: Scope, issuer_id: Any) -> ColumnElement[bool]:
    """The condition that a column with an issuer's id names whoever acts, or a reseller of his scope.

    What stands in the books of a seller is about customers of his, who are all below him.
    """
    return or_(scope.issued(issuer_id), scope.among(issuer_id))


def posted_by_sellers(
    session: Session, scope: Scope, *more: ColumnElement[bool]
) -> list[ColumnElement[bool]]:
    """The conditions that a posting stands in such books; more: at which accounts of the chart.

    Where these are few they are named, so that the database knows how many postings each has: of a small
    seller among large ones it would look through everybody's.
    """
    kept = [kept_by_sellers(scope, LedgerAccountRow.issuer_id), *more]
    if scope.is_everything:
        return kept
    found = session.scalars(select(LedgerAccountRow.id).where(*kept).limit(FEW + 1)).all()
    return kept if len(found) > FEW else [*kept, PostingRow.ledger_account_id.in_(found)]
