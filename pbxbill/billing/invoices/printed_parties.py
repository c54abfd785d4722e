"""What an issuer and an account have not said of themselves, and a document lacks therefore."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.parties import issuer_of, party_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.payment_models import PaymentGatewayRow

BANK, BUYER = "bank", "buyer"


def lacks_of(session: Session, row: InvoiceRow) -> tuple[str, ...]:
    """BANK: it asks for money and names no way to pay. BUYER: whoever it is for has no whole address.

    Nothing of it forbids to issue: simplified invoices need no buyer, and cash is a way to pay.
    """
    found = []
    if row.total > 0 and not _says_how_to_pay(session, row.issuer_id):
        found.append(BANK)
    if party_of(session, row.account_id).missing:
        found.append(BUYER)
    return tuple(found)


def _says_how_to_pay(session: Session, issuer_id: int) -> bool:
    if party_of(session, issuer_id).iban or issuer_of(session, issuer_id).payment_terms:
        return True
    gateways = select(PaymentGatewayRow.id).where(PaymentGatewayRow.issuer_id == issuer_id).limit(1)
    return session.scalar(gateways) is not None
