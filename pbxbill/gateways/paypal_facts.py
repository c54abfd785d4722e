"""What PayPal says, in its own JSON, as the facts that billing acts on. No socket and no clock."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pbxbill.gateways.currencies import iso_digits
from pbxbill.gateways.gateway import (
    GatewayUnreachable,
    Method,
    PaymentFacts,
    PaymentState,
    RefundFacts,
    RefundState,
)

Told = Mapping[str, Any]
"""An object of PayPal's."""

ORDER = "order:"
"""Begins the gateway_ref of a payment that is not received yet. What is received has a capture's id, which is
the number that PayPal shows to both sides."""
PAGE, SAVED, QUESTION = "pbxbill-page", "pbxbill-saved", "pbxbill-question"
"""reference_id of orders: paid on PayPal's page; by a saved method; one that only asks for a key."""
REFUND_KEY = "refund:"
"""Begins the custom_id of refunds of ours: those of others may have their payment's."""
CHARGE_BACK = "charge-back:"

MAX_WHY_LENGTH = 280
_MOST_DIGITS = 2
_WITHOUT_DIGITS = frozenset(("HUF", "JPY", "TWD"))
"""https://developer.paypal.com/api/rest/reference/currency-codes/: not by ISO 4217."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AMOUNT = re.compile(r"[0-9]{1,13}(\.[0-9]{1,3})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_RECEIVED = frozenset(("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"))
_NOT_RECEIVED = frozenset(("DECLINED", "FAILED"))
_SOURCES = ("paypal", "card", "venmo")
_BRANDS = {"paypal": "PayPal", "venmo": "Venmo"}

_DECLINES = {
    "INSTRUMENT_DECLINED": "the payer's bank or card declined it",
    "CARD_EXPIRED": "the card has expired",
    "PAYER_CANNOT_PAY": "PayPal does not let the payer pay this",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "the payer's PayPal account is locked or closed",
    "PAYER_ACCOUNT_RESTRICTED": "the payer's PayPal account is restricted",
    "PAYER_COUNTRY_NOT_SUPPORTED": "PayPal does not take payments from the payer's country",
    "TRANSACTION_REFUSED": "PayPal refused it",
    "TRANSACTION_LIMIT_EXCEEDED": "it is above the payer's limit at PayPal",
    "TRANSACTION_BLOCKED_BY_PAYEE": "the fraud filter of the account at PayPal refused it",
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED": "it was tried too often",
    "AGREEMENT_ALREADY_CANCELLED": "the payer withdrew the consent to be charged",
    "BILLING_AGREEMENT_NOT_FOUND": "the payer withdrew the consent to be charged",
    "TOKEN_ID_NOT_FOUND": "PayPal does not keep this way to pay any more",
    "DECLINED": "the payer's bank or card declined it",
    "FAILED": "PayPal could not take it",
}
_WON = frozenset(("RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT", "CANCELED_BY_BUYER", "DENIED"))
_LOST = frozenset(("RESOLVED_BUYER_FAVOUR", "ACCEPTED"))


class Unreadable(GatewayUnreachable):
    """An object that is not formed as PayPal's are."""

    def __init__(self, what: str) -> None:
        super().__init__(f"what PayPal says cannot be read: {what}")


# --- amounts ------------------------------------------------------------------------------------


def _digits(currency: str) -> int:
    return 0 if currency in _WITHOUT_DIGITS else min(iso_digits(currency), _MOST_DIGITS)


def paypal_step(currency: str) -> int:
    """What amounts must be multiples of, in minor units by ISO 4217."""
    return int(10 ** (iso_digits(currency) - _digits(currency)))


def money(amount: int, currency: str) -> dict[str, str]:
    """An amount in minor units (a multiple of paypal_step) as PayPal writes it."""
    value = Decimal(amount).scaleb(-iso_digits(currency))
    return {"currency_code": currency, "value": f"{value:.{_digits(currency)}f}"}


