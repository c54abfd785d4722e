"""Webhooks of Stripe's: which are believed, and what they say."""

import hashlib
import hmac
import json
import time
from pathlib import Path

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbxbill.gateways.gateway import (
    Forged,
    MethodChanged,
    MethodRemoved,
    PaymentFacts,
    PaymentGateway,
    PaymentState,
    WebhookEvent,
)
from pbxbill.gateways.registry import open_gateway
from pbxbill.gateways.stripe_facts import EVENTS
from pbxbill.gateways.stripe_webhooks import read_webhook
from tests.gateways.stripe_asked import charged, fact, now_us, paid, started, told
from tests.gateways.stripe_server import SIGNING_SECRET, StripeServer
from tests.gateways.stripe_shapes import Object

NOW_S = 1_800_000_000
EVENT: Object = {
    "id": "evt_1",
    "object": "event",
    "type": "customer.created",
    "livemode": False,
    "data": {"object": {"id": "cus_1"}},
}
BODY = json.dumps(EVENT).encode()


def _header(body: bytes = BODY, secret: str = SIGNING_SECRET, at_s: int = NOW_S) -> str:
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at_s))


def _read(body: bytes, header: str, at_s: float = NOW_S, *, live: bool = False) -> WebhookEvent | Forged:
    return read_webhook(
        {"stripe-signature": header},
        body,
        int(at_s * 1_000_000),
        signing_secrets=(SIGNING_SECRET, "whsec_old"),
        live=live,
    )


def _signed(told: object) -> WebhookEvent | Forged:
    body = json.dumps(told).encode()
    return _read(body, _header(body))


def _forged(answer: WebhookEvent | Forged) -> str:
    assert isinstance(answer, Forged), answer
    return answer.why


# --- who sent it, and when ----------------------------------------------------------------------


def test_a_webhook_that_stripe_signed_is_believed() -> None:
    assert _read(BODY, _header()) == WebhookEvent("evt_1", "customer.created", None)


def test_the_scheme_is_the_one_that_stripe_documents() -> None:
    signature = hmac.new(SIGNING_SECRET.encode(), f"{NOW_S}.".encode() + BODY, hashlib.sha256).hexdigest()
    assert isinstance(_read(BODY, f"t={NOW_S},v1={signature},v0=ffff"), WebhookEvent)


def test_both_secrets_are_good_while_one_is_rolled() -> None:
    assert isinstance(_read(BODY, _header(secret="whsec_old")), WebhookEvent)
    new = _header().removeprefix(f"t={NOW_S},")
    both = f"{_header(secret='whsec_elsewhere')},{new}"
    assert isinstance(_read(BODY, both), WebhookEvent)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "nonsense",
        f"t={NOW_S}",
        f"t={NOW_S},v1=",
        f"t={NOW_S},v1=0000",
        f"t={NOW_S},v1=éé",
        "t=abc,v1=00",
        "t=" + "9" * 5000 + ",v1=00",
        _header(secret="whsec_of_somebody_else"),
        _header(body=BODY + b" "),
        _header().replace("v1", "v0"),
        _header().replace(f"t={NOW_S}", f"t={NOW_S + 1}"),
        f"t={NOW_S + 1},{_header()}",
    ],
)
def test_a_forged_webhook_is_not(header: str) -> None:
    assert "ignature" in _forged(_read(BODY, header))


def test_a_body_that_was_changed_on_its_way_is_not() -> None:
    assert "signature" in _forged(_read(BODY.replace(b"cus_1", b"cus_2"), _header()))
    assert "signature" in _forged(_read(b"\xff\xfe" + BODY, _header()))


@pytest.mark.parametrize("age_s", [301, 86_400, -301])
def test_an_old_webhook_or_one_of_the_future_is_not(age_s: int) -> None:
    assert f"signed {abs(age_s)} s" in _forged(_read(BODY, _header(), NOW_S + age_s))


