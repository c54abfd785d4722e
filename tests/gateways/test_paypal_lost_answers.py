"""Whatever is asked of PayPal, in whatever order, and whichever answers are lost: money is taken once."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbxbill.gateways.gateway import (
    Asked,
    GatewayUnreachable,
    PaymentFacts,
    PaymentGateway,
    PaymentState,
    Refusal,
    Started,
)
from tests.gateways.paypal_server import PaypalServer

FAULTS = st.sampled_from(
    [
        ("", ""),
        ("500", "/capture"),
        ("done-500", "/capture"),
        ("done-garbage", "/capture"),
        ("429", "/capture"),
        ("500", "POST /v2/checkout/orders"),
        ("done-409", "POST /v2/checkout/orders"),
        ("500", "PATCH"),
        ("done-500", "PATCH"),
        ("500", "GET /v2"),
        ("401", ""),
        ("503", "oauth2"),
    ]
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["charge", "find", "find by order", "approve"]), FAULTS), min_size=3, max_size=9
)
ENDED = (PaymentState.DECLINED, PaymentState.EXPIRED, PaymentState.CANCELLED)


def payers_turn(server: PaypalServer, ref: str) -> None:
    order = server.books.orders.get(ref.removeprefix("order:"))
    if order and order["status"] == "PAYER_ACTION_REQUIRED" and order["intent"] == "CAPTURE":
        server.books.approve(order["id"])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, is_page=st.booleans(), number=st.integers(0, 1 << 60))
def test_lost_answers_never_capture_twice_and_what_is_over_stays_over(
    paypal_gateway: PaymentGateway,
    paypal_server: PaypalServer,
    steps: list[tuple[str, tuple[str, str]]],
    is_page: bool,
    number: int,
) -> None:
    paypal_server.books.__init__(base=paypal_server.url)  # type: ignore[misc]  # as new
    token, key, ref, is_over = paypal_server.books.keep("alice"), f"{number:032x}", "", False
    asked = Asked(key, 900, "EUR", "", "" if is_page else "alice", return_url="https://b.example")
    customer = "" if is_page else "alice"
    for what, (fault, where) in steps:
        told: PaymentFacts | Started | Refusal | None = None
        with paypal_server.failing(fault, where):
            try:
                if what == "charge":
                    told = paypal_gateway.start(asked) if is_page else paypal_gateway.charge(asked, token)
                elif what == "approve" and is_page and ref:
                    payers_turn(paypal_server, ref)
                elif what != "approve":
                    told = paypal_gateway.find(key, ref if what == "find by order" else "", customer)
            except GatewayUnreachable:
                pass  # nobody knows, which is what is tried here
        if isinstance(told, PaymentFacts | Started):
            ref = told.gateway_ref
        if isinstance(told, PaymentFacts):
            is_over = is_over or told.state in ENDED
            assert told.state is not PaymentState.PAID or paypal_server.books.received() == {key: 1}
        assert paypal_server.books.received() in ({}, {key: 1})
        assert not (is_over and paypal_server.books.received())
