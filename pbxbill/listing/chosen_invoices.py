"""Which invoices something is done with together: those that were named, a list leaves, or a run made."""

import json
from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.invoices.sending import SENT_OF_A_RUN
from pbxbill.billing.invoices.together import MAX_CHOSEN, fits
from pbxbill.clock import Clock
from pbxbill.listing.invoices import invoices
from pbxbill.listing.listing import Asked, narrowed
from pbxbill.store.invoice_models import InvoiceActionRow, InvoiceRow

STATES_OF_RUN = {"issue": ("draft",), "discard": ("draft",), "send": SENT_OF_A_RUN}
"""What is done with all that a run made, and with which of it."""


def own_documents(scope: Scope) -> ColumnElement[bool]:
    """The condition that who acts may change a document: the operator any, a reseller what he made."""
    return true() if scope.is_everything else scope.issued(InvoiceRow.issuer_id)


def chosen_by_id(session: Session, scope: Scope, action: str, ids: Collection[int]) -> list[int]:
    """Of these ids, those with which it can be done, and that are his."""
    query = select(InvoiceRow.id).where(scope.among(InvoiceRow.account_id), InvoiceRow.id.in_(sorted(ids)))
    return _fitting(session, scope, action, query)


def chosen_of_list(session: Session, scope: Scope, action: str, asked: Asked, clock: Clock) -> list[int]:
    """The same of all that filters of the list leave; FilterRefused where they say nothing."""
    rows = narrowed(session, invoices(clock), scope, asked)
    return _fitting(session, scope, action, rows.with_only_columns(InvoiceRow.id))


def chosen_of_run(session: Session, scope: Scope, action: str, run_id: int) -> list[int]:
    """The same of what a billing run made."""
    query = select(InvoiceRow.id).where(
        InvoiceRow.run_id == run_id,
        InvoiceRow.state.in_(STATES_OF_RUN[action]),
        scope.among(InvoiceRow.account_id),
        own_documents(scope),
    )
    return list(session.scalars(query))


def _fitting(session: Session, scope: Scope, action: str, query: Select[int]) -> list[int]:
    query = query.where(fits(action), own_documents(scope))
    return list(session.scalars(query.order_by(InvoiceRow.id).limit(MAX_CHOSEN + 1)))


def sums_of(session: Session, row: InvoiceActionRow) -> list[tuple[str, int, int]]:
    """What it is about: units, how many documents, what they come to."""
    ids: list[int] = json.loads(row.chosen)
    found: dict[str, tuple[int, int]] = {}
    for at in range(0, len(ids), 5_000):
        query = select(InvoiceRow.unit, func.count(), func.sum(InvoiceRow.total))
        query = query.where(InvoiceRow.id.in_(ids[at : at + 5_000])).group_by(InvoiceRow.unit)
        for unit, documents, total in session.execute(query):
            before = found.get(unit, (0, 0))
            found[unit] = before[0] + documents, before[1] + int(total)
    return [(unit, *values) for unit, values in sorted(found.items())]