@pytest.mark.parametrize("age_s", [0, 300, 300.9, -300])
def test_five_minutes_are_allowed(age_s: float) -> None:
    assert isinstance(_read(BODY, _header(), NOW_S + age_s), WebhookEvent)


@given(body=st.text(max_size=60), mangled=st.booleans(), age_s=st.integers(-200, 200))
def test_it_is_believed_exactly_when_the_sdk_believes_it(body: str, mangled: bool, age_s: int) -> None:
    at_s = int(time.time()) - abs(age_s)
    header = _header(body.encode(), at_s=at_s)
    received = (body + "x" if mangled else body).encode()
    try:
        stripe.WebhookSignature.verify_header(received, header, SIGNING_SECRET, 300)
        believed = True
    except stripe.SignatureVerificationError:
        believed = False
    answer = _read(received, header, time.time())
    why = answer.why if isinstance(answer, Forged) else ""
    assert ("signature" not in why) is believed


@given(header=st.text(max_size=120), body=st.binary(max_size=200))
def test_no_header_and_no_body_makes_it_fail(header: str, body: bytes) -> None:
    assert isinstance(_read(body, header), Forged)


def test_an_oversized_webhook_is_not_even_looked_at() -> None:
    body = json.dumps(EVENT | {"more": "x" * 600_000}).encode()
    assert "larger than" in _forged(_read(body, _header(body)))


def test_money_of_test_mode_is_none() -> None:
    assert "test mode" in _forged(_read(BODY, _header(), live=True))
    live = json.dumps(EVENT | {"livemode": True}).encode()
    assert isinstance(_read(live, _header(live), live=True), WebhookEvent)
    assert "live mode" in _forged(_read(live, _header(live)))


