"""Quotes by the API: offered, looked at, accepted, refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Role
from pbxbill.billing.period import local_date
from pbxbill.clock import SECOND_US
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made

LINES = [{"description": "Installation", "unit_price": "80"}]


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def day(installed: Installation, days: int) -> str:
    now_us = installed.invoicing.clock.now_us()
    return str(local_date(now_us + days * 86_400 * SECOND_US, "UTC"))


def offered(installed: Installation, program: Program, code: str = "bob", **more: Any) -> Any:
    body = {"until": day(installed, 14), "unit": "EUR", "lines": LINES} | more
    return made(program.post(f"/accounts/{installed.id(code)}/quotes", body))


def test_lines_are_offered_and_become_a_draft_or_an_invoice(installed: Installation) -> None:
    program = installed.program()
    quote = offered(installed, program)
    assert (quote["kind"], quote["state"], quote["total"]["amount"]) == ("quote", "open", "80.00")
    address = f"/quotes/{quote['id']}"
    assert program.get(address).json == quote
    assert quote["due"].startswith(day(installed, 14))
    (listed,) = program.get("/quotes?status=open&account=bob").json["items"]
    assert (listed["number"], listed["total"]["amount"]) == (quote["number"], "80.00")
    pdf = program.get(f"{address}.pdf")
    assert (pdf.mimetype, pdf.data[:5]) == ("application/pdf", b"%PDF-")
    accepted = made(program.post(f"{address}/acceptance", {}))
    assert (accepted["quote"]["state"], accepted["number"]) == ("accepted", None)
    draft = program.get(f"/invoices/{accepted['invoice_id']}").json
    assert (draft["state"], draft["total"]["amount"]) == ("draft", "80.00")
    again = made(program.post(f"{address}/acceptance", {}))
    assert again["invoice_id"] == accepted["invoice_id"]
    at_once = offered(installed, program)
    issued = made(program.post(f"/quotes/{at_once['id']}/acceptance", {"issue": True}))
    assert program.get(f"/invoices/{issued['invoice_id']}").json["number"] == issued["number"]


def test_a_plan_is_offered_and_subscribed_to(installed: Installation) -> None:
    program = installed.program()
    terms = {"unit": "EUR", "collection": "invoice", "charge": [{"name": "Line", "price": "9.90"}]}
    made(program.post("/plans", {"name": "line", "terms": terms}))
    body = {"until": day(installed, 3), "plan": "line", "quantity": 2}
    quote = made(program.post(f"/accounts/{installed.id('bob')}/quotes", body))
    assert quote["total"]["amount"] == "19.80"
    accepted = made(program.post(f"/quotes/{quote['id']}/acceptance", {}))
    assert program.get(f"/subscriptions/{accepted['subscription_id']}").json["quantity"] == 2


def test_what_is_refused_or_over_cannot_be_accepted(installed: Installation) -> None:
    program = installed.program()
    first, second = (offered(installed, program)["id"] for _ in range(2))
    assert made(program.post(f"/quotes/{first}/refusal", {"reason": "too dear"}))["state"] == "refused"
    problem(program.post(f"/quotes/{first}/acceptance", {}), 409)
    installed.invoicing.clock.advance(20 * 86_400 * SECOND_US)
    problem(program.post(f"/quotes/{second}/acceptance", {}), 409)
    assert program.get("/quotes?status=expired").json["items"][0]["id"] == second


def test_wrong_offers_are_told_by_their_fields(installed: Installation) -> None:
    program = installed.program()
    address = f"/accounts/{installed.id('bob')}/quotes"
    until = day(installed, 14)
    body = {"until": until, "unit": "EUR", "lines": LINES}
    assert fields(program.post(address, {"until": until})) == ["body.lines"]
    assert fields(program.post(address, body | {"plan": "x"})) == ["body.lines"]
    assert fields(program.post(address, {"until": until, "plan": "nothing"})) == ["body.plan"]
    assert fields(program.post(address, body | {"unit": "XXX"})) == ["body.unit"]
    line = LINES[0] | {"unit_price": "0.0000000001"}
    assert fields(program.post(address, body | {"lines": [line]})) == ["body.lines.0"]
    problem(program.post(address, body | {"until": day(installed, -3)}), 422)
    operator = program.get("/me").json["account_id"]
    problem(program.post(f"/accounts/{operator}/quotes", body), 404)


def test_a_reseller_offers_to_his_customers(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    foreign = offered(installed, program)["id"]
    for address in (f"/quotes/{foreign}", f"/quotes/{foreign}.pdf"):
        problem(reseller.get(address), 404)
    problem(reseller.post(f"/quotes/{foreign}/acceptance", {}), 404)
    own = offered(installed, reseller, "alice")["id"]
    assert [x["id"] for x in reseller.get("/quotes").json["items"]] == [own]
    invoice = made(program.post(f"/accounts/{installed.id('bob')}/drafts", {"unit": "EUR"}))["id"]
    problem(program.get(f"/quotes/{invoice}"), 404)
