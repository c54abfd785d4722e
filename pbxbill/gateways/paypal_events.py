"""Which webhooks PayPal is to send, and what each is about."""

from pbxbill.gateways.paypal_facts import ORDER, Told, part, ref, some

CAPTURE = "capture:"
"""Begins what is a capture, as ORDER does what is an order."""

EVENTS = (
    "CHECKOUT.ORDER.APPROVED",
    "CHECKOUT.ORDER.COMPLETED",
    "CHECKOUT.PAYMENT-APPROVAL.REVERSED",
    "PAYMENT.CAPTURE.COMPLETED",
    "PAYMENT.CAPTURE.PENDING",
    "PAYMENT.CAPTURE.DECLINED",
    "PAYMENT.CAPTURE.REFUNDED",
    "PAYMENT.CAPTURE.REVERSED",
    "PAYMENT.REFUND.PENDING",
    "PAYMENT.REFUND.FAILED",
    "CUSTOMER.DISPUTE.CREATED",
    "CUSTOMER.DISPUTE.UPDATED",
    "CUSTOMER.DISPUTE.RESOLVED",
    "VAULT.PAYMENT-TOKEN.CREATED",
    "VAULT.PAYMENT-TOKEN.DELETED",
)
"""What a webhook at PayPal is to send."""


def about(kind: str, told: Told) -> str:
    """What a webhook of a kind names; empty: nothing that we act on."""
    match kind.split("."):
        case ["CHECKOUT", "ORDER", _]:
            return ORDER + some(ref(told))
        case ["CHECKOUT", "PAYMENT-APPROVAL", "REVERSED"]:
            return ORDER + some(ref(told, "order_id"))
        case ["VAULT", "PAYMENT-TOKEN", "CREATED"]:
            found = ref(part(told, "metadata"), "order_id")
            return ORDER + found if found else ""
        case ["PAYMENT", "CAPTURE", "REFUNDED" | "REVERSED"] | ["PAYMENT", "REFUND", _]:
            return some(ref(told))
        case ["VAULT", "PAYMENT-TOKEN", "DELETED"]:
            return some(ref(told))
        case ["PAYMENT", "CAPTURE", _]:
            return CAPTURE + some(ref(told))
        case ["CUSTOMER", "DISPUTE", _]:
            return some(ref(told, "dispute_id"))
        case _:
            return ""
