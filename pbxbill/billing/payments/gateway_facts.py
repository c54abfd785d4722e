"""What a gateway says of a payment, written down: the one way by which its money reaches the ledger.

A webhook, an answer and a poll all come through apply_payment_facts(), in whatever order and however often.
What differs from what was asked is held, and nothing of it is booked until a person decides.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from pbxbill.billing.notices.noticing import Money, NoticeKind, tell
from pbxbill.billing.payments.payment_gateways import coin
from pbxbill.billing.payments.payments import NewPayment
from pbxbill.billing.payments.received_payments import receive_payment
from pbxbill.billing.payments.saved_methods import keep_method
from pbxbill.billing.payments.top_ups import NewTopUp, top_up
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.gateways.gateway import PaymentFacts, PaymentState
from pbxbill.gateways.registry import KINDS
from pbxbill.store.accounts import unit_of
from pbxbill.store.alerts import raise_alert
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, SavedMethodRow

WAITING_STATES = ("asking", "open")
"""The gateway has not said yet how it ends."""
SHORTEST_POLL_S, LONGEST_POLL_S = 30, 86_400
"""Between two questions about the same payment: a third of its age, within these."""
UNSENT_S = 900
"""Of what the gateway does not know for so long it is not asked any more."""
FORGOTTEN_S = 30 * 86_400
"""What has not ended for so long is not asked about any more. Its webhook would still be believed."""
MAX_ERROR_LENGTH = 300
METHOD_WORDS = {"stripe": "Stripe", "paypal": "PayPal", "ccavenue": "CCAvenue"}


class Outcome(StrEnum):
    """What became of what a gateway said."""

    HANDLED = "handled"
    NOTHING = "nothing"
    """It concerns nothing of ours, or nothing that was not known."""
    HELD = "held"
    """A person decides."""
    WAITING = "waiting"
    """It can be understood only later: the gateway is to say it again."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of it, with the payment that it is about."""

    outcome: Outcome
    detail: str
    payment_id: int | None = None


def locked_payment(session: Session, payment_id: int) -> GatewayPaymentRow:
    """A payment, for this transaction alone; InputRefused if there is none."""
    row = session.scalar(_locked().where(GatewayPaymentRow.id == payment_id))
    if row is None:
        raise InputRefused(f"there is no gateway payment {payment_id}")
    return row


def payment_named(session: Session, gateway_id: int, key: str, gateway_ref: str) -> GatewayPaymentRow | None:
    """The payment that a gateway speaks of, locked; None if it is none of ours."""
    at_gateway = GatewayPaymentRow.gateway_id == gateway_id
    row = None
    if key:
        row = session.scalar(_locked().where(at_gateway, GatewayPaymentRow.key == key))
    if row is None and gateway_ref:
        row = session.scalar(_locked().where(at_gateway, GatewayPaymentRow.gateway_ref == gateway_ref))
    return row


def _locked() -> Select[GatewayPaymentRow]:
    return select(GatewayPaymentRow).with_for_update().execution_options(populate_existing=True)


def next_poll_us(created_us: int, now_us: int) -> int:
    """When the gateway is asked again: the older it is, the later."""
    after_us = (now_us - created_us) // 3
    return now_us + min(max(after_us, SHORTEST_POLL_S * SECOND_US), LONGEST_POLL_S * SECOND_US)


def poll_is_due(poll_us: InstrumentedAttribute[int | None], now_us: int) -> ColumnElement[bool]:
    """Whether the gateway is to be asked. What seems further away than anything was ever put off was put off
    by a clock that has been set back since."""
    return or_(poll_us <= now_us, poll_us > now_us + 2 * LONGEST_POLL_S * SECOND_US)


def apply_payment_facts(
    session: Session, books: Bookkeeper, gateway: PaymentGatewayRow, facts: PaymentFacts, now_us: int
) -> Applied:
    """Write down what a gateway says of a payment, and book its money once."""
    row = payment_named(session, gateway.id, facts.key, facts.gateway_ref)
    if row is None:
        return Applied(Outcome.NOTHING, f"no payment of ours: {facts.gateway_ref}"[:300])
    return apply_to(session, books, gateway, row, facts, now_us)


