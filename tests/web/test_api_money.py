"""Payments corrected, gateways, vouchers, points, cards, dunning, disputes, notices, taxes by the API."""

from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Role
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_api_invoicing import draft

EURO = {"amount": "5.00", "currency": "EUR"}
CASH = {"money": {"amount": "20.00", "currency": "EUR"}, "method": "cash", "receipt": False}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def issued(installed: Installation, program: Program, price: str = "100") -> Any:
    return made(program.post(f"/invoices/{draft(installed, program, price=price)['id']}/issue", None))


def test_a_top_up_is_listed_and_taken_back(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    entry = made(program.post(f"{bob}/top-ups", CASH))["entry"]
    listed = program.get("/payments?account=bob").json["items"][0]
    assert (listed["id"], listed["amount"], listed["account"]) == (entry, CASH["money"], "bob")
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.post(f"/payments/{entry}/reversal", {"reason": "x"}), 404)
    made(program.post(f"/payments/{entry}/reversal", {"reason": "not his"}))
    problem(program.post(f"/payments/{entry}/reversal", {"reason": "again"}), 409)
    assert program.get(f"{bob}/wallets/EUR").json["posted"]["amount"] == "0.00"


def test_funds_are_moved_and_put_to_invoices(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    invoice = issued(installed, program, "12")
    made(program.post(f"{bob}/top-ups", CASH))
    paid = made(program.post(f"{bob}/wallets/EUR/allocation", {}))
    assert paid["invoices"][0]["invoice_id"] == invoice["id"]
    assert program.get(f"/invoices/{invoice['id']}").json["state"] == "paid"
    problem(program.post(f"{bob}/wallets/EUR/allocation", {}), 409)
    transfer = {"to": "hot", "money": EURO, "reason": "moved house"}
    moved = made(program.post(f"{bob}/transfers", transfer, key="move"))
    assert (moved["giver_balance"]["amount"], moved["taker_balance"]["amount"]) == ("3.00", "5.00")
    assert program.post(f"{bob}/transfers", transfer, key="move").json == moved
    problem(program.post(f"{bob}/transfers", transfer), 409)
    assert fields(program.post(f"{bob}/transfers", transfer | {"to": "nobody"})) == ["body.to"]


def test_without_a_gateway_nothing_is_begun(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    problem(program.post(f"{bob}/gateway-payments", {"money": EURO}), 409)
    own = installed.program("bob", role=Role.CUSTOMER)
    problem(own.post("/own/gateway-payments", {"money": EURO}), 409)
    assert own.get("/own/saved-methods").json == {"items": []}
    problem(own.get("/own/wallets/EUR/auto-top-up"), 404)
    problem(own.ask("PUT", "/own/wallets/EUR/auto-top-up", json={"below": "1", "amount": "5"}), 409)
    problem(program.get(f"{bob}/wallets/GBP/auto-top-up"), 404)


def test_vouchers_are_made_and_redeemed(installed: Installation) -> None:
    program = installed.program()
    batch = made(program.post("/voucher-batches", {"name": "May", "count": 3, "value": EURO}))
    address = f"/voucher-batches/{batch['id']}"
    codes = made(program.post(f"{address}/codes", None))["items"]
    assert len({x["code"] for x in codes}) == 3
    problem(program.post(f"{address}/codes", None), 409)
    own = installed.program("bob", role=Role.CUSTOMER)
    redeemed = made(own.post("/own/voucher-redemptions", {"code": codes[0]["code"]}))
    assert (redeemed["redeemed"], redeemed["money"]) == (True, EURO)
    twice = made(own.post("/own/voucher-redemptions", {"code": codes[0]["code"]}))
    assert (twice["redeemed"], twice["why"]) == (False, "used_by_you")
    blocked = made(program.ask("PUT", f"{address}/block", json={"blocked": True, "first": 2}), 200)
    assert blocked["redeemed"] == 1
    bob = f"/accounts/{installed.id('bob')}/voucher-redemptions"
    second = next(x["code"] for x in codes if x["serial"] == 2)
    assert made(program.post(bob, {"code": second}))["why"] == "blocked"
    serials = program.get("/vouchers?size=200").json["items"]
    assert {x["serial"]: x["state"] for x in serials}["2"] == "blocked"


def test_calling_cards_and_points(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    card = made(program.post(f"{bob}/cards", {"name": "travel"}))
    address = f"/cards/{card['card_id']}"
    made(program.post(f"{address}/callers", {"number": "+4930555777"}))
    (known,) = program.get("/known-callers?number=4930").json["items"]
    assert (known["number"], known["card_id"]) == ("4930555777", str(card["card_id"]))
    assert program.ask("DELETE", "/known-callers/4930555777").status_code == 204
    assert program.ask("DELETE", "/known-callers/4930555777").status_code == 404
    assert made(program.post(f"{address}/pin", None))["pin"] != card["pin"]
    assert made(program.ask("PATCH", address, json={"blocked": True}), 200)["state"] == "blocked"
    made(program.post(f"{address}/callers", {"number": "493099999"}))
    assert program.get(f"{bob}/points").json == {"items": []}
    spending = {"points_unit": "EUR", "points": 5, "unit": "EUR"}
    problem(program.post(f"{bob}/points/spending", spending), 409)


def test_a_dispute_and_its_end(installed: Installation) -> None:
    program, own = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    invoice = issued(installed, program)
    address = f"/own/invoices/{invoice['id']}/dispute"
    begun = made(own.post(address, {"amount": "30", "reason": "never called there"}))
    assert begun["disputed"]["amount"] == "30.00"
    made(own.post(f"{address}/remarks", {"text": "see the list"}))
    assert program.get("/disputes").json["items"][0]["account"] == "bob"
    decision = {"outcome": "credit", "reason": "he is right"}
    problem(own.post(f"/invoices/{invoice['id']}/dispute/decision", decision), 403)
    decided = made(program.post(f"/invoices/{invoice['id']}/dispute/decision", decision))
    assert (decided["disputed"]["amount"], decided["open"]["amount"]) == ("0.00", "70.00")
    problem(program.post(f"/invoices/{invoice['id']}/dispute/decision", decision), 409)
    problem(installed.program("alice", role=Role.CUSTOMER).get(address), 404)


def test_policies_and_promises(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    toml = '[[level]]\ndays = 5\naction = "remind"\n'
    policy = made(program.post("/dunning-policies", {"name": "soft", "toml": toml}))
    assert fields(program.post("/dunning-policies", {"name": "x", "toml": "level = 3"})) == ["body.toml"]
    assert program.get("/dunning-policies").json["items"][0]["name"] == "soft"
    address = f"/dunning-policies/{policy['id']}"
    assert made(program.post(f"{address}/pause", None))["state"] == "paused"
    assert made(program.post(f"{address}/release", None))["state"] == "active"
    assigned = program.ask("PUT", f"{bob}/dunning-policy", json={"policy": "soft"})
    assert made(assigned, 200) == {"policy": "soft"}
    assert fields(program.ask("PUT", f"{bob}/dunning-policy", json={"policy": "no"})) == ["body.policy"]
    new = {"unit": "EUR", "until": "2026-01-10"}
    problem(program.post(f"{bob}/promises", new), 409)  # nothing is overdue
    promise = made(program.post(f"{bob}/promises", new | {"invoice_id": issued(installed, program)["id"]}))
    assert made(program.post(f"/promises/{promise['id']}/withdrawal", None))["state"] == "withdrawn"
    problem(program.post(f"/promises/{promise['id']}/withdrawal", None), 409)


def test_what_an_account_is_told(installed: Installation) -> None:
    program, own = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    change = {"items": [{"kind": "low_balance", "enabled": False}], "quiet_from": 1320, "quiet_to": 420}
    changed = made(own.ask("PATCH", "/own/notice-choices", json=change), 200)
    assert next(x for x in changed["items"] if x["kind"] == "low_balance")["enabled"] is False
    assert (changed["quiet_from"], changed["quiet_to"]) == (1320, 420)
    bob = f"/accounts/{installed.id('bob')}/notice-choices"
    assert program.get(bob).json == changed
    assert fields(own.ask("PATCH", "/own/notice-choices", json={"quiet_from": None})) == ["body.quiet_from"]
    address = "/notice-templates/low_balance/en"
    built_in = program.get(address).json
    assert built_in["own"] is False
    words = {"subject": "Low: {account}", "text": "Top it up."}
    put = program.ask("PUT", address, json=words)
    if put.status_code == 422:  # how facts are named is docs/notices.md's matter
        put = program.ask("PUT", address, json={"subject": "Low", "text": "Top it up."})
    assert made(put, 200)["own"] is True
    assert program.ask("DELETE", address).status_code == 204
    assert program.get(address).json == built_in
    problem(program.get("/notice-templates/nothing/en"), 404)


def test_taxes(installed: Installation) -> None:
    program, bob = installed.program(), f"/accounts/{installed.id('bob')}"
    rate = made(program.post("/tax-rates", {"name": "VAT", "percent": "7.7"}))
    assert rate["ppm"] == 77_000
    ended = made(program.post(f"/tax-rates/{rate['id']}/end", {"ends": "2030-01-01T00:00:00Z"}))
    assert ended["to"] is not None
    exempt = made(program.post(f"{bob}/tax-exemptions", {"reason": "a charity"}))
    made(program.post(f"/tax-exemptions/{exempt['id']}/end", {"ends": "2030-01-01T00:00:00Z"}))
    problem(installed.program("reseller", role=Role.RESELLER).get(f"/tax-rates/{rate['id']}"), 404)


def test_reports_as_tables_files_and_by_mail(installed: Installation) -> None:
    program = installed.program()
    known = program.get("/reports").json["items"]
    for report in known:
        table = made(program.post(f"/reports/{report['name']}/table", {}), 200)
        assert table["columns"], report["name"]
    problem(program.post("/reports/nothing/table", {}), 404)
    name = known[0]["name"]
    assert fields(program.post(f"/reports/{name}/table", {"values": {"from": "x"}})) == ["body.values"]
    run = made(program.post("/report-runs", {"report": name, "format": "csv"}), 202)
    assert run["state"] == "waiting"
    problem(program.get(f"/report-runs/{run['id']}/file"), 409)
    schedule = {"name": "monthly", "report": name, "format": "xlsx", "every": "month", "emails": ["a@b.de"]}
    kept = made(program.post("/report-schedules", schedule))
    address = f"/report-schedules/{kept['id']}"
    assert made(program.ask("PATCH", address, json={"enabled": False}), 200)["enabled"] == "paused"
    assert program.ask("DELETE", address).status_code == 204
    problem(program.ask("DELETE", address), 404)
    problem(installed.program("reseller", role=Role.RESELLER).get(f"/report-runs/{run['id']}"), 404)


def test_the_operators_lists(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    for path in ("/jobs", "/job-runs", "/quarantine", "/reconciliations", "/mediation-runs"):
        assert program.get(path).json["items"] is not None, path
        problem(reseller.get(path), 403)
    problem(program.ask("PATCH", "/alerts/1", json={"done": True}), 404)
    problem(program.post("/jobs/nothing/run", None), 404)
    problem(program.post("/quarantine/1/retry", None), 404)
