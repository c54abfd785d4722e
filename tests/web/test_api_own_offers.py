"""What the key's own account does by itself: offers taken up, keys of its programs, who its users are."""

from collections.abc import Iterator

import pytest

from pbxbill.access.permissions import Permission, Role
from pbxbill.clock import SECOND_US
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_api_quotes import offered


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as opened:
        yield opened
    assert_books_in_order(sqlite_url)


def test_an_account_takes_an_offer_up_or_turns_it_down(installed: Installation) -> None:
    program, bob = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    first, second, third = (offered(installed, program) for _ in range(3))
    assert {x["id"] for x in bob.get("/own/quotes").json["items"]} == {
        x["id"] for x in (first, second, third)
    }
    assert bob.get(f"/own/quotes/{first['id']}").json == first
    accepted = made(bob.post(f"/own/quotes/{first['id']}/acceptance", None))
    assert (accepted["quote"]["state"], accepted["invoice_id"]) == ("accepted", None)
    (draft,) = program.get("/invoices?status=draft&account=bob").json["items"]
    assert draft["total"] == first["total"]
    assert made(bob.post(f"/own/quotes/{first['id']}/acceptance", None)) == accepted
    refused = made(bob.post(f"/own/quotes/{second['id']}/refusal", {"reason": "too dear"}))
    assert refused["state"] == "refused"
    problem(bob.post(f"/own/quotes/{second['id']}/acceptance", None), 409)
    installed.invoicing.clock.advance(20 * 86_400 * SECOND_US)
    problem(bob.post(f"/own/quotes/{third['id']}/acceptance", None), 409)
    assert installed.accounts.select("SELECT actor FROM audit_log WHERE action = 'quote.refuse'") == [
        ("key:key of bob",)
    ]


def test_offers_to_others_are_not_there(installed: Installation) -> None:
    program, alice = installed.program(), installed.program("alice", role=Role.CUSTOMER)
    id = offered(installed, program)["id"]
    assert alice.get("/own/quotes").json["items"] == []
    problem(alice.get(f"/own/quotes/{id}"), 404)
    problem(alice.post(f"/own/quotes/{id}/acceptance", None), 404)
    problem(alice.post(f"/own/quotes/{id}/refusal", {"reason": "x"}), 404)
    # What a reseller offers is for his customer to take up.
    reseller = installed.program(
        "reseller", Permission.OWN_READ, Permission.OWN_WRITE, Permission.INVOICES_WRITE
    )
    theirs = offered(installed, reseller, "alice")["id"]
    problem(reseller.post(f"/own/quotes/{theirs}/acceptance", None), 404)
    assert reseller.get("/own/quotes").json["items"] == []
    reader = installed.program("alice", Permission.OWN_READ)
    problem(reader.post(f"/own/quotes/{theirs}/acceptance", None), 403)


def test_an_account_makes_keys_for_its_own_programs(installed: Installation) -> None:
    bob = installed.program("bob", Permission.OWN_READ, Permission.OWN_WRITE)
    key = made(bob.post("/own/api-keys", {"name": "softphone", "scopes": ["own:read"]}))
    phone = Program(installed.app, key["key"])
    assert phone.get("/me").json["scopes"] == ["own:read"]
    problem(phone.post("/own/api-keys", {"name": "x", "scopes": ["own:read"]}), 403)
    address = f"/own/api-keys/{key['id']}"
    shown = bob.get(address).json
    assert ("key" in shown, shown["by"].startswith("key:key of bob")) == (False, True)
    assert "softphone" in {x["name"] for x in bob.get("/own/api-keys").json["items"]}
    assert fields(bob.post("/own/api-keys", {"name": "x", "scopes": ["own:pay"]})) == ["body.scopes"]
    assert fields(bob.post("/own/api-keys", {"name": "x", "scopes": ["users:write"]})) == ["body.scopes.0"]
    alice = installed.program("alice", role=Role.CUSTOMER)
    problem(alice.get(address), 404)
    problem(alice.ask("DELETE", address), 404)
    assert bob.ask("DELETE", address).status_code == 204
    problem(phone.get("/me"), 401)


def test_users_get_another_name_and_address(installed: Installation) -> None:
    program = installed.program()
    new = {"login": "dora@example.com", "name": "Dora", "role": "finance"}
    address = f"/users/{made(program.post('/users', new))['user_id']}"
    named = {"name": "Theodora", "email": "theodora@example.com"}
    changed = made(program.ask("PATCH", address, json=named), 200)
    assert {x: changed[x] for x in named} == named
    assert (changed["login"], changed["role"]) == ("dora@example.com", "finance")
    assert fields(program.ask("PATCH", address, json={"email": "nobody"})) == ["body.email"]
    assert program.get(address).json == changed
    bob = installed.program("bob", role=Role.CUSTOMER)
    own = f"/own/users/{made(bob.post('/own/users', {'login': 'eve@example.com', 'name': 'Eve'}))['user_id']}"
    assert made(bob.ask("PATCH", own, json={"name": "Eva"}), 200)["name"] == "Eva"
    assert made(bob.ask("PATCH", own, json={"email": "eva@example.com"}), 200)["email"] == "eva@example.com"
    problem(installed.program("reseller", role=Role.RESELLER).ask("PATCH", address, json=named), 404)


def test_a_key_that_ends_leads_no_links_elsewhere(installed: Installation) -> None:
    """By a link that goes to another address somebody would get in, for longer than the key lasts."""
    program = installed.program()
    new = {"login": "dora@example.com", "name": "Dora", "role": "finance"}
    address = f"/users/{made(program.post('/users', new))['user_id']}"
    scopes = [x.value for x in Permission if not x.value.startswith("own:")]
    ending = made(program.post("/api-keys", {"name": "t", "scopes": scopes, "ends": "2099-01-01T00:00:00Z"}))
    holder = Program(installed.app, ending["key"])
    problem(holder.ask("PATCH", address, json={"email": "mallory@example.com"}), 403)
    assert made(holder.ask("PATCH", address, json={"name": "D."}), 200)["email"] == "dora@example.com"
