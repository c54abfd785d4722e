"""Money that goes back through Stripe: refunds, and disputes that payers' banks open."""

import pytest

from pbxbill.gateways.gateway import GatewayUnreachable, PaymentGateway, RefundFacts, RefundState
from tests.gateways.stripe_asked import charged, fact, paid, refunded, refusal, started
from tests.gateways.stripe_faults import Misbehaviour
from tests.gateways.stripe_server import StripeServer


def test_part_of_a_payment_is_given_back_once(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1", 12_50)
    facts = refunded(stripe_gateway, payment.gateway_ref, "r1", 2_50)
    assert facts == RefundFacts(payment.gateway_ref, "r1", facts.gateway_ref, RefundState.DONE, 2_50, "EUR")
    assert refunded(stripe_gateway, payment.gateway_ref, "r1", 2_50) == facts
    assert stripe_gateway.find_refund(payment.gateway_ref, "r1", "") == facts
    assert stripe_gateway.find_refund(payment.gateway_ref, "", facts.gateway_ref) == facts
    assert stripe_server.received("EUR") == 10_00


def test_a_refund_may_name_the_page(stripe_gateway: PaymentGateway, stripe_server: StripeServer) -> None:
    page = started(stripe_gateway, "k1", 12_50)
    assert "received nothing" in refusal(stripe_gateway.refund(page.gateway_ref, "r1", 1_00, "EUR")).why
    stripe_server.pay(page.url)
    assert refunded(stripe_gateway, page.gateway_ref, "r2", 1_00).state is RefundState.DONE
    assert stripe_gateway.find_refund(page.gateway_ref, "r2", "") is not None


def test_more_than_was_paid_is_refused(stripe_gateway: PaymentGateway, stripe_server: StripeServer) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1", 12_50).gateway_ref
    assert "greater than unrefunded" in refusal(stripe_gateway.refund(payment, "r1", 12_51, "EUR")).why
    refunded(stripe_gateway, payment, "r2", 12_50)
    assert "already been refunded" in refusal(stripe_gateway.refund(payment, "r3", 1, "EUR")).why
    assert "No such payment_intent" in refusal(stripe_gateway.refund("pi_unknown", "r4", 1, "EUR")).why
    assert "multiples" in refusal(stripe_gateway.refund(payment, "r5", 0, "EUR")).why
    assert stripe_server.received("EUR") == 0


@pytest.mark.parametrize(
    "how, found",
    [
        (Misbehaviour.CLOSED, False),
        (Misbehaviour.ERROR, False),
        (Misbehaviour.NO_ANSWER_AFTER, True),
        (Misbehaviour.ERROR_AFTER, True),
        (Misbehaviour.GARBAGE_AFTER, True),
    ],
)
def test_a_refund_whose_answer_is_lost_is_found(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, how: Misbehaviour, found: bool
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1").gateway_ref
    stripe_server.misbehave(how, on="POST /v1/refunds")
    with pytest.raises(GatewayUnreachable):
        stripe_gateway.refund(payment, "r1", 2_50, "EUR")
    assert (stripe_gateway.find_refund(payment, "r1", "") is not None) is found
    assert stripe_server.received("EUR") == (10_00 if found else 12_50)


@pytest.mark.parametrize("failure", ["", "lost_or_stolen_card"])
def test_a_refund_that_takes_days_is_done_or_fails(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, failure: str
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1").gateway_ref
    stripe_server.refunds_pend = True
    begun = refunded(stripe_gateway, payment, "r1", 2_50)
    assert begun.state is RefundState.OPEN
    stripe_server.settle_refund(begun.gateway_ref, failure=failure)
    ended = fact(stripe_gateway, stripe_server, "refund.updated")
    assert isinstance(ended, RefundFacts)
    assert (ended.key, ended.gateway_ref) == ("r1", begun.gateway_ref)
    assert ended.state is (RefundState.FAILED if failure else RefundState.DONE)
    assert ended.why == ("the card is lost or stolen" if failure else "")
    if failure:
        assert fact(stripe_gateway, stripe_server, "refund.failed") == ended


def test_a_refund_made_at_the_dashboard_names_no_key(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1").gateway_ref
    refund = stripe_server.refund_by_hand(payment, 3_00)
    assert fact(stripe_gateway, stripe_server, "refund.created") == RefundFacts(
        payment, "", refund, RefundState.DONE, 3_00, "EUR"
    )
    # Whoever does not know the payment by its reference asks of which key it is.
    found = stripe_gateway.find("", payment)
    assert found is not None
    assert found.key == "k1"


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_takes_the_money_until_it_is_decided(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, won: bool
) -> None:
    payment = charged(stripe_gateway, "k1", stripe_server.save_card()).gateway_ref
    dispute = stripe_server.dispute(payment)
    begun = fact(stripe_gateway, stripe_server, "charge.dispute.created")
    assert begun == RefundFacts(
        payment, "", dispute, RefundState.OPEN, 5_00, "EUR", charge_back=True, why="fraudulent"
    )
    assert fact(stripe_gateway, stripe_server, "charge.dispute.funds_withdrawn") == begun
    stripe_server.close_dispute(dispute, won=won)
    ended = fact(stripe_gateway, stripe_server, "charge.dispute.closed")
    assert isinstance(ended, RefundFacts)
    assert (ended.gateway_ref, ended.charge_back) == (dispute, True)
    assert ended.state is (RefundState.FAILED if won else RefundState.DONE)


def test_part_of_a_payment_can_be_disputed(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    payment = charged(stripe_gateway, "k1", stripe_server.save_card()).gateway_ref
    stripe_server.dispute(payment, amount=2_00)
    begun = fact(stripe_gateway, stripe_server, "charge.dispute.created")
    assert isinstance(begun, RefundFacts)
    assert begun.amount == 2_00
    assert "charged back" in refusal(stripe_gateway.refund(payment, "r1", 5_00, "EUR")).why


def test_a_bank_that_only_asks_takes_nothing(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    payment = charged(stripe_gateway, "k1", stripe_server.save_card()).gateway_ref
    stripe_server.dispute(payment, inquiry=True)
    assert fact(stripe_gateway, stripe_server, "charge.dispute.created") is None


@pytest.mark.parametrize("taken, state", [([], RefundState.FAILED), ([{"amount": -500}], RefundState.DONE)])
def test_a_prevented_dispute_is_what_it_took(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, taken: list[object], state: RefundState
) -> None:
    payment = charged(stripe_gateway, "k1", stripe_server.save_card()).gateway_ref
    stripe_server.dispute(payment)
    event = stripe_server.event("charge.dispute.created")
    event["data"]["object"] |= {"status": "prevented", "balance_transactions": taken}
    begun = fact(stripe_gateway, stripe_server, "charge.dispute.created")
    assert isinstance(begun, RefundFacts)
    assert begun.state is state
