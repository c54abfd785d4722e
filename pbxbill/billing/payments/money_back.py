"""Entries by which a gateway's money leaves the books, and comes back into them.

What paid invoices may be taken back whole: that is the reversal of its entry, which opens them again. Else it
comes out of the wallet.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import post
from pbxbill.billing.payments.auto_top_ups import turn_off_after
from pbxbill.billing.payments.gateway_facts import Applied, Outcome
from pbxbill.billing.payments.payment_gateways import coin
from pbxbill.billing.payments.payments import NewPayment, record_payment, reverse
from pbxbill.billing.points.points_earning import take_back
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import PostEntry
from pbxbill.errors import InputRefused
from pbxbill.gateways.gateway import RefundFacts
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.accounts import unit_of
from pbxbill.store.alerts import raise_alert
from pbxbill.store.models import AccountRow, JournalEntryRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, RefundRow

KIND_OF_ENTRY = {"refund": "refund", "charge_back": "charge-back"}


def standing_entry(session: Session, payment: GatewayPaymentRow) -> str | None:
    """The entry that pays the payment's invoices now; None if there is none that could be reversed."""
    put_back = session.scalars(
        select(RefundRow.back_entry_id)
        .where(RefundRow.payment_id == payment.id, RefundRow.back_entry_id.is_not(None))
        .order_by(RefundRow.id.desc())
    ).all()
    for entry_id in (*put_back, payment.entry_id):
        entry = None if entry_id is None else session.get(JournalEntryRow, entry_id)
        if entry is None or entry.kind != "payment":
            continue
        reversed_by = select(JournalEntryRow.id).where(JournalEntryRow.reverses_id == entry.id)
        return entry.id if session.scalar(reversed_by) is None else None
    return None


def take(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    payment: GatewayPaymentRow,
    refund: RefundRow,
    *,
    reopen: bool,
    owed: bool,
    now_us: int,
) -> None:
    """Book that money goes, or is gone (owed: whatever the wallet holds). InputRefused: funds are short."""
    if refund.kind == "charge_back" or payment.automatic:
        why = "a payment was charged back" if refund.kind == "charge_back" else "its payment was given back"
        key = f"refund:{refund.id}"
        turn_off_after(session, payment.account_id, payment.unit, why, key=key, now_us=now_us)
    reason = f"{refund.kind.replace('_', '-')}: {refund.reason}"[:300].rstrip(": ")
    if reopen:
        entry_id = standing_entry(session, payment)
        if entry_id is None:
            raise InputRefused(f"gateway payment {payment.id} pays no invoice that could be opened again")
        done = reverse(session, books, entry_id, reason=reason, now_us=now_us, by=refund.by)
        refund.entry_id = done.entry_id
    else:
        command = PostEntry(
            f"{KIND_OF_ENTRY[refund.kind]}:{refund.key}",
            payment.account_id,
            payment.unit,
            -refund.amount,
            ((LedgerCode.CASH, -refund.amount),),
            KIND_OF_ENTRY[refund.kind],
            now_us,
            reason[:200],
            owed=owed,
        )
        refund.entry_id = post(session, books, command).entry_id
    payment.refunded += refund.amount
    if payment.entry_id is not None:
        # A charge-back may take what was given back before.
        kept = max(0, payment.received - payment.refunded)
        take_back(session, books, payment.entry_id, kept=kept, now_us=now_us)
    session.flush()


def put_back(
    session: Session, books: Bookkeeper, payment: GatewayPaymentRow, refund: RefundRow, now_us: int
) -> None:
    """Book that the money stays after all, to where it was."""
    payment.refunded -= refund.amount
    if refund.entry_id is None:
        session.flush()
        return  # nothing of it had been booked
    entry = session.get_one(JournalEntryRow, refund.entry_id)
    key, why = f"back:{refund.key}", f"{refund.kind.replace('_', ' ')} did not happen"
    if entry.reverses_id is not None:
        account = session.get_one(AccountRow, payment.account_id)
        ids = tuple(int(id) for id in payment.invoice_ids.split(",") if id) or None
        new = NewPayment(refund.amount, payment.unit, why, key, ids, payment.gateway_ref, refund.by)
        try:
            with session.begin_nested():
                refund.back_entry_id = record_payment(session, books, account, new, now_us).entry_id
        except InputRefused:  # its invoice was cancelled meanwhile
            new = NewPayment(refund.amount, payment.unit, why, key, None, payment.gateway_ref, refund.by)
            refund.back_entry_id = record_payment(session, books, account, new, now_us).entry_id
    else:
        command = PostEntry(
            key,
            payment.account_id,
            payment.unit,
            refund.amount,
            ((LedgerCode.CASH, refund.amount),),
            "reversal",
            now_us,
            why,
            reverses_id=entry.id,
        )
        refund.back_entry_id = post(session, books, command).entry_id
    session.flush()


def take_unbooked(session: Session, payment: GatewayPaymentRow, refund: RefundRow, now_us: int) -> None:
    """Note what went back of a payment that is held; with all of it gone nothing is left to decide."""
    session.add(refund)
    payment.refunded += refund.amount
    if payment.refunded >= (payment.told_amount or 0) * coin(unit_of(session, payment.unit)):
        payment.state, payment.ended_us = "cancelled", now_us
    session.flush()


def take_since_booked(session: Session, books: Bookkeeper, payment: GatewayPaymentRow, now_us: int) -> None:
    """Book what went back of a payment while it was held, now that its money is booked."""
    gone = select(RefundRow).where(
        RefundRow.payment_id == payment.id,
        RefundRow.entry_id.is_(None),
        RefundRow.state.not_in(("failed", "won")),
    )
    for refund in session.scalars(gone.order_by(RefundRow.id)).all():
        payment.refunded -= refund.amount
        take(session, books, payment, refund, reopen=False, owed=True, now_us=now_us)


def unclear(
    session: Session, gateway: PaymentGatewayRow, payment: GatewayPaymentRow, facts: RefundFacts, now_us: int
) -> Applied:
    """Money went back that was never booked, or in a currency that it was not booked in: a person looks."""
    told = f"{facts.amount} {facts.currency} in minor units went back of payment {payment.id}"
    subject = f"payment {payment.id} {facts.gateway_ref}"
    raise_alert(
        session, "refund_unclear", subject, f"{gateway.name}: {told}", payment.account_id, at_us=now_us
    )
    return Applied(Outcome.HELD, told, payment.id)
