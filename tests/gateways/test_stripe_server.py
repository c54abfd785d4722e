"""The small Stripe itself: whether it is what the SDK takes Stripe for, and delivers as Stripe does."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

import pytest
import stripe
from stripe.checkout import Session

from pbxbill.gateways.gateway import (
    PaymentFacts,
    PaymentGateway,
    PaymentState,
    Refusal,
    Started,
    WebhookEvent,
)
from tests.gateways.stripe_asked import asked, charged, now_us, paid, refunded, started
from tests.gateways.stripe_server import API_KEY, SIGNING_SECRET, StripeServer
from tests.gateways.stripe_shapes import Object, shaped, unknown_parameter


class _Inbox:
    """A web server that keeps what is posted to it, and how it answers."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(inbox.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def inbox() -> Iterator[_Inbox]:
    made = _Inbox()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(10)


def _client(server: StripeServer, key: str = API_KEY) -> stripe.StripeClient:
    return stripe.StripeClient(
        key, base_addresses={"api": server.url}, http_client=stripe.RequestsClient(timeout=5)
    )


def test_every_event_is_delivered_once_and_signed(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, inbox: _Inbox
) -> None:
    stripe_server.webhooks_to(inbox.url, SIGNING_SECRET)
    paid(stripe_gateway, stripe_server, "k1")
    stripe_server.settled()
    events = [stripe_gateway.read_webhook(*webhook, now_us()) for webhook in inbox.received]
    assert all(isinstance(event, WebhookEvent) for event in events)
    assert [event.event_ref for event in events if isinstance(event, WebhookEvent)] == [
        event["id"] for event in stripe_server.events
    ]
    assert {status for _, status in stripe_server.deliveries} == {200}


def test_only_what_an_endpoint_wants_is_delivered(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, inbox: _Inbox
) -> None:
    stripe_server.webhooks_to(inbox.url, events=("payment_intent.succeeded",))
    charged(stripe_gateway, "k1", stripe_server.save_card())
    stripe_server.settled()
    assert len(inbox.received) == 1


def test_webhooks_are_held_and_come_again(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, inbox: _Inbox
) -> None:
    stripe_server.webhooks_to(inbox.url)
    stripe_server.hold_webhooks()
    charged(stripe_gateway, "k1", stripe_server.save_card())
    assert inbox.received == []
    stripe_server.release_webhooks()
    stripe_server.settled()
    count = len(inbox.received)
    assert stripe_server.send(stripe_server.events[0], inbox.url) == 200
    inbox.status = 503
    assert stripe_server.send(stripe_server.events[0], inbox.url) == 503
    assert len(inbox.received) == count + 2
    assert stripe_server.send(stripe_server.events[0], "http://127.0.0.1:9/") == 0


