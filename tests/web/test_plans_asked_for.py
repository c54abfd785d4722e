"""What plans would cost, told by pages and by the API before anybody decides; plans that are asked for."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from pbxbill.access.permissions import Role
from pbxbill.store.billing_models import ChargeRow, SubscriptionChangeRow, SubscriptionRow
from tests.books_in_order import assert_books_in_order
from tests.web.offices import Office
from tests.web.programs import Installation, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_catalogue_plans import make
from tests.web.test_subscriptions_section import INVOICED, subscribed

ASKED = {"plan": "Large", "quantity": "2", "reason": "for the shop"}


@pytest.fixture
def sold(office: Office) -> Office:
    for name, price in (("Basic", "9.90"), ("Large", "29.90")):
        answer = make(office.seat("reseller"), name=name, **INVOICED, **{"charges-0-price": price})
        assert answer.status_code == 303
    return office


def rows(office: Office) -> tuple[int, int, int]:
    """Subscriptions, changes and charges that there are."""
    with office.reading() as session:
        models = (SubscriptionRow, SubscriptionChangeRow, ChargeRow)
        found = [session.scalar(select(func.count()).select_from(x)) or 0 for x in models]
        return found[0], found[1], found[2]


def test_who_changes_a_plan_sees_what_it_costs_before(sold: Office) -> None:
    seat = sold.seat("reseller")
    new = {"plan": "Basic", "quantity": "1", "trial": "y", "begins": "", "prices": "", "reason": "called us"}
    page = seat.post("/panel/subscriptions/new?account=alice", new | {"preview": "yes"})
    assert page.status_code == 200
    assert "The next invoice charges" in page.text
    assert "called us" in page.text
    assert rows(sold) == (0, 0, 0)
    id = subscribed(sold)
    before = rows(sold)
    here = f"/panel/subscriptions/{id}"
    changed = {"plan": "Large", "quantity": "2", "when": "now", "at": "", "reason": "", "edition": "{}"}
    page = seat.post(f"{here}/change", changed | {"preview": "yes"})
    assert page.status_code == 200
    assert "Nothing is charged today." in page.text
    assert "The next invoice gives back" in page.text
    assert "Then it costs 67.80 EUR each period (month), without tax." in page.text
    later = seat.post(f"{here}/change", changed | {"preview": "yes", "when": "cycle_end"})
    assert "It happens on" in later.text
    wrong = seat.post(f"{here}/change", changed | {"preview": "yes", "plan": "", "quantity": "1"})
    assert "Choose another plan" in wrong.text
    assert "Nothing is charged after that." in seat.get(f"{here}/cancel").text
    assert rows(sold) == before


def test_a_customer_sees_what_it_costs_and_asks_for_a_new_plan(sold: Office) -> None:
    seat, alice = sold.seat("reseller"), sold.seat("alice")
    assert "Ask for one of those that your provider offers." in alice.get("/my/plans").text
    page = alice.get("/my/plans/ask").text
    assert "Basic" in page
    assert "33.90" in page
    page = alice.post("/my/plans/ask", ASKED | {"preview": "yes"}).text
    assert "The next invoice charges" in page
    assert "Then it costs 67.80 EUR each period" in page
    assert "for the shop" in page
    assert rows(sold) == (0, 0, 0)
    assert 'href="#quantity"' in alice.post("/my/plans/ask", ASKED | {"quantity": "0"}).text
    assert alice.post("/my/plans/ask", ASKED).status_code == 303
    assert "You asked for the plan Large" in alice.get("/my/plans").text
    listed = seat.get("/panel/subscription-requests").text
    found = re.search(r"/panel/subscription-requests/(\d+)", listed)
    assert found, listed
    here = f"/panel/subscription-requests/{found[1]}"
    page = seat.get(here).text
    assert "a new subscription" in page
    assert "for the shop" in page
    assert "The next invoice charges" in page
    assert "cycle_end" not in page
    assert sold.seat("other").get(here).status_code == 404
    answer = {"answer": "yes", "when": "now", "at": "", "reason": ""}
    assert "The next invoice charges" in seat.post(here, answer | {"preview": "yes"}).text
    assert rows(sold)[0] == 0
    done = seat.post(here, answer)
    assert done.status_code == 303
    assert "Large of alice" in seat.get(done.location).text
    assert "You asked for the plan" not in alice.get("/my/plans").text
    assert "decided already" in seat.get(seat.get(here).location).text


def test_a_plan_is_refused_with_a_reason_or_not_wanted_any_more(sold: Office) -> None:
    seat, alice = sold.seat("reseller"), sold.seat("alice")
    alice.post("/my/plans/ask", ASKED)
    with sold.reading() as session:
        id = session.scalars(select(SubscriptionChangeRow.id)).one()
    assert sold.seat("olga").post(f"/my/requests/{id}/withdraw", page="/my/plans").status_code == 404
    alice.post(f"/my/requests/{id}/withdraw", page="/my/plans")
    assert "You asked for the plan" not in alice.get("/my/plans").text
    alice.post("/my/plans/ask", ASKED)
    refused = {"answer": "no", "when": "now", "at": "", "reason": "sold out"}
    assert seat.post(f"/panel/subscription-requests/{id + 1}", refused).status_code == 303
    page = alice.get("/my/plans").text
    assert "did not give you the plan Large" in page
    assert "sold out" in page


def test_a_change_that_is_asked_for_is_told_with_its_cost(sold: Office) -> None:
    id = subscribed(sold)
    seat, alice = sold.seat("reseller"), sold.seat("alice")
    before = rows(sold)
    wish = {"what": "change", "plan": "Large", "quantity": "", "reason": "more lines"}
    page = alice.post(f"/my/subscriptions/{id}/ask", wish | {"preview": "yes"}).text
    assert "Then it costs 33.90 EUR each period" in page
    assert "more lines" in page
    assert rows(sold) == before
    assert (
        'href="#plan"' in alice.post(f"/my/subscriptions/{id}/ask", wish | {"preview": "y", "plan": ""}).text
    )
    alice.post(f"/my/subscriptions/{id}/ask", wish)
    listed = seat.get("/panel/subscription-requests").text
    found = re.search(r"/panel/subscription-requests/(\d+)", listed)
    assert found
    assert "Then it costs 33.90 EUR each period" in seat.get(found[0]).text


# --- the API -----------------------------------------------------------------------------------

LINE = {"unit": "EUR", "charge": [{"name": "Line", "price": "9.90"}], "collection": "wallet"}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as opened:
        yield opened
    assert_books_in_order(sqlite_url)


def test_programs_are_told_what_it_costs_before(installed: Installation) -> None:
    program = installed.program()
    made(program.post("/plans", {"name": "line", "terms": LINE}))
    better = LINE | {"charge": [{"name": "Line", "price": "19.90"}]}
    made(program.post("/plans", {"name": "better", "terms": better}))
    bob_id = installed.id("bob")
    told = made(program.post(f"/accounts/{bob_id}/subscription-forecast", {"plan": "line"}), 200)
    assert (told["price"], told["ends"]) == ({"amount": "9.90", "currency": "EUR"}, False)
    assert told["lacking"] == {"amount": "9.90", "currency": "EUR"}
    paid = {"money": {"amount": "50.00", "currency": "EUR"}, "method": "card", "receipt": False}
    made(program.post(f"/accounts/{bob_id}/top-ups", paid))
    begun = made(program.post(f"/accounts/{bob_id}/subscriptions", {"plan": "line"}))
    address = f"/subscriptions/{begun['subscription']['id']}"
    told = made(program.post(f"{address}/forecast", {"plan": "better", "quantity": 2}), 200)
    assert told["price"]["amount"] == "39.80"
    assert told["given_back"]["amount"] == "9.90"
    assert told["charged"]["amount"] == "39.80"
    problem(program.post(f"{address}/forecast", {}), 422)
    assert fields(program.post(f"{address}/forecast", {"plan": "none"})) == ["body.plan"]
    assert program.get(address).json["plan"] == "line"
    bob = installed.program("bob", role=Role.CUSTOMER)
    told = made(bob.post(f"/own{address}/forecast", {"plan": "better"}), 200)
    assert told["price"]["amount"] == "19.90"
    assert program.get("/subscription-requests").json["items"] == []


def test_a_program_asks_for_a_plan(installed: Installation) -> None:
    program = installed.program()
    made(program.post("/plans", {"name": "line", "terms": LINE | {"collection": "invoice"}}))
    bob = installed.program("bob", role=Role.CUSTOMER)
    (offer,) = bob.get("/own/plan-offers").json["items"]
    assert (offer["plan"], offer["price"]["amount"], offer["cycle"]) == ("line", "9.90", "month")
    told = made(bob.post("/own/plan-forecast", {"plan": "line", "quantity": 3}), 200)
    assert told["invoice_charged"]["amount"] == "29.70"
    assert fields(bob.post("/own/plan-requests", {"plan": "none"})) == ["body.plan"]
    asked = made(bob.post("/own/plan-requests", {"plan": "line", "quantity": 3, "reason": "more"}))
    assert (asked["kind"], asked["state"], asked["quantity"]) == ("subscribe", "requested", 3)
    assert [x["id"] for x in bob.get("/own/plan-requests").json["items"]] == [asked["id"]]
    assert installed.program("alice", role=Role.CUSTOMER).get("/own/plan-requests").json["items"] == []
    (listed,) = program.get("/subscription-requests").json["items"]
    assert (listed["account"], listed["wanted"], listed["plan"]) == ("bob", "line", None)
    here = f"/subscription-requests/{asked['id']}"
    assert made(program.post(f"{here}/forecast", {}), 200)["invoice_charged"]["amount"] == "29.70"
    done = made(program.post(f"{here}/acceptance", {}))
    assert (done["subscription"]["plan"], done["subscription"]["quantity"]) == ("line", 3)
    problem(program.post(f"{here}/forecast", {}), 409)
    second = made(bob.post("/own/plan-requests", {"plan": "line"}))
    other = installed.program("alice", role=Role.CUSTOMER)
    problem(other.ask("DELETE", f"/own/subscription-requests/{second['id']}"), 404)
    assert bob.ask("DELETE", f"/own/subscription-requests/{second['id']}").status_code == 204