@pytest.mark.parametrize(
    "told",
    [
        [],
        None,
        {},
        {"object": "v2.core.event", "id": "evt_1"},
        EVENT | {"id": ""},
        EVENT | {"id": 5},
        EVENT | {"id": "x" * 129},
        EVENT | {"type": ["charge"]},
        EVENT | {"type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}},
        EVENT
        | {
            "type": "payment_intent.succeeded",
            "data": {
                "object": {"id": "pi_1", "status": "succeeded", "amount_received": 1.5, "currency": "eur"}
            },
        },
        EVENT
        | {
            "type": "refund.updated",
            "data": {"object": {"payment_intent": "pi_1", "amount": -1, "currency": "eur"}},
        },
        EVENT
        | {
            "type": "refund.updated",
            "data": {"object": {"payment_intent": "pi_1", "amount": 1, "currency": "euro"}},
        },
    ],
)
def test_a_signed_webhook_that_says_nothing_is_refused(told: object) -> None:
    assert "it is" in _forged(_signed(told))


def test_deep_nonsense_is_refused() -> None:
    body = b"[" * 100_000
    assert "no event" in _forged(_read(body, _header(body)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_FIELDS = ["id", "status", "amount", "amount_received", "amount_total", "currency", "payment_intent", "type"]
_FIELDS += ["metadata", "customer", "card", "mode", "payment_status", "balance_transactions", "reason"]


@given(kind=st.sampled_from(EVENTS), told=st.dictionaries(st.sampled_from(_FIELDS), _JSON))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_object_of_any_form_makes_it_fail(kind: str, told: Object) -> None:
    answer = _signed(EVENT | {"type": kind, "data": {"object": told}})
    assert isinstance(answer, WebhookEvent | Forged)


# --- what it says -------------------------------------------------------------------------------


def test_every_event_of_a_payment_says_the_same(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1", 12_50)
    for kind in ("checkout.session.completed", "payment_intent.succeeded"):
        event = told(stripe_gateway, stripe_server, kind)
        assert event.fact == PaymentFacts("k1", payment.gateway_ref, PaymentState.PAID, 12_50, "EUR")
        assert event.ask_again == payment.gateway_ref, "the card that was kept is not in it"
        assert stripe_gateway.find("k1", event.ask_again) == payment


def test_a_payment_that_keeps_no_card_is_told_at_once(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    stripe_server.pay(started(stripe_gateway, "k1").url)
    assert told(stripe_gateway, stripe_server, "checkout.session.completed").ask_again == ""
    charged(stripe_gateway, "k2", stripe_server.save_card())
    assert told(stripe_gateway, stripe_server, "payment_intent.succeeded").ask_again == ""


def test_a_card_that_is_declined_on_the_page_ends_nothing(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    stripe_server.pay(started(stripe_gateway, "k1").url, declines="insufficient_funds")
    assert fact(stripe_gateway, stripe_server, "payment_intent.payment_failed") is None


def test_a_saved_card_that_is_declined_ends_it(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    declined = charged(stripe_gateway, "k1", stripe_server.save_card(declines="insufficient_funds"))
    assert fact(stripe_gateway, stripe_server, "payment_intent.payment_failed") == declined


def test_an_expired_page_is_told(stripe_gateway: PaymentGateway, stripe_server: StripeServer) -> None:
    page = started(stripe_gateway, "k1")
    stripe_server.expire(page.url)
    ended = fact(stripe_gateway, stripe_server, "checkout.session.expired")
    assert ended == PaymentFacts("k1", page.gateway_ref, PaymentState.EXPIRED, 12_50, "EUR")


@pytest.mark.parametrize("comes", [True, False])
def test_a_debit_is_told_twice(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, comes: bool
) -> None:
    page = started(stripe_gateway, "k1")
    stripe_server.pay(page.url, pending=True)
    agreed = fact(stripe_gateway, stripe_server, "checkout.session.completed")
    assert agreed == PaymentFacts("k1", page.gateway_ref, PaymentState.OPEN, 12_50, "EUR")
    stripe_server.settle(page.url, paid=comes)
    last = "succeeded" if comes else "failed"
    ended = fact(stripe_gateway, stripe_server, f"checkout.session.async_payment_{last}")
    assert isinstance(ended, PaymentFacts)
    assert ended.state is (PaymentState.PAID if comes else PaymentState.DECLINED)


def test_cards_that_change_or_go_are_told(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    customer, method = stripe_server.save_card(expires="2026-12")
    stripe_server.renew_card(method, "2030-12", last4="9999")
    changed = fact(stripe_gateway, stripe_server, "payment_method.automatically_updated")
    assert isinstance(changed, MethodChanged)
    assert (changed.method.customer_ref, changed.method.method_ref) == (customer, method)
    assert (changed.method.last4, changed.method.expires) == ("9999", "2030-12")
    stripe_server.remove_card(method)
    assert fact(stripe_gateway, stripe_server, "payment_method.detached") == MethodRemoved(method)


def test_what_others_sell_by_the_same_account_is_nobodys_here(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    stripe_server.pay(started(stripe_gateway, "k1").url)
    event = stripe_server.event("checkout.session.completed")
    event["data"]["object"] |= {"client_reference_id": None, "metadata": {}}
    others = fact(stripe_gateway, stripe_server, "checkout.session.completed")
    assert isinstance(others, PaymentFacts)
    assert others.key == ""
    event["data"]["object"] |= {"mode": "subscription"}
    assert fact(stripe_gateway, stripe_server, "checkout.session.completed") is None


def test_the_gateway_reads_with_the_secrets_of_its_file(stripe_server: StripeServer, tmp_path: Path) -> None:
    named = stripe_server.settings(tmp_path)
    Path(str(named["webhook_secret_file"])).write_text("whsec_new\nwhsec_old\n\n")
    gateway = open_gateway("stripe", json.dumps(named))
    for secret, believed in (("whsec_new", True), ("whsec_old", True), ("whsec_other", False)):
        webhook = stripe_server.signed(EVENT, secret)
        answer = gateway.read_webhook(webhook.headers, webhook.body, now_us())
        assert isinstance(answer, WebhookEvent) is believed
