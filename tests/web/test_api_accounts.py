"""Accounts, wallets, balances and money by the API."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Permission, Role
from pbxbill.charging.events import Settle
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK
from tests.web.programs import BASE, Installation, installation
from tests.web.test_api import fields, problem
from tests.web.test_schemathesis import served


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def euro(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def test_an_account_is_opened_and_changed(installed: Installation) -> None:
    program = installed.program()
    new = {
        "code": "dora",
        "name": "Dora Ltd",
        "unit": "EUR",
        "tariff": "plain",
        "credit_limit": "20",
        "endpoints": [{"kind": "sip", "value": "3001"}],
    }
    opened = program.post("/accounts", new)
    assert opened.status_code == 201, opened.text
    dora = opened.json
    assert (dora["status"], dora["tariff"], dora["reseller"]) == ("active", "plain", None)
    assert dora["wallets"][0]["available"] == euro("20.00")
    assert dora["endpoints"][0]["value"] == "3001"
    address = f"/accounts/{dora['id']}"
    changed = program.ask("PATCH", address, json={"name": "Dora Inc", "minimum_balance": "1.50"})
    assert changed.json["name"] == "Dora Inc"
    assert changed.json["minimum_balance"] == euro("1.50")
    assert changed.json["tariff"] == "plain"
    assert program.ask("PATCH", address, json={"minimum_balance": None}).json["minimum_balance"] is None
    problem(program.post("/accounts", new), 409)


def test_what_else_is_said_of_an_account(installed: Installation) -> None:
    program = installed.program()
    made = program.post("/accounts", {
        "code": "dora", "unit": "EUR", "tariff": "plain", "opened": "2025-12-01", "mode": "postpaid",
        "failure_policy": "open", "offline_allowance": "3", "shadow": True, "announce_warning": False,
    })  # fmt: skip
    assert made.status_code == 201, made.text
    dora = made.json
    assert (dora["opened"][:10], dora["failure_policy"], dora["shadow"]) == ("2025-12-01", "open", True)
    assert (dora["offline_allowance"], dora["announce_warning"]) == (euro("3.00"), False)
    address = f"/accounts/{dora['id']}"
    assert fields(program.ask("PATCH", address, json={"wallet_order": ["EUR", "USD"]})) == [
        "body.wallet_order"
    ]
    change = {
        "wallet_order": ["EUR"], "announce_warning": None, "announce_balance": True, "shadow": False,
        "failure_policy": "closed", "offline_allowance": "0",
    }  # fmt: skip
    changed = program.ask("PATCH", address, json=change).json
    assert {x: changed[x] for x in change} == change | {"offline_allowance": euro("0.00")}
    assert program.ask("PATCH", address, json={"wallet_order": []}).json["wallet_order"] == []
    new = {"code": "eve", "unit": "EUR"}
    assert fields(program.post("/accounts", new | {"opened": "2199-01-01"})) == ["body.opened"]
    assert fields(program.post("/accounts", new | {"wallet_order": ["XXX"]})) == ["body.wallet_order"]
    assert fields(program.post("/accounts", new | {"offline_allowance": "-1"})) == ["body.offline_allowance"]


def test_who_lets_unauthorized_calls_pass_is_the_operator(installed: Installation) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    alice = f"/accounts/{installed.id('alice')}"
    for terms in ({"shadow": True}, {"failure_policy": "open"}, {"offline_allowance": "5"}):
        problem(reseller.ask("PATCH", alice, json=terms), 403)
        problem(reseller.post("/accounts", {"code": "eve", "unit": "EUR"} | terms), 403)
    assert reseller.ask("PATCH", alice, json={"announce_denial": False}).json["announce_denial"] is False


def test_what_an_account_cannot_be(installed: Installation) -> None:
    program = installed.program()
    new = {"code": "dora", "unit": "EUR"}
    assert fields(program.post("/accounts", new | {"code": "do ra"})) == ["body.code"]
    assert fields(program.post("/accounts", new | {"unit": "GBP"})) == ["body.unit"]
    assert fields(program.post("/accounts", new | {"tariff": "nothing"})) == ["body.tariff"]
    assert fields(program.post("/accounts", new | {"reseller": "bob"})) == ["body.reseller"]
    assert fields(program.post("/accounts", new | {"credit_limit": "-1"})) == ["body.credit_limit"]
    assert fields(program.post("/accounts", {"code": "dora"})) == ["body.unit"]
    taken = problem(program.post("/accounts", new | {"endpoints": [{"kind": "sip", "value": "bob"}]}), 422)
    assert "identifies another account already" in taken["detail"]
    assert "pbxbill" not in str(taken)
    assert fields(program.ask("PATCH", f"/accounts/{installed.id('bob')}", json={"tariff": None})) == [
        "body.tariff"
    ]


def test_the_second_editor_is_told(installed: Installation) -> None:
    program, address = installed.program(), f"/accounts/{installed.id('bob')}"
    read = program.get(address).headers["ETag"]
    first = program.ask("PATCH", address, json={"name": "Robert"}, headers={"If-Match": read})
    assert first.status_code == 200
    second = program.ask("PATCH", address, json={"name": "Rob"}, headers={"If-Match": read})
    problem(second, 412)
    assert second.headers["ETag"] == first.headers["ETag"] == program.get(address).headers["ETag"]
    assert program.get(address).json["name"] == "Robert"
    # What moves by itself is no edit.
    program.post(f"{address}/top-ups", {"money": euro("1"), "receipt": False})
    assert program.get(address).headers["ETag"] == first.headers["ETag"]


def test_a_reseller_opens_accounts_below_himself(installed: Installation) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    opened = reseller.post("/accounts", {"code": "dora", "unit": "EUR"})
    assert opened.json["reseller"] == "reseller"
    elsewhere = {"code": "eve", "unit": "EUR", "reseller": "bob"}
    assert fields(reseller.post("/accounts", elsewhere)) == ["body.reseller"]
    assert {x["code"] for x in reseller.get("/accounts").json["items"]} == {"alice", "dora"}


def test_an_account_is_suspended_and_resumed(installed: Installation) -> None:
    program, address = installed.program(), f"/accounts/{installed.id('bob')}"
    suspended = program.post(f"{address}/suspension", {"reason": "it was stolen", "cut": True})
    assert (suspended.status_code, suspended.json["status"]) == (201, "suspended")
    assert suspended.json["barred_by"][0]["reason"] == "it was stolen"
    assert program.get("/accounts?status=suspended").json["items"][0]["code"] == "bob"
    assert program.ask("DELETE", f"{address}/suspension").status_code == 204
    assert program.get(address).json["status"] == "active"
    problem(program.ask("DELETE", f"{address}/suspension"), 409)


def test_wallets_and_their_credit_limits(installed: Installation) -> None:
    program, address = installed.program(), f"/accounts/{installed.id('bob')}/wallets"
    limit = f"{address}/EUR/credit-limit"
    assert program.ask("PUT", limit, json={"credit_limit": "50"}).json["available"] == euro("50.00")
    assert program.get(f"{address}/EUR").json["credit_limit"] == euro("50.00")
    assert [x["unit"] for x in program.get(address).json["items"]] == ["EUR"]
    problem(program.get(f"{address}/GBP"), 404)
    problem(program.ask("PUT", limit, json={"credit_limit": "-1"}), 422)
    with installed.accounts.engine() as engine:
        granted = installed.accounts.call(engine, "bob")
        problem(program.ask("PUT", limit, json={"credit_limit": "0"}), 409)
        engine.execute(Settle(granted.session_id, None, CLOCK.now_us(), 16))


def test_an_accounts_balance_with_its_live_calls(installed: Installation) -> None:
    program = installed.program("alice", Permission.OWN_READ)
    installed.accounts.top_up("alice", "5")
    told = program.get("/balance").json
    assert told["account"] == "alice"
    (wallet,) = told["wallets"]
    assert (wallet["posted"], wallet["live"], told["talking"]) == (euro("5.00"), euro("5.00"), 0)
    problem(program.get("/accounts"), 403)


def test_the_balance_is_streamed(installed: Installation) -> None:
    program = installed.program("alice", Permission.OWN_READ)
    answer = program.get("/balance/stream")
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    events = answer.response
    first, second = next(iter(events)), next(iter(events))
    assert first == b"retry: 2000\n\n"
    assert b"\nevent: balance\ndata: {" in second
    answer.close()


def test_there_are_few_streams(installed: Installation) -> None:
    program = installed.program("alice", Permission.OWN_READ)
    opened = [program.get("/balance/stream") for _ in range(4)]
    assert [x.status_code for x in opened] == [200] * 4
    refused = program.get("/balance/stream")
    problem(refused, 503)
    assert refused.headers["Retry-After"] == "10"
    opened[0].close()
    again = program.get("/balance/stream")
    assert again.status_code == 200
    for answer in (*opened, again):
        answer.close()


def test_a_stream_tells_what_changes_as_it_does(installed: Installation) -> None:
    program = installed.program("bob", Permission.OWN_READ)
    with served(installed.app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(
            "GET", f"{BASE}/balance/stream", headers={"Authorization": f"Bearer {program.key}"}
        )
        stream = connection.getresponse()

        def told() -> Any:
            while not (line := stream.readline()).startswith(b"data: "):
                assert line, "the stream ended"
            return json.loads(line.removeprefix(b"data: "))["wallets"][0]["posted"]

        assert told() == euro("0.00")
        installed.accounts.top_up("bob", "7")
        assert told() == euro("7.00")
        connection.close()


def test_a_live_call_is_asked_to_end(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    installed.accounts.top_up("bob", "5")
    with installed.accounts.engine() as engine:
        session_id = installed.accounts.call(engine, "bob").session_id
        address = f"/live-calls/{session_id}/hang-up"
        assert [x["id"] for x in program.get("/live-calls").json["items"]] == [session_id]
        assert program.get(f"/live-calls/{session_id}").json["id"] == session_id
        problem(reseller.get(f"/live-calls/{session_id}"), 404)
        problem(program.get(address), 404)
        problem(reseller.post(address, {}), 404)
        asked = program.post(address, {"note": "a fraud"})
        assert (asked.status_code, asked.json["state"], asked.json["note"]) == (202, "asked", "a fraud")
        assert program.get(address).json == asked.json
        engine.execute(Settle(session_id, None, CLOCK.now_us(), 16))
    problem(program.post(address, {}), 409)


def test_money_that_came_in_is_entered(installed: Installation) -> None:
    program, bob = installed.program(), installed.id("bob")
    paid = program.post(
        f"/accounts/{bob}/payments", {"money": euro("12.50"), "method": "bank", "receipt": False}
    )
    assert paid.status_code == 201, paid.text
    assert (paid.json["invoices"], paid.json["to_wallet"]) == ([], euro("12.50"))
    topped = program.post(f"/accounts/{bob}/top-ups", {"money": euro("2"), "method": "cash"})
    assert topped.status_code == 201, topped.text
    listed = program.get(f"/accounts/{bob}/wallets/EUR/payments?size=1").json
    assert [(x["kind"], x["received"]) for x in listed["items"]] == [("top-up", euro("2.00"))]
    older = program.get(listed["next"]).json
    assert [(x["kind"], x["received"]) for x in older["items"]] == [("payment", euro("12.50"))]
    assert older["next"] is None
    assert installed.accounts.wallet("bob")[0] == eur("14.50")
    others = program.post(
        f"/accounts/{bob}/payments", {"money": euro("1"), "method": "bank", "invoice_ids": [99]}
    )
    assert fields(others) == ["body.invoice_ids.0"]
