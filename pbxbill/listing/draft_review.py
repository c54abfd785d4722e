"""What helps to look through drafts of a billing run: where one stands among them, the invoice before."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.store.invoice_models import InvoiceRow

NO_INVOICE = ("draft", "discarded")


@dataclass(frozen=True, slots=True)
class DraftReview:
    """Drafts are in the order in which the run made them."""

    at: int
    """Which draft of the run it is; 0: it is none any more."""
    of: int
    before_id: int | None
    after_id: int | None
    last: InvoiceRow | None
    """What the account was billed before, in the same unit by the same issuer."""


def review_of(session: Session, scope: Scope, row: InvoiceRow) -> DraftReview | None:
    """Of a run's document; None for any other."""
    if row.run_id is None or row.kind != "invoice":
        return None
    drafts: tuple[ColumnElement[bool], ...] = (
        InvoiceRow.run_id == row.run_id,
        InvoiceRow.kind == "invoice",
        InvoiceRow.state == "draft",
        scope.among(InvoiceRow.account_id),
    )
    before, after = InvoiceRow.id < row.id, InvoiceRow.id > row.id
    earlier, of, before_id, after_id = session.execute(
        select(
            func.count().filter(before),
            func.count(),
            func.max(InvoiceRow.id).filter(before),
            func.min(InvoiceRow.id).filter(after),
        ).where(*drafts)
    ).one()
    return DraftReview(
        earlier + 1 if row.state == "draft" else 0, of, before_id, after_id, _last(session, row)
    )


def _last(session: Session, row: InvoiceRow) -> InvoiceRow | None:
    query = select(InvoiceRow).where(
        InvoiceRow.account_id == row.account_id,
        InvoiceRow.issuer_id == row.issuer_id,
        InvoiceRow.unit == row.unit,
        InvoiceRow.kind == "invoice",
        InvoiceRow.state.not_in(NO_INVOICE),
        InvoiceRow.period_key.is_not(None),
        InvoiceRow.id != row.id,
    )
    if row.from_us is not None:
        query = query.where(InvoiceRow.to_us <= row.from_us)
    return session.scalar(query.order_by(InvoiceRow.to_us.desc(), InvoiceRow.id.desc()).limit(1))
