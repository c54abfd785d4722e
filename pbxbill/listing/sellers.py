"""Whose books a row stands in: of whoever acts, or of a reseller below him."""

from typing import Any

from sqlalchemy import ColumnElement, or_

from pbxbill.access.actor import Scope


def kept_by_sellers(scope: Scope, issuer_id: Any) -> ColumnElement[bool]:
    """The condition that a column with an issuer's id names whoever acts, or a reseller of his scope.

    What stands in the books of a seller is about customers of his, who are all below him.
    """
    return or_(scope.issued(issuer_id), scope.among(issuer_id))
