"""Payment gateways, access numbers, the till, messages, and what an account does for itself, by the API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pbxbill.access.permissions import Permission, Role
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.payment_models import PaymentGatewayRow, ReceivedWebhookRow
from pbxbill.web.api.fields import moment
from pbxbill.web.api.objects import DAY_US
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import talk_to_germany_and_france
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made

EURO = {"amount": "5.00", "currency": "EUR"}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def gateway(folder: Path) -> dict[str, Any]:
    for name, text in (("key", "sk_test_123"), ("hooks", "whsec_123")):
        (folder / name).write_text(text)
    return {
        "name": "cards",
        "kind": "stripe",
        "settings": {
            "secret_key_file": str(folder / "key"),
            "webhook_secret_file": str(folder / "hooks"),
        },
        "units": ["EUR"],
    }


def test_a_gateway_is_set_up_and_tells_no_secret(installed: Installation, tmp_path: Path) -> None:
    program, new = installed.program(), gateway(tmp_path)
    kinds = {x["kind"]: x for x in program.get("/payment-gateway-kinds").json["items"]}
    assert {"name": "secret_key_file", "needed": True} in kinds["stripe"]["settings"]
    told = program.post("/payment-gateways", new)
    shown = made(told)
    assert (shown["settings"], shown["issuer"]) == (new["settings"], "operator")
    address = f"/payment-gateways/{shown['id']}"
    assert "sk_test" not in told.text + program.get(address).text
    problem(program.post("/payment-gateways", new), 409)
    missing = {**new, "name": "other", "settings": {**new["settings"], "secret_key_file": "/none/such"}}
    assert fields(program.post("/payment-gateways", missing)) == ["body.settings"]
    changed = made(program.ask("PATCH", address, json={"enabled": False}), 200)
    assert (changed["enabled"], changed["settings"]) == (False, new["settings"])
    for_reseller = {**new, "name": "theirs", "issuer": "reseller"}
    theirs = made(program.post("/payment-gateways", for_reseller))
    reseller = installed.program("reseller", role=Role.RESELLER)
    assert reseller.get(f"/payment-gateways/{theirs['id']}").json["settings"] is None
    problem(reseller.get(address), 404)


def test_no_program_says_where_secrets_are_sent(installed: Installation, tmp_path: Path) -> None:
    program, new = installed.program(), gateway(tmp_path)
    led_away = {**new, "settings": {**new["settings"], "api_base": "https://evil.example"}}
    assert fields(program.post("/payment-gateways", led_away)) == ["body.settings.api_base"]
    id = made(program.post("/payment-gateways", new))["id"]
    answer = program.ask(
        "PATCH", f"/payment-gateways/{id}", json={"settings": {"api_base": "https://x.example"}}
    )
    assert fields(answer) == ["body.settings.api_base"]
    modest = installed.program("operator", Permission.SETTINGS_READ)
    problem(modest.ask("PATCH", f"/payment-gateways/{id}", json={"enabled": False}), 403)


def test_what_a_gateway_sent_is_shown_to_its_seller(installed: Installation) -> None:
    program = installed.program()
    operator_id = program.get("/me").json["account_id"]
    with transaction(installed.invoicing.database) as session:
        row = PaymentGatewayRow(
            issuer_id=operator_id, name="cards", kind="stripe", settings="{}", units="",
            enabled=True, created_us=1,
        )  # fmt: skip
        session.add(row)
        session.flush()
        hook = ReceivedWebhookRow(
            gateway_id=row.id, event_ref="e1", received_us=1, kind="charge", headers="{}", body=b'{"a": 1}',
            outcome="nothing", detail="",
        )  # fmt: skip
        session.add(hook)
        session.flush()
        id = hook.id
    assert program.get(f"/received-webhooks/{id}").json["body"] == '{"a": 1}'
    assert program.get("/received-webhooks").json["items"][0]["gateway"] == "cards"
    problem(installed.program("reseller", role=Role.RESELLER).get(f"/received-webhooks/{id}"), 404)


def test_access_numbers_are_the_operators_to_make(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    new = {
        "number": "+493055555",
        "seller": "reseller",
        "terms": {"languages": ["en", "fr"], "pin_digits": 12},
    }
    number = made(program.post("/access-numbers", new))
    assert (number["number"], number["terms"]["pin_digits"]) == ("493055555", 12)
    problem(program.post("/access-numbers", new), 409)
    assert reseller.get("/access-numbers/493055555").json == number
    problem(reseller.post("/access-numbers", {"number": "4930666"}), 403)
    problem(reseller.ask("PUT", "/access-numbers/493055555", json={}), 403)
    changed = made(program.ask("PUT", "/access-numbers/493055555", json={"max_lines": 5}), 200)
    assert (changed["terms"]["max_lines"], changed["terms"]["pin_digits"]) == (5, 10)
    made(program.post("/access-numbers", {"number": "493077777"}))
    problem(reseller.get("/access-numbers/493077777"), 404)
    assert program.ask("DELETE", "/access-numbers/493055555").status_code == 204
    problem(program.get("/access-numbers/493055555"), 404)


def test_a_till_takes_money_and_sells_vouchers(installed: Installation) -> None:
    till = installed.program("operator", role=Role.DISTRIBUTOR, name="till 1")
    made(till.post(f"/accounts/{installed.id('bob')}/top-ups", {"money": EURO, "method": "cash"}))
    sold = made(till.post("/till/vouchers", {"value": EURO, "count": 2}, key="sale-1"))
    assert (len(sold["items"]), sold["total"]["amount"]) == (2, "10.00")
    again = till.post("/till/vouchers", {"value": EURO, "count": 2}, key="sale-1")
    assert again.json == sold
    day = till.get("/till").json
    assert (day["sums"], len(day["taken"]), len(day["sold"])) == (
        [{"amount": "15.00", "currency": "EUR"}],
        1,
        1,
    )
    assert installed.program(name="till 2").get("/till").json["sums"] == []
    code = {"code": sold["items"][0]["code"]}
    bob = installed.program("bob", role=Role.CUSTOMER)
    assert made(bob.post("/own/voucher-redemptions", code))["redeemed"] is True
    problem(bob.post("/till/vouchers", {"value": EURO}), 403)
    admin = installed.program()
    printed = admin.post(f"/voucher-batches/{sold['batch_id']}/sheets", {"items": sold["items"]})
    (sheet,) = made(printed, 200)["items"]
    assert sheet["name"].endswith(".pdf")
    assert sheet["content"].startswith("JVBERi0")  # %PDF-
    problem(installed.program("reseller", role=Role.RESELLER).post(
        f"/voucher-batches/{sold['batch_id']}/sheets", {"items": sold["items"]}
    ), 404)  # fmt: skip


def test_messages_are_read_and_sent_again(installed: Installation) -> None:
    program = installed.program()
    operator_id = program.get("/me").json["account_id"]

    def message(key: str, state: str, kind: str = "invoice") -> int:
        with transaction(installed.invoicing.database) as session:
            row = MessageRow(
                key=key, issuer_id=operator_id, account_id=installed.id("bob"), kind=kind,
                recipient="bob@example.com", subject="Hello", text="the text", state=state, next_us=None,
                claimed_us=None, created_us=1, sent_us=None, error="no such host",
                endpoint_id=None, report_run_id=None, digest_id=None,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return row.id

    failed, sent, secret = message("a", "failed"), message("b", "sent"), message("c", "failed", "user_link")
    assert program.get(f"/messages/{failed}").json["text"] == "the text"
    assert program.get(f"/messages/{secret}").json["text"] is None
    assert made(program.post(f"/messages/{failed}/retry", None), 202)["state"] == "waiting"
    problem(program.post(f"/messages/{sent}/retry", None), 409)
    assert made(program.post("/messages/retries", {"state": "failed"}), 202)["count"] == 1
    problem(installed.program("reseller", role=Role.RESELLER).get(f"/messages/{failed}"), 404)
    bob = installed.program("bob", role=Role.CUSTOMER)
    assert len(bob.get("/own/messages").json["items"]) == 3
    assert "text" not in bob.get("/own/messages").json["items"][0]


def test_words_of_notices_are_tried_before_they_are_kept(installed: Installation) -> None:
    program = installed.program()
    listed = program.get("/notice-templates").json
    kind = listed["kinds"][0]["kind"]
    assert listed["items"] == []
    words = {"subject": "Dear customer", "text": "All is well."}
    filled = made(program.post(f"/notice-templates/{kind}/en/preview", words), 200)
    assert (filled["subject"], "All is well." in filled["text"]) == ("Dear customer", True)
    wrong = program.post(f"/notice-templates/{kind}/en/preview", {**words, "text": "{{ nothing.at.all( }}"})
    assert fields(wrong) == ["body.text"]
    problem(program.post("/notice-templates/no_kind/en/preview", words), 404)
    made(program.ask("PUT", f"/notice-templates/{kind}/en", json=words), 200)
    (kept,) = program.get("/notice-templates").json["items"]
    assert (kept["kind"], kept["used"], kept["fault"]) == (kind, 1, "")


def test_an_account_sees_its_own_records(installed: Installation) -> None:
    talk_to_germany_and_france(installed.accounts)
    bob = installed.program("bob", role=Role.CUSTOMER)
    call = bob.get("/own/calls").json["items"][0]
    assert bob.get(f"/own/calls/{call['id']}").json["called"] == call["called"]
    told = bob.get(f"/own/calls/{call['id']}/explanation").json
    assert set(told) == {"id", "text"}
    assert bob.get("/own/wallets").json["items"][0]["unit"] == "EUR"
    for path in ("/own/numbers", "/own/payments", "/own/messages", "/own/disputes"):
        assert bob.get(path).status_code == 200, path
    assert bob.get("/own/reports/usage").json["name"]
    day = call["started"][:10]
    days = {"from": day, "to": day, "group": "destination"}
    table = made(bob.post("/own/reports/usage/table", {"values": days}), 200)
    assert "Germany" in json.dumps(table["rows"])
    alice = installed.program("alice", role=Role.CUSTOMER)
    problem(alice.get(f"/own/calls/{call['id']}"), 404)
    problem(alice.get(f"/own/calls/{call['id']}/explanation"), 404)


def test_an_account_lets_others_in_to_its_portal(installed: Installation) -> None:
    bob = installed.program("bob", role=Role.CUSTOMER)
    link = made(bob.post("/own/users", {"login": "son@example.com", "name": "Son"}))
    address = f"/own/users/{link['user_id']}"
    assert bob.get(address).json["role"] == "customer"
    assert made(bob.ask("PATCH", address, json={"active": False}), 200)["state"] == "disabled"
    assert made(bob.post(f"{address}/link", None))["user_id"] == link["user_id"]
    assert bob.ask("DELETE", f"{address}/factors").status_code == 204
    assert [x["login"] for x in bob.get("/own/users").json["items"]] == ["son@example.com"]
    problem(installed.program("alice", role=Role.CUSTOMER).get(address), 404)
    writer = installed.program("bob", Permission.OWN_READ, Permission.OWN_WRITE)
    problem(writer.post("/own/users", {"login": "eve@example.com", "name": "Eve"}), 403)
    problem(writer.post(f"{address}/link", None), 403)


def ending(installed: Installation, maker: Program, **more: Any) -> Any:
    """A key that may all that its maker may, and ends tomorrow."""
    ends = moment(installed.invoicing.clock.now_us() + DAY_US)
    scopes = [x for x in maker.get("/me").json["scopes"] if x != "settings:write"]
    return made(maker.post("/api-keys", {"name": "day", "scopes": scopes, "ends": ends, **more}))


def test_a_key_gives_no_more_than_itself_and_not_for_longer(installed: Installation) -> None:
    admin = installed.program()
    told = ending(installed, admin, per_minute=100)
    key = Program(installed.app, told["key"])
    child = made(key.post("/api-keys", {"name": "child", "scopes": ["users:read"]}))
    assert (child["ends"], child["per_minute"]) == (told["ends"], 100)
    later = {"name": "x", "scopes": ["users:read"], "ends": "2199-01-01T00:00:00Z"}
    assert fields(key.post("/api-keys", later)) == ["body.ends"]
    oftener = {"name": "x", "scopes": ["users:read"], "per_minute": 101}
    assert fields(key.post("/api-keys", oftener)) == ["body.per_minute"]
    assert fields(key.post("/api-keys", {"name": "x", "scopes": ["settings:write"]})) == ["body.scopes"]


def test_a_key_that_ends_lets_nobody_in(installed: Installation) -> None:
    admin = installed.program()
    user = {"login": "eve@example.com", "name": "Eve", "role": "distributor"}
    link = made(admin.post("/users", user))
    address = f"/users/{link['user_id']}"
    everything = Program(installed.app, ending(installed, admin)["key"])
    for answer in (
        everything.post("/users", {**user, "login": "mallory@example.com"}),
        everything.post(f"{address}/link", None),
        everything.ask("PATCH", address, json={"role": "distributor"}),
        everything.ask("PATCH", address, json={"active": True}),
        everything.ask("DELETE", f"{address}/factors"),
    ):
        assert problem(answer, 403)["detail"].startswith("A key that ends")
    assert made(everything.ask("PATCH", address, json={"active": False}), 200)["state"] == "disabled"


def test_a_revoked_key_takes_along_what_it_made(installed: Installation) -> None:
    admin = installed.program()
    first = made(admin.post("/api-keys", {"name": "a", "scopes": ["users:read", "users:write"]}))
    same_name = made(admin.post("/api-keys", {"name": "a", "scopes": ["users:read", "users:write"]}))
    second = made(
        Program(installed.app, first["key"]).post("/api-keys", {"name": "b", "scopes": ["users:write"]})
    )
    third = made(
        Program(installed.app, second["key"]).post("/api-keys", {"name": "c", "scopes": ["users:write"]})
    )
    assert admin.ask("DELETE", f"/api-keys/{first['id']}").status_code == 204
    for gone in (first, second, third):
        problem(Program(installed.app, gone["key"]).get("/me"), 401)
    assert Program(installed.app, same_name["key"]).get("/me").status_code == 200


def test_a_resellers_key_lets_nobody_in_to_what_the_reseller_pays_by(installed: Installation) -> None:
    scopes = [x for x in Permission if x.value in ("users:read", "users:write", "accounts:read")]
    key = installed.program("reseller", *scopes)
    user = {"login": "eve@example.com", "name": "Eve", "role": "customer"}
    problem(key.post("/users", user), 403)
    made(key.post("/users", {**user, "account": "alice"}))
