"""Money that somebody received for invoices: recorded, with its receipt, and told to whoever waits for it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathering import gathered_to
from pbxbill.billing.invoices.receipts import Receipt, issue_receipt
from pbxbill.billing.payments.funds_received import funds_received
from pbxbill.billing.payments.payments import Allocated, NewPayment, record_payment
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.models import AccountRow


@dataclass(frozen=True, slots=True)
class ReceivedPayment:
    """What became of it."""

    allocated: Allocated
    receipt: Receipt | None
    """None where none was wanted, or none can be made out: in a unit that is no currency, say."""


def receive_payment(
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    new: NewPayment,
    now_us: int,
    *,
    with_receipt: bool = True,
) -> ReceivedPayment:
    """Record a payment once, make its receipt, and let all that waits for money know of it."""
    if with_receipt:
        gathered_to(session, account.id, new.unit, lock=True)  # the receipt needs it, and it is locked first
    done = record_payment(session, books, account, new, now_us)
    receipt = receipt_of(session, done.entry_id, now_us, by=new.by) if with_receipt else None
    if not done.repeated:
        funds_received(
            session,
            books,
            account,
            unit=new.unit,
            amount=new.amount,
            entry_id=done.entry_id,
            cause="payment",
            now_us=now_us,
        )
    return ReceivedPayment(done, receipt)


def receipt_of(session: Session, entry_id: str, now_us: int, *, by: str = "") -> Receipt | None:
    """The receipt of an entry; None where none can be made out. Money is not turned away for its paper."""
    try:
        with session.begin_nested():
            return issue_receipt(session, entry_id, now_us, by)
    except InputRefused:
        return None