def test_a_payer_with_a_browser_pays_and_comes_back(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    back = f"{stripe_server.url}/v1/back"
    page = started(stripe_gateway, "k1", return_url=back)
    with urlopen(page.url, timeout=5) as answer:
        assert b"1250 EUR" in answer.read()
    with pytest.raises(OSError, match=r"404|401"):  # the shop's own page, which nobody serves here
        urlopen(Request(page.url, data=b"card=0341", method="POST"), timeout=5)
    found = stripe_gateway.find("k1", page.gateway_ref)
    assert found is not None
    assert found.state is PaymentState.PAID


def test_the_sdk_reads_everything_that_it_says(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer
) -> None:
    payment = paid(stripe_gateway, stripe_server, "k1")
    refunded(stripe_gateway, payment.gateway_ref, "r1", 1_00)
    dispute = stripe_server.dispute(payment.gateway_ref)
    stripe_server.close_dispute(dispute, won=False)
    models: dict[str, type[stripe.StripeObject]] = {
        "checkout.session": Session,
        "payment_intent": stripe.PaymentIntent,
        "payment_method": stripe.PaymentMethod,
        "charge": stripe.Charge,
        "refund": stripe.Refund,
        "dispute": stripe.Dispute,
    }
    seen = set()
    for event in stripe_server.events:
        webhook = stripe_server.signed(event)
        read = _client(stripe_server).construct_event(
            webhook.body, webhook.headers["stripe-signature"], SIGNING_SECRET
        )
        told = event["data"]["object"]
        assert isinstance(read.data.object, models[told["object"]])
        shaped(models[told["object"]], **told)
        seen.add(told["object"])
    assert seen == set(models)


def test_idempotency_keys_are_honoured(stripe_server: StripeServer) -> None:
    intents = _client(stripe_server).v1.payment_intents
    first = intents.create({"amount": 500, "currency": "eur"}, {"idempotency_key": "k1"})
    assert intents.create({"amount": 500, "currency": "eur"}, {"idempotency_key": "k1"}).id == first.id
    assert intents.create({"amount": 500, "currency": "eur"}, {"idempotency_key": "k2"}).id != first.id
    with pytest.raises(stripe.IdempotencyError):
        intents.create({"amount": 501, "currency": "eur"}, {"idempotency_key": "k1"})
    # What fails as it is read is not kept: the key is free.
    with pytest.raises(stripe.InvalidRequestError):
        intents.create({"amount": 1, "currency": "eur"}, {"idempotency_key": "k3"})
    assert intents.create({"amount": 500, "currency": "eur"}, {"idempotency_key": "k3"}).amount == 500


def test_one_payment_by_many_at_once(stripe_gateway: PaymentGateway, stripe_server: StripeServer) -> None:
    card = stripe_server.save_card()
    facts = []
    threads = [
        threading.Thread(target=lambda: facts.append(charged(stripe_gateway, "k1", card))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(facts) == 8
    assert len(set(facts)) == 1
    assert stripe_server.received("EUR") == 5_00


def test_unknown_parameters_and_keys_are_refused(stripe_server: StripeServer) -> None:
    invented: Object = {"amount": 500, "currency": "eur", "colour": "red"}
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: colour"):
        _client(stripe_server).v1.payment_intents.create(invented)  # type: ignore[arg-type]
    nested = {"line_items": [{"price_data": {"unit_amount": 1, "colour": "red"}}]}
    assert unknown_parameter(stripe.params.checkout.SessionCreateParams, nested).endswith("[colour]")
    with pytest.raises(stripe.AuthenticationError):
        _client(stripe_server, "sk_test_other").v1.refunds.list()


@pytest.mark.parametrize(
    "currency, amount, there",
    [("JPY", 500, 500), ("KWD", 5_120, 5_120), ("ISK", 700, 70_000), ("MGA", 900_00, 900)],
)
def test_currencies_are_charged_as_stripe_counts_them(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, currency: str, amount: int, there: int
) -> None:
    customer, method = stripe_server.save_card()
    facts = stripe_gateway.charge(asked("k1", amount, currency, customer_ref=customer), method)
    assert isinstance(facts, PaymentFacts)
    assert (facts.amount, facts.currency) == (amount, currency)
    assert facts == stripe_gateway.find("k1", "", customer)
    assert stripe_server.received(currency) == there
    page = stripe_gateway.start(asked("k2", amount, currency))
    assert stripe_server.newest("checkout.session")["amount_total"] == there
    assert isinstance(page, Started)


@pytest.mark.parametrize("currency, amount", [("KWD", 5_124), ("MGA", 900_50)])
def test_amounts_that_stripe_would_round_are_refused(
    stripe_gateway: PaymentGateway, stripe_server: StripeServer, currency: str, amount: int
) -> None:
    answer = stripe_gateway.start(asked("k1", amount, currency))
    step = stripe_gateway.step(currency)
    assert answer == Refusal(f"Stripe takes {currency} in multiples of {step} of its smallest unit")
    assert stripe_server.requests == []
