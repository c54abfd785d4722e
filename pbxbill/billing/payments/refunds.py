"""Money given back through a gateway: booked before the gateway hears of it, and put back if it fails.

What goes back has left the wallet already, so that nobody spends it meanwhile. What somebody gave back at the
gateway itself is found in its webhook, and is owed.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import reason_given, said
from pbxbill.billing.notices.noticing import Fact, Money, NoticeKind, tell
from pbxbill.billing.payments.charge_backs import apply_charge_back
from pbxbill.billing.payments.gateway_facts import (
    FORGOTTEN_S,
    Applied,
    Outcome,
    locked_payment,
    method_words,
    next_poll_us,
    payment_named,
    poll_is_due,
)
from pbxbill.billing.payments.gateway_payments import FIRST_POLL_S, POLLED_AT_ONCE, GatewayDesk
from pbxbill.billing.payments.money_back import put_back, take, take_unbooked, unclear
from pbxbill.billing.payments.payment_gateways import coin, minor_units
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.gateways.currencies import iso_digits
from pbxbill.gateways.gateway import GatewayUnclear, GatewayUnreachable, RefundFacts, RefundState, Refusal
from pbxbill.store.accounts import unit_of
from pbxbill.store.alerts import alert_since, raise_alert
from pbxbill.store.engine import reading, transaction
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, RefundRow

WAITING_STATES = ("asking", "open")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewRefund:
    """What is to be given back of a payment."""

    reason: str
    amount: int | None = None
    """None: all that is left of it."""
    reopen: bool = False
    """Open the invoices again that it paid; all of it goes back then. Else it comes out of the wallet."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class RefundStanding:
    """How a refund stands."""

    id: int
    payment_id: int
    state: str
    amount: int
    unit: str
    error: str = ""
    """Why it failed."""


def ask_refund(
    session: Session, books: Bookkeeper, payment_id: int, new: NewRefund, now_us: int
) -> RefundRow:
    """Write down a refund and take its money; the gateway is to be asked after the commit."""
    reason = reason_given(new.reason)
    payment = locked_payment(session, payment_id)
    unit = unit_of(session, payment.unit)
    is_held = payment.state == "held" and payment.told_amount is not None
    if payment.entry_id is None and not is_held:
        raise InputRefused(f"gateway payment {payment.id} is {payment.state}: there is nothing to give back")
    received = payment.received if not is_held else (payment.told_amount or 0) * coin(unit)
    left = received - payment.refunded
    amount = left if new.amount is None else new.amount
    if amount > left or not left:
        raise InputRefused(f"only {said(left, unit)} is left of gateway payment {payment.id}")
    minor_units(amount, unit)
    whole = left if is_held else received
    if amount != whole and (is_held or new.reopen):
        what = "a held payment" if is_held else "a payment whose invoices are opened again"
        raise InputRefused(f"{what} goes back whole: {said(whole, unit)}")
    refund = RefundRow(
        key=secrets.token_hex(16),
        payment_id=payment.id,
        kind="refund",
        amount=amount,
        state="asking",
        reason=reason,
        by=new.by[:64],
        created_us=now_us,
        poll_us=now_us + FIRST_POLL_S * SECOND_US,
    )
    session.add(refund)
    session.flush()
    if is_held:
        payment.refunded += amount  # it was never booked
        session.flush()
    else:
        take(session, books, payment, refund, reopen=new.reopen, owed=False, now_us=now_us)
    return refund


