"""What the states of Stripe's objects mean."""

import pytest

from pbxbill.gateways.gateway import Method, PaymentState, RefundState
from pbxbill.gateways.stripe_facts import (
    EVENTS,
    Told,
    Unreadable,
    declined_why,
    dispute_facts,
    event_fact,
    intent_facts,
    method_of,
    ref,
    refund_facts,
    session_facts,
    some,
)


def _intent(status: str, flow: str = "saved", **others: object) -> Told:
    return {
        "id": "pi_1",
        "status": status,
        "amount": 500,
        "amount_received": 500 if status == "succeeded" else 0,
        "currency": "eur",
        "metadata": {"pbxbill_key": "k1", "pbxbill_flow": flow},
    } | others


@pytest.mark.parametrize(
    "status, saved, page",
    [
        ("succeeded", PaymentState.PAID, PaymentState.PAID),
        ("canceled", PaymentState.CANCELLED, PaymentState.CANCELLED),
        ("processing", PaymentState.OPEN, PaymentState.OPEN),
        ("requires_capture", PaymentState.OPEN, PaymentState.OPEN),
        ("requires_confirmation", PaymentState.OPEN, PaymentState.OPEN),
        ("requires_payment_method", PaymentState.DECLINED, PaymentState.OPEN),
        ("requires_action", PaymentState.DECLINED, PaymentState.OPEN),
        ("something_new", PaymentState.OPEN, PaymentState.OPEN),
    ],
)
def test_states_of_a_payment(status: str, saved: PaymentState, page: PaymentState) -> None:
    assert intent_facts(_intent(status)).state is saved
    assert intent_facts(_intent(status, "page")).state is page


def test_a_bank_that_wants_the_cardholder_says_so() -> None:
    facts = intent_facts(_intent("requires_action"))
    assert facts.why == "the bank wants the cardholder to confirm it: pay once on the payment page"


def test_more_than_was_asked_is_told_as_received() -> None:
    assert intent_facts(_intent("succeeded", amount_received=700)).amount == 700


@pytest.mark.parametrize(
    "status, payment_status, intent, state",
    [
        ("open", "unpaid", None, PaymentState.OPEN),
        ("open", "unpaid", _intent("requires_payment_method", "page"), PaymentState.OPEN),
        ("complete", "unpaid", "pi_1", PaymentState.OPEN),
        ("complete", "unpaid", _intent("processing", "page"), PaymentState.OPEN),
        ("complete", "unpaid", _intent("requires_payment_method", "page"), PaymentState.DECLINED),
        ("complete", "unpaid", _intent("canceled", "page"), PaymentState.DECLINED),
        ("complete", "paid", "pi_1", PaymentState.PAID),
        ("complete", "paid", _intent("succeeded", "page"), PaymentState.PAID),
        ("expired", "unpaid", _intent("canceled", "page"), PaymentState.EXPIRED),
        ("expired", "unpaid", None, PaymentState.EXPIRED),
    ],
)
def test_states_of_a_page(status: str, payment_status: str, intent: object, state: PaymentState) -> None:
    facts = session_facts(
        {
            "id": "cs_1",
            "mode": "payment",
            "status": status,
            "payment_status": payment_status,
            "payment_intent": intent,
            "amount_total": 500,
            "currency": "eur",
            "client_reference_id": "k1",
        }
    )
    assert (facts.key, facts.state, facts.amount) == ("k1", state, 500)
    # The page's name until it is paid, the money's afterwards: a page that expires is found by its own.
    assert facts.gateway_ref == ("pi_1" if state is PaymentState.PAID else "cs_1")


@pytest.mark.parametrize(
    "status, state",
    [
        ("pending", RefundState.OPEN),
        ("requires_action", RefundState.OPEN),
        ("succeeded", RefundState.DONE),
        ("failed", RefundState.FAILED),
        ("canceled", RefundState.FAILED),
    ],
)
def test_states_of_a_refund(status: str, state: RefundState) -> None:
    told = {"id": "re_1", "status": status, "amount": 5, "currency": "eur", "payment_intent": "pi_1"}
    facts = refund_facts(told)
    assert facts is not None
    assert (facts.state, facts.charge_back) == (state, False)
    assert refund_facts(told | {"payment_intent": None}) is None


@pytest.mark.parametrize(
    "status, state",
    [
        ("warning_needs_response", None),
        ("warning_under_review", None),
        ("warning_closed", None),
        ("needs_response", RefundState.OPEN),
        ("under_review", RefundState.OPEN),
        ("appeal_needs_response", RefundState.OPEN),
        ("appeal_under_review", RefundState.OPEN),
        ("lost", RefundState.DONE),
        ("won", RefundState.FAILED),
        ("prevented", RefundState.FAILED),
    ],
)
def test_states_of_a_dispute(status: str, state: RefundState | None) -> None:
    told = {"id": "du_1", "status": status, "amount": 5, "currency": "eur", "payment_intent": "pi_1"}
    facts = dispute_facts(told)
    assert (facts.state if facts else None) is state
    assert facts is None or facts.charge_back


@pytest.mark.parametrize(
    "error, why",
    [
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, "not have enough funds"),
        ({"code": "card_declined", "decline_code": "lost_card"}, "the bank declined the card"),
        ({"code": "card_declined", "decline_code": "fraudulent"}, "the bank declined the card"),
        ({"code": "expired_card", "decline_code": "generic_decline"}, "the card has expired"),
        ({"code": "authentication_required", "decline_code": "authentication_required"}, "confirm it"),
        ({}, "the bank declined the card"),
    ],
)
def test_why_a_card_was_declined(error: Told, why: str) -> None:
    assert why in declined_why(error)


def test_ways_to_pay_that_are_no_cards() -> None:
    debit = {"id": "pm_1", "type": "sepa_debit", "customer": "cus_1", "sepa_debit": {"last4": "3000"}}
    assert method_of(debit) == Method("cus_1", "pm_1", "sepa_debit", "3000", "")
    assert method_of({"id": "pm_2", "type": "link"}, "cus_1") == Method("cus_1", "pm_2", "link", "", "")
    assert method_of({"id": "pm_3", "type": "link"}) is None, "nobody's"
    year_only = {"id": "pm_4", "type": "card", "card": {"brand": "visa", "exp_year": 2031}}
    assert method_of(year_only, "cus_1") == Method("cus_1", "pm_4", "visa", "", "")


def test_what_is_referred_to_and_what_is_told_whole_have_the_same_name() -> None:
    assert ref({"customer": "cus_1"}, "customer") == ref({"customer": {"id": "cus_1"}}, "customer") == "cus_1"
    assert ref({}, "customer") == ""
    with pytest.raises(Unreadable):
        ref({"customer": ["cus_1"]}, "customer")
    with pytest.raises(Unreadable):
        some("")


def test_every_event_of_the_documentation_is_acted_on() -> None:
    assert event_fact("customer.created", {}) is None
    families = {name.rpartition(".")[0] for name in EVENTS}
    assert families == {
        "checkout.session",
        "payment_intent",
        "refund",
        "charge.refund",
        "charge.dispute",
        "payment_method",
    }
