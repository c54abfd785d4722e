"""What dunning did to an account, lifted by a person."""

from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_steps import lift_effects
from pbxbill.billing.invoices.standing import happened, locked_standing, reason_given
from pbxbill.errors import InputRefused
from pbxbill.store.invoice_models import InvoiceRow


def lift_by_hand(session: Session, invoice_id: int, *, reason: str, now_us: int, by: str = "") -> InvoiceRow:
    """Lift what dunning did to the account for an invoice, even that it was closed."""
    row = locked_standing(session, invoice_id)
    why = reason_given(reason)
    if not lift_effects(session, row.account_id, row.id, now_us, by=by or "hand", terminated=True):
        raise InputRefused(f"dunning has done nothing to the account for {row.number} that lasts")
    happened(session, row.id, "dunning", f"lifted by hand: {why}", at_us=now_us, by=by)
    return row
