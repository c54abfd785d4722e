"""What is the operator's alone: lists of it are empty to everybody else, whatever he may."""

from sqlalchemy import ColumnElement, false, true

from pbxbill.access.actor import Scope


def operators(scope: Scope) -> ColumnElement[bool]:
    """The condition that it is the operator who looks."""
    return true() if scope.is_everything else false()
