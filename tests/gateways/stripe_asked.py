"""What tests ask of Stripe."""

import time
from typing import Any

from pbxbill.gateways.gateway import (
    Asked,
    Fact,
    PaymentFacts,
    PaymentGateway,
    RefundFacts,
    Refusal,
    Started,
    WebhookEvent,
)
from tests.gateways.stripe_server import StripeServer


def asked(key: str, amount: int = 12_50, currency: str = "EUR", **others: object) -> Asked:
    """A payment that is wanted."""
    wanted: dict[str, object] = {"description": "Top-up", "return_url": "https://shop.example/back"}
    return Asked(key=key, amount=amount, currency=currency, **(wanted | others))  # type: ignore[arg-type]


def started(gateway: PaymentGateway, key: str, amount: int = 12_50, **others: Any) -> Started:
    """A page on which it can be paid."""
    page = gateway.start(asked(key, amount, **others))
    assert isinstance(page, Started), page
    return page


def paid(gateway: PaymentGateway, server: StripeServer, key: str, amount: int = 12_50) -> PaymentFacts:
    """A payment that was made on Stripe's page, by a card that is kept."""
    page = started(gateway, key, amount, save_method=True)
    server.pay(page.url)
    facts = gateway.find(key, page.gateway_ref)
    assert facts is not None
    return facts


def charged(gateway: PaymentGateway, key: str, card: tuple[str, str], amount: int = 5_00) -> PaymentFacts:
    """What came of charging a saved card."""
    facts = gateway.charge(asked(key, amount, customer_ref=card[0]), card[1])
    assert isinstance(facts, PaymentFacts), facts
    return facts


def refunded(gateway: PaymentGateway, payment_ref: str, key: str, amount: int) -> RefundFacts:
    """What came of giving money back."""
    facts = gateway.refund(payment_ref, key, amount, "EUR")
    assert isinstance(facts, RefundFacts), facts
    return facts


def refusal(answer: object) -> Refusal:
    """Why the service does not want it."""
    assert isinstance(answer, Refusal), answer
    return answer


def now_us() -> int:
    """The time by which the server signs."""
    return time.time_ns() // 1000


def told(gateway: PaymentGateway, server: StripeServer, kind: str) -> WebhookEvent:
    """What the gateway makes of the newest webhook of a kind."""
    webhook = server.signed(server.event(kind))
    event = gateway.read_webhook(webhook.headers, webhook.body, now_us())
    assert isinstance(event, WebhookEvent), event
    return event


def fact(gateway: PaymentGateway, server: StripeServer, kind: str) -> Fact | None:
    """The fact in it."""
    return told(gateway, server, kind).fact
