"""Subscriptions, requests and charges by the API; users and keys."""

from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Permission, Role
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made

LINE = {"unit": "EUR", "charge": [{"name": "Line", "price": "9.90"}], "collection": "invoice"}
EURO = {"amount": "5.00", "currency": "EUR"}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def subscribed(installed: Installation, program: Program, code: str = "bob") -> Any:
    made(program.post("/plans", {"name": "line", "terms": LINE}))
    dearer = LINE | {"charge": [{"name": "Line", "price": "19.90"}]}
    made(program.post("/plans", {"name": "better", "terms": dearer}))
    return made(program.post(f"/accounts/{installed.id(code)}/subscriptions", {"plan": "line"}))


def test_a_subscription_begins_changes_and_ends(installed: Installation) -> None:
    program = installed.program()
    done = subscribed(installed, program)
    assert (done["subscription"]["state"], len(done["charge_ids"])) == ("active", 1)
    address = f"/subscriptions/{done['subscription']['id']}"
    changed = made(program.ask("PATCH", address, json={"plan": "better", "quantity": 2}), 200)
    assert (changed["subscription"]["plan"], changed["subscription"]["quantity"]) == ("better", 2)
    assert fields(program.ask("PATCH", address, json={"plan": "nothing"})) == ["body.plan"]
    problem(program.ask("PATCH", address, json={}), 422)
    assert made(program.post(f"{address}/pause", {}))["subscription"]["state"] == "paused"
    problem(program.post(f"{address}/pause", {}), 409)
    assert made(program.post(f"{address}/resumption", {}))["subscription"]["state"] == "active"
    later = made(program.post(f"{address}/cancellation", {"when": "cycle_end", "reason": "moves"}))
    planned = [x for x in later["subscription"]["changes"] if x["state"] == "planned"]
    assert later["subscription"]["ends"] is not None
    withdrawn = program.ask("DELETE", f"{address}/changes/{planned[0]['id']}")
    assert withdrawn.status_code == 204
    assert program.get(address).json["ends"] is None
    assert program.get("/subscriptions?account=bob&state=active").json["items"][0]["plan"] == "better"


def test_a_customer_asks_and_somebody_decides(installed: Installation) -> None:
    program = installed.program()
    id = subscribed(installed, program)["subscription"]["id"]
    bob = installed.program("bob", role=Role.CUSTOMER)
    asked = made(bob.post(f"/own/subscriptions/{id}/requests", {"plan": "better", "reason": "more"}))
    assert asked["state"] == "requested"
    problem(bob.post(f"/own/subscriptions/{id}/requests", {}), 422)
    problem(bob.post(f"/subscription-requests/{asked['id']}/acceptance", {}), 403)
    assert program.get("/subscription-requests").json["items"][0]["wanted"] == "better"
    accepted = made(program.post(f"/subscription-requests/{asked['id']}/acceptance", {}))
    assert accepted["subscription"]["plan"] == "better"
    problem(program.post(f"/subscription-requests/{asked['id']}/acceptance", {}), 409)
    second = made(bob.post(f"/own/subscriptions/{id}/requests", {"cancel": True}))
    refused = made(program.post(f"/subscription-requests/{second['id']}/refusal", {"reason": "bound"}))
    assert (refused["state"], refused["decided_by"]) == ("refused", "key:key of operator")
    shown = bob.get(f"/own/subscriptions/{id}").json["changes"]
    assert {x["by"] for x in shown if x["id"] == second["id"]} == {asked["by"]}
    assert [x["decided_by"] for x in shown if x["id"] == second["id"]] == [""]
    third = made(bob.post(f"/own/subscriptions/{id}/requests", {"quantity": 3}))
    assert bob.ask("DELETE", f"/own/subscription-requests/{third['id']}").status_code == 204
    other = installed.program("alice", role=Role.CUSTOMER)
    problem(other.get(f"/own/subscriptions/{id}"), 404)
    problem(other.ask("DELETE", f"/own/subscription-requests/{second['id']}"), 404)


