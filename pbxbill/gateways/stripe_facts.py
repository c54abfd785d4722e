"""What Stripe says, in its own JSON, as the facts that billing acts on.

Objects in answers and in webhooks have the same form. Webhooks have that of the version their endpoint was
made with, so that only what all versions share is read. No socket and no clock: stripe.py has them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pbxbill.gateways.currencies import iso_digits
from pbxbill.gateways.gateway import (
    Fact,
    GatewayUnreachable,
    Method,
    MethodChanged,
    MethodRemoved,
    PaymentFacts,
    PaymentState,
    RefundFacts,
    RefundState,
)

Told = Mapping[str, Any]
"""An object of Stripe's."""

KEY = "pbxbill_key"
"""In the metadata of everything that we ask for: our key."""
FLOW = "pbxbill_flow"
PAGE, SAVED = "page", "saved"
"""A payment on Stripe's page, or by a saved method: a declined card ends only the second."""
SAVE = "pbxbill_save"

MAX_REF_LENGTH = 128
MAX_WHY_LENGTH = 280

_DIGITS = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe counts otherwise than ISO 4217: https://docs.stripe.com/currencies#special-cases"""
_THREE_DIGITS_STEP = 10
"""Of currencies with three digits, the last one must be 0."""

_DECLINES = {
    "insufficient_funds": "the card does not have enough funds",
    "expired_card": "the card has expired",
    "authentication_required": "the bank wants the cardholder to confirm it: pay once on the payment page",
    "card_velocity_exceeded": "the card's limit is reached",
    "withdrawal_count_limit_exceeded": "the card's limit is reached",
    "card_not_supported": "the card does not allow this kind of payment",
    "currency_not_supported": "the card does not take this currency",
    "incorrect_number": "the card's number is wrong",
    "incorrect_cvc": "the card's security code is wrong",
    "invalid_cvc": "the card's security code is wrong",
    "invalid_expiry_month": "the card's expiry date is wrong",
    "invalid_expiry_year": "the card's expiry date is wrong",
    "processing_error": "the bank could not process it; it can be tried again",
    "issuer_not_available": "the bank could not be reached; it can be tried again",
    "try_again_later": "the bank could not process it; it can be tried again",
    "approve_with_id": "the bank could not process it; it can be tried again",
    "reenter_transaction": "the bank could not process it; it can be tried again",
    "duplicate_transaction": "the bank takes it for a payment that was made just before",
    "debit_not_authorized": "the holder of the account did not allow the debit",
    "revocation_of_authorization": "the cardholder withdrew the consent to be charged",
    "revocation_of_all_authorizations": "the cardholder withdrew the consent to be charged",
    "stop_payment_order": "the cardholder withdrew the consent to be charged",
}
_DECLINED = "the bank declined the card"
"""For every other reason: Stripe asks not to tell a payer that his card is thought stolen."""

_REFUND_FAILURES = {
    "lost_or_stolen_card": "the card is lost or stolen",
    "expired_or_canceled_card": "the card has expired or is cancelled",
    "charge_for_pending_refund_disputed": "the payer disputed the payment meanwhile",
    "insufficient_funds": "the balance at Stripe is too low",
    "declined": "the payer's bank declined it",
    "merchant_request": "it was cancelled at Stripe",
}


class Unreadable(GatewayUnreachable):
    """An object that is not formed as Stripe's are."""

    def __init__(self, what: str) -> None:
        super().__init__(f"what Stripe says cannot be read: {what}")


# --- amounts ------------------------------------------------------------------------------------


def stripe_step(currency: str) -> int:
    """What amounts must be multiples of, in minor units by ISO 4217."""
    iso = iso_digits(currency)
    coarser = iso - _DIGITS.get(currency, iso)
    if coarser > 0:
        return int(10**coarser)
    return _THREE_DIGITS_STEP if iso == 3 else 1