def apply_to(  # as above, with the row
    session: Session,
    books: Bookkeeper,
    gateway: PaymentGatewayRow,
    row: GatewayPaymentRow,
    facts: PaymentFacts,
    now_us: int,
) -> Applied:
    """The same for a row that is locked already."""
    # Once money has arrived, only what says the same names it: it is given back by that name.
    if facts.gateway_ref and row.entry_id is None and (row.told_amount is None or _is_paid(facts)):
        row.gateway_ref = facts.gateway_ref[:128]
    match facts.state:
        case PaymentState.PAID:
            return _paid(session, books, gateway, row, facts, now_us)
        case PaymentState.OPEN:
            if row.state == "asking":
                row.state = "open"
                row.poll_us = next_poll_us(row.created_us, now_us)
            session.flush()
            return Applied(Outcome.HANDLED, "it waits for the payer", row.id)
        case PaymentState.DECLINED | PaymentState.EXPIRED | PaymentState.CANCELLED as state:
            return _ended(session, row, state.value, facts.why, now_us)


def _is_paid(facts: PaymentFacts) -> bool:
    return facts.state is PaymentState.PAID


def _ended(session: Session, row: GatewayPaymentRow, state: str, why: str, now_us: int) -> Applied:
    if row.state not in WAITING_STATES:
        return Applied(Outcome.NOTHING, f"{state}, and it is {row.state} already", row.id)
    end_unpaid(session, row, state, why, now_us)
    return Applied(Outcome.HANDLED, state, row.id)


def end_unpaid(session: Session, row: GatewayPaymentRow, state: str, why: str, now_us: int) -> None:
    """No money came."""
    row.state, row.error = state, why[:MAX_ERROR_LENGTH]
    row.poll_us, row.ended_us = None, now_us
    session.flush()
    # He who pays on the gateway's own page is told there, and tries again.
    if state == "declined" and row.method_id is not None:
        tell(
            session,
            row.account_id,
            NoticeKind.PAYMENT_DECLINED,
            key=f"gateway:{row.id}",
            facts={
                "amount": Money(row.amount, row.unit),
                "why": why or "declined",
                "method": method_words(session, row),
            },
            now_us=now_us,
        )


def _paid(  # as above
    session: Session,
    books: Bookkeeper,
    gateway: PaymentGatewayRow,
    row: GatewayPaymentRow,
    facts: PaymentFacts,
    now_us: int,
) -> Applied:
    if facts.method is not None and row.save_method:
        keep_method(session, row.account_id, gateway.id, facts.method, now_us)
    if row.entry_id is not None:
        return _again(session, gateway, row, facts, now_us)
    if row.refunded:
        return Applied(Outcome.NOTHING, "it is being given back", row.id)
    row.told_amount, row.told_currency = facts.amount, facts.currency[:12]
    unit = unit_of(session, row.unit)
    asked = row.amount // coin(unit)
    if facts.currency != row.unit or facts.amount != asked:
        told = f"{facts.amount} {facts.currency} arrived in minor units, {asked} {row.unit} was asked for"
        return hold(session, gateway, row, told, now_us)
    return book(session, books, gateway, row, now_us)


def _again(
    session: Session, gateway: PaymentGatewayRow, row: GatewayPaymentRow, facts: PaymentFacts, now_us: int
) -> Applied:
    """Of what is booked already, the same is nothing new. Other money is told: perhaps he paid twice."""
    received = facts.amount * coin(unit_of(session, row.unit))
    if (facts.gateway_ref[:128] or row.gateway_ref, received, facts.currency) == (
        row.gateway_ref,
        row.received,
        row.unit,
    ):
        return Applied(Outcome.NOTHING, "it is booked already", row.id)
    told = (
        f"{gateway.name}: {facts.amount} {facts.currency} in minor units arrived by {facts.gateway_ref}, "
        f"and {row.gateway_ref} is booked already: look there whether to give it back"
    )
    subject = f"gateway payment {row.id} {facts.gateway_ref}"
    raise_alert(session, "payment_held", subject, told, row.account_id, at_us=now_us)
    return Applied(Outcome.HELD, told[:300], row.id)


