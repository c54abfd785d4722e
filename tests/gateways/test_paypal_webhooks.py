"""Webhooks of PayPal's: which are believed to have come from it, and what is asked then."""

import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pbxbill.gateways import paypal_webhooks
from pbxbill.gateways.gateway import (
    Asked,
    Forged,
    GatewayUnreachable,
    MethodRemoved,
    PaymentGateway,
    PaymentState,
    RefundFacts,
    RefundState,
    Started,
    WebhookEvent,
)
from pbxbill.gateways.paypal_events import EVENTS
from pbxbill.gateways.registry import open_gateway
from tests.gateways.paypal_certificates import signer
from tests.gateways.paypal_server import CERTIFICATE, NOW_US, PaypalServer

KEY = "0193b5e2a1c84f7d9e3b6a5c4d2e1f08"
PAGE = Asked(KEY, 2500, "EUR", "top-up of alice", return_url="https://b.example/done", save_method=True)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


def approved(gateway: PaymentGateway, server: PaypalServer) -> str:
    started = gateway.start(PAGE)
    assert isinstance(started, Started)
    server.books.approve(started.gateway_ref.removeprefix("order:"))
    return started.gateway_ref


def paid(gateway: PaymentGateway, server: PaypalServer) -> str:
    facts = gateway.find(KEY, approved(gateway, server))
    assert facts is not None
    return facts.gateway_ref


def told(gateway: PaymentGateway, server: PaypalServer, kind: str, **resource: Any) -> WebhookEvent:
    event = gateway.read_webhook(*server.webhook(kind, resource), NOW_US)
    assert isinstance(event, WebhookEvent), event
    return event


def refused(gateway: PaymentGateway, headers: dict[str, str], body: bytes, now_us: int = NOW_US) -> str:
    event = gateway.read_webhook(headers, body, now_us)
    assert isinstance(event, Forged)
    return event.why


# --- what they make us ask ---


