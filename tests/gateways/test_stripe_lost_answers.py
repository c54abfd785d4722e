"""Whatever gets lost, and whatever comes late: nobody is charged twice, and no charge is lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbxbill.gateways.gateway import Asked, GatewayUnreachable, PaymentFacts, PaymentGateway, PaymentState
from pbxbill.gateways.registry import open_gateway
from tests.gateways.stripe_asked import asked, now_us, refunded
from tests.gateways.stripe_faults import Misbehaviour
from tests.gateways.stripe_server import StripeServer

# Those without an answer are closed connections that take a second longer.
FAULTS = [how for how in Misbehaviour if how not in {Misbehaviour.NO_ANSWER, Misbehaviour.NO_ANSWER_AFTER}]
_T = TypeVar("_T")
_FAULT = st.none() | st.sampled_from(FAULTS)


@pytest.fixture(scope="module")
def server() -> Iterator[StripeServer]:
    with StripeServer() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(server: StripeServer, tmp_path_factory: pytest.TempPathFactory) -> PaymentGateway:
    folder: Path = tmp_path_factory.mktemp("stripe")
    return open_gateway("stripe", json.dumps(server.settings(folder)))


def _until_answered(ask: Callable[[], _T]) -> _T:
    """As polling does it: until somebody knows."""
    for _ in range(12):
        try:
            return ask()
        except GatewayUnreachable:
            continue
    raise AssertionError("nobody ever knows")


def _charge_again(gateway: PaymentGateway, payment: Asked, method: str) -> None:
    try:
        gateway.charge(payment, method)
    except GatewayUnreachable:
        pass  # a 500 is kept under the key for a day


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(0, 10**12),
    creating=_FAULT,
    confirming=_FAULT,
    finding=st.lists(st.sampled_from(FAULTS), max_size=3),
    cancelling=_FAULT,
    declines=st.sampled_from(["", "", "insufficient_funds"]),
    impatient=st.booleans(),
)
def test_a_charge_is_taken_once_and_known(
    *,
    server: StripeServer,
    gateway: PaymentGateway,
    number: int,
    creating: Misbehaviour | None,
    confirming: Misbehaviour | None,
    finding: list[Misbehaviour],
    cancelling: Misbehaviour | None,
    declines: str,
    impatient: bool,
) -> None:
    customer, method = server.save_card(declines=declines)
    payment = asked(f"k{number}-{method}", 5_00, customer_ref=customer)
    before = server.received("EUR")
    faults = {r"POST /v1/payment_intents$": creating, "confirm$": confirming, "cancel$": cancelling}
    for on, how in faults.items():
        if how is not None:
            server.misbehave(how, on=on)
    answer: object
    try:
        answer = gateway.charge(payment, method)
    except GatewayUnreachable:
        if impatient:  # somebody asks the same again before he asks what became of it
            _charge_again(gateway, payment, method)
        for how in finding:
            server.misbehave(how, on="GET ")
        answer = _until_answered(lambda: gateway.find(payment.key, "", customer))
    server.forgive()
    taken = server.received("EUR") - before
    assert taken in {0, 5_00}
    known = isinstance(answer, PaymentFacts) and answer.state is PaymentState.PAID
    assert known is (taken == 5_00)
    # What was said stays true, whoever asks and whoever was held up.
    found = gateway.find(payment.key, "", customer)
    assert (found is not None and found.state is PaymentState.PAID) is known
    if found is not None and found.state is not PaymentState.OPEN:
        _charge_again(gateway, payment, method)
        assert server.received("EUR") - before == taken


@pytest.mark.long
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 10**12), refunding=_FAULT, finding=st.lists(st.sampled_from(FAULTS), max_size=2))
def test_a_refund_is_given_once_and_known(
    server: StripeServer,
    gateway: PaymentGateway,
    number: int,
    refunding: Misbehaviour | None,
    finding: list[Misbehaviour],
) -> None:
    customer, method = server.save_card()
    paid = gateway.charge(asked(f"k{number}-{method}", 5_00, customer_ref=customer), method)
    assert isinstance(paid, PaymentFacts)
    before = server.received("EUR")
    if refunding is not None:
        server.misbehave(refunding, on="POST /v1/refunds")
    key = f"r{number}-{method}"
    try:
        gateway.refund(paid.gateway_ref, key, 2_00, "EUR")
    except GatewayUnreachable:
        for how in finding:
            server.misbehave(how, on="GET ")
        found = _until_answered(lambda: gateway.find_refund(paid.gateway_ref, key, ""))
        assert (found is not None) is (before - server.received("EUR") == 2_00)
    server.forgive()
    if refunding not in {Misbehaviour.ERROR, Misbehaviour.ERROR_AFTER}:  # kept under the key for a day
        refunded(gateway, paid.gateway_ref, key, 2_00)
        assert before - server.received("EUR") == 2_00


def test_webhooks_tell_what_a_lost_answer_did(server: StripeServer, gateway: PaymentGateway) -> None:
    customer, method = server.save_card()
    server.misbehave(Misbehaviour.CLOSED_AFTER, on="confirm$")
    with pytest.raises(GatewayUnreachable):
        gateway.charge(asked("told", 5_00, customer_ref=customer), method)
    webhook = server.signed(server.event("payment_intent.succeeded"))
    event = gateway.read_webhook(webhook.headers, webhook.body, now_us())
    assert getattr(event, "fact", None) == gateway.find("told", "", customer)