def book(
    session: Session, books: Bookkeeper, gateway: PaymentGatewayRow, row: GatewayPaymentRow, now_us: int
) -> Applied:
    """Post what the gateway received; what cannot be posted is held."""
    account = session.get_one(AccountRow, row.account_id)
    amount = (row.told_amount or 0) * coin(unit_of(session, row.unit))
    try:
        with session.begin_nested():
            entry_id = _posted(session, books, gateway, account, row, amount, now_us)
    except InputRefused as refused:
        return hold(session, gateway, row, f"it cannot be booked: {refused}", now_us)
    row.entry_id, row.received = entry_id, amount
    row.state, row.error = "paid", ""
    row.poll_us, row.ended_us = None, now_us
    session.flush()
    return Applied(Outcome.HANDLED, f"booked by entry {entry_id}", row.id)


def _posted(  # noqa: PLR0913, PLR0917  # as above
    session: Session,
    books: Bookkeeper,
    gateway: PaymentGatewayRow,
    account: AccountRow,
    row: GatewayPaymentRow,
    amount: int,
    now_us: int,
) -> str:
    key, method = f"gateway:{row.key}", METHOD_WORDS.get(gateway.kind, gateway.kind)
    if row.purpose == "top_up":
        new = NewTopUp(amount, row.unit, method, key, row.gateway_ref, row.by)
        try:
            with session.begin_nested():
                return top_up(session, books, account, new, now_us).entry_id
        except InputRefused:  # perhaps it is the receipt alone that cannot be made out
            return top_up(session, books, account, replace(new, receipt=False), now_us).entry_id
    ids = tuple(int(id) for id in row.invoice_ids.split(",") if id) or None
    payment = NewPayment(amount, row.unit, method, key, ids, row.gateway_ref, row.by)
    try:
        with session.begin_nested():
            return receive_payment(session, books, account, payment, now_us).allocated.entry_id
    except InputRefused:
        if ids is None:
            raise
    # Its invoice was cancelled meanwhile: the money is the account's all the same.
    payment = NewPayment(amount, row.unit, method, key, None, row.gateway_ref, row.by)
    return receive_payment(session, books, account, payment, now_us).allocated.entry_id


def hold(
    session: Session, gateway: PaymentGatewayRow, row: GatewayPaymentRow, why: str, now_us: int
) -> Applied:
    """A person decides what becomes of it: `pbxbill payments held`."""
    row.state, row.error, row.poll_us = "held", why[:MAX_ERROR_LENGTH], None
    session.flush()
    raise_alert(
        session,
        "payment_held",
        f"gateway payment {row.id}",
        f"{gateway.name}: {why}",
        row.account_id,
        at_us=now_us,
    )
    return Applied(Outcome.HELD, why[:300], row.id)


def hold_forgotten(
    session: Session,
    gateway: PaymentGatewayRow,
    row: GatewayPaymentRow,
    facts: PaymentFacts | None,
    now_us: int,
) -> bool:
    """Hold a charge that the gateway may have made and forgotten the key of; whether it is held.

    One that has a name there is asked about by that: what is said of it is certain.
    """
    kind = KINDS.get(gateway.kind)
    remembers_s = None if kind is None else kind.remembers_s
    if remembers_s is None or row.state != "asking" or row.method_id is None or row.gateway_ref:
        return False
    is_old = now_us - row.created_us > remembers_s * SECOND_US
    if not is_old or (facts is not None and facts.state is not PaymentState.CANCELLED):
        return False
    service = METHOD_WORDS.get(gateway.kind, gateway.kind)
    why = (
        f"nobody knows whether it was charged: {service} was asked only after it forgets; look at {service} "
        f"for a payment with the custom id {row.key}"
    )
    hold(session, gateway, row, why, now_us)
    return True


def method_words(session: Session, row: GatewayPaymentRow) -> str:
    """The saved method of a payment as people speak of it; empty: the payer was there."""
    if row.method_id is None:
        return ""
    method = session.get_one(SavedMethodRow, row.method_id)
    return f"{method.brand} {method.last4}".strip()
