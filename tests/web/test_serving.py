"""The real server: behind a proxy, under a path, and before what is too large; limits that Redis counts."""

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select

from lab.redis import PrivateRedis
from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.webhook_handling import MAX_BODY_BYTES
from pbxbill.store.access_models import LoginSessionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.desks import Desks
from pbxbill.web.rules import WebRules
from pbxbill.web.serving import ServingSettings, WebServer
from tests.web.applications import made_app
from tests.web.offices import PASSWORD, URL, Office

SETTINGS = ServingSettings("127.0.0.1", 0, threads=2, connections=20, timeout_s=10)
UPLOAD_BYTES = 3 * MAX_BODY_BYTES


@contextmanager
def served(office: Office, settings: ServingSettings = SETTINGS, public_url: str = "") -> Iterator[int]:
    desks = Desks(office.application, public_url=public_url)
    rules = replace(WebRules(), requests_per_min=1_000_000, upload_bytes=settings.upload_bytes)
    server = WebServer(made_app(desks, rules, limited=True), settings)
    thread = threading.Thread(target=server.run, name="served", daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.stop()
        thread.join(10)
        desks.close()


class Visitor:
    """A browser that follows nothing by itself."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self.headers = headers
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, where to go, and the page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **self.headers}
        body = None if form is None else urlencode(form)
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        page = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer.status, answer.headers.get("Location", ""), page

    def log_in(self, login: str, prefix: str = "") -> tuple[int, str, str]:
        page = self.ask("GET", f"{prefix}/log-in")[2]
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token is not None
        sent = {"login": login, "password": PASSWORD, "csrf_token": token[1]}
        return self.ask("POST", f"{prefix}/log-in", sent)


def came_from(office: Office) -> str:
    with office.reading() as session:
        return session.scalars(select(LoginSessionRow.address)).one()


def test_a_trusted_proxy_says_where_somebody_comes_from(office: Office) -> None:
    with served(office, replace(SETTINGS, trusted_proxy="127.0.0.1")) as port:
        # The first was written by the browser itself, the last by the proxy.
        assert Visitor(port, **{"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}).log_in("admin")[0] == 303
    assert came_from(office) == "203.0.113.9"


@pytest.mark.parametrize("trusted", ["", "192.0.2.1"])
def test_nobody_else_is_believed(office: Office, trusted: str) -> None:
    with served(office, replace(SETTINGS, trusted_proxy=trusted)) as port:
        assert Visitor(port, **{"X-Forwarded-For": "203.0.113.9"}).log_in("admin")[0] == 303
    assert came_from(office) == "127.0.0.1"


@pytest.mark.parametrize("sent", ["/billing", ""])
def test_all_of_it_stands_under_the_public_addresss_path(office: Office, sent: str) -> None:
    """Whether the proxy takes the path off or not."""
    with served(office, replace(SETTINGS, prefix="/billing"), "http://bill.example/billing") as port:
        visitor = Visitor(port)
        assert visitor.ask("GET", f"{sent}/")[:2] == (303, "/billing/log-in")
        assert visitor.ask("GET", f"{sent}/panel/users")[1] == "/billing/log-in?next=/billing/panel/users"
        page = visitor.ask("GET", f"{sent}/log-in")[2]
        assert set(re.findall(r'(?:href|src|action)="(/[^/"]*)/', page)) == {"/billing"}
        assert visitor.log_in("admin", sent)[:2] == (303, "/billing/")
        listed = visitor.ask("GET", f"{sent}/panel/users")[2]
        own = re.findall(r'(?:href|src|action)="(/[^"]*)"', listed)
        assert own
        assert [x for x in own if not x.startswith("/billing/")] == []
        assert visitor.ask("GET", "/healthz")[0] == 200


def refused(port: int, path: str, length: int, cookie: str = "") -> str:
    """What is answered to a head alone."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{cookie}\r\n"
        connection.sendall(head.encode())
        connection.settimeout(1)
        try:
            return connection.recv(100).decode().split(" ")[1]
        except TimeoutError:
            return "it waits for the rest"


@pytest.mark.parametrize("prefix", ["", "/billing"])
def test_a_huge_upload_is_refused_before_it_is_sent(office: Office, prefix: str) -> None:
    settings = replace(SETTINGS, upload_bytes=UPLOAD_BYTES, prefix=prefix)
    cookie, more = "Cookie: pbxbill=x\r\n", MAX_BODY_BYTES + 1
    with served(office, settings) as port:
        assert refused(port, f"{prefix}/log-in", more, cookie) == "413"
        assert refused(port, f"{prefix}/panel/decks", more) == "413"
        assert refused(port, f"{prefix}/panel/decks", UPLOAD_BYTES + 1, cookie) == "413"
        assert refused(port, f"{prefix}/panel/decks", more, cookie) == "it waits for the rest"


def tries(app: Flask, times: int) -> list[int]:
    client = app.test_client()
    page = client.get("/log-in/forgotten", base_url=URL).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    sent = {"login": "nobody-here", "csrf_token": token[1] if token else ""}
    return [client.post("/log-in/forgotten", data=sent, base_url=URL).status_code for _ in range(times)]


def test_processes_count_together_in_redis_and_alone_without_it(office: Office) -> None:
    with PrivateRedis() as redis:
        redis.start()
        application = replace(office.application, redis_url=redis.url)
        desks = [Desks(application, public_url=URL) for _ in range(2)]
        first, second = (made_app(x, WebRules(), limited=True) for x in desks)
        assert tries(first, 12) == [303] * 12
        assert tries(second, 9) == [303] * 8 + [429]
        assert tries(first, 1) == [429]
        redis.stop()
        assert tries(second, 21) == [303] * 20 + [429]
    for one in desks:
        one.close()


def test_a_user_who_asks_too_often_waits_and_others_do_not(office: Office) -> None:
    desks = Desks(office.application, public_url=URL)
    office.app = made_app(desks, replace(WebRules(), requests_per_min=10), limited=True)
    admin, support = office.browser("admin"), office.browser("support")
    codes = [admin.get("/me").status_code for _ in range(12)]
    assert codes[0] == 200
    assert codes[-1] == 429
    assert support.get("/me").status_code == 200
    desks.close()


def test_streams_take_no_thread_from_requests(office: Office) -> None:
    """One thread for requests, and two streams beside it that stay open."""
    alice = office.user("alice").account_id
    with office.writing() as session:
        account = session.get_one(AccountRow, alice)
        maker = Actor("alice", Scope(account.id, account.path), frozenset(Permission))
        _, key = make_key(session, maker, NewKey("phone", frozenset({Permission.OWN_READ})), 1)
    head = {"Authorization": f"Bearer {key}"}
    with served(office, replace(SETTINGS, threads=1, streams=2)) as port, ExitStack() as opened:

        def ask(path: str) -> http.client.HTTPResponse:
            connection = opened.enter_context(
                closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10))
            )
            connection.request("GET", f"/api/v1{path}", headers=head)
            return connection.getresponse()

        for _ in range(2):
            stream = ask("/balance/stream")
            assert stream.readline() == b"retry: 2000\n"
        for _ in range(3):
            told = ask("/balance")
            assert (told.status, b'"wallets"' in told.read()) == (200, True)