def to_stripe(amount: int, currency: str) -> int:
    """An amount in minor units by ISO 4217 (a multiple of stripe_step) as Stripe counts it."""
    iso = iso_digits(currency)
    digits = _DIGITS.get(currency, iso)
    return int(amount * 10 ** (digits - iso)) if digits >= iso else int(amount // 10 ** (iso - digits))


def from_stripe(amount: int, currency: str) -> int:
    """The other way round. Stripe takes no fractions of what it counts in hundredths only by habit."""
    iso = iso_digits(currency)
    digits = _DIGITS.get(currency, iso)
    return int(amount // 10 ** (digits - iso)) if digits >= iso else int(amount * 10 ** (iso - digits))


# --- reading ------------------------------------------------------------------------------------


def text(told: Told, name: str) -> str:
    """A text, or "" for none; Unreadable if it is something else."""
    value = told.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"{name} is no text")
    return value


def ref(told: Told, name: str = "id") -> str:
    """The id of an object that is referred to or told whole; "" for none."""
    value = told.get(name)
    found = text(value, "id") if isinstance(value, Mapping) else text(told, name)
    if len(found) > MAX_REF_LENGTH:
        raise Unreadable(f"{name} is longer than ids are")
    return found


def some(found: str) -> str:
    """An id or an address that must be there."""
    if not found:
        raise Unreadable("an id or an address is missing")
    return found


def part(told: Told, name: str) -> Told:
    """An object within another; an empty one for none, or one that is only referred to."""
    value = told.get(name)
    return value if isinstance(value, Mapping) else {}


def whole(told: Told, name: str) -> int:
    """A whole number."""
    value = told.get(name)
    if type(value) is not int or not 0 <= value < 10**15:
        raise Unreadable(f"{name} is no amount")
    return value


def _money(told: Told, name: str) -> tuple[int, str]:
    currency = text(told, "currency").upper()
    if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise Unreadable("currency is none")
    return from_stripe(whole(told, name), currency), currency


def _key(told: Told) -> str:
    return text(part(told, "metadata"), KEY)[:MAX_REF_LENGTH]


# --- payments -----------------------------------------------------------------------------------


def method_of(told: Told, customer_ref: str = "") -> Method | None:
    """A saved way to pay; None if nobody's."""
    owner = ref(told, "customer") or customer_ref
    kind = text(told, "type")
    if not owner or not kind or not ref(told):
        return None
    detail = part(told, kind)
    year, month = detail.get("exp_year"), detail.get("exp_month")
    expires = f"{year:04}-{month:02}" if isinstance(year, int) and isinstance(month, int) else ""
    brand = text(detail, "brand") or kind
    return Method(owner, ref(told), brand[:32], text(detail, "last4")[:4], expires)


def declined_why(error: Told) -> str:
    """Why a payment was declined, in words for people."""
    code = text(error, "decline_code") or text(error, "code")
    if code in {"generic_decline", "card_declined"}:
        code = text(error, "code")
    return _DECLINES.get(code, _DECLINED)


def intent_facts(intent: Told) -> PaymentFacts:
    """What a payment intent says of its payment."""
    status = text(intent, "status")
    on_page = text(part(intent, "metadata"), FLOW) == PAGE
    why = ""
    match status:
        case "succeeded":
            state = PaymentState.PAID
        case "canceled":
            state = PaymentState.CANCELLED
        case "requires_payment_method" | "requires_action" if not on_page:
            # Nobody is there to try another card, or to confirm.
            state = PaymentState.DECLINED
            error = part(intent, "last_payment_error") or {"code": "authentication_required"}
            why = declined_why(error)
        case _:
            state = PaymentState.OPEN
    amount, currency = _money(intent, "amount_received" if state is PaymentState.PAID else "amount")
    return PaymentFacts(_key(intent), ref(intent), state, amount, currency, why, _kept(intent))


def _kept(intent: Told) -> Method | None:
    if text(intent, "setup_future_usage") != "off_session" or text(intent, "status") != "succeeded":
        return None
    return method_of(part(intent, "payment_method"))


def session_facts(session: Told) -> PaymentFacts:
    """What a page (a checkout session) says of its payment, with its payment intent if that is told too."""
    intent = part(session, "payment_intent")
    amount, currency = _money(session, "amount_total")
    key = text(session, "client_reference_id") or _key(session)
    status = text(session, "status")
    why = ""
    if text(session, "payment_status") == "paid":
        if intent:
            amount, currency = _money(intent, "amount_received")
        return PaymentFacts(
            key,
            ref(session, "payment_intent") or ref(session),
            PaymentState.PAID,
            amount,
            currency,
            method=_kept(intent),
        )
    if status == "expired":
        state = PaymentState.EXPIRED
    elif status == "complete" and text(intent, "status") in {"requires_payment_method", "canceled"}:
        # A debit that the payer agreed to came back from his bank.
        state, why = PaymentState.DECLINED, declined_why(part(intent, "last_payment_error"))
    else:
        state = PaymentState.OPEN
    return PaymentFacts(key, ref(session), state, amount, currency, why)


# --- money that goes back -----------------------------------------------------------------------


def refund_facts(refund: Told) -> RefundFacts | None:
    """What a refund says; None: of no payment of ours."""
    payment_ref = ref(refund, "payment_intent")
    if not payment_ref:
        return None
    why = ""
    match text(refund, "status"):
        case "succeeded":
            state = RefundState.DONE
        case "failed" | "canceled":
            state = RefundState.FAILED
            why = _REFUND_FAILURES.get(text(refund, "failure_reason"), "the payer's bank did not take it")
        case _:
            state = RefundState.OPEN
    amount, currency = _money(refund, "amount")
    return RefundFacts(payment_ref, _key(refund), ref(refund), state, amount, currency, why=why)


def dispute_facts(dispute: Told) -> RefundFacts | None:
    """What a dispute says; None: it takes no money, or none of ours."""
    payment_ref = ref(dispute, "payment_intent")
    status = text(dispute, "status")
    # Banks may ask before they take money: such inquiries begin with warning_, and may become disputes.
    if not payment_ref or status.startswith("warning_"):
        return None
    match status:
        case "lost":
            state = RefundState.DONE
        case "won":
            state = RefundState.FAILED
        case "prevented":
            state = RefundState.DONE if _taken(dispute) else RefundState.FAILED
        case _:
            state = RefundState.OPEN
    amount, currency = _money(dispute, "amount")
    why = text(dispute, "reason").replace("_", " ")[:MAX_WHY_LENGTH]
    return RefundFacts(payment_ref, "", ref(dispute), state, amount, currency, charge_back=True, why=why)


def _taken(dispute: Told) -> bool:
    moves = dispute.get("balance_transactions")
    if not isinstance(moves, list):
        return False
    amounts = [move.get("amount") for move in moves if isinstance(move, Mapping)]
    return sum(amount for amount in amounts if isinstance(amount, int)) < 0


# --- webhooks -----------------------------------------------------------------------------------


def _page_fact(session: Told) -> Fact | None:
    return session_facts(session) if text(session, "mode") == "payment" else None


def _failed_page_fact(session: Told) -> Fact | None:
    facts = _page_fact(session)
    if not isinstance(facts, PaymentFacts) or facts.state is PaymentState.PAID:
        return facts
    return PaymentFacts(
        facts.key, facts.gateway_ref, PaymentState.DECLINED, facts.amount, facts.currency, _DECLINED
    )


def _intent_fact(intent: Told) -> Fact | None:
    facts = intent_facts(intent)
    # On its page a payer tries card after card: the page says how that ends.
    if text(part(intent, "metadata"), FLOW) == PAGE and facts.state is not PaymentState.PAID:
        return None
    return facts


def _removed_fact(method: Told) -> Fact | None:
    return MethodRemoved(ref(method)) if ref(method) else None


def _changed_fact(method: Told) -> Fact | None:
    found = method_of(method)
    return MethodChanged(found) if found is not None else None


_FACTS: Mapping[str, Callable[[Told], Fact | None]] = {
    "checkout.session.completed": _page_fact,
    "checkout.session.async_payment_succeeded": _page_fact,
    "checkout.session.async_payment_failed": _failed_page_fact,
    "checkout.session.expired": _page_fact,
    "payment_intent.succeeded": _intent_fact,
    "payment_intent.payment_failed": _intent_fact,
    "payment_intent.processing": _intent_fact,
    "payment_intent.canceled": _intent_fact,
    "refund.created": refund_facts,
    "refund.updated": refund_facts,
    "refund.failed": refund_facts,
    "charge.refund.updated": refund_facts,
    "charge.dispute.created": dispute_facts,
    "charge.dispute.updated": dispute_facts,
    "charge.dispute.funds_withdrawn": dispute_facts,
    "charge.dispute.funds_reinstated": dispute_facts,
    "charge.dispute.closed": dispute_facts,
    "payment_method.detached": _removed_fact,
    "payment_method.automatically_updated": _changed_fact,
    "payment_method.updated": _changed_fact,
}

EVENTS = tuple(_FACTS)
"""What a webhook endpoint at Stripe is to send."""


def event_fact(kind: str, told: Told) -> Fact | None:
    """What an event of a kind says; None: nothing that we act on. Unreadable if it is malformed."""
    read = _FACTS.get(kind)
    return None if read is None else read(told)


def kept_something(told: Told, fact: Fact | None) -> bool:
    """Whether a payment that is told paid kept a way to pay that the event does not describe."""
    if not isinstance(fact, PaymentFacts) or fact.state is not PaymentState.PAID or fact.method is not None:
        return False
    return text(part(told, "metadata"), SAVE) == "1"
