"""What PayPal's errors mean: refused, or nobody knows; its tokens; its settings."""

import json
from pathlib import Path

import pytest

from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.gateways.gateway import (
    Asked,
    GatewayUnreachable,
    PaymentGateway,
    RefundFacts,
    Refusal,
    Started,
)
from pbxbill.gateways.registry import checked_settings, open_gateway
from tests.gateways.paypal_server import PaypalServer

KEY = "0193b5e2a1c84f7d9e3b6a5c4d2e1f08"
PAGE = Asked(KEY, 2500, "EUR", "top-up of alice", return_url="https://b.example/done")
GOOD = {"client_id": "A-b_1", "client_secret_file": "/etc/pbxbill/paypal", "webhook_id": "0EH40505U7160970P"}


@pytest.mark.parametrize(
    "fault",
    [
        "lost",
        "done-lost",
        "500",
        "503",
        "502",
        "409",
        "408",
        "garbage",
        "html",
        "list",
        "pickle",
        "302",
        "418",
    ],
)
def test_nobody_knows_after_an_answer_that_is_none(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, fault: str
) -> None:
    with paypal_server.failing(fault, "orders"), pytest.raises(GatewayUnreachable, match="PayPal"):
        paypal_gateway.start(PAGE)
    assert isinstance(paypal_gateway.start(PAGE), Started)
    assert len(paypal_server.books.orders) == 1


@pytest.mark.parametrize(
    "fault, retryable, why",
    [
        ("400", False, "PayPal: It failed."),
        ("422", False, "PayPal: It failed."),
        ("401", True, "does not accept the client_id"),
        ("403", True, "does not allow"),
        ("429", True, "fewer requests"),
    ],
)
def test_what_paypal_refuses_was_not_done(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, fault: str, *, retryable: bool, why: str
) -> None:
    with paypal_server.failing(fault, "orders"):
        refused = paypal_gateway.start(PAGE)
    assert isinstance(refused, Refusal)
    assert refused.retryable is retryable
    assert why in refused.why


@pytest.mark.parametrize("fault", ["lost", "500", "garbage", "list"])
def test_without_a_token_nothing_is_asked(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, fault: str
) -> None:
    with paypal_server.failing(fault, "oauth2"), pytest.raises(GatewayUnreachable):
        paypal_gateway.start(PAGE)
    assert paypal_server.asked == ["POST /v1/oauth2/token"]


def test_a_token_is_asked_for_once_for_all_that_is_opened(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, tmp_path: Path
) -> None:
    paypal_gateway.start(PAGE)
    other = open_gateway("paypal", json.dumps(paypal_server.settings(tmp_path)))
    other.start(PAGE)
    assert paypal_server.tokens_given == 1


