"""What we ask PayPal for, in its own JSON."""

from typing import Any

from pbxbill.gateways.gateway import Asked
from pbxbill.gateways.paypal_facts import QUESTION, money

MAX_DESCRIPTION_LENGTH = 127
_LOCALES = "ar cs da de el en es fi fr he hu id it ja ko nl no pl pt ru sk sv th tr zh"
"""Languages of its page; in others it speaks that of the payer's account."""


def order_body(asked: Asked, flow: str) -> dict[str, Any]:
    """An order for what is asked; flow: PAGE or SAVED."""
    unit = {
        "reference_id": flow,
        "custom_id": asked.key,
        "invoice_id": asked.key,
        "amount": money(asked.amount, asked.currency),
        "description": asked.description.strip()[:MAX_DESCRIPTION_LENGTH] or "Payment",
    }
    return {"intent": "CAPTURE", "purchase_units": [unit]}


def saved_source(kind: str, method_ref: str) -> dict[str, Any]:
    """A saved way to pay, for a payment at which nobody is there."""
    source: dict[str, Any] = {"vault_id": method_ref}
    if kind == "card":
        source["stored_credential"] = {
            "payment_initiator": "MERCHANT",
            "payment_type": "UNSCHEDULED",
            "usage": "SUBSEQUENT",
        }
    return source


def page_source(asked: Asked, brand_name: str) -> dict[str, Any]:
    """PayPal's page, and what it shows."""
    context = {
        "return_url": asked.return_url,
        "cancel_url": asked.return_url,
        "shipping_preference": "NO_SHIPPING",
        "user_action": "PAY_NOW",
        # Money that may not arrive after days would be a top-up that nobody can use.
        "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
    }
    if brand_name:
        context["brand_name"] = brand_name
    if asked.language in _LOCALES.split():
        context["locale"] = asked.language
    wallet: dict[str, Any] = {"experience_context": context}
    if asked.email:
        wallet["email_address"] = asked.email
    if asked.save_method:
        vault = {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT", "customer_type": "CONSUMER"}
        wallet["attributes"] = {"vault": vault}
        if asked.customer_ref:
            wallet["attributes"]["customer"] = {"id": asked.customer_ref}
    return {"paypal": wallet}


def question_body(key: str) -> dict[str, Any]:
    """An order that nobody can pay or capture, to learn whether PayPal knows a key."""
    unit = {"reference_id": QUESTION, "custom_id": key, "amount": money(100, "USD")}
    return {"intent": "AUTHORIZE", "purchase_units": [unit]}
