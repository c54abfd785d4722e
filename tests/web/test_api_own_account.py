"""What an account does for itself by the API as it does in its portal: how it stands, pays, and is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.store.access_models import AuditRow
from pbxbill.store.alerts import raise_alert
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import AutoTopUpRow
from tests.books_in_order import assert_books_in_order
from tests.small_operator import eur
from tests.store.billed_accounts import talk_to_germany_and_france
from tests.web.offices import Office
from tests.web.portal_shop import Shop, opened_shop
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_api_invoicing import draft
from tests.web.test_live_calls import Calling

CASH = {"money": {"amount": "20.00", "currency": "EUR"}, "method": "cash", "receipt": False}
TEN = {"money": {"amount": "10.00", "currency": "EUR"}}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made_one:
        yield made_one
    assert_books_in_order(sqlite_url)


@pytest.fixture
def shop(office: Office, tmp_path: Path) -> Iterator[Shop]:
    with opened_shop(office, tmp_path) as opened:
        yield opened


def of_shop(shop: Shop, login: str = "alice", role: Role = Role.CUSTOMER) -> Program:
    """A program of somebody who is served by the shop."""
    with shop.office.writing() as session:
        account = session.get_one(AccountRow, shop.office.user(login).account_id)
        maker = Actor(login, Scope(account.id, account.path), frozenset(Permission))
        _, text = make_key(session, maker, NewKey("of a shop", PERMISSIONS_OF[role]), 1)
    return Program(shop.app, text)


def issued(installed: Installation, program: Program, price: str) -> Any:
    return made(program.post(f"/invoices/{draft(installed, program, price=price)['id']}/issue", None))


# --- paying --------------------------------------------------------------------------------------


def test_an_invoice_is_paid_from_the_balance(installed: Installation) -> None:
    program, bob = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    invoice = issued(installed, program, "12")
    address = f"/own/invoices/{invoice['id']}/payment"
    problem(bob.post(address, {}), 409)
    made(program.post(f"/accounts/{installed.id('bob')}/top-ups", CASH))
    assert bob.get("/own/wallets/EUR/ways-to-pay").json == {
        "spare": CASH["money"], "gateways": [], "method_ids": [],
    }  # fmt: skip
    assert bob.get("/own").json["to_pay"][0]["open"]["amount"] == "12.00"
    assert fields(bob.post(address, {"amount": "-1"})) == ["body.amount"]
    assert fields(bob.post(address, {"amount": "0.001"})) == ["body.amount"]
    problem(bob.post(address, {"amount": "13"}), 409)
    part = made(bob.post(address, {"amount": "5"}, key="once"))
    assert [(x["amount"]["amount"], x["open"]["amount"]) for x in part["invoices"]] == [("5.00", "7.00")]
    assert bob.post(address, {"amount": "5"}, key="once").json == part
    assert made(bob.post(address, {}))["invoices"][0]["state"] == "paid"
    problem(bob.post(address, {}), 409)
    assert bob.get("/own").json["to_pay"] == []
    assert bob.get("/own/wallets").json["items"][0]["posted"]["amount"] == "8.00"
    with transaction(installed.invoicing.database) as session:
        assert (
            session.query(AuditRow).filter_by(action="payment.allocate", actor="key:key of bob").count() == 2
        )


def test_nobody_pays_by_another_ones_invoice(installed: Installation) -> None:
    program = installed.program()
    address = f"/own/invoices/{issued(installed, program, '12')['id']}"
    unissued = draft(installed, program)["id"]
    for other in (
        installed.program("alice", role=Role.CUSTOMER),
        installed.program("reseller", role=Role.RESELLER),
    ):
        problem(other.post(f"{address}/payment", {}), 404)
        problem(other.get(f"{address}.xml"), 404)
        problem(other.get(f"{address}.csv"), 404)
    bob = installed.program("bob", role=Role.CUSTOMER)
    problem(bob.post(f"/own/invoices/{unissued}/payment", {}), 404)
    reader = installed.program("bob", Permission.OWN_READ, Permission.OWN_WRITE)
    problem(reader.post(f"{address}/payment", {}), 403)
    problem(reader.get("/own/wallets/EUR/ways-to-pay"), 403)
    problem(bob.get("/own/wallets/GBP/ways-to-pay"), 404)


def test_a_saved_card_is_charged_once_for_a_key(shop: Shop) -> None:
    card, alice = shop.save_card(), of_shop(shop)
    ways = alice.get("/own/wallets/EUR/ways-to-pay").json
    assert (ways["gateways"], ways["method_ids"]) == ([{"gateway": "cards", "kind": "stripe"}], [card])
    begun = made(alice.post("/own/gateway-payments", TEN | {"method_id": card}, key="once"))
    assert begun["url"] == ""
    assert alice.post("/own/gateway-payments", TEN | {"method_id": card}, key="once").json == begun
    assert (shop.gateway.charges, shop.funds("alice")) == (1, eur("10"))
    told = alice.get(f"/own/gateway-payments/{begun['id']}").json
    assert (told["state"], told["amount"], "by" in told) == ("paid", TEN["money"], False)
    assert alice.get("/own/gateway-payments").json["items"] == [told]
    shop.gateway.fault("charge", "declined")
    refused = made(alice.post("/own/gateway-payments", TEN | {"method_id": card}))["id"]
    assert alice.get(f"/own/gateway-payments/{refused}").json["state"] == "declined"
    problem(of_shop(shop, "olga").get(f"/own/gateway-payments/{refused}"), 404)


def test_a_card_pays_an_invoice(shop: Shop) -> None:
    card, id, alice = shop.save_card(), shop.invoice(), of_shop(shop)
    body = TEN | {"purpose": "invoice", "invoice_ids": [id], "method_id": card}
    made(alice.post("/own/gateway-payments", body))
    assert alice.get(f"/own/invoices/{id}").json["state"] == "paid"


def test_another_ones_card_is_not_charged(shop: Shop) -> None:
    card, alice = shop.save_card("olga"), of_shop(shop)
    assert fields(alice.post("/own/gateway-payments", TEN | {"method_id": card})) == ["body.method_id"]
    own = shop.save_card()
    for more in ({"gateway": "cards"}, {"save_method": True}):
        body = TEN | {"method_id": own} | more
        assert fields(alice.post("/own/gateway-payments", body)) == ["body.method_id"]
    alice.ask("DELETE", f"/own/saved-methods/{own}")
    assert fields(alice.post("/own/gateway-payments", TEN | {"method_id": own})) == ["body.method_id"]
    assert shop.gateway.charges == 0


def test_cards_are_told_apart_and_one_is_charged_first(shop: Shop) -> None:
    first, second = shop.save_card(), shop.save_card(last4="1111")
    reseller = of_shop(shop, "reseller", Role.RESELLER)
    cards = f"/accounts/{shop.office.account_id('alice')}/saved-methods"
    assert [x["last4"] for x in reseller.get(cards).json["items"]] == ["4242", "1111"]
    preferred = made(reseller.ask("PUT", f"{cards}/{second}/preference"), 200)["items"]
    assert [(x["id"], x["preferred"]) for x in preferred] == [(second, True), (first, False)]
    assert of_shop(shop).get("/own/saved-methods").json["items"] == preferred
    problem(of_shop(shop, "other", Role.RESELLER).ask("PUT", f"{cards}/{first}/preference"), 404)
    problem(reseller.ask("PUT", f"{cards}/{shop.save_card('olga')}/preference"), 404)
    till = of_shop(shop, "shop", Role.DISTRIBUTOR)
    problem(till.ask("PUT", f"{cards}/{first}/preference"), 403)


def test_a_top_up_that_stopped_goes_on(shop: Shop) -> None:
    card, alice = shop.save_card(), of_shop(shop)
    reseller = of_shop(shop, "reseller", Role.RESELLER)
    address = "/own/wallets/EUR/auto-top-up"
    problem(alice.post(f"{address}/resumption", None), 404)
    terms = {"below": "0", "amount": "5", "method_id": card}
    made(alice.ask("PUT", address, json=terms), 200)

    def stopped() -> None:
        with shop.office.writing() as session:
            row = session.query(AutoTopUpRow).join(WalletRow, WalletRow.id == AutoTopUpRow.wallet_id).one()
            row.state, row.declines = "stopped", 3

    stopped()
    assert alice.get("/own").json["stopped_top_ups"] == ["EUR"]
    again = made(alice.post(f"{address}/resumption", None))
    assert (again["state"], again["declines"]) == ("on", 0)
    assert alice.get("/own").json["stopped_top_ups"] == []
    stopped()
    of_alice = f"/accounts/{shop.office.account_id('alice')}/wallets/EUR/auto-top-up/resumption"
    problem(of_shop(shop, "other", Role.RESELLER).post(of_alice, None), 404)
    assert made(reseller.post(of_alice, None))["state"] == "on"
    alice.ask("DELETE", f"/own/saved-methods/{card}")
    problem(reseller.post(of_alice, None), 409)


# --- what it sees --------------------------------------------------------------------------------


def test_how_an_account_stands(installed: Installation) -> None:
    program, alice = installed.program(), installed.program("alice", Permission.OWN_READ)
    told = alice.get("/own").json
    assert (told["account"], told["kind"], told["barred_by"], told["to_pay"]) == ("alice", "customer", [], [])
    bar = {"status": "no_outgoing", "reason": "a secret of ours"}
    made(program.post(f"/accounts/{installed.id('alice')}/suspension", bar))
    told = alice.get("/own")
    assert [x["status"] for x in told.json["barred_by"]] == ["no_outgoing"]
    assert "secret" not in told.text
    problem(program.get("/own"), 403)


def test_a_calling_card_that_was_lost_is_blocked(installed: Installation) -> None:
    program, bob = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    card = made(program.post(f"/accounts/{installed.id('bob')}/cards", {"name": "travel"}))["card_id"]
    made(program.post(f"/cards/{card}/callers", {"number": "+4930555777"}))
    (listed,) = bob.get("/own/cards").json["items"]
    assert (listed["id"], listed["name"], listed["state"]) == (card, "travel", "active")
    address = f"/own/cards/{card}"
    assert bob.get(address).json["callers"] == ["4930555777"]
    other = installed.program("alice", role=Role.CUSTOMER)
    problem(other.get(address), 404)
    problem(other.post(f"{address}/block", None), 404)
    problem(installed.program("bob", Permission.OWN_READ).post(f"{address}/block", None), 403)
    assert made(bob.post(f"{address}/block", None))["state"] == "blocked"
    assert made(bob.post(f"{address}/block", None))["state"] == "blocked"
    assert program.get(f"/cards/{card}").json["state"] == "blocked"
    assert made(program.ask("PATCH", f"/cards/{card}", json={"blocked": False}), 200)["state"] == "active"


def test_a_message_is_read_unless_it_opens_somebodys_access(installed: Installation) -> None:
    bob = installed.program("bob", Permission.OWN_READ)
    operator_id = installed.program().get("/me").json["account_id"]

    def message(kind: str, **more: Any) -> str:
        with transaction(installed.invoicing.database) as session:
            row = MessageRow(
                key=kind, issuer_id=operator_id, account_id=installed.id("bob"), kind=kind,
                recipient="bob@example.com", subject="Hello", text="the text", state="sent", created_us=1,
                sent_us=2, error="550 relay of ours", **more,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return f"/own/messages/{row.id}"

    told, secret = message("invoice"), message("user_link")
    shown = bob.get(told)
    assert (shown.json["text"], shown.json["recipient"]) == ("the text", "bob@example.com")
    assert "relay" not in shown.text
    assert bob.get(secret).json["text"] is None
    problem(installed.program("alice", Permission.OWN_READ).get(told), 404)
    problem(bob.get(message("call", channel="webhook")), 404)


def test_files_of_an_invoice_and_of_lists(installed: Installation) -> None:
    talk_to_germany_and_france(installed.accounts)
    program, bob = installed.program(), installed.program("bob", Permission.OWN_READ)
    account = f"/accounts/{installed.id('bob')}"
    party = {"legal_name": "A Ltd", "street": "1 Quay", "city": "Cork", "postal_code": "T12", "country": "IE"}
    made(program.ask("PATCH", "/company/address", json=party), 200)
    made(program.ask("PATCH", f"{account}/address", json=party | {"legal_name": "Bob Ltd"}), 200)
    made(program.post(f"{account}/top-ups", CASH | {"receipt": True}))
    (receipt,) = bob.get("/own/invoices?kind=receipt").json["items"]
    for kind in ("xml", "csv"):
        problem(bob.get(f"/own/invoices/{receipt['id']}.{kind}"), 409)
    id = issued(installed, program, "12")["id"]
    for kind, mimetype, word in (("xml", "application/xml", "Bob Ltd"), ("csv", "text/csv", "started_at")):
        mine = bob.get(f"/own/invoices/{id}.{kind}")
        assert (mine.status_code, mine.mimetype, word in mine.text) == (200, mimetype, True), mine.text[:200]
        assert mine.data == program.get(f"/invoices/{id}.{kind}").data
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.get(f"/invoices/{id}.csv"), 404)
    for path, rows in (("/own/calls.csv", 2), ("/own/invoices.csv", 2), ("/own/payments.csv", 2)):
        *lines, end = bob.get(path).text.splitlines()
        assert (end, len(lines)) == ("# end", rows + 1), path
    assert "reseller" not in bob.get("/own/calls.csv").text
    for seller_s in ("group=x", "step=1", "run=1", "issuer=operator", "status=draft"):
        for path in ("/own/invoices", "/own/invoices.csv"):
            problem(bob.get(f"{path}?{seller_s}"), 422)
    problem(bob.get("/calls.csv"), 403)


def test_what_was_used_as_a_file(installed: Installation) -> None:
    talk_to_germany_and_france(installed.accounts)
    bob = installed.program("bob", Permission.OWN_READ)
    day = bob.get("/own/calls").json["items"][0]["started"][:10]
    wanted = {"values": {"from": day, "to": day, "group": "destination"}}
    address = "/own/reports/usage/file"
    file = bob.post(address, wanted | {"language": "fr"})
    assert (file.status_code, file.mimetype) == (200, "application/octet-stream")
    assert "Germany" in file.text
    assert "Appels" in file.text
    assert ".csv" in file.headers["Content-Disposition"]
    assert bob.post(address, wanted | {"format": "pdf"}).data.startswith(b"%PDF-")
    assert fields(bob.post(address, {"values": {"from": "x"}})) == ["body.values"]
    assert fields(bob.post(address, wanted | {"zone": "Nowhere/At-all"})) == ["body.values"]
    assert fields(bob.post(address, wanted | {"format": "exe"})) == ["body.format"]
    alice = installed.program("alice", Permission.OWN_READ)
    assert "Germany" in alice.post(address, wanted).text  # her own call
    nobody = installed.program("carol", Permission.OWN_READ)
    assert "Germany" not in nobody.post(address, wanted).text


def test_what_is_left_and_what_points_came(installed: Installation) -> None:
    program, bob = installed.program(), installed.program("bob", Permission.OWN_READ)
    new = {"name": "100 minutes", "measure": "seconds", "pieces": 6000, "cycle": "month"}
    bundle = made(program.post("/bundles", new))["id"]
    made(program.post(f"/accounts/{installed.id('bob')}/bundles", {"bundle_id": bundle}))
    (left,) = bob.get("/own/bundles").json["items"]
    assert (left["name"], left["left"], left["shared"], "owner" in left) == (
        "100 minutes",
        6000,
        False,
        False,
    )
    assert installed.program("alice", Permission.OWN_READ).get("/own/bundles").json == {"items": []}
    assert bob.get("/own/points/entries").json["items"] == []


def test_own_live_calls_are_listed(office: Office) -> None:
    calling = Calling(office)
    try:
        own, others = calling.talking("alice"), calling.talking("olga")
        with office.writing() as session:
            account = session.get_one(AccountRow, office.account_id("alice"))
            maker = Actor("alice", Scope(account.id, account.path), frozenset(Permission))
            _, key = make_key(session, maker, NewKey("phone", frozenset({Permission.OWN_READ})), 1)
        (shown,) = Program(office.app, key).get("/own/live-calls").json["items"]
    finally:
        calling.engine.stop()
    assert (shown["id"], shown["state"]) == (own, "answered")
    assert others != own
    assert not {"account", "reseller", "switch", "call_id"} & set(shown)


# --- what sellers see ----------------------------------------------------------------------------


def test_what_all_below_a_reseller_come_to(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    made(program.post(f"/accounts/{installed.id('alice')}/top-ups", CASH))
    below = program.get(f"/accounts/{installed.id('reseller')}/subtree").json
    assert (below["accounts"], below["resellers"]) == (1, 0)
    wallet = program.get(f"/accounts/{installed.id('alice')}/wallets/EUR").json
    (sums,) = below["sums"]
    assert (sums["posted"], sums["available"]) == (wallet["posted"], wallet["available"])
    assert reseller.get(f"/accounts/{installed.id('alice')}/subtree").json["accounts"] == 0
    problem(reseller.get(f"/accounts/{installed.id('reseller')}/subtree"), 404)
    problem(reseller.get(f"/accounts/{installed.id('bob')}/subtree"), 404)


def test_a_reseller_deals_with_alerts_of_his_accounts_alone(installed: Installation) -> None:
    ids = {}
    with transaction(installed.invoicing.database) as session:
        for code in ("alice", "bob", ""):
            account_id = installed.id(code) if code else None
            row = raise_alert(session, "limit", f"of {code}", "told", account_id, at_us=1)
            assert row is not None
            ids[code] = row.id
    reseller = installed.program("reseller", role=Role.RESELLER)
    assert [x["account"] for x in reseller.get("/alerts").json["items"]] == ["alice"]
    done = made(reseller.ask("PATCH", f"/alerts/{ids['alice']}", json={"done": True}), 200)
    assert done["state"] == "done"
    made(reseller.ask("PATCH", f"/alerts/{ids['alice']}", json={"done": False}), 200)
    for other in ("bob", ""):
        problem(reseller.get(f"/alerts/{ids[other]}"), 404)
        problem(reseller.ask("PATCH", f"/alerts/{ids[other]}", json={"done": True}), 404)
    assert made(reseller.post("/alerts/completion", {})) == {"alerts": 1}
    finance = installed.program(role=Role.FINANCE)
    problem(finance.ask("PATCH", f"/alerts/{ids['']}", json={"done": True}), 403)
    assert made(finance.post("/alerts/completion", {})) == {"alerts": 1}
    assert made(installed.program().post("/alerts/completion", {})) == {"alerts": 1}
    problem(installed.program("reseller", role=Role.DISTRIBUTOR).get("/alerts"), 403)
