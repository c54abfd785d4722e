"""Payments that a payer's bank took back: the money is gone when the gateway says so, and owed at once.

A charge-back that is won later is booked back. Gateways may say all of it late, or twice; won is final.
"""

from sqlalchemy.orm import Session

from pbxbill.billing.notices.noticing import Fact, Money, NoticeKind, tell
from pbxbill.billing.payments.gateway_facts import Applied, Outcome, method_words
from pbxbill.billing.payments.money_back import put_back, standing_entry, take, take_unbooked
from pbxbill.billing.payments.payment_gateways import coin
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.gateways.gateway import RefundFacts, RefundState
from pbxbill.money import format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.alerts import raise_alert
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, RefundRow

STATES = {RefundState.OPEN: "open", RefundState.DONE: "lost", RefundState.FAILED: "won"}


def apply_charge_back(  # noqa: PLR0913, PLR0917  # what is said, and of what
    session: Session,
    books: Bookkeeper,
    gateway: PaymentGatewayRow,
    payment: GatewayPaymentRow,
    known: RefundRow | None,
    facts: RefundFacts,
    now_us: int,
) -> Applied:
    """Write down what a gateway says of a charge-back; the payment's row is locked."""
    state = STATES[facts.state]
    if known is not None:
        session.refresh(known)
        return _changed(session, books, payment, known, state, now_us)
    row = RefundRow(
        key=f"{gateway.id}:charge-back:{facts.gateway_ref}"[:160],
        payment_id=payment.id,
        kind="charge_back",
        amount=facts.amount * coin(unit_of(session, payment.unit)),
        state=state,
        gateway_ref=facts.gateway_ref[:128],
        reason=facts.why[:300],
        by="",
        created_us=now_us,
    )
    detail = f"{_amount_words(session, payment, facts)} of payment {payment.id}: {facts.why}"
    raise_alert(
        session,
        "charge_back",
        f"{gateway.name} {facts.gateway_ref}",
        detail,
        payment.account_id,
        at_us=now_us,
    )
    if payment.state == "held" and facts.currency == payment.told_currency and state != "won":
        take_unbooked(session, payment, row, now_us)
        return Applied(Outcome.HANDLED, "a charge-back of a payment that was held", payment.id)
    if state != "won" and (facts.currency != payment.unit or payment.entry_id is None):
        return Applied(Outcome.HELD, f"a charge-back that cannot be booked: {detail}"[:300], payment.id)
    session.add(row)
    session.flush()
    if state == "won":
        return Applied(Outcome.HANDLED, "a charge-back that was won", payment.id)
    whole = row.amount == payment.received and not payment.refunded
    reopen = whole and standing_entry(session, payment) is not None
    take(session, books, payment, row, reopen=reopen, owed=True, now_us=now_us)
    _tell(session, payment, row, now_us)
    return Applied(Outcome.HANDLED, f"charge-back booked by entry {row.entry_id}", payment.id)


def _amount_words(session: Session, payment: GatewayPaymentRow, facts: RefundFacts) -> str:
    if facts.currency != payment.unit:
        return f"{facts.amount} {facts.currency} in minor units"
    unit = unit_of(session, payment.unit)
    return f"{format_amount(facts.amount * coin(unit), unit)} {unit.code}"


def _changed(  # as above
    session: Session,
    books: Bookkeeper,
    payment: GatewayPaymentRow,
    row: RefundRow,
    state: str,
    now_us: int,
) -> Applied:
    order = ("open", "lost", "won")
    if order.index(state) <= order.index(row.state):
        return Applied(Outcome.NOTHING, f"the charge-back is {row.state} already", payment.id)
    row.state = state
    if state == "won":
        if payment.state == "cancelled" and row.entry_id is None:
            payment.state, payment.ended_us = "held", None  # its money is at the gateway again
        put_back(session, books, payment, row, now_us)
    session.flush()
    return Applied(Outcome.HANDLED, f"charge-back {state}", payment.id)


def _tell(session: Session, payment: GatewayPaymentRow, row: RefundRow, now_us: int) -> None:
    facts: dict[str, Fact] = {"amount": Money(row.amount, payment.unit)}
    if row.reason:
        facts["why"] = row.reason
    words = method_words(session, payment)
    if words:
        facts["method"] = words
    key = f"charge-back:{row.id}"
    tell(session, payment.account_id, NoticeKind.CHARGE_BACK, key=key, facts=facts, now_us=now_us)
