"""Webhooks of Stripe's: whether it sent them, when, and what they say."""

import json
from collections.abc import Mapping

import stripe

from pbxbill.gateways.gateway import Forged, PaymentFacts, WebhookEvent
from pbxbill.gateways.stripe_facts import Unreadable, event_fact, kept_something, part, ref, some, text

MAX_WEBHOOK_BYTES = 512 * 1024
MAX_HEADER_LENGTH = 4096
TOLERANCE_S = 300
"""How far a webhook's time may be from ours. Stripe's SDK has the same, but would ask the machine's clock."""


def read_webhook(
    headers: Mapping[str, str], body: bytes, now_us: int, *, signing_secrets: tuple[str, ...], live: bool
) -> WebhookEvent | Forged:
    """Check the signature as Stripe's SDK does, the time by our clock; then what it says."""
    if len(body) > MAX_WEBHOOK_BYTES:
        return Forged(f"larger than {MAX_WEBHOOK_BYTES} bytes")
    header = headers.get("stripe-signature", "")
    if not header or len(header) > MAX_HEADER_LENGTH or not header.isascii():
        return Forged("it has no Stripe-Signature that could be one")
    if not any(_signed(body, header, signing) for signing in signing_secrets):
        return Forged("its signature is not that of a signing secret of ours")
    age_s = now_us // 1_000_000 - _signed_at_s(header)
    if abs(age_s) > TOLERANCE_S:
        return Forged(f"it was signed {abs(age_s)} s {'ago' if age_s > 0 else 'ahead of our clock'}")
    return _event(body, live=live)


def _event(body: bytes, *, live: bool) -> WebhookEvent | Forged:
    try:
        event = json.loads(body.decode("utf-8"))
        if not isinstance(event, dict) or event.get("object") != "event":
            return Forged("it is no event of Stripe's first API")
        # Whoever holds a test key can make test payments: their money is none.
        if event.get("livemode") is not live:
            mode = "test" if live else "live"
            return Forged(f"it is of {mode} mode, and the gateway's secret key is not")
        told = part(part(event, "data"), "object")
        kind = text(event, "type")
        fact = event_fact(kind, told)
        again = fact.gateway_ref if isinstance(fact, PaymentFacts) and kept_something(told, fact) else ""
        return WebhookEvent(some(ref(event)), kind[:64], fact, again)
    except (ValueError, RecursionError, Unreadable) as error:
        return Forged(f"it is no event: {str(error)[:100]}")


def _signed(body: bytes, header: str, signing_secret: str) -> bool:
    try:
        # Without a tolerance: the SDK would compare with the machine's clock.
        stripe.WebhookSignature.verify_header(body, header, signing_secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _signed_at_s(header: str) -> int:
    """The time that was signed: of a header whose signature is right, the first t."""
    pairs = (item.split("=", 2) for item in header.split(","))
    return int(next(pair[1] for pair in pairs if pair[0] == "t"))
