"""What Stripe's errors mean: refused for certain, or that nobody knows."""

import json
from pathlib import Path

import pytest
import stripe
from stripe import _error
from structlog.testing import capture_logs

from pbxbill.gateways.gateway import GatewayUnreachable, PaymentGateway, Refusal
from pbxbill.gateways.registry import open_gateway
from pbxbill.gateways.stripe_asking import ask, refusal
from tests.gateways.stripe_asked import asked, charged, paid, started
from tests.gateways.stripe_asked import refusal as refused
from tests.gateways.stripe_faults import Misbehaviour
from tests.gateways.stripe_server import StripeServer

UNKNOWN = [how for how in Misbehaviour if how is not Misbehaviour.RATE_LIMITED]


NO_ANSWERS = [b"", b"null", b"[]", b'"x"', b"{", b"{}", b'{"error": null}', b'{"error": 5}']
NO_ANSWERS += [b"\xff\xfe", b"<html>", b"[" * 9999]


def _raising(error: Exception) -> object:
    raise error


DEFINITE = [
    stripe.CardError("Declined", None, "card_declined"),
    stripe.InvalidRequestError("No such thing", "id"),
    stripe.RateLimitError("Slow down"),
    stripe.AuthenticationError("No such key"),
    stripe.PermissionError("Not allowed"),
]
NOT_KNOWN = [
    stripe.APIConnectionError("Connection reset"),
    stripe.APIError("Sorry"),
    stripe.IdempotencyError("Other parameters"),
    stripe.TemporarySessionExpiredError("Expired"),
    stripe.StripeError("Something new"),
]


@pytest.mark.parametrize("error", DEFINITE, ids=lambda error: type(error).__name__)
def test_an_error_by_which_nothing_was_done_is_a_refusal(error: stripe.StripeError) -> None:
    with pytest.raises(type(error)):
        ask(lambda: _raising(error))
    assert refusal(error).why


@pytest.mark.parametrize("error", NOT_KNOWN, ids=lambda error: type(error).__name__)
def test_after_any_other_error_nobody_knows(error: stripe.StripeError) -> None:
    with pytest.raises(GatewayUnreachable, match=r"^Stripe: "):
        ask(lambda: _raising(error))


def test_every_error_of_the_sdk_is_one_or_the_other() -> None:
    kinds = {
        kind
        for kind in vars(_error).values()
        if isinstance(kind, type) and issubclass(kind, stripe.StripeError)
    }
    definite = {type(error) for error in DEFINITE}
    # No error of the SDK is a kind of one of them: what comes new is not known until it is looked at.
    assert {kind for kind in kinds if issubclass(kind, tuple(definite))} == definite


@pytest.mark.parametrize("answer", [None, 7, "text", []])
def test_an_answer_that_is_no_object_says_nothing(answer: object) -> None:
    with pytest.raises(GatewayUnreachable):
        ask(lambda: answer)


@pytest.mark.parametrize("how", UNKNOWN, ids=str)
def test_a_page_may_have_been_made(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, how: Misbehaviour
) -> None:
    stripe_server.misbehave(how)
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.start(asked("k1"))


@pytest.mark.parametrize("how", [Misbehaviour.CLOSED_AFTER, Misbehaviour.CONFLICT], ids=str)
def test_it_is_asked_for_again_by_its_key(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, how: Misbehaviour
) -> None:
    stripe_server.misbehave(how)
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.start(asked("k1"))
    page = started(stripe_gateway, "k1")
    stripe_server.pay(page.url)
    assert stripe_server.received("EUR") == 12_50


@pytest.mark.parametrize("how", UNKNOWN, ids=str)
def test_a_question_that_is_not_answered_is_not_a_no(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, how: Misbehaviour
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1")
    assert payment.method is not None
    customer = payment.method.customer_ref
    questions = [
        lambda: stripe_gateway.find("k1", payment.gateway_ref),
        lambda: stripe_gateway.find("k1", "", customer),
        lambda: stripe_gateway.find_refund(payment.gateway_ref, "r1", ""),
        lambda: stripe_gateway.methods(customer),
    ]
    if how in {Misbehaviour.NO_ANSWER, Misbehaviour.NO_ANSWER_AFTER}:
        questions = questions[:1]  # one second is enough
    for question in questions:
        stripe_server.misbehave(how)
        with pytest.raises(GatewayUnreachable):
            question()


@pytest.mark.parametrize("status", [200, 302, 400, 402, 404, 500, 502])
@pytest.mark.parametrize("body", NO_ANSWERS)
def test_answers_of_any_form_are_no_answers(
    stripe_gateway: PaymentGateway,
    stripe_server: StripeServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
) -> None:
    monkeypatch.setattr(stripe_server, "answer", lambda _request: (status, body))
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.start(asked("k1"))
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.find("k1", "", "cus_1")


def test_a_question_that_is_wrong_is_no_no(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"error": {"type": "invalid_request_error", "message": "Too clever", "param": "limit"}}
    monkeypatch.setattr(stripe_server, "answer", lambda _request: (400, json.dumps(error).encode()))
    with pytest.raises(GatewayUnreachable, match="Too clever"):
        stripe_gateway.find("k1", "pi_1")


def test_too_many_requests_may_be_asked_again(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    for step in ("POST /v1/payment_intents$", "POST .*/confirm"):
        stripe_server.misbehave(Misbehaviour.RATE_LIMITED, on=step)
        answer = stripe_gateway.charge(asked("k1", 5_00, customer_ref=card[0]), card[1])
        assert answer == Refusal("Stripe wants fewer requests; try again in a minute", retryable=True)
    assert stripe_server.charges == []
    assert charged(stripe_gateway, "k1", card).amount == 5_00


def test_a_wrong_key_tells_the_operator(stripe_server: StripeServer, tmp_path: Path) -> None:
    settings = stripe_server.settings(tmp_path)
    Path(str(settings["secret_key_file"])).write_text("sk_test_mistyped\n")
    gateway = open_gateway("stripe", json.dumps(settings))
    answer = refused(gateway.start(asked("k1")))
    assert answer.retryable, "it is no fault of the payer's card"
    assert "secret_key_file" in answer.why
    with pytest.raises(GatewayUnreachable, match="secret_key_file"):
        gateway.find("k1", "pi_1")


def test_a_service_that_is_down_is_said_in_one_line(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    stripe_server.misbehave(Misbehaviour.CLOSED)
    with (
        capture_logs() as logged,
        pytest.raises(GatewayUnreachable, match=r"^Stripe: it could not be reached.{0,40}$"),
    ):
        stripe_gateway.start(asked("k1"))
    assert [line["event"] for line in logged] == ["stripe_did_not_answer"]
    assert "\n" not in logged[0]["error"]
    assert "sk_test" not in str(logged)


@pytest.mark.parametrize(
    "why, wanted",
    [
        ("no currency", {"currency": "eur"}),
        ("no currency", {"currency": "POINTS"}),
        ("multiples of 1 ", {"amount": 0}),
        ("multiples of 1 ", {"amount": -5}),
        ("address to return to", {"return_url": ""}),
        ("Not a valid URL", {"return_url": "shop.example"}),
        ("at least the minimum", {"amount": 1}),
        ("no more than", {"amount": 100_000_000}),
        ("No such customer", {"customer_ref": "cus_unknown"}),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_a_reason(
    stripe_gateway: PaymentGateway, why: str, wanted: dict[str, object]
) -> None:
    answer = refused(stripe_gateway.start(asked(**({"key": "k1"} | wanted))))  # type: ignore[arg-type]
    assert why in answer.why
    assert not answer.retryable