def amount_of(told: Told, name: str = "amount") -> tuple[int, str]:
    """An amount in minor units by ISO 4217, and its currency."""
    given = part(told, name)
    value, currency = text(given, "value"), text(given, "currency_code")
    if not _AMOUNT.fullmatch(value) or not _CURRENCY.fullmatch(currency):
        raise Unreadable(f"{name} is no amount")
    minor = Decimal(value).scaleb(iso_digits(currency))
    if minor != minor.to_integral_value():
        raise Unreadable(f"{name} is no amount of {currency}")
    return int(minor), currency


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
    """An id of PayPal's, or "" for none."""
    found = text(told, name)
    if found and not is_id(found):
        raise Unreadable(f"{name} is no id")
    return found


def some(found: str) -> str:
    """An id or an address that must be there."""
    if not found:
        raise Unreadable("an id or an address is missing")
    return found


def is_id(found: str) -> bool:
    """Whether something may be an id of PayPal's."""
    return _ID.fullmatch(found) is not None


def part(told: Told, name: str) -> Told:
    """An object within another; an empty one for none."""
    value = told.get(name)
    return value if isinstance(value, Mapping) else {}


def parts(told: Told, name: str) -> list[Told]:
    """Objects within another."""
    value = told.get(name)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def link(told: Told, *relations: str) -> str:
    """The address that has one of these relations to an object; "" for none."""
    found = (text(each, "href") for each in parts(told, "links") if text(each, "rel") in relations)
    return next(found, "")


def one_line(told: object) -> str:
    """Something of PayPal's for people to read."""
    return " ".join(told.split())[:MAX_WHY_LENGTH] if isinstance(told, str) else ""


# --- payments -----------------------------------------------------------------------------------


def declined_why(issue: str) -> str:
    """Why a payment was declined, in words for people; empty: it is no reason that is known."""
    return _DECLINES.get(issue, "")


def unit_of_ours(order: Told) -> Told | None:
    """What an order is for; None: it is none of ours."""
    units = parts(order, "purchase_units")
    if len(units) != 1 or text(units[0], "reference_id") not in {PAGE, SAVED, QUESTION}:
        return None
    return units[0]


def capture_of(unit: Told) -> Told | None:
    """The money of an order: what was received, else what may be yet, else what was declined."""
    captures = parts(part(unit, "payments"), "captures")
    ranks = {**dict.fromkeys(_RECEIVED, 0), "PENDING": 1}
    return min(captures, key=lambda each: ranks.get(text(each, "status"), 2), default=None)


def order_facts(order: Told, unit: Told) -> PaymentFacts:
    """What an order of ours says of its payment; OPEN for all that can still be captured."""
    key, order_ref = text(unit, "custom_id"), ORDER + some(ref(order))
    capture = capture_of(unit)
    if capture is not None:
        return capture_facts(capture, key, order_ref, kept_method(order))
    amount, currency = amount_of(unit)
    is_over = text(order, "status") == "VOIDED" or text(order, "intent") not in {"", "CAPTURE"}
    state = PaymentState.CANCELLED if is_over else PaymentState.OPEN
    return PaymentFacts(key, order_ref, state, amount, currency)


def capture_facts(
    capture: Told, key: str = "", order_ref: str = "", method: Method | None = None
) -> PaymentFacts:
    """What a capture says of its payment."""
    status = text(capture, "status")
    amount, currency = amount_of(capture)
    key, capture_ref = key or text(capture, "custom_id"), some(ref(capture))
    if status in _RECEIVED:
        return PaymentFacts(key, capture_ref, PaymentState.PAID, amount, currency, method=method)
    if status in _NOT_RECEIVED:
        why = declined_why(status)
        return PaymentFacts(key, order_ref or capture_ref, PaymentState.DECLINED, amount, currency, why)
    return PaymentFacts(key, order_ref or capture_ref, PaymentState.OPEN, amount, currency)


def order_of_capture(capture: Told) -> str:
    """The id of a capture's order; "" where it is not told."""
    return ref(part(part(capture, "supplementary_data"), "related_ids"), "order_id")


# --- saved methods --------------------------------------------------------------------------------


