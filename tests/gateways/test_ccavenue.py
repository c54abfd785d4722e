"""CCAvenue's page, answers, order status and refunds, against a small CCAvenue that encrypts as it does."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.gateways.ccavenue import decrypted, encrypted, key_of, order_of
from pbxbill.gateways.gateway import (
    Asked,
    Forged,
    GatewayUnclear,
    GatewayUnreachable,
    PaymentFacts,
    PaymentGateway,
    PaymentState,
    RefundFacts,
    RefundState,
    Refusal,
    Started,
    WebhookEvent,
)
from pbxbill.gateways.registry import checked_settings, open_gateway
from tests.gateways.ccavenue_server import (
    ACCESS_CODE,
    MERCHANT_ID,
    WORKING_KEY,
    CCAvenueServer,
    seal,
    unseal,
)

KEY = "0193b5e2a1c84f7d9e3b6a5c4d2e1f08"
ASKED = Asked(KEY, 12_345, "INR", "top-up of alice", email="alice@example.com", return_url="https://b/x/done")


@pytest.fixture
def server() -> Iterator[CCAvenueServer]:
    with CCAvenueServer() as opened:
        yield opened


@pytest.fixture
def gateway(server: CCAvenueServer, tmp_path: Path) -> PaymentGateway:
    working_key = tmp_path / "working_key"
    working_key.write_text(f"{WORKING_KEY}\n")
    settings = {
        "merchant_id": MERCHANT_ID,
        "access_code": ACCESS_CODE,
        "working_key_file": str(working_key),
        "api_url": server.url,
        "timeout_s": 2,
    }
    return open_gateway("ccavenue", json.dumps(settings))


def form_of(gateway: PaymentGateway, asked: Asked = ASKED) -> dict[str, str]:
    started = gateway.start(asked)
    assert isinstance(started, Started)
    assert started.form is not None
    return dict(started.form)


def event_of(gateway: PaymentGateway, body: bytes) -> WebhookEvent:
    event = gateway.read_webhook({}, body, 0)
    assert isinstance(event, WebhookEvent)
    return event


def found(gateway: PaymentGateway, key: str = KEY, ref: str = "") -> PaymentFacts:
    facts = gateway.find(key, ref)
    assert facts is not None
    return facts


def test_the_form_holds_what_the_page_wants(gateway: PaymentGateway) -> None:
    fields = parse_qs(unseal(form_of(gateway)["encRequest"]))
    assert fields["amount"] == ["123.45"]
    assert fields["order_id"] == [order_of(KEY)]
    assert fields["redirect_url"] == fields["cancel_url"] == ["https://b/x/done"]


def test_what_was_paid_is_asked_for_and_not_believed(gateway: PaymentGateway, server: CCAvenueServer) -> None:
    event = event_of(gateway, server.pay(form_of(gateway)))
    assert event.fact is None
    facts = found(gateway, "", event.ask_again)
    assert (facts.key, facts.state, facts.amount, facts.currency) == (KEY, PaymentState.PAID, 12_345, "INR")
    assert found(gateway) == facts


def test_an_answer_that_was_bent_on_its_way_changes_nothing(
    gateway: PaymentGateway, server: CCAvenueServer
) -> None:
    server.pay(form_of(gateway), "Failure")
    reference = next(iter(server.orders.values()))["reference_no"]
    lie = {"order_id": order_of(KEY), "tracking_id": reference, "order_status": "Success", "amount": "1.00"}
    event = event_of(gateway, urlencode({"encResp": seal(urlencode(lie))}).encode())
    facts = found(gateway, "", event.ask_again)
    assert (facts.state, facts.why) == (PaymentState.DECLINED, "Do not honour")


@pytest.mark.parametrize(
    "status, state",
    [
        ("Success", PaymentState.PAID),
        ("Failure", PaymentState.DECLINED),
        ("Aborted", PaymentState.CANCELLED),
        ("Awaited", PaymentState.OPEN),
        ("Refunded", PaymentState.CANCELLED),
        ("Systemrefund", PaymentState.CANCELLED),
        ("Chargeback", PaymentState.CANCELLED),
    ],
)
def test_each_status_is_a_state(
    gateway: PaymentGateway, server: CCAvenueServer, status: str, state: PaymentState
) -> None:
    server.pay(form_of(gateway), status)
    assert found(gateway).state is state


def test_what_was_received_is_told_even_if_another_amount_was_asked_for(
    gateway: PaymentGateway, server: CCAvenueServer
) -> None:
    server.pay(form_of(gateway), amount="1.00")
    assert found(gateway).amount == 100


def test_an_order_that_nobody_paid_is_not_known(gateway: PaymentGateway) -> None:
    assert gateway.find(KEY, "") is None


@pytest.mark.parametrize("fault", ["slow", "500", "garbage", "refused"])
def test_no_answer_is_no_fact(gateway: PaymentGateway, server: CCAvenueServer, fault: str) -> None:
    server.pay(form_of(gateway))
    with server.failing(fault), pytest.raises(GatewayUnreachable, match="CCAvenue"):
        gateway.find(KEY, "")
    assert found(gateway).state is PaymentState.PAID


def test_a_refund_whose_answer_is_lost_is_given_back_once_and_never_believed_done(
    gateway: PaymentGateway, server: CCAvenueServer
) -> None:
    server.pay(form_of(gateway))
    reference = found(gateway).gateway_ref
    with server.failing("slow"), pytest.raises(GatewayUnreachable):
        gateway.refund(reference, KEY, 2_345, "INR")
    assert gateway.find_refund(reference, KEY, "") is None
    with pytest.raises(GatewayUnclear, match="Look at its dashboard"):
        gateway.refund(reference, KEY, 2_345, "INR")
    assert list(server.refunds.values()) == ["23.45"]


def test_a_refund_that_is_answered_is_done(gateway: PaymentGateway, server: CCAvenueServer) -> None:
    server.pay(form_of(gateway))
    done = gateway.refund(found(gateway).gateway_ref, KEY, 2_345, "INR")
    assert isinstance(done, RefundFacts)
    assert (done.state, done.amount) == (RefundState.DONE, 2_345)


def test_a_refund_above_the_payment_is_refused(gateway: PaymentGateway, server: CCAvenueServer) -> None:
    server.pay(form_of(gateway))
    refused = gateway.refund(found(gateway).gateway_ref, KEY, 12_346, "INR")
    assert isinstance(refused, Refusal)
    assert "greater than the captured amount" in refused.why


def test_it_keeps_no_cards(gateway: PaymentGateway) -> None:
    refused = gateway.charge(ASKED, "card")
    assert isinstance(refused, Refusal)
    assert gateway.methods("alice") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"encResp=",
        b"encResp=zz",
        b"encResp=00112233445566778899aabbccddeeff",
        b"\xff\xfe",
        urlencode({"encResp": seal("order_id=alice&tracking_id=1", "another key")}).encode(),
        urlencode({"encResp": seal("order_id=%2e%2e&tracking_id=1")}).encode(),
        urlencode({"encResp": seal("order_id=abc&tracking_id=1 OR 1")}).encode(),
        b"encResp=" + b"0" * 100_000,
    ],
)
def test_what_is_not_encrypted_with_our_key_is_not_believed(gateway: PaymentGateway, body: bytes) -> None:
    assert isinstance(gateway.read_webhook({}, body, 0), Forged)


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("merchant_id", "12 34", "letters and digits"),
        ("timeout_s", 0, "1 to 120 seconds"),
        ("api_url", "http://example.com/", "begins with https://"),
        ("working_key_file", "key", "its whole path"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, value: str | int, why: str) -> None:
    good = {"merchant_id": "1", "access_code": "A", "working_key_file": "/etc/pbxbill/key"}
    checked_settings("ccavenue", json.dumps(good))
    with pytest.raises(InputRefused, match=why):
        checked_settings("ccavenue", json.dumps(good | {name: value}))


@given(st.integers(0, (1 << 128) - 1))
def test_every_key_is_an_order_number_and_back(number: int) -> None:
    key = f"{number:032x}"
    assert len(order_of(key)) <= 25
    assert key_of(order_of(key)) == key


@given(st.text(max_size=200))
def test_what_is_encrypted_is_what_ccavenue_reads(text: str) -> None:
    assert unseal(encrypted(text, WORKING_KEY)) == text
    assert decrypted(seal(text), WORKING_KEY) == text


def test_the_same_answer_in_another_spelling_is_the_same_event(
    gateway: PaymentGateway, server: CCAvenueServer
) -> None:
    sealed = server.pay(form_of(gateway))
    assert event_of(gateway, sealed).event_ref == event_of(gateway, sealed + b"&more=1").event_ref