def test_a_token_that_was_revoked_is_replaced(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    paypal_gateway.start(PAGE)
    paypal_server.revoke_tokens()
    assert isinstance(paypal_gateway.start(PAGE), Started)
    assert paypal_server.tokens_given == 2


def test_a_secret_that_is_wrong_is_told_and_not_what_it_is(
    paypal_server: PaypalServer, tmp_path: Path
) -> None:
    settings = paypal_server.settings(tmp_path)
    (tmp_path / "paypal_secret").write_text("a-wrong-one")
    refused = open_gateway("paypal", json.dumps(settings)).start(PAGE)
    assert isinstance(refused, Refusal)
    assert refused.retryable
    assert "client_secret_file" in refused.why
    assert "a-wrong-one" not in refused.why
    (tmp_path / "paypal_secret").write_text("")
    with pytest.raises(ConfigurationError, match="is empty"):
        open_gateway("paypal", json.dumps(settings))


def test_a_machine_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with PaypalServer() as gone:
        settings = gone.settings(tmp_path)
    with pytest.raises(GatewayUnreachable, match="could not be reached"):
        open_gateway("paypal", json.dumps(settings)).start(PAGE)


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("client_id", "a b", "letters and digits"),
        ("client_id", "", "letters and digits"),
        ("webhook_id", "", "letters and digits"),
        ("webhook_id", "a,b,c,d,e", "letters and digits"),
        ("webhook_id", "a|b", "letters and digits"),
        ("timeout_s", 0, "1 to 120 seconds"),
        ("brand_name", "x" * 128, "up to 127"),
        ("api_base", "http://api-m.paypal.com", "begins with https://"),
        ("api_base", "https://[", "begins with https://"),
        ("certificate_ca_file", "/etc/ca", "for tests"),
        ("client_secret", "E", "give client_secret_file"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, value: str | int, why: str) -> None:
    checked_settings("paypal", json.dumps(GOOD | {"api_base": "https://api-m.sandbox.paypal.com"}))
    checked_settings("paypal", json.dumps(GOOD | {"webhook_id": "1A, 2B"}))
    with pytest.raises(InputRefused, match=why):
        checked_settings("paypal", json.dumps(GOOD | {name: value}))


# --- refunds ---


def paid(gateway: PaymentGateway, server: PaypalServer) -> str:
    started = gateway.start(PAGE)
    assert isinstance(started, Started)
    server.books.approve(started.gateway_ref.removeprefix("order:"))
    facts = gateway.find(KEY, started.gateway_ref)
    assert facts is not None
    return facts.gateway_ref


@pytest.mark.parametrize(
    "status, state",
    [("COMPLETED", "done"), ("PENDING", "open"), ("FAILED", "failed"), ("CANCELLED", "failed")],
)
def test_a_refund_says_how_it_stands(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, status: str, state: str
) -> None:
    ref = paid(paypal_gateway, paypal_server)
    paypal_server.books.refund_status = status
    refund = paypal_gateway.refund(ref, "aa" * 16, 1000, "EUR")
    assert isinstance(refund, RefundFacts)
    assert (refund.payment_ref, refund.key, refund.state, refund.amount) == (ref, "aa" * 16, state, 1000)
    assert paypal_gateway.find_refund(ref, "aa" * 16, refund.gateway_ref) == refund
    assert paypal_gateway.find_refund(ref, "aa" * 16, "") == refund
    assert paypal_gateway.refund(ref, "aa" * 16, 1000, "EUR") == refund
    assert len(paypal_server.books.refunds) == 1


@pytest.mark.parametrize("fault", ["done-lost", "done-500", "done-garbage", "lost", "500"])
def test_a_refund_whose_answer_is_lost_is_given_back_once(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, fault: str
) -> None:
    ref = paid(paypal_gateway, paypal_server)
    with paypal_server.failing(fault, "/refund"), pytest.raises(GatewayUnreachable):
        paypal_gateway.refund(ref, "aa" * 16, 1000, "EUR")
    found = paypal_gateway.find_refund(ref, "aa" * 16, "")
    assert (found is None) is (not fault.startswith("done-"))
    assert paypal_gateway.find_refund(ref, "bb" * 16, "") is None
    again = paypal_gateway.refund(ref, "aa" * 16, 1000, "EUR")
    assert found in (None, again)
    assert len(paypal_server.books.refunds) == 1


def test_more_than_was_received_is_not_given_back(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = paid(paypal_gateway, paypal_server)
    for amount, why in ((2501, "exceeds what was captured"), (2500, ""), (1, "already been fully refunded")):
        answer = paypal_gateway.refund(ref, f"{amount:032x}", amount, "EUR")
        assert isinstance(answer, Refusal) is bool(why)
        assert why in (answer.why if isinstance(answer, Refusal) else "")
    for refused in (
        paypal_gateway.refund(ref, KEY, 0, "EUR"),
        paypal_gateway.refund("order:O1", KEY, 1, "EUR"),
        paypal_gateway.refund("C404", KEY, 1, "EUR"),
        paypal_gateway.refund(ref, KEY, 150, "HUF"),
    ):
        assert isinstance(refused, Refusal)
    assert paypal_gateway.find_refund("C404", KEY, "") is None
    assert paypal_gateway.find_refund(ref, KEY, "R404") is None
