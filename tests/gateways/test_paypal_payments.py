"""PayPal's page, saved ways to pay and lost answers, against a small PayPal that answers as it does."""

import pytest

from pbxbill.gateways.gateway import (
    Asked,
    GatewayUnreachable,
    Method,
    PaymentFacts,
    PaymentGateway,
    PaymentState,
    Refusal,
    Started,
)
from tests.gateways.paypal_server import PaypalServer

KEY = "0193b5e2a1c84f7d9e3b6a5c4d2e1f08"
OTHER = "7f3b5e2a1c84f7d9e3b6a5c4d2e1f0aa"
PAGE = Asked(KEY, 2500, "EUR", "top-up of alice", email="a@example.com", return_url="https://b.example/done")
SAVED = Asked(KEY, 2500, "EUR", "top-up of alice", customer_ref="alice")


def started(paypal_gateway: PaymentGateway, asked: Asked = PAGE) -> str:
    answer = paypal_gateway.start(asked)
    assert isinstance(answer, Started)
    return answer.gateway_ref


def found(paypal_gateway: PaymentGateway, ref: str, key: str = KEY, customer: str = "") -> PaymentFacts:
    facts = paypal_gateway.find(key, ref, customer)
    assert facts is not None
    return facts


def charged(paypal_gateway: PaymentGateway, token: str, asked: Asked = SAVED) -> PaymentFacts:
    facts = paypal_gateway.charge(asked, token)
    assert isinstance(facts, PaymentFacts)
    return facts


def approve(paypal_server: PaypalServer, gateway_ref: str) -> None:
    paypal_server.books.approve(gateway_ref.removeprefix("order:"))


# --- its page ---