def test_an_approval_makes_us_ask_and_the_money_is_received(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = approved(paypal_gateway, paypal_server)
    event = told(paypal_gateway, paypal_server, "CHECKOUT.ORDER.APPROVED", id=ref.removeprefix("order:"))
    assert (event.fact, event.ask_again, event.kind) == (None, ref, "CHECKOUT.ORDER.APPROVED")
    facts = paypal_gateway.find("", event.ask_again)
    assert facts is not None
    assert (facts.key, facts.state, facts.amount) == (KEY, PaymentState.PAID, 2500)


@pytest.mark.parametrize("kind", ["COMPLETED", "PENDING", "DECLINED", "DENIED"])
def test_a_capture_makes_us_ask_about_it(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, kind: str
) -> None:
    capture = paid(paypal_gateway, paypal_server)
    lie = {"status": "COMPLETED", "amount": {"currency_code": "EUR", "value": "9999.00"}, "custom_id": "x"}
    event = told(paypal_gateway, paypal_server, f"PAYMENT.CAPTURE.{kind}", id=capture, **lie)
    assert event.fact is None
    facts = paypal_gateway.find("", event.ask_again)
    assert facts is not None
    assert (facts.key, facts.amount, facts.method is not None) == (KEY, 2500, True)


def test_what_else_names_an_order_makes_us_ask_about_it(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    gone = told(paypal_gateway, paypal_server, "CHECKOUT.PAYMENT-APPROVAL.REVERSED", order_id="O1")
    kept = told(paypal_gateway, paypal_server, "VAULT.PAYMENT-TOKEN.CREATED", metadata={"order_id": "O1"})
    assert gone.ask_again == kept.ask_again == "order:O1"
    other = told(paypal_gateway, paypal_server, "VAULT.PAYMENT-TOKEN.CREATED", id="x")
    assert (other.fact, other.ask_again) == (None, "")


def test_a_way_to_pay_is_gone_when_paypal_says_so_itself(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    assert told(paypal_gateway, paypal_server, "VAULT.PAYMENT-TOKEN.DELETED", id=token).fact is None
    paypal_server.books.tokens.clear()
    event = told(paypal_gateway, paypal_server, "VAULT.PAYMENT-TOKEN.DELETED", id=token)
    assert event.fact == MethodRemoved(token)


def test_a_refund_at_paypal_is_told_as_paypal_has_it(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    capture = paid(paypal_gateway, paypal_server)
    refund = paypal_server.books.give_back(capture, {"currency_code": "EUR", "value": "10.00"}, KEY)
    event = told(paypal_gateway, paypal_server, "PAYMENT.CAPTURE.REFUNDED", id=refund, amount="lie")
    assert event.fact == RefundFacts(capture, "", refund, RefundState.DONE, 1000, "EUR")
    ours = paypal_gateway.refund(capture, "aa" * 16, 500, "EUR")
    assert isinstance(ours, RefundFacts)
    event = told(paypal_gateway, paypal_server, "PAYMENT.CAPTURE.REFUNDED", id=ours.gateway_ref)
    assert event.fact == ours
    assert told(paypal_gateway, paypal_server, "PAYMENT.CAPTURE.REFUNDED", id="R404").fact is None


def test_a_reversal_and_its_dispute_are_one_charge_back(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    capture = paid(paypal_gateway, paypal_server)
    paypal_server.books.disputes["PP-D-1"] = dispute(capture, "UNDER_REVIEW")
    opened = told(paypal_gateway, paypal_server, "CUSTOMER.DISPUTE.CREATED", dispute_id="PP-D-1").fact
    refund = paypal_server.books.give_back(capture, {"currency_code": "EUR", "value": "25.00"})
    reversed_ = told(paypal_gateway, paypal_server, "PAYMENT.CAPTURE.REVERSED", id=refund).fact
    by_capture = told(paypal_gateway, paypal_server, "PAYMENT.CAPTURE.REVERSED", id=capture).fact
    assert isinstance(opened, RefundFacts)
    assert isinstance(reversed_, RefundFacts)
    assert opened.gateway_ref == reversed_.gateway_ref
    assert (opened.state, reversed_.state, opened.why) == (RefundState.OPEN, RefundState.DONE, "unauthorised")
    assert reversed_ == by_capture
    assert opened.charge_back
    assert reversed_.charge_back
    assert (opened.amount, reversed_.payment_ref) == (2500, capture)


def dispute(capture: str, status: str, outcome: str = "", stage: str = "CHARGEBACK") -> dict[str, Any]:
    return {
        "dispute_id": "PP-D-1",
        "disputed_transactions": [{"seller_transaction_id": capture}],
        "reason": "UNAUTHORISED",
        "status": status,
        "dispute_amount": {"currency_code": "EUR", "value": "25.00"},
        "dispute_life_cycle_stage": stage,
        **({"dispute_outcome": {"outcome_code": outcome}} if outcome else {}),
    }


@pytest.mark.parametrize(
    "status, outcome, stage, state",
    [
        ("WAITING_FOR_SELLER_RESPONSE", "", "CHARGEBACK", RefundState.OPEN),
        ("UNDER_REVIEW", "", "ARBITRATION", RefundState.OPEN),
        ("RESOLVED", "RESOLVED_BUYER_FAVOUR", "CHARGEBACK", RefundState.DONE),
        ("RESOLVED", "ACCEPTED", "CHARGEBACK", RefundState.DONE),
        ("RESOLVED", "RESOLVED_SELLER_FAVOUR", "CHARGEBACK", RefundState.FAILED),
        ("RESOLVED", "RESOLVED_WITH_PAYOUT", "CHARGEBACK", RefundState.FAILED),
        ("RESOLVED", "CANCELED_BY_BUYER", "PRE_ARBITRATION", RefundState.FAILED),
        ("RESOLVED", "NONE", "CHARGEBACK", None),
        ("WAITING_FOR_SELLER_RESPONSE", "", "INQUIRY", None),
    ],
)
def test_each_stage_of_a_dispute(
    paypal_gateway: PaymentGateway,
    paypal_server: PaypalServer,
    status: str,
    outcome: str,
    stage: str,
    state: RefundState | None,
) -> None:
    paypal_server.books.disputes["PP-D-1"] = dispute("C1", status, outcome, stage)
    fact = told(paypal_gateway, paypal_server, "CUSTOMER.DISPUTE.UPDATED", dispute_id="PP-D-1").fact
    assert (fact.state if isinstance(fact, RefundFacts) else None) is state
    assert told(paypal_gateway, paypal_server, "CUSTOMER.DISPUTE.UPDATED", dispute_id="none").fact is None


def test_what_cannot_be_asked_about_now_comes_again(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    headers, body = paypal_server.webhook("PAYMENT.CAPTURE.REFUNDED", {"id": "R1"})
    for fault in ("500", "lost", "garbage", "403"):
        with paypal_server.failing(fault, "refunds"), pytest.raises(GatewayUnreachable):
            paypal_gateway.read_webhook(headers, body, NOW_US)


def test_all_that_paypal_is_to_send_is_understood(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    resource = {"id": "X1", "order_id": "O1", "dispute_id": "D1"}
    for kind in (*EVENTS, "BILLING.PLAN.CREATED"):
        event = told(paypal_gateway, paypal_server, kind, **resource)
        assert event.kind == kind


# --- whom they come from ---


def test_a_webhook_that_comes_again_is_the_same_and_another_body_is_not(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"})
    first = paypal_gateway.read_webhook(headers, body, NOW_US)
    assert paypal_gateway.read_webhook(headers, body, NOW_US + DAY_US) == first
    forged = _of_same_crc(body, b'{"id":"WH-1","event_type":"CHECKOUT.ORDER.APPROVED","resource":{"id":"O2"}')
    assert zlib.crc32(forged) == zlib.crc32(body)
    other = paypal_gateway.read_webhook(headers, forged, NOW_US)
    # It proves nothing, and hides nothing: it makes us ask about another order.
    assert isinstance(first, WebhookEvent)
    assert isinstance(other, WebhookEvent)
    assert other.ask_again == "order:O2"
    assert other.event_ref != first.event_ref
    assert len(other.event_ref) <= 128


def _of_same_crc(body: bytes, begun: bytes) -> bytes:
    """A body that begins so, ends as JSON must, and has the CRC 32 of another."""
    table = [_crc_step(n) for n in range(256)]
    high = {entry >> 24: n for n, entry in enumerate(table)}
    begun += b',"x":"'
    # Text without quotes: four bytes are sought behind changing ones until all are plain characters.
    for salt in range(1_000_000):
        head = begun + b"%06d" % salt
        state = _unwound(zlib.crc32(body) ^ 0xFFFFFFFF, b'"}', table, high)
        for _ in range(4):
            state = ((state ^ table[high[state >> 24]]) << 8) & 0xFFFFFFFF | high[state >> 24]
        patch = (state ^ zlib.crc32(head) ^ 0xFFFFFFFF).to_bytes(4, "little")
        if all(0x20 < x < 0x7F and x not in b'"\\' for x in patch):
            return head + patch + b'"}'
    raise AssertionError("none was found")


def _unwound(state: int, tail: bytes, table: list[int], high: dict[int, int]) -> int:
    for x in reversed(tail):
        n = high[state >> 24]
        state = ((state ^ table[n]) << 8) & 0xFFFFFFFF | (n ^ x)
    return state


def _crc_step(n: int) -> int:
    for _ in range(8):
        n = (n >> 1) ^ (0xEDB88320 if n & 1 else 0)
    return n


@pytest.mark.parametrize(
    "age_us, good",
    [(0, True), (-299 * SECOND_US, True), (-301 * SECOND_US, False), (3 * DAY_US, True), (5 * DAY_US, False)],
)
def test_a_webhook_is_believed_for_as_long_as_paypal_sends_it_again(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, age_us: int, *, good: bool
) -> None:
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"}, at_us=NOW_US - age_us)
    assert isinstance(paypal_gateway.read_webhook(headers, body, NOW_US), WebhookEvent) is good


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("paypal-transmission-id", "another", "signature"),
        ("paypal-transmission-id", "", "no paypal-transmission-id"),
        ("paypal-transmission-time", "2026-11-18T11:06:41Z", "signature"),
        ("paypal-transmission-time", "yesterday", "time is none"),
        ("paypal-transmission-time", "2026-11-18T12:26:40", "no zone"),
        ("paypal-transmission-sig", "AAAA", "signature"),
        ("paypal-transmission-sig", "§", "could be one"),
        ("paypal-transmission-sig", "not base64!", "signature"),
        ("paypal-transmission-sig", "A" * 2000, "could be one"),
        ("paypal-auth-algo", "none", "SHA256withRSA"),
        ("paypal-cert-url", "https://evil.example/v1/notifications/certs/CERT-1", "not at PayPal's"),
        ("paypal-cert-url", "http://127.0.0.1/v1/notifications/certs/CERT-1", "not at PayPal's"),
        ("paypal-cert-url", "https://127.0.0.1/v1/notifications/certs/../x", "not at PayPal's"),
        ("paypal-cert-url", "https://127.0.0.1@evil.example/v1/notifications/certs/C", "not at PayPal's"),
        ("paypal-cert-url", "https://[", "no address"),
        ("paypal-cert-url", "file:///etc/passwd", "not at PayPal's"),
    ],
)
def test_what_paypal_did_not_sign_is_not_believed(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, name: str, value: str, why: str
) -> None:
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"})
    assert why in refused(paypal_gateway, headers | {name: value}, body)


def test_a_body_that_is_bent_or_of_another_webhook_is_not_believed(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"})
    assert "signature" in refused(paypal_gateway, headers, body.replace(b"O1", b"O2"))
    assert "larger than" in refused(paypal_gateway, headers, body + b" " * 300_000)
    other = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"}, webhook_id="1AB")
    assert "signature" in refused(paypal_gateway, *other)
    assert "paypal-transmission-id" in refused(paypal_gateway, {}, b"")
    by_another = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {}, by=signer("another"))
    assert "signature" in refused(paypal_gateway, *by_another)


def test_while_a_webhook_takes_the_place_of_another_both_are_believed(
    paypal_server: PaypalServer, tmp_path: Path
) -> None:
    gateway = open_gateway("paypal", json.dumps(paypal_server.settings(tmp_path, webhook_id="1AB, 2CD")))
    for id in ("1AB", "2CD"):
        sent = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"}, webhook_id=id)
        assert isinstance(gateway.read_webhook(*sent, NOW_US), WebhookEvent)


@pytest.mark.parametrize(
    "resource", [{"id": ["O1"]}, {"id": "O1/../capture"}, {"id": ""}, {}, {"id": "x" * 65}, {"id": "O1?a=b"}]
)
def test_what_names_nothing_is_not_acted_on(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, resource: dict[str, object]
) -> None:
    assert refused(paypal_gateway, *paypal_server.webhook("CHECKOUT.ORDER.APPROVED", resource))
    assert refused(paypal_gateway, *paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"}, event=""))


# --- certificates ---


def test_a_certificate_is_fetched_once(paypal_gateway: PaymentGateway, paypal_server: PaypalServer) -> None:
    for _ in range(3):
        told(paypal_gateway, paypal_server, "CHECKOUT.ORDER.APPROVED", id="O1")
    assert paypal_server.asked == [f"GET {CERTIFICATE}"]


@pytest.mark.parametrize(
    "made, why",
    [
        (lambda: signer("www.paypal.com"), "not one by which PayPal signs"),
        (lambda: signer("messageverificationcerts.evil.example"), "not one by which PayPal signs"),
        (lambda: signer(ends=datetime(2026, 1, 1, tzinfo=UTC)), "not valid now"),
        (lambda: signer(bits=1024), "strong enough"),
    ],
)
def test_a_certificate_that_is_not_for_this_is_not_believed(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, made: Any, why: str
) -> None:
    paypal_server.certificates[CERTIFICATE] = made().pem
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"}, by=made())
    assert why in refused(paypal_gateway, headers, body)


def test_a_certificate_that_cannot_be_had_now_is_waited_for(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"})
    with paypal_server.failing("500", "certs"), pytest.raises(GatewayUnreachable, match="status 500"):
        paypal_gateway.read_webhook(headers, body, NOW_US)
    for told_there in (b"-----BEGIN", b"x" * 40_000):
        paypal_server.certificates[CERTIFICATE] = told_there
        with pytest.raises(GatewayUnreachable, match="certificate"):
            paypal_gateway.read_webhook(headers, body, NOW_US)
    del paypal_server.certificates[CERTIFICATE]
    assert "not at PayPal's" in refused(paypal_gateway, headers, body)
    paypal_server.certificates[CERTIFICATE] = signer().pem
    assert isinstance(paypal_gateway.read_webhook(headers, body, NOW_US), WebhookEvent)


def test_a_host_that_nobody_vouches_for_is_no_source(paypal_server: PaypalServer, tmp_path: Path) -> None:
    settings = paypal_server.settings(tmp_path)
    (tmp_path / "paypal_ca").write_bytes(signer().pem)
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"})
    with pytest.raises(GatewayUnreachable, match="SSLError"):
        open_gateway("paypal", json.dumps(settings)).read_webhook(headers, body, NOW_US)


@pytest.mark.parametrize(
    "api, address, good",
    [
        ("https://api-m.paypal.com", "https://api.paypal.com", True),
        ("https://api-m.sandbox.paypal.com", "https://api.sandbox.paypal.com", True),
        ("https://api-m.paypal.com", "https://api.sandbox.paypal.com", False),
        ("https://api-m.sandbox.paypal.com", "https://api.paypal.com", False),
        ("https://api-m.paypal.com", "https://api.paypal.com.evil.example", False),
        ("https://api-m.paypal.com", "https://evilpaypal.com", False),
        ("https://api-m.paypal.com", "https://api.paypal.com:8443", False),
    ],
)
def test_certificates_come_from_paypals_own_hosts(
    paypal_server: PaypalServer, monkeypatch: pytest.MonkeyPatch, api: str, address: str, *, good: bool
) -> None:
    asked: list[str] = []

    def fetched(at: str, _source: object) -> Forged:
        asked.append(at)
        return Forged("none there")

    monkeypatch.setattr(paypal_webhooks, "_fetched", fetched)
    headers, body = paypal_server.webhook("CHECKOUT.ORDER.APPROVED", {"id": "O1"})
    source = paypal_webhooks.source_at(api, "", 1)
    at = f"{address}{CERTIFICATE}"
    event = paypal_webhooks.proven(headers | {"paypal-cert-url": at}, body, NOW_US, ("1AB",), source)
    assert isinstance(event, Forged)
    assert asked == ([at] if good else [])
