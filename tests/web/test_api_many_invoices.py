"""Many invoices at once, files of disputes and templates of documents by the API."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Role
from pbxbill.clock import SECOND_US
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_api_invoicing import draft

LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
DAY_US = 86_400 * SECOND_US


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def encoded(content: bytes) -> str:
    return b64encode(content).decode()


def chosen(program: Program, **body: Any) -> Any:
    return made(program.post("/invoice-actions", body))


def done(program: Program, action: Any, **body: Any) -> Any:
    address = f"/invoice-actions/{action['id']}"
    made(program.post(f"{address}/agreement", body), 202)
    return program.get(address).json


def test_what_is_chosen_is_shown_agreed_to_and_done(installed: Installation) -> None:
    program = installed.program()
    ids = [draft(installed, program, code)["id"] for code in ("bob", "carol", "bob")]
    action = chosen(program, action="issue", invoices=[*ids, 999])
    assert (action["state"], action["total"]) == ("chosen", 3)
    assert action["sums"] == [{"invoices": 3, "total": {"amount": "300.00", "currency": "EUR"}}]
    assert program.get(f"/invoices/{ids[0]}").json["state"] == "draft"
    after = done(program, action)
    assert (after["state"], after["looked"], after["done"], after["sums"]) == ("done", 3, 3, [])
    assert all(program.get(f"/invoices/{x}").json["number"] for x in ids)
    problem(program.post(f"/invoice-actions/{action['id']}/agreement", {}), 409)
    problem(program.post(f"/invoice-actions/{action['id']}/stop", None), 409)
    cancelled = chosen(program, action="cancel", filters={"account": "bob"})
    assert cancelled["total"] == 2
    problem(program.post(f"/invoice-actions/{cancelled['id']}/agreement", {}), 409)  # why?
    assert done(program, cancelled, reason="a mistake")["done"] == 2
    assert program.get(f"/invoices/{ids[0]}").json["open"]["amount"] == "0.00"
    problem(program.post("/invoice-actions", {"action": "issue", "filters": {"account": "bob"}}), 409)


def test_what_a_run_made_is_issued_together(installed: Installation) -> None:
    program = installed.program()
    installed.invoicing.charge("carol", "5", day=3)
    installed.invoicing.clock.advance(70 * DAY_US)
    run = made(program.post("/billing-runs", {"accounts": ["carol"]}), 202)
    action = chosen(program, action="discard", run=run["id"])
    assert action["total"] == 1
    assert done(program, action, reason="again")["done"] == 1
    assert fields(program.post("/invoice-actions", {"action": "issue", "run": 99})) == ["body.run"]
    assert fields(program.post("/invoice-actions", {"action": "cancel", "run": run["id"]})) == ["body.run"]


def test_which_invoices_is_said_in_one_way_and_of_ones_own(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    id = draft(installed, program)["id"]
    assert fields(program.post("/invoice-actions", {"action": "issue"})) == ["body.invoices"]
    both = {"action": "issue", "invoices": [id], "filters": {}}
    assert fields(program.post("/invoice-actions", both)) == ["body.invoices"]
    assert fields(program.post("/invoice-actions", {"action": "issue", "filters": {"acount": "bob"}})) == [
        "body.filters.acount"
    ]
    problem(reseller.post("/invoice-actions", {"action": "issue", "invoices": [id]}), 409)
    mine = chosen(program, action="issue", invoices=[id])["id"]
    problem(reseller.get(f"/invoice-actions/{mine}"), 404)
    problem(reseller.post(f"/invoice-actions/{mine}/agreement", {}), 404)


def test_files_of_a_dispute_are_kept_and_fetched(installed: Installation) -> None:
    installed.invoicing.charge("bob", "12.50", day=3)
    installed.invoicing.invoice("bob")
    program, bob = installed.program(), installed.program("bob", role=Role.CUSTOMER)
    id = program.get("/invoices?account=bob").json["items"][0]["id"]
    letter = {"name": "letter.txt", "content": encoded(b"We never called there.")}
    problem(bob.post(f"/own/invoices/{id}/dispute/files", letter), 409)
    made(bob.post(f"/own/invoices/{id}/dispute", {"reason": "never called"}))
    kept = made(bob.post(f"/own/invoices/{id}/dispute/files", letter))["files"]
    assert [(x["name"], x["media_type"], x["bytes"]) for x in kept] == [("letter.txt", "text/plain", 22)]
    again = made(program.post(f"/invoices/{id}/dispute/files", letter))
    assert len(again["files"]) == 1
    for asked, prefix in ((program, ""), (bob, "/own")):
        found = asked.get(f"{prefix}/invoices/{id}/dispute/files/{kept[0]['id']}")
        assert (found.data, found.mimetype) == (b"We never called there.", "application/octet-stream")
        assert "letter.txt" in found.headers["Content-Disposition"]
    problem(program.get(f"/invoices/{id}/dispute/files/99"), 404)
    address = f"/invoices/{id}/dispute/files"
    for wrong in ({"content": "?"}, {"name": "x.exe"}, {"name": "x.png"}, {"content": encoded(b"a\0b")}):
        assert fields(program.post(address, letter | wrong)) == ["body.content"]
    carol = installed.program("carol", role=Role.CUSTOMER)
    problem(carol.get(f"/own/invoices/{id}/dispute/files/{kept[0]['id']}"), 404)


def test_a_template_is_made_tried_changed_and_used(installed: Installation) -> None:
    program = installed.program()
    body = {
        "colours": {"accent": "#aa0000"},
        "layout": {"page_size": "Letter"},
        "texts": {"en": {"kind_invoice": "Bill"}},
        "logo": encoded(LOGO),
    }
    page = program.post("/invoice-templates/preview.html", body)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "Bill" in page.text
    assert "sandbox" in page.headers["Content-Security-Policy"]
    paper = program.post("/invoice-templates/preview.pdf", body | {"sample": "quote", "language": "fr"})
    assert (paper.mimetype, paper.data[:5]) == ("application/pdf", b"%PDF-")
    first = made(program.post("/invoice-templates", body | {"name": "red"}))
    assert (first["version"], first["current"], first["error"]) == (1, 1, "")
    assert (first["colours"]["accent"], first["logo"]) == ("#aa0000", encoded(LOGO))
    problem(program.post("/invoice-templates", body | {"name": "red"}), 409)
    address = f"/invoice-templates/{first['id']}"
    second = made(program.post(f"{address}/versions", {"html": "{{ nothing.at.all }}"}))
    assert (second["version"], second["current"]) == (2, 1)
    assert second["error"]
    assert second["logo"] == encoded(LOGO)
    assert program.get(f"{address}?version=1").json["layout"]["page_size"] == "Letter"
    problem(program.get(f"{address}?version=9"), 404)
    assert program.get("/invoice-templates").json["items"][0]["name"] == "red"
    in_use = "/invoice-templates/in-use"
    assert program.get(in_use).json == {"template_id": None}
    assert made(program.ask("PUT", in_use, json={"template_id": first["id"]}), 200)["template_id"]
    assert program.get(address).json["used"] is True
    assert made(program.ask("PUT", in_use, json={"template_id": None}), 200) == {"template_id": None}
    problem(program.ask("PUT", in_use, json={"template_id": 99}), 404)
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.get(address), 404)
    problem(reseller.ask("PUT", in_use, json={"template_id": first["id"]}), 404)


def test_wrong_templates_are_told(installed: Installation) -> None:
    program = installed.program()
    address = "/invoice-templates/preview.html"
    assert fields(program.post(address, {"colours": {"accent": "red"}})) == ["body.colours.accent"]
    assert fields(program.post(address, {"logo": encoded(b"no image")})) == ["body.logo"]
    problem(program.post(address, {"html": "{% for %}"}), 422)


def test_subscriptions_are_brought_to_the_newest_version(installed: Installation) -> None:
    program = installed.program()
    terms = {"unit": "EUR", "collection": "invoice", "charge": [{"name": "Line", "price": "9.90"}]}
    plan = made(program.post("/plans", {"name": "line", "terms": terms}))
    for code in ("bob", "carol"):
        made(program.post(f"/accounts/{installed.id(code)}/subscriptions", {"plan": "line"}))
    address = f"/plans/{plan['id']}"
    dearer = terms | {"charge": [{"name": "Line", "price": "19.90"}]}
    made(program.post(f"{address}/versions", {"terms": dearer}))
    one = made(program.post(f"{address}/migration", {"when": "now", "accounts": ["bob"]}), 202)
    assert (one["version"], one["subscriptions"]) == (2, 1)
    assert [x["subscriptions"] for x in program.get(address).json["versions"]] == [1, 1]
    assert made(program.post(f"{address}/migration", {}), 202)["subscriptions"] == 1
    assert fields(program.post(f"{address}/migration", {"accounts": ["x"]})) == ["body.accounts.0"]
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.post(f"{address}/migration", {}), 404)
