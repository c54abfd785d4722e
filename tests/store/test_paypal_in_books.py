"""Payments through PayPal until they are in the books: each once, whatever is lost on the way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pbxbill.billing.payments.gateway_payments import GatewayDesk, PaymentStanding
from pbxbill.billing.payments.held_payments import accept_held, drop_held
from pbxbill.billing.payments.refunds import RefundDesk
from pbxbill.errors import InputRefused
from pbxbill.gateways.registry import open_gateway
from pbxbill.store.payment_models import PaymentGatewayRow
from tests.books_in_order import assert_books_in_order
from tests.gateways.paypal_server import PaypalServer
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.paying_accounts import Paying, paying_accounts


@pytest.fixture
def server() -> Iterator[PaypalServer]:
    with PaypalServer() as opened:
        yield opened


@pytest.fixture
def paying(accounts: BilledAccounts, server: PaypalServer, tmp_path: Path) -> Iterator[Paying]:
    """Accounts that pay through it; at the end the books are in order."""
    settings = json.dumps(server.settings(tmp_path))
    with paying_accounts(accounts, tmp_path) as made:
        made.desk = GatewayDesk(
            made.database,
            made.books,
            made.clock,
            opened=lambda _: open_gateway("paypal", settings),
            public_url="https://bill.example",
        )
        made.refunds = RefundDesk(made.desk)
        with made.transaction() as session:
            session.execute(update(PaymentGatewayRow).values(kind="paypal"))
        yield made
    assert_books_in_order(accounts.url)


def tell(paying: Paying, server: PaypalServer, kind: str, event: str = "WH-1", **resource: Any) -> int:
    """A webhook comes; what PayPal is answered."""
    sent = server.webhook(kind, resource, event=event, at_us=paying.clock.now_us())
    return paying.tell(sent).status


def order_of(server: PaypalServer, payment: PaymentStanding) -> str:
    """The order of a payment, which its payer has approved."""
    order = next(
        id for id, x in server.books.orders.items() if x["purchase_units"][0]["custom_id"] == payment.key
    )
    server.books.approve(order)
    return order


def save_account(paying: Paying, server: PaypalServer) -> None:
    token = server.books.keep("cus_1")
    server.books.tokens["pm_bob"] = server.books.tokens.pop(token) | {"id": "pm_bob"}
    paying.save_card()


def test_what_is_approved_is_in_the_wallet_once_however_often_it_is_told(
    paying: Paying, server: PaypalServer
) -> None:
    before = paying.wallet()
    payment = paying.start("10")
    assert payment.url.startswith(server.url)
    order = order_of(server, payment)
    assert tell(paying, server, "CHECKOUT.ORDER.APPROVED", "WH-1", id=order) == 200
    [capture] = server.books.captures
    for event in ("WH-2", "WH-2", "WH-3"):
        assert tell(paying, server, "PAYMENT.CAPTURE.COMPLETED", event, id=capture) == 200
    paying.poll()
    assert paying.state(payment.id) == "paid"
    assert paying.wallet() == before + eur("10")
    assert server.books.received() == {payment.key: 1}


def test_without_any_webhook_a_poll_receives_it(paying: Paying, server: PaypalServer) -> None:
    payment = paying.start("10")
    order_of(server, payment)
    paying.poll()
    assert paying.state(payment.id) == "paid"


def test_while_paypal_cannot_be_asked_its_webhook_is_to_come_again(
    paying: Paying, server: PaypalServer
) -> None:
    payment = paying.start("10")
    order = order_of(server, payment)
    with server.failing("500", "certs"):
        assert tell(paying, server, "CHECKOUT.ORDER.APPROVED", id=order) == 503
    with server.failing("500", "orders"):
        assert tell(paying, server, "CHECKOUT.ORDER.APPROVED", id=order) == 503
    assert paying.webhooks() == []
    assert tell(paying, server, "CHECKOUT.ORDER.APPROVED", id=order) == 200
    refund = server.books.give_back(
        next(iter(server.books.captures)), {"currency_code": "EUR", "value": "1.00"}
    )
    with server.failing("500", "refunds"):
        assert tell(paying, server, "PAYMENT.CAPTURE.REFUNDED", "WH-2", id=refund) == 503
    assert tell(paying, server, "PAYMENT.CAPTURE.REFUNDED", "WH-2", id=refund) == 200
    assert paying.state(payment.id) == "paid"


def test_a_forged_webhook_is_refused_and_moves_nothing(paying: Paying, server: PaypalServer) -> None:
    payment = paying.start("10")
    headers, body = server.webhook(
        "CHECKOUT.ORDER.APPROVED",
        {"id": order_of(server, payment)},
        webhook_id="1AB",
        at_us=paying.clock.now_us(),
    )
    assert paying.tell((headers, body)).status == 400
    assert server.books.received() == {}


@pytest.mark.parametrize("fault", ["done-500", "done-garbage"])
def test_a_charge_whose_answer_is_lost_is_booked_by_a_poll(
    paying: Paying, server: PaypalServer, fault: str
) -> None:
    before = paying.wallet()
    save_account(paying, server)
    with server.failing(fault, "/capture"):
        payment = paying.charge_card("10")
    assert payment.state == "open"
    paying.poll()
    paying.poll()
    assert paying.state(payment.id) == "paid"
    assert paying.wallet() == before + eur("10")
    assert server.books.received() == {payment.key: 1}


@pytest.mark.parametrize("where", ["POST /v2/checkout/orders", "/capture"])
@pytest.mark.parametrize("fault", ["500", "done-500"])
def test_however_a_charge_fails_books_and_paypal_agree(
    paying: Paying, server: PaypalServer, where: str, fault: str
) -> None:
    before = paying.wallet()
    save_account(paying, server)
    with server.failing(fault, where):
        payment = paying.charge_card("10")
        paying.poll(200)
    for _ in range(6):
        paying.poll(900)
    received = server.books.received().get(payment.key, 0)
    assert paying.state(payment.id) == ("paid" if received else "cancelled")
    assert paying.wallet() == before + received * eur("10")


def test_a_charge_that_is_asked_about_after_paypal_forgot_its_key_is_held(
    paying: Paying, server: PaypalServer
) -> None:
    save_account(paying, server)
    with server.failing("500", "POST /v2/checkout/orders"):
        payment = paying.charge_card("10")
        assert payment.state == "asking"
    server.books.forgets = True
    paying.poll(5 * 3600 + 1)
    assert paying.state(payment.id) == "held"
    ((told,),) = paying.accounts.select("SELECT detail FROM alerts WHERE kind = 'payment_held'")
    assert payment.key in told
    assert "look at PayPal" in told
    now_us = paying.clock.now_us()
    with pytest.raises(InputRefused, match="look there"), paying.transaction() as session:
        accept_held(session, paying.books, payment.id, by="eve", now_us=now_us)


@pytest.mark.parametrize("found", [True, False])
def test_what_was_held_so_is_booked_or_dropped_as_a_person_found(
    paying: Paying, server: PaypalServer, found: bool
) -> None:
    before = paying.wallet()
    save_account(paying, server)
    with server.failing("500", "POST /v2/checkout/orders"):
        payment = paying.charge_card("10")
    server.books.forgets = True
    paying.poll(5 * 3600 + 1)
    now_us = paying.clock.now_us()
    with paying.transaction() as session:
        if found:
            accept_held(session, paying.books, payment.id, by="eve", now_us=now_us, reference="CAPTURE1")
        else:
            drop_held(session, payment.id, reason="PayPal does not have it", by="eve", now_us=now_us)
    assert paying.state(payment.id) == ("paid" if found else "cancelled")
    assert paying.wallet() == before + (eur("10") if found else 0)
    with pytest.raises(InputRefused, match="not held"), paying.transaction() as session:
        drop_held(session, payment.id, reason="again", by="eve", now_us=now_us)


def test_a_charge_that_is_declined_is_told_as_that(paying: Paying, server: PaypalServer) -> None:
    save_account(paying, server)
    server.books.decline = "INSTRUMENT_DECLINED"
    payment = paying.charge_card("10")
    assert (payment.state, payment.error) == ("declined", "the payer's bank or card declined it")


def test_a_refund_is_booked_once(paying: Paying, server: PaypalServer) -> None:
    before = paying.wallet()
    payment = paying.start("10")
    order_of(server, payment)
    paying.poll()
    with server.failing("done-500", "/refund"):
        assert paying.give_back(payment.id, "4").state == "asking"
    paying.poll()
    [refund] = server.books.refunds
    tell(paying, server, "PAYMENT.CAPTURE.REFUNDED", id=refund)
    assert paying.wallet() == before + eur("6")
    assert [tuple(x) for x in paying.accounts.select("SELECT kind, state FROM refunds")] == [
        ("refund", "done")
    ]


def test_a_dispute_and_its_reversal_take_the_money_once(paying: Paying, server: PaypalServer) -> None:
    before = paying.wallet()
    payment = paying.start("10")
    order_of(server, payment)
    paying.poll()
    [capture] = server.books.captures
    server.books.disputes["PP-D-1"] = {
        "disputed_transactions": [{"seller_transaction_id": capture}],
        "reason": "UNAUTHORISED",
        "status": "UNDER_REVIEW",
        "dispute_amount": {"currency_code": "EUR", "value": "10.00"},
        "dispute_life_cycle_stage": "CHARGEBACK",
    }
    assert tell(paying, server, "CUSTOMER.DISPUTE.CREATED", "WH-1", dispute_id="PP-D-1") == 200
    reversal = server.books.give_back(capture, {"currency_code": "EUR", "value": "10.00"})
    assert tell(paying, server, "PAYMENT.CAPTURE.REVERSED", "WH-2", id=reversal) == 200
    server.books.disputes["PP-D-1"] |= {
        "status": "RESOLVED",
        "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"},
    }
    assert tell(paying, server, "CUSTOMER.DISPUTE.RESOLVED", "WH-3", dispute_id="PP-D-1") == 200
    assert paying.wallet() == before
    assert [tuple(x) for x in paying.accounts.select("SELECT kind, state FROM refunds")] == [
        ("charge_back", "lost")
    ]
