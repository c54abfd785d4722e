"""Several numbers of the list: given, taken back, moved, their country corrected; all of them or none."""

from sqlalchemy import select

from pbxbill.store.billing_models import DidRow
from tests.web.offices import Browser, Office
from tests.web.test_catalogue_numbers import add

NUMBERS = ("4930555001", "4930555002", "4930555003")


def several(browser: Browser, do: str, *paths: str) -> str:
    chosen = "&".join(f"chosen={x.rpartition('/')[2]}" for x in paths)
    return f"/panel/numbers/several?do={do}&{chosen}"


def facts(office: Office) -> list[tuple[str, bool, str]]:
    with office.reading() as session:
        rows = session.scalars(select(DidRow).order_by(DidRow.number))
        return [(x.state, x.account_id is not None, x.country) for x in rows]


def test_numbers_are_given_and_taken_back_together(office_on_each: Office) -> None:
    reseller = office_on_each.seat("reseller")
    paths = [add(reseller, x) for x in NUMBERS]
    assert 'name="chosen"' in reseller.get("/panel/numbers").text
    given = several(reseller, "assign", *paths[:2])
    page = reseller.get(given).text
    assert "2 numbers" in page
    assert NUMBERS[2] not in page
    assert reseller.post(given, {"account": "alice", "plan": ""}).status_code == 303
    assert facts(office_on_each)[0] == ("assigned", True, "DE")
    assert facts(office_on_each)[2] == ("free", False, "DE")
    back = several(reseller, "release", *paths[:2])
    assert reseller.post(back, {"when": "now"}).status_code == 303
    assert [x for x, _, _ in facts(office_on_each)] == ["quarantined", "quarantined", "free"]


def test_with_all_of_them_or_with_none(office: Office) -> None:
    reseller = office.seat("reseller")
    paths = [add(reseller, x) for x in NUMBERS]
    reseller.post(f"{paths[1]}/assign", {"account": "alice", "plan": ""})
    refused = reseller.post(several(reseller, "assign", *paths), {"account": "alice", "plan": ""})
    assert refused.status_code == 200
    assert NUMBERS[1] in refused.text
    assert [x for x, _, _ in facts(office)] == ["free", "assigned", "free"]
    assert "There is no account of this code" in (
        reseller.post(several(reseller, "assign", paths[0]), {"account": "olga"}).text
    )


def test_the_country_of_a_number_is_corrected(office: Office) -> None:
    reseller = office.seat("reseller")
    paths = [add(reseller, x) for x in NUMBERS[:2]]
    assert "Correct the country" in reseller.get(paths[0]).text
    assert reseller.post(several(reseller, "country", *paths), {"country": "FR"}).status_code == 303
    assert [x for _, _, x in facts(office)] == ["FR", "FR"]


def test_numbers_go_to_a_resellers_inventory_together(office: Office) -> None:
    admin = office.seat("admin")
    paths = [add(admin, x) for x in NUMBERS[:2]]
    to = str(office.account_id("reseller"))
    assert admin.post(several(admin, "hand-over", *paths), {"to": to}).status_code == 303
    assert NUMBERS[0] in office.seat("reseller").get("/panel/numbers").text
    other = office.seat("other")
    assert other.get(several(other, "country", *paths)).status_code == 303
    assert other.get("/panel/numbers/several?do=nothing").status_code == 400
