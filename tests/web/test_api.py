"""The API as a program meets it: keys, problems, pages, idempotency, limits."""

import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from sqlalchemy import text

from pbxbill.access.idempotent_requests import KEPT_S, forget_requests
from pbxbill.access.permissions import Permission, Role
from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import IdempotentRequestRow
from pbxbill.store.engine import transaction
from pbxbill.web.allowance import WINDOW_S
from pbxbill.web.api.api import MAX_BODY_BYTES
from pbxbill.web.api.idempotency import ABANDONED_S
from pbxbill.web.rules import WebRules
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.web.programs import BASE, Installation, Program, installation

CASH = {"money": {"amount": "5.00", "currency": "EUR"}, "method": "cash", "receipt": False}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


@pytest.fixture
def installed_on_each(database_url: str) -> Iterator[Installation]:
    with installation(database_url) as made:
        yield made
    assert_books_in_order(database_url)


def problem(answer: Any, status: int) -> Any:
    """The problem of an answer, whose form is that of RFC 9457."""
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), answer.text
    told = answer.json
    assert told["status"] == status
    assert told["type"] == "about:blank"
    assert told["title"] == HTTPStatus(status).phrase
    return told


def fields(answer: Any) -> list[str]:
    """Which fields are wrong."""
    return [x["field"] for x in problem(answer, 422)["errors"]]


def test_a_key_says_who_asks(installed: Installation) -> None:
    told = installed.program("alice", Permission.OWN_READ).get("/me").json
    assert told["account"] == "alice"
    assert told["own_only"] is True
    assert told["scopes"] == ["own:read"]


def test_without_a_key_that_is_in_force_there_is_nothing(installed: Installation) -> None:
    client = installed.app.test_client()
    for headers in ({}, {"Authorization": "Bearer pbx_nobody"}, {"Authorization": "Basic eDp5"}):
        refused = client.get(f"{BASE}/accounts", headers=headers)
        problem(refused, 401)
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert client.get(f"{BASE}/health").json == {"status": "ok"}


def test_an_address_is_wrong_for_so_many_times_a_minute(sqlite_url: str) -> None:
    with installation(sqlite_url, WebRules(wrong_keys_per_min=3)) as installed:
        used, late = installed.program(), installed.program()
        assert used.get("/me").status_code == 200
        wrong = Program(installed.app, "pbx_nobody")
        assert [wrong.get("/me").status_code for _ in range(4)] == [401, 401, 401, 429]
        refused = wrong.get("/accounts")
        problem(refused, 429)
        assert 0 < int(refused.headers["Retry-After"]) <= WINDOW_S
        # Another program behind the same address goes on; one that nobody saw yet waits for the minute.
        assert used.get("/me").status_code == 200
        problem(late.get("/me"), 429)
        installed.invoicing.clock.advance(WINDOW_S * SECOND_US)
        assert late.get("/me").status_code == 200
        problem(wrong.get("/me"), 401)


def test_a_key_may_what_its_scopes_say(installed: Installation) -> None:
    reader = installed.program("operator", Permission.ACCOUNTS_READ)
    assert reader.get("/accounts").status_code == 200
    problem(reader.get("/invoices"), 403)
    problem(reader.post(f"/accounts/{installed.id('bob')}/top-ups", CASH), 403)


def test_what_others_have_is_not_there(installed: Installation) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    alice, bob = installed.id("alice"), installed.id("bob")
    assert [x["code"] for x in reseller.get("/accounts").json["items"]] == ["alice"]
    assert reseller.get(f"/accounts/{alice}").json["code"] == "alice"
    unknown = problem(reseller.get("/accounts/999999"), 404)
    assert problem(reseller.get(f"/accounts/{bob}"), 404) == unknown
    assert problem(reseller.post(f"/accounts/{bob}/top-ups", CASH), 404) == unknown
    problem(reseller.get(f"/accounts/{2**70}"), 404)
    problem(reseller.get("/nothing"), 404)


