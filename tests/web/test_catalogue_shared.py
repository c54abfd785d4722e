"""Destinations, dialling rules, carriers: the operator's; bundles: everybody's own."""

import html
import re
from io import BytesIO

from sqlalchemy import select

from pbxbill.store.catalogue_models import BundleRow, CarrierRow, DestinationRow, DiallingRuleRow, GatewayRow
from tests.web.offices import Office


def test_destinations_are_made_changed_and_removed(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    made = admin.post(
        "/panel/destinations/new", {"name": "Germany mobile", "kind": "mobile", "prefixes": "4915, 4916"}
    )
    assert made.status_code == 303, made.text
    page = admin.get(made.location).text
    assert "4915 4916" in page
    assert "Germany mobile" in admin.get("/panel/destinations?prefix=%2B4915112345").text
    assert "Nothing matches" in admin.get("/panel/destinations?prefix=33").text
    changed = admin.post(f"{made.location}/edit", {"kind": "mobile", "prefixes": "4915 4917"})
    assert changed.status_code == 303, changed.text
    assert "4915 4917" in admin.get(made.location).text
    assert (
        "already"
        in admin.post(
            "/panel/destinations/new", {"name": "Germany mobile", "kind": "mobile", "prefixes": "1"}
        ).text
    )
    assert admin.post(f"{made.location}/remove").status_code == 303
    assert admin.get(made.location).status_code == 404


def test_a_list_of_destinations_is_looked_at_first(office: Office) -> None:
    admin = office.seat("admin")
    admin.post("/panel/destinations/new", {"name": "France", "kind": "international", "prefixes": "33"})
    sheet = b"name;class;prefixes\nGermany;national;49\nSomewhere;nonsense;5\n"
    seen = admin.post("/panel/destinations/import", {"file": (BytesIO(sheet), "list.csv")})
    assert "Nothing has changed yet" in seen.text
    assert "Destinations that the list does not name are removed" in seen.text
    assert "Rows that cannot be used" in seen.text
    with office.writing() as session:
        assert session.scalars(select(DestinationRow.name)).all() == ["France"]
    admin.post(
        "/panel/destinations/import/agree",
        {"text": sheet.decode(), "keep": "no"},
        page="/panel/destinations/import",
    )
    with office.writing() as session:
        assert session.scalars(select(DestinationRow.name)).all() == ["Germany"]


def test_a_dialling_rule_is_made_and_tried(office: Office) -> None:
    admin = office.seat("admin")
    made = admin.post("/panel/dialling-rules/new", {"name": "Berlin", "region": "DE", "area_code": "30"})
    assert made.status_code == 303, made.text
    with office.writing() as session:
        id = session.scalars(select(DiallingRuleRow.id)).one()
    path = f"/panel/dialling-rules/{id}"
    assert "Berlin" in admin.get("/panel/dialling-rules").text
    assert "It is charged as 4930555001" in admin.get(f"{path}?number=555001").text
    assert "always passes" in admin.get(f"{path}?number=112").text
    assert admin.post(f"{path}/edit", {"region": "FR"}).status_code == 303
    assert "FR" in admin.get(path).text
    assert "cannot be dialled" in admin.post(f"{path}/edit", {"region": "FR", "technical_prefix": "x"}).text
    assert admin.post(f"{path}/remove").status_code == 303
    assert admin.get(path).status_code == 404


def test_a_carrier_has_gateways_and_a_tariff(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    made = admin.post("/panel/carriers/new", {"name": "Tele", "tariff": "wholesale"})
    assert made.status_code == 303, made.text
    admin.post(f"{made.location}/gateways", {"gateway": "tele-1"}, page=made.location)
    page = admin.get(made.location).text
    assert "tele-1" in page
    assert "wholesale" in page
    assert "Tele" in admin.get("/panel/carriers").text
    admin.post(f"{made.location}/gateways/remove", {"gateway": "tele-1"}, page=made.location)
    assert "No gateway leads here yet" in admin.get(made.location).text
    assert admin.post(f"{made.location}/edit", {"tariff": "retail"}).status_code == 303
    assert "retail" in admin.get(made.location).text
    with office_on_each.writing() as session:
        assert session.scalars(select(GatewayRow)).all() == []
        assert session.scalars(select(CarrierRow.name)).all() == ["Tele"]


def test_a_reseller_changes_nothing_that_all_share(office: Office) -> None:
    admin, reseller = office.seat("admin"), office.seat("reseller")
    made = admin.post(
        "/panel/destinations/new", {"name": "France", "kind": "international", "prefixes": "33"}
    ).location
    carrier = admin.post("/panel/carriers/new", {"name": "Tele", "tariff": "wholesale"}).location
    assert reseller.get(made).status_code == 200
    assert "New destination" not in reseller.get("/panel/destinations").text
    for path in ("/panel/destinations/new", f"{made}/edit", f"{made}/remove", "/panel/dialling-rules/new"):
        assert reseller.get(path).status_code == 403, path
    for path in ("/panel/carriers", carrier, f"{carrier}/edit"):
        assert reseller.get(path).status_code == 403, path


def test_everybody_has_bundles_of_his_own(office_on_each: Office) -> None:
    office = office_on_each
    reseller, other, admin = office.seat("reseller"), office.seat("other"), office.seat("admin")
    terms = {"name": "100 minutes", "pieces": "6000", "measure": "seconds", "cycle": "month", "zone": "UTC"}
    made = reseller.post("/panel/bundles/new", terms)
    assert made.status_code == 303, made.text
    assert other.post("/panel/bundles/new", terms).status_code == 303  # of the same name, and his own
    assert "exists already" in reseller.post("/panel/bundles/new", terms).text
    assert other.get(made.location).status_code == 404
    assert admin.get(made.location).status_code == 404
    given = reseller.post(f"{made.location}/give", {"account": "alice"}, page=made.location)
    assert given.status_code == 303, given.text
    page = reseller.get(made.location).text
    assert "Accounts that have it: 1" in page
    answer = reseller.post(f"{made.location}/give", {"account": "olga"}, page=made.location)
    assert "There is no account of this code" in answer.text
    alice, olga = office.account_id("alice"), office.account_id("olga")
    assert reseller.post(f"{made.location}/take/{olga}", page=made.location).status_code == 404
    assert reseller.post(f"{made.location}/take/{alice}", page=made.location).status_code == 303
    assert "Accounts that have it: 0" in reseller.get(made.location).text
    with office.writing() as session:
        assert len(session.scalars(select(BundleRow)).all()) == 2


def test_who_changes_a_destination_second_is_told_what_the_first_changed(office: Office) -> None:
    admin = office.seat("admin")
    new = {"name": "Malta", "kind": "mobile", "prefixes": "35699"}
    made = admin.post("/panel/destinations/new", new).location
    form = admin.get(f"{made}/edit").text
    seen = html.unescape(re.search(r'name="edition"[^>]*value="([^"]*)"', form)[1])  # type: ignore[index]
    first = {"kind": "mobile", "prefixes": "35699 35679", "edition": seen}
    assert admin.post(f"{made}/edit", first).status_code == 303
    second = admin.post(f"{made}/edit", {"kind": "special", "prefixes": "35699", "edition": seen})
    assert second.status_code == 200
    assert "35679" in second.text
    assert "35679" in admin.get(made).text