def apply_refund_facts(
    session: Session, books: Bookkeeper, gateway: PaymentGatewayRow, facts: RefundFacts, now_us: int
) -> Applied:
    """Write down what a gateway says of money that went back, once, in whatever order it says it."""
    refund = _refund_named(session, gateway, facts)
    if refund is not None:
        payment = locked_payment(session, refund.payment_id)
    else:
        found = payment_named(session, gateway.id, "", facts.payment_ref)
        if found is None:
            return Applied(Outcome.NOTHING, f"no payment of ours: {facts.payment_ref}"[:300])
        payment = found
        refund = _refund_named(session, gateway, facts)  # another process may have written it meanwhile
    if facts.charge_back:
        return apply_charge_back(session, books, gateway, payment, refund, facts, now_us)
    if refund is None:
        return _given_back_there(session, books, gateway, payment, facts, now_us)
    return _changed(session, books, payment, refund, facts, now_us)


def _refund_named(session: Session, gateway: PaymentGatewayRow, facts: RefundFacts) -> RefundRow | None:
    """The refund that a gateway speaks of."""
    of_gateway = (
        select(RefundRow)
        .join(GatewayPaymentRow, GatewayPaymentRow.id == RefundRow.payment_id)
        .where(GatewayPaymentRow.gateway_id == gateway.id)
        .execution_options(populate_existing=True)
    )
    kind = RefundRow.kind == ("charge_back" if facts.charge_back else "refund")
    found = session.scalar(of_gateway.where(kind, RefundRow.key == facts.key)) if facts.key else None
    if found is None and facts.gateway_ref:
        found = session.scalar(of_gateway.where(kind, RefundRow.gateway_ref == facts.gateway_ref))
    return found


def _changed(  # as above, with the rows
    session: Session,
    books: Bookkeeper,
    payment: GatewayPaymentRow,
    refund: RefundRow,
    facts: RefundFacts,
    now_us: int,
) -> Applied:
    session.refresh(refund)
    if facts.gateway_ref:
        refund.gateway_ref = facts.gateway_ref[:128]
    before = refund.state
    match facts.state:
        case RefundState.OPEN:
            if before == "asking":
                refund.state = "open"
        case RefundState.DONE:
            if before in WAITING_STATES:
                _done(session, payment, refund, now_us)
        case RefundState.FAILED:
            if before != "failed":
                _failed(session, books, payment, refund, facts.why, now_us)
    session.flush()
    if refund.state == before:
        return Applied(Outcome.NOTHING, f"the refund is {before} already", payment.id)
    return Applied(Outcome.HANDLED, f"refund {refund.state}", payment.id)


def _done(session: Session, payment: GatewayPaymentRow, refund: RefundRow, now_us: int) -> None:
    refund.state, refund.poll_us = "done", None
    if payment.state == "held" and _is_all_gone(session, payment):
        payment.state, payment.ended_us = "cancelled", now_us
    session.flush()
    facts: dict[str, Fact] = {"amount": _told_money(session, payment, refund), "why": refund.reason}
    words = method_words(session, payment)
    if words:
        facts["method"] = words
    key = f"refund:{refund.id}"
    tell(session, payment.account_id, NoticeKind.REFUND, key=key, facts=facts, now_us=now_us)


def _told_money(session: Session, payment: GatewayPaymentRow, refund: RefundRow) -> Fact:
    """What goes back, in the currency in which it came: of a held payment that may be another."""
    if payment.entry_id is not None or payment.told_currency in {"", payment.unit}:
        return Money(refund.amount, payment.unit)
    minor = refund.amount // coin(unit_of(session, payment.unit))
    try:
        return Money(minor * coin(unit_of(session, payment.told_currency)), payment.told_currency)
    except InputRefused:  # a currency that nobody here has a wallet in
        major = Decimal(minor).scaleb(-iso_digits(payment.told_currency))
        return f"{major:f} {payment.told_currency}"


def _is_all_gone(session: Session, payment: GatewayPaymentRow) -> bool:
    return payment.refunded >= (payment.told_amount or 0) * coin(unit_of(session, payment.unit))