def kept_method(order: Told) -> Method | None:
    """What was kept of the way that an order was paid."""
    source = part(order, "payment_source")
    for kind in _SOURCES:
        detail = part(source, kind)
        vault = part(part(detail, "attributes"), "vault")
        if ref(vault):
            return _method(ref(vault), ref(part(vault, "customer")), kind, detail)
    return None


def token_method(token: Told, customer_ref: str = "") -> Method | None:
    """A way to pay that PayPal keeps; None: one that cannot be charged by us."""
    kind = token_kind(token)
    owner = ref(part(token, "customer")) or customer_ref
    return _method(ref(token), owner, kind, part(part(token, "payment_source"), kind)) if kind else None


def token_kind(token: Told) -> str:
    """What a payment token charges: paypal, card, venmo; "" for something else."""
    return next((kind for kind in _SOURCES if kind in part(token, "payment_source")), "")


def _method(vault_ref: str, customer_ref: str, kind: str, detail: Told) -> Method | None:
    if not vault_ref or not customer_ref:
        return None
    expires = text(detail, "expiry")
    brand = _BRANDS.get(kind) or text(detail, "brand").lower() or kind
    last4 = text(detail, "last_digits")[-4:]
    return Method(customer_ref, vault_ref, brand[:32], last4, expires if _MONTH.fullmatch(expires) else "")


# --- money that goes back -----------------------------------------------------------------------


def refund_facts(refund: Told, *, reversed_by_paypal: bool = False) -> RefundFacts | None:
    """What a refund says; None: of no payment that it names."""
    capture_ref = link(refund, "up").rpartition("/captures/")[2]
    if not is_id(capture_ref):
        return None
    why = ""
    match text(refund, "status"):
        case "COMPLETED":
            state = RefundState.DONE
        case "FAILED" | "CANCELLED":
            state, why = RefundState.FAILED, "PayPal could not give it back"
        case _:
            state = RefundState.OPEN
    amount, currency = amount_of(refund)
    if reversed_by_paypal:
        return RefundFacts(
            capture_ref,
            "",
            CHARGE_BACK + capture_ref,
            state,
            amount,
            currency,
            charge_back=True,
            why="reversed",
        )
    custom = text(refund, "custom_id")
    key = custom.removeprefix(REFUND_KEY) if custom.startswith(REFUND_KEY) else ""
    return RefundFacts(capture_ref, key, some(ref(refund)), state, amount, currency, why=why)


def reversal_facts(capture: Told) -> RefundFacts | None:
    """What a capture that PayPal reversed says of it; None: it was not."""
    if text(capture, "status") != "REFUNDED":
        return None
    amount, currency = amount_of(capture)
    capture_ref = some(ref(capture))
    return RefundFacts(
        capture_ref,
        "",
        CHARGE_BACK + capture_ref,
        RefundState.DONE,
        amount,
        currency,
        charge_back=True,
        why="reversed",
    )


def dispute_facts(dispute: Told) -> RefundFacts | None:
    """What a dispute says; None: it takes no money, or none of ours.

    A charge-back is named after the payment's capture, and so is a reversal of it: PayPal tells of both,
    and the money goes once.
    """
    transactions = parts(dispute, "disputed_transactions")
    capture_ref = ref(transactions[0], "seller_transaction_id") if len(transactions) == 1 else ""
    # In an inquiry payer and payee talk to each other; what is given back then is a refund.
    if not capture_ref or text(dispute, "dispute_life_cycle_stage") == "INQUIRY":
        return None
    outcome = text(part(dispute, "dispute_outcome"), "outcome_code")
    if text(dispute, "status") != "RESOLVED":
        state = RefundState.OPEN
    elif outcome in _WON:
        state = RefundState.FAILED
    elif outcome in _LOST:
        state = RefundState.DONE
    else:
        return None
    amount, currency = amount_of(dispute, "dispute_amount")
    why = text(dispute, "reason").replace("_", " ").lower()[:MAX_WHY_LENGTH]
    return RefundFacts(
        capture_ref, "", CHARGE_BACK + capture_ref, state, amount, currency, charge_back=True, why=why
    )
