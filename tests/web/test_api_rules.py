"""Policies, thresholds, settings and who somebody is, by the API."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Permission, Role
from pbxbill.billing.dunning.dunning_written import FIRST_PENALTY, FIRST_POLICY
from pbxbill.billing.life_cycle.life_cycle_written import FIRST_POLICY as FIRST_LIFE
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made

EURO = {"amount": "5.00", "currency": "EUR"}
PNG = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def put(program: Program, path: str, body: Any, status: int = 200) -> Any:
    return made(program.ask("PUT", path, json=body), status)


def patch(program: Program, path: str, body: Any, status: int = 200) -> Any:
    return made(program.ask("PATCH", path, json=body), status)


def test_a_life_cycle_policy_is_written_looked_at_and_paused(installed: Installation) -> None:
    program = installed.program()
    assert fields(program.post("/life-cycle-policies", {"name": "x", "toml": "nonsense = "})) == ["body.toml"]
    policy = made(program.post("/life-cycle-policies", {"name": "x", "toml": FIRST_LIFE, "standard": True}))
    assert (policy["version"], policy["standard"], policy["state"]) == (1, True, "active")
    address = f"/life-cycle-policies/{policy['id']}"
    again = made(program.post("/life-cycle-policies", {"name": "x", "toml": policy["toml"]}))
    assert (again["id"], again["standard"]) == (policy["id"], True)
    assert program.get("/life-cycle-policies").json["items"] == [program.get(address).json]
    assert patch(program, address, {"paused": True})["state"] == "paused"
    assert patch(program, address, {"paused": False, "standard": False})["standard"] is False
    assert made(program.post(f"{address}/release", None))["state"] == "released"
    assert program.get("/life-cycle-preview").json["items"] == []
    problem(installed.program("reseller", role=Role.RESELLER).get(address), 404)


def test_an_account_has_a_life_cycle_of_its_own(installed: Installation) -> None:
    program = installed.program()
    made(program.post("/life-cycle-policies", {"name": "x", "toml": FIRST_LIFE}))
    address = f"/accounts/{installed.id('bob')}/life-cycle"
    assert program.get(address).json["stage"] is None
    life = patch(program, address, {"policy": "x", "valid_to": "2099-12-31"})
    assert (life["policy"], life["own_policy"], life["stage"]) == ("x", True, "active")
    assert life["valid_to"].startswith("2099-12-31") or life["valid_to"].startswith("2100-01-01")
    assert patch(program, address, {"policy": None, "valid_to": None})["valid_to"] is None
    assert fields(program.ask("PATCH", address, json={"policy": "nothing"})) == ["body.policy"]
    assert fields(program.ask("PATCH", address, json={})) == ["body.policy"]
    problem(program.post(f"{address}/revival", {}), 409)
    assert program.get("/life-cycle?q=bob").json["items"][0]["account"] == "bob"
    other = installed.program("reseller", role=Role.RESELLER)
    problem(other.get(address), 404)


def test_dunning_policies_and_penalty_classes_are_read_as_they_were_written(installed: Installation) -> None:
    program = installed.program()
    penalty = made(
        program.post("/penalty-classes", {"name": "late", "toml": FIRST_PENALTY.format(unit="EUR")})
    )
    assert made(program.post("/penalty-classes", {"name": "late", "toml": penalty["toml"]})) == penalty
    assert program.get("/penalty-classes").json["items"] == [penalty]
    assert fields(program.post("/penalty-classes", {"name": "y", "toml": "x"})) == ["body.toml"]
    policy = made(program.post("/dunning-policies", {"name": "usual", "toml": FIRST_POLICY}))
    address = f"/dunning-policies/{policy['id']}"
    whole = patch(program, address, {"standard": True, "groups": ["gold"]})
    assert (whole["standard"], whole["groups"]) == (True, ["gold"])
    other = made(program.post("/dunning-policies", {"name": "other", "toml": whole["toml"]}))
    problem(program.ask("PATCH", f"/dunning-policies/{other['id']}", json={"groups": ["gold"]}), 409)
    bob = f"/accounts/{installed.id('bob')}"
    assert program.get(f"{bob}/dunning-policy").json["policy"] == "usual"
    put(program, f"{bob}/dunning-policy", {"policy": "other"})
    assert put(program, f"{bob}/penalty-class", {"penalty_class": "late"})["penalty_class"] == "late"
    assert fields(program.ask("PUT", f"{bob}/penalty-class", json={"penalty_class": "no"})) == [
        "body.penalty_class"
    ]
    assert program.get(f"{bob}/dunning-policy").json == {
        "policy": "other", "own": True, "penalty_class": "late"
    }  # fmt: skip
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.get(address), 404)
    problem(reseller.get(f"/penalty-classes/{penalty['id']}"), 404)


def test_what_dunning_would_do_and_who_owes_what(installed: Installation) -> None:
    program = installed.program()
    draft = made(program.post(f"/accounts/{installed.id('bob')}/drafts", {"unit": "EUR"}))
    line = {"description": "Visit", "unit_price": "80", "reason": "order"}
    made(program.post(f"/invoices/{draft['id']}/lines", line))
    made(program.post(f"/invoices/{draft['id']}/issue", None))
    aged = program.get("/ageing").json
    assert (aged["total"], aged["items"][0]["account"]) == (1, "bob")
    assert aged["items"][0]["buckets"][0] == {"days": "current", "money": aged["items"][0]["open"]}
    assert program.get("/dunning-preview").json == {"items": [], "total": 0, "held": []}
    address = f"/invoices/{draft['id']}/dunning/lifting"
    problem(program.post(address, {"reason": "a mistake"}), 409)
    problem(installed.program("reseller", role=Role.RESELLER).post(address, {"reason": "x"}), 404)


def test_thresholds_of_all_and_of_one(installed: Installation) -> None:
    program, id = installed.program(), installed.id("bob")
    assert put(program, "/notice-thresholds/EUR", {"amounts": ["2.00", "10.00"]})["items"] == [
        {"amount": "10.00", "currency": "EUR"},
        {"amount": "2.00", "currency": "EUR"},
    ]
    assert program.get("/notice-thresholds").json["items"][0]["unit"] == "EUR"
    (wallet,) = program.get(f"/accounts/{id}/notice-thresholds").json["items"]
    assert (wallet["own"], [x["below"]["amount"] for x in wallet["items"]]) == (False, ["10.00", "2.00"])
    own = put(program, f"/accounts/{id}/notice-thresholds/EUR", {"amounts": ["5"]})
    assert (own["own"], own["items"][0]["below"]) == (True, EURO)
    bob = installed.program("bob", role=Role.CUSTOMER)
    assert bob.get("/own/notice-thresholds").json["items"] == [own]
    assert put(bob, "/own/notice-thresholds/EUR", {"amounts": []})["own"] is False
    problem(bob.ask("PUT", "/own/notice-thresholds/USD", json={"amounts": []}), 404)
    assert fields(program.ask("PUT", "/notice-thresholds/EUR", json={"amounts": ["-5"]})) == ["body.amounts"]
    assert program.get("/limits").json["items"] == []
    assert program.get("/held-countries").json["items"] == []


def test_units_rates_and_calendars_are_the_operators(installed: Installation) -> None:
    program = installed.program()
    assert made(program.post("/units", {"code": "SEK", "kind": "currency", "name": "Krona"}))["digits"] == 2
    problem(program.post("/units", {"code": "SEK", "kind": "currency"}), 409)
    assert patch(program, "/units/SEK", {"symbol": "kr"})["symbol"] == "kr"
    problem(program.get("/units/XYZ"), 404)
    rate = {"from_unit": "EUR", "to_unit": "SEK", "rate": "11.25", "since": "2030-01-01T00:00:00Z"}
    told = made(program.post("/exchange-rates", rate))
    assert (told["rate"], told["effective_from"]) == ("11.25", "2030-01-01T00:00:00.000000Z")
    problem(program.post("/exchange-rates", rate), 409)
    assert fields(program.post("/exchange-rates", rate | {"to_unit": "ZZZ"})) == ["body.to_unit"]
    assert program.get(f"/exchange-rates/{told['id']}").json == told
    toml = 'zone = "Europe/Berlin"\n[[band]]\nname = "day"\nweekdays = "Mon-Fri"\nhours = "08:00-18:00"\n'
    calendar = made(program.post("/calendars", {"name": "office", "toml": toml}))
    assert (calendar["version"], calendar["zone"]) == (1, "Europe/Berlin")
    assert program.get(f"/calendars/{calendar['id']}").json == calendar
    assert fields(program.post("/calendars", {"name": "office", "toml": "zone = 5"})) == ["body.toml"]
    assert "tables" in program.get("/configuration").json
    reseller = installed.program("reseller", role=Role.RESELLER)
    assert reseller.get("/units").status_code == 200
    for answer in (reseller.get("/configuration"), reseller.post("/exchange-rates", rate)):
        problem(answer, 403)


def test_a_company_its_numbers_and_how_it_looks(installed: Installation) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    address = patch(reseller, "/company/address", {"legal_name": "Reseller Ltd", "city": "Paris"})
    assert (address["legal_name"], address["missing"]) == ("Reseller Ltd", ["street", "country"])
    terms = patch(reseller, "/company/terms", {"payment_days": 30, "support_numbers": ["4930123456"]})
    assert (terms["payment_days"], terms["support_numbers"]) == (30, ["4930123456"])
    layout = {"prefix": "I-{year}-", "padding": 4}
    assert put(reseller, "/company/numbers/invoice", layout)["padding"] == 4
    assert fields(reseller.ask("PUT", "/company/numbers/invoice", json={"prefix": "R"})) == ["body.prefix"]
    begun = made(reseller.post("/company/numbers/invoice/beginning", {"count": 77}))
    assert begun["number"].endswith("-0077")
    company = reseller.get("/company").json
    assert (company["address"], company["terms"]) == (address, terms)
    assert installed.program().get("/company").json["terms"]["payment_days"] != 30
    brand = put(reseller, "/brand", {"name": "Rings", "colour": "#1d5fa8"})
    assert (brand["name"], brand["logo"]) == ("Rings", False)
    assert fields(reseller.ask("PUT", "/brand", json={"colour": "#ffff00"})) == ["body.colour"]
    problem(reseller.get("/brand/logo"), 409)
    assert put(reseller, "/brand/logo", {"content": PNG})["logo"] is True
    assert reseller.get("/brand/logo").data.startswith(b"\x89PNG")
    assert fields(reseller.ask("PUT", "/brand/logo", json={"content": "aGFsbG8="})) == ["body.content"]
    assert reseller.ask("DELETE", "/brand/logo").status_code == 204
    assert reseller.get("/brand").json == brand


def test_accounts_have_an_address_and_a_way_to_be_billed(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    address = patch(program, f"{bob}/address", {"street": "Main Street 1", "city": "Cork", "country": "IE"})
    assert (address["missing"], address["country"]) == ([], "IE")
    problem(program.ask("PATCH", f"{bob}/address", json={"country": "XX"}), 422)
    change = {
        "invoicing": "issue", "cycle": "quarter", "anchor": "2026-01-15", "formats": ["pdf", "csv"],
        "emails": ["books@example.com"], "payment_days": 7, "minimum_total": EURO, "group_name": "gold",
    }  # fmt: skip
    profile = patch(program, f"{bob}/billing-profile", change)
    assert {key: profile[key] for key in change} == change
    assert patch(program, f"{bob}/billing-profile", {"payment_days": None})["payment_days"] is None
    answer = program.ask("PATCH", f"{bob}/billing-profile", json={"template": "none such"})
    assert fields(answer) == ["body.template"]
    own = installed.program("bob", role=Role.CUSTOMER)
    details = patch(own, "/own/details", {"phone": "+353 21 1", "language": "fr"})
    assert (details["phone"], details["language"], details["city"]) == ("+353 21 1", "fr", "Cork")
    assert fields(own.ask("PATCH", "/own/details", json={"country": "FR"})) == ["body.country"]
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.get(f"{bob}/address"), 404)
    problem(reseller.get(f"{bob}/billing-profile"), 404)


def test_a_limited_key_may_not_what_others_may(installed: Installation) -> None:
    modest = installed.program("operator", Permission.SETTINGS_READ)
    problem(modest.post("/units", {"code": "SEK", "kind": "currency"}), 403)
    problem(modest.get("/life-cycle-policies"), 403)
