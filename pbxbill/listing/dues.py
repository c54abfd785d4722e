"""What an account is to pay, in sums: for its portal, the till and programs."""

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import ASKING, UNSETTLED
from pbxbill.store.invoice_models import InvoiceRow


class Due(NamedTuple):
    """What is to be paid in one currency."""

    unit: str
    open: int
    invoices: int
    first_us: int | None
    """When the first is, or was, due."""
    only_id: int


def due_of(session: Session, account_id: int) -> list[Due]:
    """What an account is to pay, by currency; what it contests is left out."""
    asked = InvoiceRow.open - InvoiceRow.disputed
    query = (
        select(
            InvoiceRow.unit,
            func.sum(asked),
            func.count(),
            func.min(InvoiceRow.due_us),
            func.min(InvoiceRow.id),
        )
        .where(
            InvoiceRow.account_id == account_id,
            InvoiceRow.kind.in_(ASKING),
            InvoiceRow.state.in_(UNSETTLED),
            asked > 0,
        )
        .group_by(InvoiceRow.unit)
        .order_by(InvoiceRow.unit)
    )
    return [Due(x[0], int(x[1]), x[2], x[3], x[4]) for x in session.execute(query)]
