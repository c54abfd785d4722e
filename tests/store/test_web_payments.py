"""The web process: what gateways and payers reach of it, and what nobody does."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from pbxbill.app import open_application
from pbxbill.billing.payments.webhook_handling import MAX_BODY_BYTES
from pbxbill.web.desks import Desks
from pbxbill.web.factory import create_app
from pbxbill.web.serving import ServingSettings, WebServer
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import BilledAccounts
from tests.store.paying_accounts import Paying, paying_accounts


@pytest.fixture
def paying(accounts: BilledAccounts, tmp_path: Path) -> Iterator[Paying]:
    with paying_accounts(accounts, tmp_path) as made:
        yield made
    assert_books_in_order(accounts.url)


@pytest.fixture
def app(paying: Paying) -> Iterator[Flask]:
    with open_application(paying.accounts.url, clock=paying.clock) as application:
        desks = Desks(application, public_url="https://bill.example", opened=lambda row: paying.gateway)
        yield create_app(desks)
        desks.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_a_gateways_webhook_books_its_payment(paying: Paying, client: FlaskClient) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    headers, body = paying.told(started.key)
    assert client.post("/webhooks/cards", data=body, headers=headers).status_code == 200
    assert paying.wallet() == eur("10")
    forged = client.post("/webhooks/cards", data=body + b" ", headers=headers)
    assert (forged.status_code, forged.text) == (400, "refused\n")
    assert client.post("/webhooks/nobody", data=body, headers=headers).status_code == 404
    assert client.get("/webhooks/cards").status_code == 405


def test_a_payer_is_sent_on_to_the_gateway(paying: Paying, client: FlaskClient) -> None:
    started = paying.start("10")
    sent = client.get(f"/pay/{started.key}")
    assert (sent.status_code, sent.location) == (303, started.url)
    assert client.get("/pay/" + "0" * 32).status_code == 404
    assert client.get("/pay/../etc").status_code == 404


def test_a_payer_whose_gateway_wants_a_form_posts_it(paying: Paying, client: FlaskClient) -> None:
    paying.gateway.fault("start", "form")
    started = paying.start("10")
    page = client.get(f"/pay/{started.key}")
    assert 'action="https://pay.example/' in page.text
    assert '<input type="hidden" name="encRequest" value="a&#34;b">' in page.text
    assert "form-action https://pay.example" in page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    with client.get("/static/send.js") as script:
        assert script.status_code == 200


def test_a_payment_that_was_never_asked_for_is_asked_for_when_its_payer_comes(
    paying: Paying, client: FlaskClient
) -> None:
    paying.gateway.fault("start", "lost")
    started = paying.start("10")
    assert started.state == "asking"
    assert client.get(f"/pay/{started.key}").location.startswith("https://pay.example/")


def test_the_page_a_payer_comes_back_to_asks_the_gateway_now_and_then(
    paying: Paying, client: FlaskClient
) -> None:
    started = paying.start("10")
    address = f"/pay/{started.key}/done"
    assert "Not finished yet" in client.get(address).text
    paying.gateway.pay(started.key)
    assert "Not finished yet" in client.get(address).text  # asked a moment ago
    paying.later(11)
    page = client.get(address)
    assert "Thank you" in page.text
    assert "10.00 EUR" in page.text
    assert paying.wallet() == eur("10")


def test_what_a_browser_brings_back_is_proven_as_a_webhook_is(paying: Paying, client: FlaskClient) -> None:
    started = paying.start("10")
    paying.gateway.pay(started.key)
    headers, body = paying.told(started.key)
    address = f"/pay/{started.key}/done"
    assert client.post(address, data=body).status_code == 303
    assert paying.wallet() == 0
    assert client.post(address, data=body, headers=headers).status_code == 303
    assert paying.wallet() == eur("10")


def test_what_is_charged_to_a_card_has_no_page(paying: Paying, client: FlaskClient) -> None:
    paying.save_card()
    key = paying.charge_card("10").key
    assert client.get(f"/pay/{key}/done").status_code == 404


def test_every_answer_says_what_a_browser_may_do_and_sets_no_cookie(
    paying: Paying, client: FlaskClient
) -> None:
    started = paying.start("10")
    for address in ("/healthz", f"/pay/{started.key}/done", "/nothing", "/static/pay.css"):
        with client.get(address) as found:
            answer = found
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Set-Cookie" not in answer.headers


def test_a_gateway_is_told_to_come_again_while_the_database_is_away(
    paying: Paying, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pbxbill.errors import StoreUnavailable

    def away(*_arguments: object) -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr("pbxbill.web.webhooks.receive_webhook", away)
    answer = client.post("/webhooks/cards", data=b"{}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


@contextmanager
def serving(app: Flask, timeout_s: int = 5) -> Iterator[int]:
    server = WebServer(app, ServingSettings("127.0.0.1", 0, 2, 20, timeout_s))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_what_is_too_large_is_refused_before_it_is_read(app: Flask) -> None:
    with serving(app) as port, socket.create_connection(("127.0.0.1", port), 10) as connection:
        head = f"POST /webhooks/cards HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
        connection.sendall(head.encode())  # and nothing of the body
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_silent_connection_is_closed(app: Flask) -> None:
    with serving(app, timeout_s=1) as port, socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"POST /webhooks/cards HTTP/1.1\r\nHost: x\r\n")
        assert connection.recv(100) == b""  # its end


def test_the_server_answers_many_and_says_not_what_it_is(app: Flask) -> None:
    with serving(app) as port:
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"ok\n")
            assert answer.getheader("Server") is None
            connection.close()
