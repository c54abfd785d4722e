"""Lists of numbers and destinations by the API; what identifies accounts, what calls cost, what is asked."""

import base64
from collections.abc import Iterator

import pytest

from pbxbill.access.permissions import Role
from pbxbill.store.engine import transaction
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow
from tests.books_in_order import assert_books_in_order
from tests.store.billed_accounts import GERMANY, talk_to_germany_and_france
from tests.web.programs import Installation, Program, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as opened:
        yield opened
    assert_books_in_order(sqlite_url)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_list_of_numbers_comes_into_the_inventory(installed: Installation) -> None:
    program = installed.program()
    sheet = {"file": encoded("number,country\n493012345,DE\n4930123450,\nabc,\n")}
    done = made(program.post("/dids/import", sheet))
    assert (done["added"], done["known"], done["refused"]) == (2, 0, 1)
    assert done["first_refused"][0]["line"] == 4
    again = made(program.post("/dids/import", sheet))
    assert (again["added"], again["known"]) == (0, 2)
    assert fields(program.post("/dids/import", {"file": encoded("a,b\n")})) == ["body.file"]
    assert fields(program.post("/dids/import", {"file": "?"})) == ["body.file"]
    assert len(program.get("/dids").json["items"]) == 2


def test_a_number_goes_to_a_resellers_inventory_and_back(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    address = f"/dids/{made(program.post('/dids', {'number': '+493012345'}))['id']}/hand-over"
    problem(reseller.post(address, {"to": "reseller"}), 404)
    assert fields(program.post(address, {"to": "nobody"})) == ["body.to"]
    problem(program.post(address, {"to": "bob"}), 409)
    assert made(program.post(address, {"to": "reseller"}))["inventory"] == "reseller"
    assert fields(reseller.post(address, {"to": "operator"})) == ["body.to"]
    assert made(program.post(address, {"to": "operator"}))["inventory"] == "operator"
    made(program.post(address.replace("hand-over", "assignment"), {"account": "bob"}))
    problem(program.post(address, {"to": "reseller"}), 409)


def inventory(program: Program, count: int) -> list[int]:
    """Ids of numbers, in the order of their digits."""
    return [made(program.post("/dids", {"number": f"+49301234{x}"}))["id"] for x in range(count)]


def test_several_numbers_are_given_and_taken_back(installed: Installation) -> None:
    program = installed.program()
    ids = inventory(program, 3)
    given = made(program.post("/dids/assignments", {"dids": ids[:2], "account": "bob"}))["items"]
    assert [(x["id"], x["state"], x["account"]) for x in given] == [
        (ids[0], "assigned", "bob"),
        (ids[1], "assigned", "bob"),
    ]
    refused = problem(program.post("/dids/assignments", {"dids": ids[::-1], "account": "bob"}), 409)
    assert refused["detail"].startswith("493012340: ")
    assert program.get(f"/dids/{ids[2]}").json["state"] == "free"
    back = made(program.post("/dids/releases", {"dids": ids[:2], "reason": "moved"}))["items"]
    assert {x["state"] for x in back} == {"quarantined"}
    problem(program.post("/dids/releases", {"dids": ids[2:]}), 409)
    wrong = {"dids": ids[2:], "account": "bob", "plan": "nothing"}
    assert fields(program.post("/dids/assignments", wrong)) == ["body.plan"]
    assert fields(program.post("/dids/assignments", {"dids": ids, "account": "x"})) == ["body.account"]
    assert fields(program.post("/dids/releases", {"dids": []})) == ["body.dids"]


def test_several_numbers_move_and_are_corrected(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    ids = inventory(program, 2)
    told = made(program.post("/dids/corrections", {"dids": ids, "country": "AT"}))["items"]
    assert {x["country"] for x in told} == {"AT"}
    assert fields(program.post("/dids/corrections", {"dids": ids, "country": "xx"})) == ["body.country"]
    assert fields(reseller.post("/dids/corrections", {"dids": ids, "country": "FR"})) == ["body.dids.0"]
    moved = made(program.post("/dids/hand-overs", {"dids": ids, "to": "reseller"}))["items"]
    assert {x["inventory"] for x in moved} == {"reseller"}
    one = program.ask("PATCH", f"/dids/{ids[0]}", json={"country": ""})
    assert made(one, 200)["country"] == ""
    assert made(reseller.ask("PATCH", f"/dids/{ids[0]}", json={"country": "FR"}), 200)["country"] == "FR"
    assert fields(program.ask("PATCH", f"/dids/{ids[0]}", json={"country": "xx"})) == ["body.country"]


def test_a_list_of_destinations_is_looked_at_and_taken(installed: Installation) -> None:
    program = installed.program()
    rows = "name;class;prefixes\nGermany mobile;mobile;4915 4916\nNowhere;nothing;1\n"
    body = {"file": encoded(rows)}
    would = made(program.post("/destinations/import/preview", body), 200)
    assert (would["destinations"], would["added"], would["refused"]) == (1, 2, 1)
    assert program.get("/destinations").json["items"] == []
    done = made(program.post("/destinations/import", body))
    assert done == would
    assert [x["name"] for x in program.get("/destinations").json["items"]] == ["Germany mobile"]
    other = {"file": encoded("name;class;prefixes\nSpain;international;34\n"), "keep_others": False}
    assert made(program.post("/destinations/import", other))["removed"] == 2
    assert fields(program.post("/destinations/import", {"file": encoded("a;b\n")})) == ["body.file"]
    problem(installed.program("reseller", role=Role.RESELLER).post("/destinations/import", body), 403)


def test_whose_identification_is_what(installed: Installation) -> None:
    program, reseller = installed.program(), installed.program("reseller", role=Role.RESELLER)
    (found,) = program.get("/endpoints?q=bob").json["items"]
    assert (found["value"], found["kind"], found["account"], found["status"]) == (
        "bob",
        "sip",
        "bob",
        "active",
    )
    assert [x["account"] for x in reseller.get("/endpoints").json["items"]] == ["alice"]
    lines = program.get("/endpoints.csv?kind=sip").text.splitlines()
    assert (len(lines), lines[-1]) == (7, "# end")


def test_what_a_call_brought_and_cost(installed: Installation) -> None:
    talk_to_germany_and_france(installed.accounts)
    reseller = installed.program("reseller", role=Role.RESELLER)
    calls = {x["called"]: x for x in reseller.get("/calls-margin").json["items"]}
    call = calls[GERMANY]
    assert (call["account"], call["cost"]) == ("alice", {"amount": "0.12", "currency": "EUR"})
    assert call["margin"]["currency"] == "EUR"
    assert reseller.get("/calls-margin.csv").text.splitlines()[-1] == "# end"
    problem(installed.program("alice", role=Role.CUSTOMER).get("/calls-margin"), 403)


def test_a_gateway_is_asked_how_a_payment_stands(installed: Installation) -> None:
    program, bob = installed.program(), installed.id("bob")
    with transaction(installed.invoicing.database) as session:
        gateway = PaymentGatewayRow(
            issuer_id=1, name="cards", kind="stripe", settings="{}", units="EUR", enabled=True, created_us=0
        )
        session.add(gateway)
        session.flush()
        over, waiting = (
            GatewayPaymentRow(
                key=state, account_id=bob, gateway_id=gateway.id, amount=500, unit="EUR", state=state,
                purpose="top_up", automatic=False, save_method=False, by="", created_us=0,
            )
            for state in ("cancelled", "open")
        )  # fmt: skip
        session.add_all((over, waiting))
        session.flush()
        ids = over.id, waiting.id
    asked = made(program.post(f"/gateway-payments/{ids[0]}/inquiry", None))
    assert (asked["id"], asked["state"]) == (ids[0], "cancelled")
    # This one has no key to ask with.
    problem(program.post(f"/gateway-payments/{ids[1]}/inquiry", None), 409)
    problem(
        installed.program("reseller", role=Role.RESELLER).post(f"/gateway-payments/{ids[0]}/inquiry", None),
        404,
    )


def test_nothing_was_passed_over(installed: Installation) -> None:
    program = installed.program()
    assert made(program.post("/billing-runs/look-back", None)) == {"items": [], "after": None}
    assert made(program.post("/billing-runs/look-back?after=1", None)) == {"items": [], "after": None}
    problem(program.post("/billing-runs/look-back?after=first", None), 422)
    problem(installed.program("bob", role=Role.CUSTOMER).post("/billing-runs/look-back", None), 403)
