"""Entries taken back by hand, whatever they are: top-ups, payments of invoices, write-offs."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.payments.payments import reverse
from pbxbill.billing.payments.top_ups import TOP_UP, reverse_top_up
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import InputRefused
from pbxbill.store.models import JournalEntryRow
from pbxbill.store.payment_models import GatewayPaymentRow, RefundRow


@dataclass(frozen=True, slots=True)
class Reversal:
    """What is to be taken back, and why."""

    entry_id: str
    reason: str
    owed: bool = False
    """Of a top-up: also what is spent already, which the account then owes."""
    by: str = ""


def gateway_payment_of(session: Session, entry_id: str) -> int | None:
    """The payment through a gateway that an entry booked, or put back; None: none did."""
    paid = session.scalar(select(GatewayPaymentRow.id).where(GatewayPaymentRow.entry_id == entry_id))
    if paid is None:  # or it came back from a refund that failed, or a charge-back that was won
        paid = session.scalar(select(RefundRow.payment_id).where(RefundRow.back_entry_id == entry_id))
    return paid


def refuse_of_gateway(session: Session, entry_id: str) -> None:
    """What came through a gateway goes back through it."""
    paid = gateway_payment_of(session, entry_id)
    if paid is not None:
        raise InputRefused(
            f"entry {entry_id} came through a gateway, which has the money: `pbxbill payments refund {paid} "
            "--reopen` gives it back"
        )


def take_back_entry(session: Session, books: Bookkeeper, wanted: Reversal, now_us: int) -> str:
    """Take an entry back by the equal and opposite one; the id of that."""
    entry = session.get(JournalEntryRow, wanted.entry_id)
    if entry is not None and entry.kind == TOP_UP:
        done = reverse_top_up(
            session,
            books,
            wanted.entry_id,
            reason=wanted.reason,
            now_us=now_us,
            owed=wanted.owed,
            by=wanted.by,
        )
        return done.moved.entry_id
    refuse_of_gateway(session, wanted.entry_id)
    return reverse(
        session, books, wanted.entry_id, reason=wanted.reason, now_us=now_us, by=wanted.by
    ).entry_id
