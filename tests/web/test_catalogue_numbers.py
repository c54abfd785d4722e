"""Telephone numbers in the panel: added, given, taken back, rested; and whose they are."""

import html
import re
from io import BytesIO

from sqlalchemy import select

from pbxbill.ivr.access_number import read_terms
from pbxbill.store.billing_models import DidRow
from pbxbill.store.payment_models import AccessNumberRow
from tests.web.offices import Browser, Office
from tests.web.test_catalogue_plans import make
from tests.web.test_subscriptions_section import INVOICED


def add(browser: Browser, number: str = "4930555001") -> str:
    answer = browser.post("/panel/numbers/new", {"number": number, "country": "DE"})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def test_a_number_is_given_and_taken_back(office_on_each: Office) -> None:
    reseller = office_on_each.seat("reseller")
    path = add(reseller)
    assert "4930555001" in reseller.get("/panel/numbers").text
    assert "Give to an account" in reseller.get(path).text
    given = reseller.post(f"{path}/assign", {"account": "alice", "plan": ""})
    assert given.status_code == 303, given.text
    page = reseller.get(path).text
    assert "alice" in page
    assert "Take back" in page
    assert "Alice is not called there any more" in reseller.get(f"{path}/release").text
    reseller.post(f"{path}/release", {"when": "now"})
    page = reseller.get(path).text
    assert "in quarantine" in page
    assert "Who had it" in page
    refused = reseller.post(f"{path}/withdraw")
    assert refused.status_code == 303
    assert "withdrawn" in reseller.get(path).text


def test_a_number_says_what_its_holder_pays_for_it(office: Office) -> None:
    reseller = office.seat("reseller")
    made = make(reseller, name="Numbers", kind="did", **INVOICED)
    assert made.status_code == 303, made.text
    path = add(reseller)
    given = reseller.post(f"{path}/assign", {"account": "alice", "plan": "Numbers"})
    assert given.status_code == 303, given.text
    page = reseller.get(path).text
    assert "Price of a period" in page
    found = re.search(r'href="(/panel/subscriptions/\d+)">Numbers</a>', page)
    assert found, page
    assert reseller.get(found[1]).status_code == 200


def test_what_cannot_be_done_is_said_beside_the_field(office: Office) -> None:
    admin, reseller = office.seat("admin"), office.seat("reseller")
    path = add(reseller)
    again = admin.post("/panel/numbers/new", {"number": "+4930555001", "country": ""})
    assert "is in the inventory already" in again.text
    assert 'value="+4930555001"' in again.text
    assert "There is no account of this code" in reseller.post(f"{path}/assign", {"account": "olga"}).text
    assert "There is no account of this code" in reseller.post(f"{path}/assign", {"account": "nobody"}).text
    text = admin.post(f"{path}/assign", {"account": "olga"}).text
    assert "who does not bill account olga" in text


def test_a_list_is_imported_and_its_bad_rows_are_shown(office: Office) -> None:
    admin = office.seat("admin")
    sheet = b"number;country\n4930555001;DE\nx;DE\n4930555002;DE\n"
    answer = admin.post("/panel/numbers/import", {"file": (BytesIO(sheet), "numbers.csv")})
    assert "Rows that cannot be used" in answer.text
    assert 'role="rowheader">3</th>' in answer.text
    with office.writing() as session:
        assert len(session.scalars(select(DidRow)).all()) == 2


def test_numbers_rest_as_long_as_their_seller_says(office: Office) -> None:
    reseller = office.seat("reseller")
    assert 'value="60"' in reseller.get("/panel/numbers/quarantine").text
    assert reseller.post("/panel/numbers/quarantine", {"days": "0"}).status_code == 303
    path = add(reseller)
    reseller.post(f"{path}/assign", {"account": "alice", "plan": ""})
    reseller.post(f"{path}/release", {"when": "now"})
    assert "in quarantine" not in reseller.get(path).text
    assert 'value="60"' in office.seat("admin").get("/panel/numbers/quarantine").text