def _failed(  # as above
    session: Session,
    books: Bookkeeper,
    payment: GatewayPaymentRow,
    refund: RefundRow,
    why: str,
    now_us: int,
) -> None:
    if payment.state == "cancelled" and payment.entry_id is None:
        payment.state, payment.ended_us = "held", None  # its money is still at the gateway, booked nowhere
    refund.state, refund.poll_us = "failed", None
    refund.reason = f"{refund.reason} ({why})"[:300] if why else refund.reason
    put_back(session, books, payment, refund, now_us)
    detail = f"payment {payment.id}: {why or 'the gateway did not say why'}; the money is back in the books"
    raise_alert(session, "refund_failed", f"refund {refund.id}", detail, payment.account_id, at_us=now_us)


def _given_back_there(  # as above
    session: Session,
    books: Bookkeeper,
    gateway: PaymentGatewayRow,
    payment: GatewayPaymentRow,
    facts: RefundFacts,
    now_us: int,
) -> Applied:
    """Somebody gave it back at the gateway itself: it is gone, whatever the wallet holds."""
    refund = RefundRow(
        key=f"{gateway.id}:{facts.gateway_ref}"[:160],
        payment_id=payment.id,
        kind="refund",
        amount=facts.amount * coin(unit_of(session, payment.unit)),
        state="open",
        gateway_ref=facts.gateway_ref[:128],
        reason=f"given back at {gateway.name}",
        by="",
        created_us=now_us,
        poll_us=next_poll_us(now_us, now_us),
    )
    if facts.state is RefundState.FAILED:
        refund.state, refund.poll_us = "failed", None
        session.add(refund)
        session.flush()
        return Applied(Outcome.HANDLED, "a refund that failed", payment.id)
    if payment.state == "held" and facts.currency == payment.told_currency:
        take_unbooked(session, payment, refund, now_us)
        if facts.state is RefundState.DONE:
            refund.state, refund.poll_us = "done", None
        return Applied(Outcome.HANDLED, "given back at the gateway, of a payment that is held", payment.id)
    if facts.currency != payment.unit or payment.entry_id is None:
        return unclear(session, gateway, payment, facts, now_us)
    session.add(refund)
    session.flush()
    take(session, books, payment, refund, reopen=False, owed=True, now_us=now_us)
    if facts.state is RefundState.DONE:
        _done(session, payment, refund, now_us)
    return Applied(Outcome.HANDLED, f"given back at the gateway: entry {refund.entry_id}", payment.id)