def test_a_charge_is_made_and_withdrawn(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}/charges"
    new = {"description": "Visit", "unit_price": EURO, "quantity": "1.5", "reason": "order 12"}
    charge = made(program.post(bob, new, key="visit"))
    assert charge["net"] == {"amount": "7.50", "currency": "EUR"}
    assert program.post(bob, new, key="visit").json == charge
    assert program.get("/charges?account=bob").json["items"] == [charge]
    address = f"/charges/{charge['id']}/withdrawal"
    made(program.post(address, {"reason": "a mistake"}))
    problem(program.post(address, {"reason": "again"}), 409)
    assert fields(program.post(bob, new | {"unit_price": {"amount": "0", "currency": "EUR"}})) == [
        "body.unit_price.amount"
    ]
    problem(program.post(bob, new | {"collection": "wallet", "unit_price": EURO | {"amount": "900"}}), 422)


def test_only_who_bills_an_account_sells_to_it(installed: Installation) -> None:
    """A reseller sees customers of a reseller below him; what they buy and owe is not his matter."""
    program = installed.program()
    lower = {"code": "lower", "unit": "EUR", "kind": "reseller", "reseller": "reseller", "mode": "postpaid"}
    made(program.post("/accounts", lower))
    deep = made(program.post("/accounts", {"code": "deep", "unit": "EUR", "reseller": "lower"}))
    address = f"/accounts/{deep['id']}"
    seller = installed.program("lower", role=Role.RESELLER)
    made(seller.post("/plans", {"name": "line", "terms": LINE}))
    subscription = made(seller.post(f"{address}/subscriptions", {"plan": "line"}))["subscription"]
    new = {"description": "Visit", "unit_price": EURO, "quantity": "1", "reason": "order 12"}
    charge = made(seller.post(f"{address}/charges", new))
    upper = installed.program("reseller", role=Role.RESELLER)
    assert upper.get(address).json["code"] == "deep"
    problem(upper.post(f"{address}/subscriptions", {"plan": "line"}), 403)
    its = f"/subscriptions/{subscription['id']}"
    problem(upper.ask("PATCH", its, json={"quantity": 2}), 403)
    problem(upper.post(f"{its}/pause", {}), 403)
    problem(upper.post(f"{its}/cancellation", {"when": "cycle_end", "reason": "his"}), 403)
    problem(upper.post(f"{its}/forecast", {"quantity": 2}), 403)
    problem(upper.post(f"/charges/{charge['id']}/withdrawal", {"reason": "his"}), 403)
    problem(upper.ask("PUT", f"{address}/penalty-class", json={"penalty_class": None}), 403)
    made(seller.post(f"/charges/{charge['id']}/withdrawal", {"reason": "a mistake"}))


def test_users_are_let_in_by_a_link(installed: Installation) -> None:
    program = installed.program()
    new = {"login": "dora@example.com", "name": "Dora", "role": "finance"}
    link = made(program.post("/users", new))
    assert "/link/" in link["url"]
    problem(program.post("/users", new), 409)
    address = f"/users/{link['user_id']}"
    assert program.get(address).json["role"] == "finance"
    assert made(program.ask("PATCH", address, json={"role": "support"}), 200)["role"] == "support"
    assert made(program.ask("PATCH", address, json={"active": False}), 200)["state"] == "disabled"
    assert made(program.post(f"{address}/link", None))["user_id"] == link["user_id"]
    assert program.ask("DELETE", f"{address}/factors").status_code == 204
    modest = installed.program("operator", Permission.USERS_WRITE, Permission.USERS_READ)
    problem(modest.post("/users", new | {"login": "eve@example.com", "role": "admin"}), 403)
    problem(installed.program("reseller", role=Role.RESELLER).get(address), 404)
    assert program.get("/audit-log?action=user.add").json["items"][0]["subject"] == "dora@example.com"


def test_a_key_makes_keys_that_may_no_more_than_itself(installed: Installation) -> None:
    program = installed.program("operator", Permission.USERS_WRITE, Permission.USERS_READ)
    key = made(program.post("/api-keys", {"name": "reader", "scopes": ["users:read"]}))
    reader = Program(installed.app, key["key"])
    assert reader.get("/me").json["scopes"] == ["users:read"]
    assert "key" not in program.get(f"/api-keys/{key['id']}").json
    assert fields(program.post("/api-keys", {"name": "x", "scopes": ["accounts:read"]})) == ["body.scopes"]
    assert program.ask("DELETE", f"/api-keys/{key['id']}").status_code == 204
    problem(reader.get("/me"), 401)
    problem(installed.program("reseller", role=Role.RESELLER).get(f"/api-keys/{key['id']}"), 404)
