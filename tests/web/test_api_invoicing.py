"""Drafts, invoices, notes and billing runs by the API."""

from collections.abc import Iterator
from typing import Any

import pytest

from pbxbill.access.permissions import Role
from tests.books_in_order import assert_books_in_order
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made
    assert_books_in_order(sqlite_url)


def draft(installed: Installation, program: Program, code: str = "bob", price: str = "100") -> Any:
    made_draft = made(program.post(f"/accounts/{installed.id(code)}/drafts", {"unit": "EUR"}))
    line = {"description": "Work", "unit_price": price, "reason": "order 7"}
    return made(program.post(f"/invoices/{made_draft['id']}/lines", line))


def test_a_draft_is_edited_and_issued(installed: Installation) -> None:
    program = installed.program()
    found = draft(installed, program)
    address, line = f"/invoices/{found['id']}", found["lines"][0]
    assert (found["state"], found["total"]["amount"]) == ("draft", "100.00")
    assert {"from", "to"} <= set(program.get(address).json) & set(found)
    corrected = made(
        program.ask("PATCH", f"{address}/lines/{line['id']}", json={"net": "80", "reason": "agreed"}), 200
    )
    assert corrected["total"]["amount"] == "80.00"
    more = {"description": "Trip", "unit_price": "12.345", "quantity": "2", "reason": "order 7"}
    two = made(program.post(f"{address}/lines", more))
    trip = next(x for x in two["lines"] if x["description"] == "Trip")
    left = made(program.post(f"{address}/lines/{trip['id']}/removal", {"reason": "not made"}))
    assert left["total"]["amount"] == "80.00"
    problem(program.post(f"{address}/recalculation", None), 409)  # it was made by hand
    issued = made(program.post(f"{address}/issue", None))
    assert issued["number"]
    problem(program.post(f"{address}/lines", more), 409)
    assert fields(program.post(f"{address}/credit-notes", {"amount": "x", "reason": "y"})) == ["body.amount"]
    note = made(program.post(f"{address}/credit-notes", {"amount": "30", "reason": "late"}))
    assert (note["kind"], note["corrects_id"]) == ("credit_note", found["id"])
    assert program.get(address).json["open"]["amount"] == "50.00"
    written_off = made(program.post(f"{address}/write-off", {"amount": "10", "reason": "small"}))
    assert written_off["open"]["amount"] == "40.00"
    assert made(program.post(f"{address}/cancellation", {"reason": "all of it"}))["kind"] == "credit_note"
    debit = {"description": "Express", "unit_price": "5", "reason": "asked for"}
    assert made(program.post(f"{address}/debit-notes", debit))["kind"] == "debit_note"


def test_a_draft_is_given_up_once(installed: Installation) -> None:
    program = installed.program()
    address = f"/invoices/{draft(installed, program)['id']}"
    assert made(program.post(f"{address}/discard", {"reason": "a mistake"}))["state"] == "discarded"
    problem(program.post(f"{address}/issue", None), 409)
    problem(program.post(f"{address}/dispatch", {}), 409)


def test_a_reseller_changes_what_he_issues(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    foreign = draft(installed, program)
    problem(reseller.post(f"/invoices/{foreign['id']}/issue", None), 404)
    problem(reseller.post(f"/accounts/{installed.id('bob')}/drafts", {"unit": "EUR"}), 404)
    own = draft(installed, reseller, "alice")
    assert reseller.get(f"/invoices/{own['id']}").json["account"] == "alice"


def test_a_billing_run_is_started_and_watched(installed: Installation) -> None:
    program = installed.program()
    run = made(program.post("/billing-runs", {"accounts": ["bob"], "drafts_only": True}), 202)
    done = program.get(f"/billing-runs/{run['id']}").json
    assert (done["state"], done["failed"]) == ("done", 0), done
    assert program.get("/billing-runs").json["items"][0]["id"] == run["id"]
    problem(program.post(f"/billing-runs/{run['id']}/stop", None), 409)
    assert fields(program.post("/billing-runs", {"accounts": ["nobody"]})) == ["body.accounts.0"]
    reseller = installed.program("reseller", role=Role.RESELLER)
    problem(reseller.get(f"/billing-runs/{run['id']}"), 404)
    assert fields(reseller.post("/billing-runs", {"accounts": ["bob"]})) == ["body.accounts.0"]
    made(program.post(f"/accounts/{installed.id('bob')}/billing", None))