class RefundDesk:
    """Asks gateways for refunds, and what became of them; for one thread."""

    def __init__(self, desk: GatewayDesk) -> None:
        self._desk = desk

    def refund(self, payment_id: int, new: NewRefund) -> RefundStanding:
        """Give a payment back, or part of it. State asking: nobody knows yet, a poll will tell."""
        with self._desk.writing() as (session, books):
            refund_id = ask_refund(session, books, payment_id, new, self._desk.clock.now_us()).id
        return self.go_on(refund_id)

    def go_on(self, refund_id: int) -> RefundStanding:
        """Ask the gateway for a refund that it may not know yet; however often, it is given back once."""
        with transaction(reading(self._desk.database)) as session:
            refund = session.get_one(RefundRow, refund_id)
            payment = session.get_one(GatewayPaymentRow, refund.payment_id)
            if refund.state != "asking":
                return _standing(payment, refund)
            gateway_row = session.get_one(PaymentGatewayRow, payment.gateway_id)
            minor, currency = self._told(session, payment, refund)
        try:
            gateway = self._desk.open(gateway_row)
            answer = gateway.refund(payment.gateway_ref, refund.key, minor, currency)
        except GatewayUnreachable as error:
            return self._later(refund_id, str(error) if isinstance(error, GatewayUnclear) else "")
        return self._answered(refund_id, answer)

    @staticmethod
    def _told(session: Session, payment: GatewayPaymentRow, refund: RefundRow) -> tuple[int, str]:
        minor = refund.amount // coin(unit_of(session, payment.unit))
        return minor, payment.unit if payment.entry_id is not None else payment.told_currency

    def _answered(self, refund_id: int, answer: RefundFacts | Refusal) -> RefundStanding:
        now_us = self._desk.clock.now_us()
        with self._desk.writing() as (session, books):
            refund = session.get_one(RefundRow, refund_id)
            payment = locked_payment(session, refund.payment_id)
            session.refresh(refund)
            if isinstance(answer, RefundFacts):
                _changed(session, books, payment, refund, answer, now_us)
                error = answer.why if refund.state == "failed" else ""
            else:
                error = answer.why
                if refund.state == "asking" and not answer.retryable:
                    _failed(session, books, payment, refund, answer.why, now_us)
            if refund.state in WAITING_STATES:
                self._polled(refund, now_us)
            return _standing(payment, refund, error)

    def _later(self, refund_id: int, unclear_why: str = "") -> RefundStanding:
        with self._desk.writing() as (session, _):
            refund = session.get_one(RefundRow, refund_id)
            payment = locked_payment(session, refund.payment_id)
            session.refresh(refund)
            if refund.state in WAITING_STATES:
                now_us = self._desk.clock.now_us()
                self._polled(refund, now_us)
                why, subject = unclear_why, f"refund {refund.id}"
                if now_us - refund.created_us > FORGOTTEN_S * SECOND_US:
                    why = f"the gateway does not say what became of {refund.amount} of payment {payment.id}"
                elif alert_since(session, "refund_unclear", subject, refund.created_us):
                    why = ""  # it was told
                if why:
                    raise_alert(session, "refund_unclear", subject, why, payment.account_id, at_us=now_us)
            return _standing(payment, refund, unclear_why)

    @staticmethod
    def _polled(refund: RefundRow, now_us: int) -> None:
        refund.poll_us = next_poll_us(refund.created_us, now_us)
        refund.polls += 1

    def poll(self, refund_id: int) -> RefundStanding:
        """Ask the gateway what became of a refund; one that it does not know is asked for again."""
        with transaction(reading(self._desk.database)) as session:
            refund = session.get_one(RefundRow, refund_id)
            payment = session.get_one(GatewayPaymentRow, refund.payment_id)
            gateway_row = session.get_one(PaymentGatewayRow, payment.gateway_id)
        if refund.state not in WAITING_STATES:
            return _standing(payment, refund)
        key = "" if ":" in refund.key else refund.key  # else it was not us who asked
        try:
            gateway = self._desk.open(gateway_row)
            facts = gateway.find_refund(payment.gateway_ref, key, refund.gateway_ref)
        except GatewayUnreachable:
            return self._later(refund_id)
        if facts is None and refund.state == "asking":
            return self.go_on(refund_id)
        return self._later(refund_id) if facts is None else self._answered(refund_id, facts)

    def poll_due(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Poll the refunds whose time has come; how many."""
        now_us = self._desk.clock.now_us()
        is_due = poll_is_due(RefundRow.poll_us, now_us)
        due = select(RefundRow.id).where(is_due).order_by(RefundRow.poll_us)
        with transaction(reading(self._desk.database)) as session:
            ids = session.scalars(due.limit(POLLED_AT_ONCE)).all()
        polled = 0
        for id in ids:
            if stop():
                break
            claim = update(RefundRow).where(RefundRow.id == id, is_due)
            with self._desk.writing() as (session, _):
                later_us = now_us + FIRST_POLL_S * SECOND_US
                mine = session.scalar(claim.values(poll_us=later_us).returning(RefundRow.id))
            if mine is None:
                continue
            try:
                self.poll(id)
            except PbxbillError as error:
                _log.warning("refund_not_polled", refund=id, error=str(error))
            polled += 1
        return polled


def _standing(payment: GatewayPaymentRow, refund: RefundRow, error: str = "") -> RefundStanding:
    return RefundStanding(refund.id, payment.id, refund.state, refund.amount, payment.unit, error)