def test_other_peoples_numbers_do_not_exist(office_on_each: Office) -> None:
    office = office_on_each
    admin, reseller, other = office.seat("admin"), office.seat("reseller"), office.seat("other")
    theirs, operators = add(reseller), add(admin, "4930555009")
    for do in ("", "/assign", "/release", "/withdraw", "/hand-over"):
        assert other.get(theirs + do).status_code == 404, do
        assert reseller.get(operators + do).status_code == 404, do
    assert admin.get(theirs).status_code == 200
    assert "4930555001" not in other.get("/panel/numbers").text
    assert "4930555009" not in reseller.get("/panel/numbers").text
    assert "4930555001" not in other.get("/panel/numbers.csv").text
    moved = admin.post(f"{operators}/hand-over", {"to": str(office.account_id("reseller"))})
    assert moved.status_code == 303, moved.text
    assert "4930555009" in reseller.get("/panel/numbers").text
    # A reseller moves nothing to whom he does not sell.
    text = reseller.post(f"{operators}/hand-over", {"to": str(office.account_id("other"))}).text
    assert "Not a valid choice" in text


def test_who_may_only_look_does_not_change_numbers(office: Office) -> None:
    path = add(office.seat("admin"))
    finance = office.seat("finance")
    assert finance.get(path).status_code == 200
    assert "Give to an account" not in finance.get(path).text
    assert finance.get(f"{path}/assign").status_code == 403
    assert office.seat("shop").get("/panel/numbers").status_code == 403


ACCESS = {
    "number": "+493055555",
    "seller": "",
    "first": "fr",
    "second": "en",
    "third": "",
    "pin_digits": "12",
    "pin_attempts": "3",
    "repeats": "2",
    "answer_s": "7",
    "digit_s": "4",
    "max_setup_s": "120",
    "max_service_s": "600",
    "max_lines": "20",
    "say_balance": "y",
    "refill": "y",
}


def test_an_access_number_is_made_changed_and_removed(office_on_each: Office) -> None:
    office = office_on_each
    admin, reseller = office.seat("admin"), office.seat("reseller")
    assert 'value="120"' in admin.get("/panel/access-numbers/new").text
    made = admin.post("/panel/access-numbers/new", ACCESS | {"seller": "reseller"})
    assert made.status_code == 303, made.text
    path = str(made.location)
    page = admin.get(path).text
    assert "Français, English" in page
    assert path in admin.get("/panel/access-numbers").text
    again = admin.post("/panel/access-numbers/new", ACCESS)
    assert "This is an access number already." in again.text
    assert 'value="+493055555"' in again.text
    assert 'value="12"' in admin.get(f"{path}/edit").text
    assert admin.post(f"{path}/edit", ACCESS | {"pin_digits": "8"}).status_code == 303
    with office.reading() as session:
        (row,) = session.scalars(select(AccessNumberRow)).all()
        terms = read_terms(row.definition)
    assert (terms.languages, terms.pin_digits, terms.known_callers) == (("fr", "en"), 8, False)
    assert (terms.say_balance, terms.say_cost, terms.refill) == (True, False, True)
    assert reseller.get(path).status_code == 200
    assert reseller.get(f"{path}/edit").status_code == 403
    assert office.seat("other").get(path).status_code == 404
    assert "turned away" in admin.get(f"{path}/remove").text
    assert admin.post(f"{path}/remove").status_code == 303
    assert admin.get(path).status_code == 404


def test_terms_of_an_access_number_that_cannot_hold_are_said_beside_the_field(office: Office) -> None:
    admin = office.seat("admin")
    for wrong, told in (
        ({"pin_digits": "3"}, "From 8 to 20"),
        ({"second": "fr"}, "each once"),
        ({"number": "x"}, "is no number"),
        ({"seller": "alice"}, "is a customer"),
        ({"seller": "nobody"}, "nobody"),
    ):
        answer = admin.post("/panel/access-numbers/new", ACCESS | wrong)
        assert answer.status_code == 200
        assert told in answer.text, wrong
    assert "There is no access number yet" in admin.get("/panel/access-numbers").text


def test_of_two_who_change_an_access_number_the_second_is_told(office: Office) -> None:
    admin = office.seat("admin")
    path = str(admin.post("/panel/access-numbers/new", ACCESS).location)
    found = re.search(r'name="edition"[^>]*value="([^"]*)"', admin.get(f"{path}/edit").text)
    assert found is not None
    edition = html.unescape(found[1])
    assert admin.post(f"{path}/edit", ACCESS | {"pin_digits": "9", "edition": edition}).status_code == 303
    second = admin.post(f"{path}/edit", ACCESS | {"pin_digits": "10", "edition": edition})
    assert "Somebody else changed this while you were editing" in second.text
