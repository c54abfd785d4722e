"""How a dispute ends: the invoice stands, or what was disputed is credited."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.disputes import settle_dispute
from pbxbill.billing.invoices.note_amounts import Amount
from pbxbill.billing.invoices.notes import Credited, credit
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.store.invoice_models import InvoiceRow


@dataclass(frozen=True, slots=True)
class Decided:
    """A dispute that has ended."""

    invoice: InvoiceRow
    note: Credited | None
    """The credit note over what was disputed, where that was right."""


def decide_dispute(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    invoice_id: int,
    *,
    credited: bool,
    reason: str,
    now_us: int,
    by: str = "",
) -> Decided:
    """End a dispute. credited: the account was right, and a credit note gives back what it disputed."""
    settled, disputed = settle_dispute(session, invoice_id, reason=reason, now_us=now_us, by=by)
    note = None
    if credited and disputed:
        note = credit(session, books, settled.id, Amount(disputed), reason, now_us, by)
    return Decided(settled, note)