def test_what_is_not_known_is_refused_by_its_name(installed: Installation) -> None:
    program, bob = installed.program(), installed.id("bob")
    assert fields(program.get("/accounts?colour=red")) == ["query.colour"]
    assert fields(program.get("/accounts?size=0")) == ["query.size"]
    assert fields(program.get("/accounts?size=1&size=2")) == ["query.size"]
    assert fields(program.get("/accounts?status=asleep")) == ["query.status"]
    assert fields(program.get("/accounts?order=colour")) == ["query.order"]
    assert fields(program.get("/accounts?after=%00")) == ["query.after"]
    assert fields(program.get("/accounts?after=abc")) == ["query.after"]
    assert fields(program.get("/calls?from=2026-02-30")) == ["query.from"]
    assert fields(program.get("/me?x=1")) == ["query.x"]
    address = f"/accounts/{bob}/top-ups"
    assert fields(program.post(address, CASH | {"colour": "red"})) == ["body.colour"]
    assert fields(program.post(address, {"money": {"amount": "5,00", "currency": "EUR"}})) == [
        "body.money.amount"
    ]
    assert fields(program.post(address, {"money": {"amount": 5.0, "currency": "EUR"}})) == [
        "body.money.amount"
    ]
    assert fields(program.post(address, {"money": {"amount": "0", "currency": "EUR"}})) == [
        "body.money.amount"
    ]
    assert fields(program.post(address, {"money": {"amount": "5", "currency": "GBP"}})) == ["body.money"]
    assert fields(program.post(address, CASH | {"method": "a\nb"})) == ["body.method"]


def test_bodies_that_are_none(installed: Installation) -> None:
    program, address = installed.program(), f"/accounts/{installed.id('bob')}/top-ups"

    def sent(data: bytes, mimetype: str = "application/json", key: str = "k") -> Any:
        headers = {"Idempotency-Key": key, "Content-Type": mimetype}
        return program.ask("POST", address, data=data, headers=headers)

    problem(sent(b'{"money":'), 400)
    problem(sent(b""), 400)
    assert fields(sent(b'"{}"')) == ["body"]
    assert fields(sent(b"[]")) == ["body"]
    problem(sent(b'{"money": NaN}'), 422)
    problem(sent(b"[" * 100_000), 400)
    problem(sent(b"money=5", "application/x-www-form-urlencoded"), 415)
    problem(sent(b" " * (MAX_BODY_BYTES + 1)), 413)
    problem(program.ask("POST", address, json=CASH), 400)  # without a key
    problem(program.ask("POST", address, json=CASH, headers={"Idempotency-Key": "a b"}), 400)
    assert installed.accounts.wallet("bob")[0] == 0


def test_methods(installed: Installation) -> None:
    program = installed.program()
    refused = program.ask("DELETE", "/calls")
    problem(refused, 405)
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert program.ask("HEAD", "/accounts").status_code == 200
    assert "GET" in program.ask("OPTIONS", "/accounts").headers["Allow"]


def test_pages_follow_each_other_there_and_back(installed: Installation) -> None:
    program = installed.program()
    first = program.get("/accounts?size=2&kind=customer").json
    assert [x["code"] for x in first["items"]] == ["alice", "bob"]
    assert first["previous"] is None
    second = program.get(first["next"]).json
    assert [x["code"] for x in second["items"]] == ["carol", "hot"]
    assert second["next"] is None
    assert program.get(second["previous"]).json["items"] == first["items"]


def test_a_write_is_done_once(installed_on_each: Installation) -> None:
    installed = installed_on_each
    program, bob = installed.program(), installed.id("bob")
    address = f"/accounts/{bob}/top-ups"
    first = program.post(address, CASH, key="payment-1")
    assert first.status_code == 201
    assert first.json["posted"] == {"amount": "5.00", "currency": "EUR"}
    program.post(address, CASH, key="payment-2")
    again = program.post(address, CASH, key="payment-1")
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    problem(program.post(address, CASH | {"method": "bank"}, key="payment-1"), 422)
    problem(program.post(f"/accounts/{installed.id('hot')}/top-ups", CASH, key="payment-1"), 422)
    # Another key of the API has names of its own.
    assert installed.program().post(address, CASH, key="payment-1").json["posted"]["amount"] == "15.00"
    assert installed.accounts.wallet("bob")[0] == eur("15")


