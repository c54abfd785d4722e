"""Calls, invoices, payments through gateways and webhooks by the API; its document."""

import csv
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
from pydantic import BaseModel

from pbxbill.access.permissions import Permission, Role
from pbxbill.billing.invoices.drafting import Drafted
from pbxbill.ids import new_id
from pbxbill.notify.webhook import Accepted, NotAccepted
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.engine import transaction
from pbxbill.web.api.webhooks import webhooks
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import FRANCE, GERMANY, talk_to_germany_and_france
from tests.web.programs import BASE, Installation, installation
from tests.web.test_api import fields, problem


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


@pytest.fixture
def talked(database_url: str) -> Iterator[Installation]:
    """On each database: alice and bob called Germany and France."""
    with installation(database_url) as made:
        talk_to_germany_and_france(made.accounts)
        yield made
    assert_books_in_order(database_url)


def euro(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def test_calls_are_found(talked: Installation) -> None:
    program = talked.program()
    newest = program.get("/calls?size=3").json
    assert [(x["account"], x["called"]) for x in newest["items"]] == [
        ("bob", FRANCE),
        ("bob", GERMANY),
        ("alice", FRANCE),
    ]
    assert [x["called"] for x in program.get(newest["next"]).json["items"]] == [GERMANY]
    assert (newest["items"][1]["total"], newest["items"][1]["duration_s"]) == (euro("0.24"), 120)
    found = program.get("/calls?called=33&account=alice").json["items"]
    assert [(x["account"], x["called"]) for x in found] == [("alice", FRANCE)]
    assert program.get("/calls?state=denied").json["items"] == []
    assert program.get("/calls?to=2020-01-01").json["items"] == []
    assert len(program.get("/calls?destination=Fra&from=2020-01-01&direction=outbound").json["items"]) == 2


def test_a_call_is_explained_to_whom_it_concerns(talked: Installation) -> None:
    operator, reseller = talked.program(), talked.program("reseller", role=Role.RESELLER)
    calls = operator.get("/calls").json["items"]
    mine = next(x["id"] for x in calls if x["account"] == "alice" and x["called"] == GERMANY)
    others = next(x["id"] for x in calls if x["account"] == "bob")
    assert reseller.get(f"/calls/{mine}").json["charges"][0]["total"] == euro("0.2856")
    assert [x["account"] for x in operator.get(f"/calls/{mine}/explanation").json["levels"]] == [
        "alice",
        "reseller",
    ]
    told = reseller.get(f"/calls/{mine}/explanation").json
    assert [(x["account"], x["charges"]) for x in told["levels"]] == [
        ("alice", [euro("0.2856")]),
        ("reseller", [euro("0.12")]),
    ]
    assert "Germany" in told["text"]
    for address in (f"/calls/{others}", f"/calls/{others}/explanation", f"/calls/{'0' * 32}", "/calls/x"):
        problem(reseller.get(address), 404)
    assert {x["account"] for x in reseller.get("/calls").json["items"]} == {"alice"}


def test_an_account_sees_its_own_calls(talked: Installation) -> None:
    program = talked.program("alice", Permission.OWN_READ)
    assert {x["account"] for x in program.get("/own/calls").json["items"]} == {"alice"}
    problem(program.get("/calls"), 403)
    reseller = talked.program("reseller", role=Role.RESELLER)
    assert reseller.get("/own/calls").json["items"] == []  # what he himself called


def test_an_account_sees_what_its_balance_was_used_for(talked: Installation) -> None:
    program = talked.program("alice", Permission.OWN_READ)
    items = program.get("/own/ledger").json["items"]
    assert {x["kind"] for x in items} >= {"usage", "top-up"}
    assert items[0]["balance"] == program.get("/own/wallets").json["items"][0]["posted"]
    assert items[-1]["balance"] == items[-1]["amount"]
    only = program.get("/own/ledger?size=1&order=oldest").json
    assert only["items"] == [items[-1]]
    assert program.get(only["next"]).json["items"] == [items[-2]]
    file = program.get("/own/ledger.csv?order=oldest").text.splitlines()
    assert file[-1] == "# end"
    assert len(file) == len(items) + 2


def test_calls_are_exported(talked: Installation) -> None:
    answer = talked.program().get("/calls.csv?account=bob&order=oldest")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    *lines, end = answer.text.splitlines()
    assert end == "# end"
    first, _ = csv.DictReader(StringIO("\n".join(lines)))
    assert (first["account"], first["called"], first["total"], first["total_currency"]) == (
        "bob",
        GERMANY,
        "0.24",
        "EUR",
    )
    assert first["caller"] == ""


def test_what_begins_like_a_formula_is_none(installed: Installation) -> None:
    program = installed.program()
    program.ask("PATCH", f"/accounts/{installed.id('bob')}", json={"name": '=HYPERLINK("x", 1)'})
    assert '"\'=HYPERLINK(""x"", 1)"' in program.get("/accounts.csv?q=bob").text


def test_invoices_are_found_shown_and_fetched(installed: Installation) -> None:
    invoicing = installed.invoicing
    invoicing.charge("carol", "12.50", day=3)
    issued = invoicing.invoice("carol")
    program = installed.program()
    (found,) = program.get("/invoices?status=unpaid&account=carol").json["items"]
    assert (found["number"], found["total"], found["open"]) == (issued.number, euro("12.50"), euro("12.50"))
    assert program.get("/invoices?status=paid").json["items"] == []
    address = f"/invoices/{found['id']}"
    shown = program.get(address).json
    assert (shown["account"], shown["total"]) == ("carol", euro("12.50"))
    assert [x["net"] for x in shown["lines"]] == [euro("12.50")]
    pdf = program.get(f"{address}.pdf")
    assert (pdf.status_code, pdf.mimetype, pdf.data[:5]) == (200, "application/pdf", b"%PDF-")
    assert issued.number in pdf.headers["Content-Disposition"]
    paid = program.post(
        f"/accounts/{installed.id('carol')}/payments",
        {"money": euro("12.50"), "method": "bank", "invoice_ids": [found["id"]], "receipt": False},
    )
    assert paid.json["invoices"][0]["state"] == "paid"
    assert program.get(address).json["open"] == euro("0.00")
    assert issued.number in program.get("/invoices.csv").text
    for other in (
        installed.program("alice", Permission.OWN_READ),
        installed.program("reseller", role=Role.RESELLER),
    ):
        problem(other.get(f"/own{address}"), 404)


def test_a_draft_is_not_the_accounts_to_see(installed: Installation) -> None:
    installed.invoicing.charge("carol", "1", day=3)
    drafted = installed.invoicing.draft("carol")
    assert isinstance(drafted, Drafted)
    operator, carol = installed.program(), installed.program("carol", Permission.OWN_READ)
    assert operator.get(f"/invoices/{drafted.invoice_id}").json["state"] == "draft"
    problem(operator.get(f"/invoices/{drafted.invoice_id}.pdf"), 409)
    problem(carol.get(f"/own/invoices/{drafted.invoice_id}"), 404)
    assert carol.get("/own/invoices").json["items"] == []
    installed.invoicing.issue(drafted.invoice_id)
    assert [x["id"] for x in carol.get("/own/invoices").json["items"]] == [drafted.invoice_id]


def test_webhooks_are_managed(installed: Installation) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    new = {"url": "https://shop.example/hook", "kinds": ["payment"]}
    added = reseller.post("/webhooks", new)
    assert added.status_code == 201, added.text
    made = added.json
    assert made["secret"].startswith("whsec_")
    assert (made["account"], made["kinds"], made["state"]) == ("reseller", ["payment"], "active")
    address = f"/webhooks/{made['id']}"
    assert "secret" not in reseller.get(address).json
    assert [x["id"] for x in reseller.get("/webhooks").json["items"]] == [made["id"]]
    assert reseller.ask("PATCH", address, json={"active": False}).json["state"] == "off"
    rotated = reseller.post(f"{address}/rotation", None, content_type=None)
    assert (rotated.status_code, rotated.json["rotating"]) == (201, True), rotated.text
    assert rotated.json["secret"] != made["secret"]
    assert reseller.ask("DELETE", f"{address}/rotation").status_code == 204
    other = installed.program("alice", Permission.NOTICES_READ, Permission.NOTICES_WRITE)
    problem(other.get(address), 403)
    assert fields(reseller.post("/webhooks", new | {"kinds": ["x"]})) == ["body.kinds.0"]
    assert fields(reseller.post("/webhooks", new | {"account": "bob"})) == ["body.account"]
    problem(reseller.post("/webhooks", new | {"url": "http://127.0.0.1/"}), 422)
    assert reseller.ask("DELETE", address).status_code == 204
    problem(reseller.get(address), 404)
    logged = installed.accounts.select("SELECT changes FROM audit_log WHERE action LIKE 'webhook.%'")
    assert "whsec_" not in str(logged)


def test_the_document_says_what_each_operation_needs(installed: Installation) -> None:
    client = installed.app.test_client()
    document = client.get(f"{BASE}/openapi.json").json
    assert document is not None
    assert document["openapi"] == "3.1.0"
    known = {x.value for x in Permission}
    ids = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            ids.append(operation["operationId"])
            assert operation["summary"], (path, method)
            needed = [scope for one in operation.get("security", []) for scope in one["key"]]
            assert set(needed) <= known
            assert needed or path in (f"{BASE}/health", f"{BASE}/me", f"{BASE}/formats"), path
    assert len(ids) == len(set(ids))


def models() -> Iterator[type[BaseModel]]:
    """All that operations take and answer."""
    found = [BaseModel]
    while found:
        below = found.pop().__subclasses__()
        found += below
        yield from (x for x in below if x.__module__.startswith("pbxbill.web.api"))


def test_no_two_things_of_the_document_have_one_name(installed: Installation) -> None:
    """The library would tell of the one what the other is."""
    document = installed.app.test_client().get(f"{BASE}/openapi.json").json
    assert document is not None
    modules: dict[str, set[str]] = {}
    for model in models():
        modules.setdefault(model.__name__, set()).add(model.__module__)
    twice = {name for name, where in modules.items() if len(where) > 1}
    assert twice & set(document["components"]["schemas"]) == set()
    assert "NewBillingRun" in modules.keys() & document["components"]["schemas"].keys()


def test_the_page_of_the_document_needs_nobody_else(installed: Installation) -> None:
    client = installed.app.test_client()
    page = client.get(f"{BASE}/docs")
    assert page.status_code == 200
    assert "http" not in page.text.replace("http-equiv", "")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        with client.get(f"{BASE}/docs/{name}") as asset:
            assert asset.status_code == 200
    assert client.get(f"{BASE}/docs/swagger.svg").status_code == 404


def test_what_stands_behind_an_invoice_is_told(installed: Installation) -> None:
    for day in (3, 4):
        installed.invoicing.call("carol", 60, day)
    issued = installed.invoicing.invoice("carol")
    program = installed.program()
    address = f"/invoices/{issued.invoice_id}/entries"
    first = program.get(f"{address}?size=1").json
    second = program.get(f"{address}?after={first['after']}").json
    (one,) = first["items"]
    assert (one["kind"], one["amount"], one["called"], one["billed_s"]) == (
        "usage",
        euro("0.12"),
        GERMANY,
        60,
    )
    assert ([x["amount"] for x in second["items"]], second["after"]) == ([euro("0.12")], None)
    problem(installed.program("reseller", role=Role.RESELLER).get(address), 404)


def test_the_figures_of_the_first_page(talked: Installation) -> None:
    found = talked.program().get("/figures").json
    assert found["live_calls"] == 0
    assert found["waiting"]["alerts"] >= 0
    assert found["calls"] >= 0
    assert found["overdue"] == []
    few = talked.program("reseller", Permission.REPORTS_READ).get("/figures").json
    assert (few["live_calls"], few["overdue"], few["waiting"]) == (None, None, None)
    problem(talked.program("alice", Permission.OWN_READ).get("/figures"), 403)


def test_a_webhook_is_tried(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    reseller = installed.program("reseller", role=Role.RESELLER)
    made = reseller.post("/webhooks", {"url": "https://shop.example/hook", "kinds": []}).json
    answers = iter((Accepted(), NotAccepted("503")))
    monkeypatch.setattr(
        sys.modules[webhooks.__module__], "try_endpoint", lambda *_given, **_more: next(answers)
    )
    address = f"/webhooks/{made['id']}/test"
    assert reseller.post(address, None, content_type=None).json == {"taken": True, "why": None}
    assert reseller.post(address, None, content_type=None).json == {"taken": False, "why": "503"}
    problem(installed.program("alice", Permission.NOTICES_WRITE).post(address, None, content_type=None), 403)


def test_alerts_are_done_all_at_once(installed: Installation) -> None:
    with transaction(installed.desks.application.database) as session:
        for kind in ("spend", "spend", "switch_lost"):
            session.add(AlertRow(at_us=1, kind=kind, account_id=None, subject=new_id(), detail=""))
    program = installed.program()
    assert program.post("/alerts/completion", {"kind": "switch_lost"}).json == {"alerts": 1}
    assert program.post("/alerts/completion", {}).json == {"alerts": 2}
    assert program.post("/alerts/completion", {}).json == {"alerts": 0}
    reader = installed.program("reseller", Permission.NOTICES_READ)
    problem(reader.post("/alerts/completion", {}), 403)