def test_the_page_is_paypals_and_the_same_key_opens_the_same(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    answer = paypal_gateway.start(PAGE)
    assert isinstance(answer, Started)
    assert answer.url.startswith(f"{paypal_server.url}/checkoutnow?token=")
    assert paypal_gateway.start(PAGE) == answer
    assert len(paypal_server.books.orders) == 1


def test_a_page_is_open_until_its_payer_approves_and_received_once_then(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = started(paypal_gateway)
    assert found(paypal_gateway, ref).state is PaymentState.OPEN
    approve(paypal_server, ref)
    paid = found(paypal_gateway, ref)
    assert (paid.key, paid.state, paid.amount, paid.currency) == (KEY, PaymentState.PAID, 2500, "EUR")
    assert paid.gateway_ref in paypal_server.books.captures
    assert found(paypal_gateway, ref) == found(paypal_gateway, paid.gateway_ref) == paid
    assert paypal_server.books.received() == {KEY: 1}


@pytest.mark.parametrize("fault", ["done-lost", "done-500", "done-garbage", "done-html", "lost", "500"])
def test_a_capture_whose_answer_is_lost_is_made_once(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, fault: str
) -> None:
    ref = started(paypal_gateway)
    approve(paypal_server, ref)
    with paypal_server.failing(fault, "/capture"), pytest.raises(GatewayUnreachable, match="PayPal"):
        paypal_gateway.find(KEY, ref)
    assert found(paypal_gateway, ref).state is PaymentState.PAID
    assert paypal_server.books.received() == {KEY: 1}


@pytest.mark.parametrize(
    "issue, why",
    [
        ("INSTRUMENT_DECLINED", "the payer's bank or card declined it"),
        ("TRANSACTION_REFUSED", "PayPal refused it"),
        ("COMPLIANCE_VIOLATION", "PayPal: About COMPLIANCE_VIOLATION."),
    ],
)
def test_what_was_declined_is_over_for_ever(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, issue: str, why: str
) -> None:
    ref = started(paypal_gateway)
    approve(paypal_server, ref)
    paypal_server.books.decline = issue
    facts = found(paypal_gateway, ref)
    assert (facts.state, facts.why) == (PaymentState.DECLINED, why)
    paypal_server.books.decline = ""
    assert found(paypal_gateway, ref).state is PaymentState.CANCELLED
    assert paypal_server.books.received() == {}


def test_a_decline_that_cannot_be_made_final_is_not_told(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = started(paypal_gateway)
    approve(paypal_server, ref)
    paypal_server.books.decline = "INSTRUMENT_DECLINED"
    with paypal_server.failing("500", "PATCH"), pytest.raises(GatewayUnreachable):
        paypal_gateway.find(KEY, ref)
    with paypal_server.failing("403", "PATCH"), pytest.raises(GatewayUnreachable):
        paypal_gateway.find(KEY, ref)
    assert found(paypal_gateway, ref).state is PaymentState.DECLINED


@pytest.mark.parametrize(
    "status, state",
    [
        ("COMPLETED", PaymentState.PAID),
        ("PENDING", PaymentState.OPEN),
        ("DECLINED", PaymentState.DECLINED),
        ("FAILED", PaymentState.DECLINED),
        ("REFUNDED", PaymentState.PAID),
        ("PARTIALLY_REFUNDED", PaymentState.PAID),
    ],
)
def test_each_status_of_a_capture_is_a_state(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, status: str, state: PaymentState
) -> None:
    ref = started(paypal_gateway)
    approve(paypal_server, ref)
    paypal_server.books.capture_status = status
    assert found(paypal_gateway, ref).state is state
    assert found(paypal_gateway, ref).state is state
    assert len(paypal_server.books.captures) == 1


def test_what_is_pending_is_received_later(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = started(paypal_gateway)
    approve(paypal_server, ref)
    paypal_server.books.capture_status = "PENDING"
    assert found(paypal_gateway, ref).gateway_ref == ref
    next(iter(paypal_server.books.captures.values()))["status"] = "COMPLETED"
    assert found(paypal_gateway, ref).state is PaymentState.PAID


def test_an_order_that_is_gone_is_not_known(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = started(paypal_gateway)
    paypal_server.books.orders.clear()
    assert paypal_gateway.find(KEY, ref) is None
    assert paypal_gateway.find(KEY, "C404") is None
    assert paypal_gateway.find(KEY, "") is None


def test_a_void_order_is_cancelled(paypal_gateway: PaymentGateway, paypal_server: PaypalServer) -> None:
    ref = started(paypal_gateway)
    paypal_server.books.orders[ref.removeprefix("order:")]["status"] = "VOIDED"
    assert found(paypal_gateway, ref).state is PaymentState.CANCELLED


def test_an_order_of_somebody_else_is_never_captured(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    ref = started(paypal_gateway)
    approve(paypal_server, ref)
    paypal_server.books.orders[ref.removeprefix("order:")]["purchase_units"][0]["reference_id"] = "default"
    assert paypal_gateway.find("", ref) is None
    assert paypal_server.books.received() == {}


def test_an_order_of_another_key_is_no_answer(paypal_gateway: PaymentGateway) -> None:
    with pytest.raises(GatewayUnreachable, match="another key"):
        paypal_gateway.find(OTHER, started(paypal_gateway))


# --- what can be asked ---


@pytest.mark.parametrize(
    "currency, amount, written",
    [
        ("EUR", 1234, "12.34"),
        ("JPY", 500, "500"),
        ("HUF", 12_300, "123"),
        ("TWD", 700, "7"),
        ("USD", 5, "0.05"),
    ],
)
def test_amounts_have_the_digits_that_paypal_wants(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer, currency: str, amount: int, written: str
) -> None:
    ref = started(paypal_gateway, Asked(KEY, amount, currency, "", return_url="https://b.example/done"))
    [order] = paypal_server.books.orders.values()
    assert order["purchase_units"][0]["amount"] == {"currency_code": currency, "value": written}
    approve(paypal_server, ref)
    assert (found(paypal_gateway, ref).amount, found(paypal_gateway, ref).currency) == (amount, currency)


@pytest.mark.parametrize(
    "asked, why",
    [
        (Asked(KEY, 12_345, "HUF", "", return_url="https://b"), "multiples of 100"),
        (Asked(KEY, 1, "TWD", "", return_url="https://b"), "multiples of 100"),
        (Asked(KEY, 0, "EUR", "", return_url="https://b"), "multiples of 1 "),
        (Asked(KEY, 100, "eur", "", return_url="https://b"), "no currency"),
        (Asked(KEY, 100, "EUR", ""), "an address to return to"),
    ],
)
def test_what_paypal_would_not_take_is_refused(
    paypal_gateway: PaymentGateway, asked: Asked, why: str
) -> None:
    refused = paypal_gateway.start(asked)
    assert isinstance(refused, Refusal)
    assert why in refused.why
    assert paypal_gateway.step("HUF") == paypal_gateway.step("TWD") == 100
    assert paypal_gateway.step("EUR") == paypal_gateway.step("JPY") == 1


# --- saved ways to pay ---


def test_what_its_payer_agrees_to_keep_is_kept(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    asked = Asked(KEY, 2500, "EUR", "", return_url="https://b.example/done", save_method=True)
    ref = started(paypal_gateway, asked)
    approve(paypal_server, ref)
    method = found(paypal_gateway, ref).method
    assert method is not None
    assert method.method_ref in paypal_server.books.tokens
    assert paypal_gateway.methods(method.customer_ref) == [method]
    paid = charged(paypal_gateway, method.method_ref, Asked(OTHER, 700, "EUR", "", method.customer_ref))
    assert (paid.state, paid.amount, paid.key) == (PaymentState.PAID, 700, OTHER)


def test_a_saved_card_says_what_it_is(paypal_gateway: PaymentGateway, paypal_server: PaypalServer) -> None:
    card = {"card": {"last_digits": "1111", "brand": "VISA", "expiry": "2027-02"}}
    token = paypal_server.books.keep("alice", card)
    assert paypal_gateway.methods("alice") == [Method("alice", token, "visa", "1111", "2027-02")]
    assert charged(paypal_gateway, token).state is PaymentState.PAID


def test_all_that_is_kept_is_listed(paypal_gateway: PaymentGateway, paypal_server: PaypalServer) -> None:
    kept = [paypal_server.books.keep("alice") for _ in range(12)]
    paypal_server.books.keep("bob")
    assert [method.method_ref for method in paypal_gateway.methods("alice")] == kept
    assert paypal_gateway.methods("nobody") == []


def test_a_way_to_pay_is_removed_once_and_again(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    paypal_gateway.remove_method(token)
    paypal_gateway.remove_method(token)
    assert paypal_server.books.tokens == {}
    refused = paypal_gateway.charge(SAVED, token)
    assert isinstance(refused, Refusal)
    assert "does not keep" in refused.why
    with paypal_server.failing("403", "DELETE"):
        paypal_gateway.remove_method(token)  # it is gone, whatever is said
    token = paypal_server.books.keep("alice")
    with paypal_server.failing("403", "DELETE"), pytest.raises(GatewayUnreachable):
        paypal_gateway.remove_method(token)


def test_a_charge_is_made_once_for_a_key(paypal_gateway: PaymentGateway, paypal_server: PaypalServer) -> None:
    token = paypal_server.books.keep("alice")
    paid = charged(paypal_gateway, token)
    assert (paid.state, paid.amount, paid.currency, paid.key) == (PaymentState.PAID, 2500, "EUR", KEY)
    assert charged(paypal_gateway, token) == paid
    assert found(paypal_gateway, "", customer="alice") == paid
    assert paypal_server.books.received() == {KEY: 1}


def test_a_charge_that_is_declined_is_over(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    paypal_server.books.decline = "INSTRUMENT_DECLINED"
    declined = charged(paypal_gateway, token)
    assert (declined.state, declined.why) == (PaymentState.DECLINED, "the payer's bank or card declined it")
    paypal_server.books.decline = ""
    assert charged(paypal_gateway, token).state is PaymentState.CANCELLED
    assert paypal_server.books.received() == {}


def test_a_charge_whose_capture_is_not_answered_is_found_by_its_order(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    with paypal_server.failing("done-lost", "/capture"):
        waiting = charged(paypal_gateway, token)
    assert waiting.state is PaymentState.OPEN
    assert found(paypal_gateway, waiting.gateway_ref, customer="alice").state is PaymentState.PAID
    assert paypal_server.books.received() == {KEY: 1}


def test_a_charge_that_was_not_captured_is_ended_when_it_is_looked_for(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    with paypal_server.failing("500", "/capture"):
        waiting = charged(paypal_gateway, token)
    assert found(paypal_gateway, waiting.gateway_ref, customer="alice").state is PaymentState.CANCELLED
    # A process that was held up between its two steps comes too late.
    assert charged(paypal_gateway, token).state is PaymentState.CANCELLED
    assert paypal_server.books.received() == {}


def test_a_charge_that_paypal_never_heard_of_is_ended_by_asking(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    with paypal_server.failing("lost", "POST /v2/checkout/orders"), pytest.raises(GatewayUnreachable):
        paypal_gateway.charge(SAVED, token)
    assert found(paypal_gateway, "", customer="alice").state is PaymentState.CANCELLED
    assert charged(paypal_gateway, token).state is PaymentState.CANCELLED
    assert paypal_server.books.received() == {}


def test_a_charge_whose_order_is_lost_with_its_process_is_found(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    with paypal_server.failing("done-lost", "/capture"):
        charged(paypal_gateway, token)  # and nobody wrote the answer down
    assert found(paypal_gateway, "", customer="alice").state is PaymentState.PAID


def test_a_key_that_paypal_forgot_is_not_charged_again(
    paypal_gateway: PaymentGateway, paypal_server: PaypalServer
) -> None:
    token = paypal_server.books.keep("alice")
    charged(paypal_gateway, token)
    paypal_server.books.forgets = True
    again = charged(paypal_gateway, token)
    assert again.state is PaymentState.OPEN  # PayPal says that it was received, and not where
    assert paypal_server.books.received() == {KEY: 1}
