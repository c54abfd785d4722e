"""Payments through Stripe: on its page, by a saved card, and what is found after an answer is lost."""

import json
import time
from pathlib import Path

import pytest

from pbxbill.gateways.gateway import GatewayUnreachable, Method, PaymentFacts, PaymentGateway, PaymentState
from pbxbill.gateways.registry import open_gateway
from tests.gateways.stripe_asked import asked, charged, paid, refusal, started
from tests.gateways.stripe_faults import Misbehaviour
from tests.gateways.stripe_server import StripeServer

LOST = [how for how in Misbehaviour if how.after or how in {Misbehaviour.NO_ANSWER, Misbehaviour.CLOSED}]


# --- on its page --------------------------------------------------------------------------------


def test_a_payer_pays_on_the_page(stripe_gateway: PaymentGateway, stripe_server: StripeServer) -> None:
    page = started(stripe_gateway, "k1", 12_50)
    assert stripe_gateway.find("k1", page.gateway_ref) == PaymentFacts(
        "k1", page.gateway_ref, PaymentState.OPEN, 12_50, "EUR"
    )
    stripe_server.pay(page.url)
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert (facts.key, facts.state, facts.amount, facts.currency) == ("k1", PaymentState.PAID, 12_50, "EUR")
    assert facts.method is None, "a card that the payer did not agree to leave there"
    assert stripe_gateway.find("k1", facts.gateway_ref) == facts, "by the money's reference as by the page's"


