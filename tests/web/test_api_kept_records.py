"""What is kept with accounts and payments by the API; points' rules and dialling rules."""

from collections.abc import Iterator

import pytest

from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit
from pbxbill.store.engine import transaction
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, installation
from tests.web.test_api import CASH, fields, problem
from tests.web.test_api_catalogue import made


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def test_a_payment_is_looked_at_and_its_receipt_made(installed: Installation) -> None:
    program = installed.program()
    entry = made(program.post(f"/accounts/{installed.id('bob')}/top-ups", CASH))["entry"]
    address = f"/payments/{entry}"
    shown = program.get(address).json
    assert (shown["kind"], shown["account"], shown["receipt"]) == ("top-up", "bob", None)
    assert (shown["received"]["amount"], shown["to_wallet"]["amount"]) == ("5.00", "5.00")
    problem(program.get(f"{address}/receipt.pdf"), 404)
    number = made(program.post(f"{address}/receipt", None))["receipt"]
    assert number
    assert made(program.post(f"{address}/receipt", None))["receipt"] == number
    assert program.get(f"{address}/receipt.pdf").data[:5] == b"%PDF-"
    back = made(program.post(f"{address}/reversal", {"reason": "wrong account"}))["entry"]
    assert program.get(address).json["reversed_by"] == back
    assert program.get(f"/payments/{back}").json["reverses"] == entry
    problem(program.post(f"/payments/{back}/receipt", None), 409)
    reseller = installed.program("reseller", role=Role.RESELLER)
    for asked in (reseller.get(address), reseller.get(f"/payments/{'0' * 32}")):
        problem(asked, 404)
    moved = program.get(f"/ledger?account_id={installed.id('bob')}").json["items"]
    assert [(x["kind"], x["amount"]["amount"]) for x in moved] == [("reversal", "-5.00"), ("top-up", "5.00")]


def test_notes_are_of_whoever_wrote_them(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    address = f"/accounts/{installed.id('alice')}/notes"
    kept = made(program.post(address, {"text": "Calls back on Monday.\nAsk for Eve."}))
    assert [x["text"] for x in program.get(address).json["items"]] == [kept["text"]]
    assert reseller.get(address).json["items"] == []
    problem(reseller.ask("DELETE", f"{address}/{kept['id']}"), 404)
    problem(reseller.get(f"/accounts/{installed.id('bob')}/notes"), 404)
    assert fields(program.post(address, {"text": "  "})) == ["body.text"]
    assert program.ask("DELETE", f"{address}/{kept['id']}").status_code == 204
    assert program.get(address).json["items"] == []


def test_an_account_gets_another_wallet_and_an_end(installed: Installation) -> None:
    with transaction(installed.invoicing.database) as session:
        ensure_unit(session, Unit("USD", 6, 2))
    program = installed.program()
    address = f"/accounts/{installed.id('bob')}"
    account = made(program.post(f"{address}/wallets", {"unit": "USD", "credit_limit": "5"}))
    assert {x["unit"]: x["credit_limit"]["amount"] for x in account["wallets"]}["USD"] == "5.00"
    problem(program.post(f"{address}/wallets", {"unit": "USD"}), 409)
    assert fields(program.post(f"{address}/wallets", {"unit": "XYZ"})) == ["body.unit"]
    support = installed.program("operator", *(PERMISSIONS_OF[Role.ADMIN] - {Permission.PAYMENTS_CORRECT}))
    problem(support.post(f"{address}/wallets", {"unit": "XYZ", "credit_limit": "5"}), 403)
    assert fields(program.post(f"{address}/termination", {"code": "carol", "reason": "left"})) == [
        "body.code"
    ]
    ended = made(program.post(f"{address}/termination", {"code": "bob", "reason": "left"}))
    assert ended["status"] == "terminated"


def test_points_are_earned_by_rules_and_given(installed: Installation) -> None:
    with transaction(installed.invoicing.database) as session:
        ensure_unit(session, Unit("STARS", 0, 0))
    program = installed.program()
    rule = {
        "kind": "top_up",
        "per": "10",
        "unit": "EUR",
        "points": 3,
        "points_unit": "STARS",
        "worth": "0.05",
    }
    kept = made(program.post("/points-rules", rule))
    address = f"/points-rules/{kept['id']}"
    assert program.get(address).json == kept
    assert fields(program.post("/points-rules", rule | {"points_unit": "XX"})) == ["body.points_unit"]
    assert fields(program.post("/points-rules", rule | {"per": "0.0000000001"})) == ["body.per"]
    bob = f"/accounts/{installed.id('bob')}"
    gift = {"rule_id": kept["id"], "points": 7, "reason": "sorry"}
    assert made(program.post(f"{bob}/points/gifts", gift, key="gift-1"))["points_unit"] == "STARS"
    made(program.post(f"{bob}/points/gifts", gift, key="gift-1"))
    assert program.get(f"{bob}/points").json["items"][0]["left"] == 7
    assert fields(program.post(f"{bob}/points/gifts", gift | {"rule_id": 99})) == ["body.rule_id"]
    reseller = installed.program("reseller", role=Role.RESELLER)
    alice = f"/accounts/{installed.id('alice')}/points/gifts"
    assert fields(program.post(alice, gift)) == ["body.rule_id"]  # the reseller rewards her
    problem(reseller.post(f"{address}/end", None), 404)
    assert made(program.post(f"{address}/end", None))["state"] == "ended"
    brought = {"account": "carol", "referrer": "bob"}
    assert made(program.post("/referrals", brought)) == brought
    problem(program.post("/referrals", brought), 409)
    assert fields(program.post("/referrals", brought | {"referrer": "x"})) == ["body.referrer"]


def test_dialling_rules_are_the_operators(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    rule = {
        "name": "berlin",
        "region": "DE",
        "area_code": "30",
        "short_codes": {"77": "493012345", "115": ""},
    }
    kept = made(program.post("/dialling-rules", rule))
    assert (kept["short_codes"], kept["national_prefix"]) == ({"77": "493012345", "115": "115"}, None)
    problem(program.post("/dialling-rules", rule), 409)
    assert fields(program.post("/dialling-rules", rule | {"name": "x", "region": "QQ"})) == ["body.region"]
    address = f"/dialling-rules/{kept['id']}"
    problem(reseller.ask("PUT", address, json={"region": "FR"}), 403)
    assert reseller.get(address).json == kept
    changed = made(program.ask("PUT", address, json={"region": "FR"}), 200)
    assert (changed["region"], changed["short_codes"]) == ("FR", {})
    program.ask("PATCH", f"/accounts/{installed.id('bob')}", json={"dialling_rule": "berlin"})
    problem(program.ask("DELETE", address), 409)
    program.ask("PATCH", f"/accounts/{installed.id('bob')}", json={"dialling_rule": None})
    assert program.ask("DELETE", address).status_code == 204
    problem(program.get(address), 404)
