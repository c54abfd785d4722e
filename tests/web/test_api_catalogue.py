"""The catalogue by the API: plans, rates, tariffs, destinations, bundles, numbers, carriers, limits."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Role
from pbxbill.clock import SECOND_US
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem

SHEET = b"prefix,destination,price\n49,Germany,0.05\n33,France,0.07\n"


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def made(answer: Any, status: int = 201) -> Any:
    """What an operation answers that did what it was asked."""
    assert answer.status_code == status, answer.text
    return answer.json


def imported(program: Program, deck: str, sheet: bytes = SHEET, **more: Any) -> Any:
    """A sheet that waits to be agreed to."""
    body = {"deck": deck, "file_name": "rates.csv", "content": base64.b64encode(sheet).decode()} | more
    sent = made(program.post("/rate-imports", body), 202)
    return program.get(f"/rate-imports/{sent['id']}").json


def test_a_plan_and_its_versions(installed: Installation) -> None:
    program = installed.program()
    terms = {"unit": "EUR", "charge": [{"name": "Line", "price": "9.90"}], "fixed_day": 15}
    plan = made(program.post("/plans", {"name": "line", "terms": terms}))
    assert plan["terms"]["charge"][0]["price"] == "9.90"
    problem(program.post("/plans", {"name": "line", "terms": terms}), 409)
    address = f"/plans/{plan['id']}"
    dearer = plan["terms"] | {"charge": [{"name": "Line", "price": "10.90"}]}
    assert made(program.post(f"{address}/versions", {"terms": dearer}))["version"] == 2
    assert fields(program.post(f"{address}/versions", {"terms": {"unit": "XXX"}})) == ["body.terms"]
    assert made(program.post(f"{address}/retirement", None))["retired"] is not None
    assert program.get("/plans?offered=no").json["items"][0]["name"] == "line"
    reseller = installed.program("reseller", role=Role.RESELLER)
    assert reseller.get("/plans").json["items"] == []
    problem(reseller.get(address), 404)


def test_rates_are_written_once_somebody_agrees(installed: Installation) -> None:
    program = installed.program()
    ready = imported(program, "fresh", unit="EUR")
    assert (ready["state"], ready["total"]) == ("ready", 2)
    assert program.get("/decks?q=fresh").json["items"] == []
    address = f"/rate-imports/{ready['id']}"
    assert "49" in program.get(f"{address}/changes.csv").text
    problem(program.get(f"{address}/refused.csv"), 404)
    made(program.post(f"{address}/agreement", None), 202)
    done = program.get(address).json
    assert done["state"] == "done", done
    rates = program.get(f"/rates?version={done['version_id']}").json["items"]
    assert [(x["prefix"], x["price"]) for x in rates] == [("33", "0.07"), ("49", "0.05")]
    sheet = program.get(f"/deck-versions/{done['version_id']}/sheet.csv")
    assert b"Germany" in sheet.data
    problem(program.post(f"{address}/agreement", None), 409)
    problem(program.ask("DELETE", address), 409)


def test_sheets_that_cannot_be_taken(installed: Installation) -> None:
    program = installed.program()
    body = {"deck": "fresh", "file_name": "rates.csv", "content": "%%%", "unit": "EUR"}
    assert fields(program.post("/rate-imports", body)) == ["body.content"]
    assert fields(program.post("/rate-imports", body | {"file_name": "rates.exe"})) == ["body.file_name"]
    early = body | {"content": base64.b64encode(SHEET).decode(), "effective": "2001-01-01T00:00:00Z"}
    assert fields(program.post("/rate-imports", early)) == ["body.effective"]
    refused = imported(program, "fresh", b"no,prices\n1,2\n", unit="EUR")
    assert refused["state"] == "refused"
    assert refused["reason"]
    dropped = imported(program, "fresh", unit="EUR")
    assert program.ask("DELETE", f"/rate-imports/{dropped['id']}").status_code == 204
    problem(installed.program("reseller", role=Role.RESELLER).get(f"/rate-imports/{refused['id']}"), 404)


def test_columns_of_a_sheet_are_named(installed: Installation) -> None:
    program, sheet = installed.program(), b"a;b;c\n49;Germany;0,05\n"
    refused = imported(program, "fresh", sheet, unit="EUR")
    assert refused["state"] == "refused"
    columns = {"prefix": "a", "destination": "b", "price_per_min": "c"}
    address = f"/rate-imports/{refused['id']}"
    made(program.post(f"{address}/columns", {"columns": columns}), 202)
    assert (program.get(address).json["state"], program.get(address).json["total"]) == ("ready", 1)
    problem(program.post(f"{address}/columns", {"columns": columns}), 409)
    assert fields(program.post(f"{address}/columns", {"columns": {"x": "a"}})) == ["body.columns.x.[key]"]
    at_once = imported(program, "fresh", sheet, unit="EUR", columns=columns, decimal=",", measure="items")
    assert (at_once["state"], at_once["total"]) == ("ready", 1)
    body = {"deck": "x", "unit": "EUR", "file_name": "r.csv", "content": base64.b64encode(sheet).decode()}
    assert "encoding" in problem(program.post("/rate-imports", body | {"encoding": "nothing"}), 422)["detail"]
    problem(installed.program("reseller", role=Role.RESELLER).post(f"{address}/columns", {
        "columns": columns
    }), 404)  # fmt: skip


def test_a_sheet_larger_than_other_bodies(installed: Installation) -> None:
    rows = b"".join(b"49%05d,Germany,0.05\n" % x for x in range(15_000))
    ready = imported(installed.program(), "large", b"prefix,destination,price\n" + rows, unit="EUR")
    assert ready["total"] == 15_000


def test_a_tariff_is_made_changed_and_tried(installed: Installation) -> None:
    program = installed.program()
    ready = imported(program, "fresh", unit="EUR")
    made(program.post(f"/rate-imports/{ready['id']}/agreement", None), 202)
    new = {"name": "new", "deck": "fresh", "tax_mode": "exclusive", "tax_percent": "20"}
    tariff = made(program.post("/tariffs", new))
    assert (tariff["version"], tariff["terms"]["deck"], tariff["terms"]["unit"]) == (1, "fresh", "EUR")
    installed.invoicing.clock.advance(SECOND_US)
    trial = made(program.get(f"/tariffs/{tariff['id']}/trials/493012345?seconds=60"), 200)
    assert (trial["total"]["amount"], trial["tax"]["amount"]) == ("0.06", "0.01")
    problem(program.get(f"/tariffs/{tariff['id']}/trials/8613912345"), 422)
    second = made(program.post(f"/tariffs/{tariff['id']}/versions", {"deck": "fresh"}))
    assert (second["version"], second["terms"]["tax_mode"]) == (2, "none")
    problem(program.post("/tariffs", new), 409)
    assert fields(program.post("/tariffs", new | {"name": "x", "tax_mode": "none"})) == ["body.tax_mode"]
    mark_up = {"name": "above", "unit": "EUR", "mark_up": {"percent": "12.5", "round_up_to": "0.01"}}
    shown = made(program.post("/tariffs", mark_up))["terms"]["mark_up"]
    assert (shown["percent"], shown["round_up_to"]) == ("12.5", "0.01")


def test_destinations_are_the_operators(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    new = {"name": "Berlin", "kind": "fixed_line", "prefixes": ["4930"]}
    refused = program.post("/destinations", new | {"kind": "nothing"})
    assert fields(refused) == ["body.kind"]
    kind = program.get("/openapi.json").json["components"]["schemas"]["SentDestination"]["properties"]["kind"]
    berlin = made(program.post("/destinations", new | {"kind": kind["enum"][0]}))
    assert reseller.get(f"/destinations/{berlin['id']}").json["prefixes"] == ["4930"]
    problem(reseller.ask("DELETE", f"/destinations/{berlin['id']}"), 403)
    assert program.ask("DELETE", f"/destinations/{berlin['id']}").status_code == 204
    problem(program.get(f"/destinations/{berlin['id']}"), 404)


def test_a_bundle_is_given_and_taken(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}/bundles"
    bundle = made(program.post("/bundles", {"name": "600 minutes", "pieces": 36_000}))
    held = made(program.post(bob, {"bundle_id": bundle["id"]}))["items"][0]
    assert (held["name"], held["left"], held["owner"]) == ("600 minutes", 36_000, "bob")
    assert program.get(f"/bundles/{bundle['id']}").json["given"] == 1
    assert program.ask("DELETE", f"{bob}/{bundle['id']}").status_code == 204
    problem(program.ask("DELETE", f"{bob}/{bundle['id']}"), 409)
    assert program.get(bob).json["items"] == []


def test_a_number_is_assigned_and_released(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    number = made(program.post("/dids", {"number": "+493012345"}))
    address = f"/dids/{number['id']}"
    assert number["state"] == "free"
    problem(program.post("/dids", {"number": "493012345"}), 409)
    problem(reseller.get(address), 404)
    assigned = made(program.post(f"{address}/assignment", {"account": "bob"}))
    assert (assigned["state"], assigned["account"]) == ("assigned", "bob")
    assert fields(program.post(f"{address}/assignment", {"account": "nobody"})) == ["body.account"]
    problem(program.ask("DELETE", address), 409)
    assert made(program.post(f"{address}/release", {}))["state"] in ("quarantined", "free")


def test_carriers_and_their_gateways(installed: Installation) -> None:
    program = installed.program()
    carrier = made(program.post("/carriers", {"name": "acme", "tariff": "plain"}))
    address = f"/carriers/{carrier['id']}"
    assert made(program.post(f"{address}/gateways", {"gateway": "gw1"}))["gateways"] == "gw1"
    assert fields(program.ask("PATCH", address, json={"tariff": "nothing"})) == ["body.tariff"]
    assert made(program.post(f"{address}/gateways/removal", {"gateway": "gw1"}))["gateways"] == ""
    problem(program.post(f"{address}/gateways/removal", {"gateway": "gw1"}), 409)


def test_what_identifies_and_limits_an_account(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    endpoint = made(program.post(f"{bob}/endpoints", {"kind": "sip", "value": "4711"}))
    address = f"{bob}/endpoints/{endpoint['id']}"
    assert program.ask("PATCH", address, json={"status": "suspended"}).json["status"] == "suspended"
    problem(program.get(f"/accounts/{installed.id('hot')}/endpoints/{endpoint['id']}"), 405)
    elsewhere = f"/accounts/{installed.id('hot')}/endpoints/{endpoint['id']}"
    problem(program.ask("DELETE", elsewhere), 404)
    assert program.ask("DELETE", address).status_code == 204
    spend = {"kind": "spend", "money": {"amount": "20", "currency": "EUR"}, "window": "day"}
    limit = made(program.post(f"{bob}/limits", spend))
    assert (limit["money"]["amount"], limit["window"]) == ("20.00", "day")
    assert fields(program.post(f"{bob}/limits", spend | {"value": 3})) == ["body.money"]
    assert fields(program.post(f"{bob}/limits", {"kind": "simultaneous_calls"})) == ["body.value"]
    problem(program.ask("PUT", f"{bob}/countries/FR", json={"released": True}), 409)
    made(program.post(f"{bob}/limits", {"kind": "new_country", "destinations": ["DE"]}))
    released = made(program.ask("PUT", f"{bob}/countries/FR", json={"released": True}), 200)
    assert released["countries"] == [{"region": "FR", "released": True}]
    assert program.ask("DELETE", f"{bob}/limits/{limit['id']}").status_code == 204
    problem(program.ask("DELETE", f"{bob}/limits/{limit['id']}"), 404)