def test_the_page_is_asked_for_as_it_was_meant(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    page = started(stripe_gateway, "k1", 7_00, description="Invoice 12", email="a@example.org", language="de")
    session = stripe_server.object(page.gateway_ref)
    assert session["client_reference_id"] == "k1"
    assert session["metadata"]["pbxbill_key"] == "k1"
    assert session["customer_email"] == "a@example.org"
    assert session["success_url"] == session["cancel_url"] == "https://shop.example/back"
    stripe_server.pay(page.url)
    intent = stripe_server.newest("payment_intent")
    assert (intent["metadata"]["pbxbill_key"], intent["description"]) == ("k1", "Invoice 12")


def test_a_payment_without_words_is_a_payment(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    started(stripe_gateway, "k1", description=" ")
    customer, method = stripe_server.save_card()
    answer = stripe_gateway.charge(asked("k2", description="", customer_ref=customer), method)
    assert isinstance(answer, PaymentFacts)
    assert stripe_server.newest("payment_intent")["description"] == "Payment"


def test_a_page_asked_for_twice_is_one_page(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    assert started(stripe_gateway, "k1") == started(stripe_gateway, "k1")
    assert started(stripe_gateway, "k2") != started(stripe_gateway, "k1")


def test_another_payment_by_the_same_key_is_none(stripe_gateway: PaymentGateway) -> None:
    started(stripe_gateway, "k1", 5_00)
    with pytest.raises(GatewayUnreachable, match="same parameters"):
        stripe_gateway.start(asked("k1", 6_00))


def test_a_card_that_the_payer_leaves_there_is_kept(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    page = started(stripe_gateway, "k1", save_method=True, email="a@example.org")
    stripe_server.pay(page.url, last4="0341", expires="2029-11")
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert facts.method is not None
    method = facts.method
    assert (method.brand, method.last4, method.expires) == ("visa", "0341", "2029-11")
    assert stripe_gateway.methods(method.customer_ref) == [method]


def test_a_known_payer_stays_who_he_is(stripe_gateway: PaymentGateway, stripe_server: StripeServer) -> None:
    first = paid(stripe_gateway, stripe_server, "k1").method
    assert first is not None
    page = started(stripe_gateway, "k2", customer_ref=first.customer_ref, save_method=True)
    stripe_server.pay(page.url, last4="4444")
    kept = stripe_gateway.methods(first.customer_ref)
    assert [method.last4 for method in kept] == ["4444", "4242"]


def test_a_declined_card_leaves_the_page_open(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    page = started(stripe_gateway, "k1")
    stripe_server.pay(page.url, declines="insufficient_funds")
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert (facts.state, facts.gateway_ref) == (PaymentState.OPEN, page.gateway_ref)
    stripe_server.pay(page.url)
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert facts.state is PaymentState.PAID


def test_a_page_that_nobody_paid_on_expires(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    page = started(stripe_gateway, "k1")
    stripe_server.expire(page.url)
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert facts.state is PaymentState.EXPIRED


@pytest.mark.parametrize("comes", [True, False])
def test_a_debit_takes_days(stripe_gateway: PaymentGateway, stripe_server: StripeServer, comes: bool) -> None:
    page = started(stripe_gateway, "k1")
    stripe_server.pay(page.url, pending=True)
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert facts.state is PaymentState.OPEN
    stripe_server.settle(page.url, paid=comes)
    facts = stripe_gateway.find("k1", page.gateway_ref)
    assert facts is not None
    assert facts.state is (PaymentState.PAID if comes else PaymentState.DECLINED)
    assert facts.why == ("" if comes else "the holder of the account did not allow the debit")


# --- by a saved card ----------------------------------------------------------------------------


def test_a_saved_card_is_charged_once_however_often_it_is_asked(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    facts = charged(stripe_gateway, "k1", card)
    assert (facts.key, facts.state, facts.amount) == ("k1", PaymentState.PAID, 5_00)
    assert charged(stripe_gateway, "k1", card) == facts
    assert stripe_gateway.find("k1", facts.gateway_ref) == facts
    assert stripe_gateway.find("k1", "", card[0]) == facts
    assert stripe_server.received("EUR") == 5_00


@pytest.mark.parametrize(
    "code, why",
    [
        ("insufficient_funds", "the card does not have enough funds"),
        ("expired_card", "the card has expired"),
        ("authentication_required", "the bank wants the cardholder to confirm it"),
        ("generic_decline", "the bank declined the card"),
        ("stolen_card", "the bank declined the card"),
        ("do_not_honor", "the bank declined the card"),
        ("processing_error", "it can be tried again"),
        ("card_velocity_exceeded", "the card's limit is reached"),
        ("something_new", "the bank declined the card"),
    ],
)
def test_a_declined_card_says_why_so_that_people_understand(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, code: str, why: str
) -> None:
    card = stripe_server.save_card(declines=code)
    facts = charged(stripe_gateway, "k1", card)
    assert facts.state is PaymentState.DECLINED
    assert why in facts.why
    found = stripe_gateway.find("k1", "", card[0])
    assert found is not None
    assert (found.state, found.why) == (facts.state, facts.why)
    # The same key is declined for ever; the next attempt has its own.
    stripe_server.decline(card[1], "")
    assert charged(stripe_gateway, "k1", card).state is PaymentState.DECLINED
    assert charged(stripe_gateway, "k2", card).state is PaymentState.PAID
    assert stripe_server.received("EUR") == 5_00


@pytest.mark.parametrize("how", LOST, ids=str)
def test_a_charge_whose_answer_is_lost_is_found(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, how: Misbehaviour
) -> None:
    card = stripe_server.save_card()
    stripe_server.misbehave(how, on="POST .*/confirm")
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.charge(asked("k1", 5_00, customer_ref=card[0]), card[1])
    found = stripe_gateway.find("k1", "", card[0])
    assert found is not None
    assert found.state is (PaymentState.PAID if how.after else PaymentState.CANCELLED)
    assert stripe_server.received("EUR") == (5_00 if how.after else 0)


@pytest.mark.parametrize("how", LOST, ids=str)
def test_what_was_lost_before_it_was_confirmed_never_takes_money(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, how: Misbehaviour
) -> None:
    card = stripe_server.save_card()
    stripe_server.misbehave(how, on="POST /v1/payment_intents$")
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.charge(asked("k1", 5_00, customer_ref=card[0]), card[1])
    found = stripe_gateway.find("k1", "", card[0])
    assert (found.state if found else None) is (PaymentState.CANCELLED if how.after else None)
    assert stripe_server.received("EUR") == 0


def test_what_was_found_cancelled_stays_so_for_whoever_was_held_up_in_between(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    stripe_server.misbehave(Misbehaviour.CLOSED, on="POST .*/confirm")
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.charge(asked("k1", 5_00, customer_ref=card[0]), card[1])
    assert stripe_gateway.find("k1", "", card[0]) is not None
    assert charged(stripe_gateway, "k1", card).state is PaymentState.CANCELLED
    assert stripe_server.charges == []


def test_a_charge_asked_for_again_after_its_answer_was_lost_charges_once(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    stripe_server.misbehave(Misbehaviour.CLOSED_AFTER, on="POST .*/confirm")
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.charge(asked("k1", 5_00, customer_ref=card[0]), card[1])
    assert charged(stripe_gateway, "k1", card).state is PaymentState.PAID
    assert stripe_server.received("EUR") == 5_00


def test_a_payment_is_found_among_many_of_its_payer(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    for number in range(120):
        charged(stripe_gateway, f"k{number}", card, 1_00)
    found = stripe_gateway.find("k3", "", card[0])
    assert found is not None
    assert found.key == "k3"
    assert stripe_gateway.find("k120", "", card[0]) is None


@pytest.mark.long
def test_a_payer_with_too_many_payments_is_not_said_to_have_made_none(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    for number in range(301):
        charged(stripe_gateway, f"k{number}", card, 1_00)
    assert stripe_gateway.find("k1", "", card[0]) is not None
    with pytest.raises(GatewayUnreachable, match="too many payments"):
        stripe_gateway.find("k0", "", card[0])


def test_what_is_not_among_a_payers_payments_of_a_month_was_never_made(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxbill.gateways.stripe.PAGES_LOOKED_THROUGH", 1)
    monkeypatch.setattr("pbxbill.gateways.stripe.PAGE_SIZE", 2)
    card = stripe_server.save_card()
    for number in range(3):
        charged(stripe_gateway, f"k{number}", card, 1_00)
    with pytest.raises(GatewayUnreachable, match="too many payments"):
        stripe_gateway.find("k9", "", card[0])
    monkeypatch.setattr(stripe_server._books, "_now_s", lambda: time.time() + 32 * 86_400)
    charged(stripe_gateway, "k3", card, 1_00)
    assert stripe_gateway.find("k9", "", card[0]) is None


def test_what_stripe_never_heard_of_moved_nothing(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    card = stripe_server.save_card()
    assert stripe_gateway.find("k1", "") is None, "a page whose address nobody was given"
    assert stripe_gateway.find("k1", "", card[0]) is None
    assert stripe_gateway.find("k1", "", "cus_unknown") is None
    assert stripe_gateway.find("k1", "pi_unknown") is None
    assert stripe_gateway.find("k1", "cs_test_unknown") is None


def test_the_card_of_another_payer_is_refused(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    one, two = stripe_server.save_card(), stripe_server.save_card()
    answer = stripe_gateway.charge(asked("k1", customer_ref=one[0]), two[1])
    assert "does not have a payment method" in refusal(answer).why
    assert "none is named" in refusal(stripe_gateway.charge(asked("k2"), two[1])).why
    assert stripe_server.charges == []


def test_ways_to_pay_can_be_chosen(stripe_server: StripeServer, tmp_path: Path) -> None:
    chosen = stripe_server.settings(tmp_path) | {"payment_method_types": "card, sepa_debit,"}
    started(open_gateway("stripe", json.dumps(chosen)), "k1")
    assert stripe_server.newest("checkout.session")["payment_method_types"] == ["card", "sepa_debit"]


# --- saved cards --------------------------------------------------------------------------------


def test_a_card_is_forgotten_however_often_it_is_asked(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    customer, method = stripe_server.save_card(last4="4444", expires="2030-01")
    kept = [Method(customer, method, "visa", "4444", "2030-01")]
    assert stripe_gateway.methods(customer) == kept
    stripe_gateway.remove_method(method)
    stripe_gateway.remove_method(method)
    stripe_gateway.remove_method("pm_unknown")
    assert stripe_gateway.methods(customer) == []
    assert stripe_gateway.methods("cus_unknown") == []


def test_a_card_that_could_not_be_forgotten_is_no_secret(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    _, method = stripe_server.save_card()
    stripe_server.misbehave(Misbehaviour.RATE_LIMITED, on="detach")
    with pytest.raises(GatewayUnreachable, match="fewer requests"):
        stripe_gateway.remove_method(method)