def test_what_is_refused_may_come_again_with_the_same_key(installed: Installation) -> None:
    program, address = installed.program(), f"/accounts/{installed.id('bob')}/top-ups"
    problem(program.post(address, CASH | {"method": "x" * 99}, key="a"), 422)
    assert program.post(address, CASH, key="a").status_code == 201


def test_a_request_that_is_being_worked_on_is_waited_for(installed_on_each: Installation) -> None:
    installed = installed_on_each
    program, address = installed.program(), f"/accounts/{installed.id('bob')}/top-ups"
    assert program.post(address, CASH, key="a").status_code == 201
    # As if whoever worked on it had died before his transaction was durable.
    with transaction(installed.invoicing.database) as session:
        session.query(IdempotentRequestRow).update({"status": 0, "body": ""})
    waits = program.post(address, CASH, key="a")
    problem(waits, 409)
    assert waits.headers["Retry-After"] == "2"
    installed.invoicing.clock.step(ABANDONED_S * SECOND_US)
    # The money has a key of its own: it does not move twice.
    assert program.post(address, CASH, key="a").status_code == 201
    assert installed.accounts.wallet("bob")[0] == eur("5")


def test_the_same_write_at_the_same_moment(installed_on_each: Installation) -> None:
    installed = installed_on_each
    program, address = installed.program(), f"/accounts/{installed.id('bob')}/top-ups"
    ready, answers = threading.Barrier(4), []

    def send() -> None:
        ready.wait(10)
        answers.append(program.post(address, CASH, key="a"))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {x.status_code for x in answers} <= {201, 409}
    assert any(x.status_code == 201 for x in answers)
    assert installed.accounts.wallet("bob")[0] == eur("5")


def test_answers_are_forgotten_after_two_days(installed_on_each: Installation) -> None:
    installed = installed_on_each
    program, address = installed.program(), f"/accounts/{installed.id('bob')}/top-ups"
    first = program.post(address, CASH, key="a")
    program.post(address, CASH, key="b")
    clock = installed.invoicing.clock

    def forget() -> int:
        with transaction(installed.invoicing.database) as session:
            return forget_requests(session, clock.now_us(), most=1)

    assert forget() == 0
    clock.step((KEPT_S + 1) * SECOND_US)
    assert [forget(), forget(), forget()] == [1, 1, 0]
    # The ledger remembers the payment for ever.
    again = program.post(address, CASH, key="a")
    assert again.json["entry"] == first.json["entry"]
    assert installed.accounts.wallet("bob")[0] == eur("10")


def test_a_key_asks_as_often_as_it_may(installed: Installation) -> None:
    program = installed.program(per_minute=2)
    assert program.get("/me").headers["RateLimit"] == '"key";r=1;t=60'
    assert program.get("/me").headers["RateLimit-Policy"] == '"key";q=2;w=60'
    refused = program.get("/me")
    problem(refused, 429)
    assert refused.headers["Retry-After"] == "60"
    installed.invoicing.clock.advance(60 * SECOND_US)
    assert program.get("/me").status_code == 200


def test_a_database_that_is_away_is_told(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    program = installed.program()
    with transaction(installed.invoicing.database) as session:
        session.execute(text("ALTER TABLE wallets RENAME TO walets"))
    away = program.get("/accounts")
    problem(away, 503)
    assert away.headers["Retry-After"] == "30"
    with transaction(installed.invoicing.database) as session:
        session.execute(text("ALTER TABLE walets RENAME TO wallets"))


def test_the_audit_log_names_the_key(installed: Installation) -> None:
    program, bob = installed.program(), installed.id("bob")
    program.post(f"/accounts/{bob}/top-ups", CASH)
    rows = installed.accounts.select("SELECT actor, action, subject, account_id, api_key_id FROM audit_log")
    assert rows[-1][:4] == ("key:key of operator", "top_up.enter", "bob", bob)
    assert rows[-1][4] is not None
