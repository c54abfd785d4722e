"""Rate decks in the panel: found, imported with a look at what changes, exported; and whose they are."""

from io import BytesIO

from sqlalchemy import select
from werkzeug.test import TestResponse

from pbxbill.store.catalogue_models import RateImportRow
from pbxbill.store.models import DeckVersionRow, RateDeckRow
from tests.web.offices import Browser, Office

SHEET = b"prefix,destination,price\n49,Germany,0.02\n4915,Germany mobile,0.09\n33,France,0.03\n"


def upload(browser: Browser, content: bytes, name: str = "sheet.csv", **more: object) -> TestResponse:
    data = {
        "deck": "",
        "new_deck": "mine",
        "unit": "EUR",
        "measure": "seconds",
        "file": (BytesIO(content), name),
    }
    return browser.post("/panel/decks/import", data | more)


def imported(browser: Browser, content: bytes = SHEET, **more: str) -> TestResponse:
    answer = upload(browser, content, **more)
    assert answer.status_code == 303, answer.text
    agreed = browser.post(f"{answer.location}/agree", page=answer.location)
    return browser.get(agreed.location)


def test_what_would_change_is_shown_before_it_does(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    answer = upload(admin, SHEET + b"x,nowhere,1\n")
    page = admin.get(answer.location).text
    assert "No rate has changed yet" in page
    assert "Write 3 rates into mine" in page
    assert "Rows that cannot be used: 1" in page
    assert "x,nowhere,1" in admin.get(f"{answer.location}/refused.csv").text
    with office_on_each.writing() as session:
        assert session.scalar(select(RateDeckRow).where(RateDeckRow.name == "mine")) is None
    done = admin.get(admin.post(f"{answer.location}/agree", page=answer.location).location).text
    assert "Version 1 with 3 rates counts from" in done
    office_on_each.clock.advance(1_000_000)
    again = upload(admin, SHEET.replace(b"0.02", b"0.03"), deck="mine", new_deck="")
    page = admin.get(again.location).text
    assert "Rise by more than 20 %: 1" in page
    assert "+50 %" in page
    assert "version 1" in page
    assert "49,Germany,raised" in admin.get(f"{again.location}/changes.csv").text


def test_rates_are_found_by_prefix_number_and_destination(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    imported(admin)
    with office_on_each.writing() as session:
        deck = session.scalars(select(RateDeckRow).where(RateDeckRow.name == "mine")).one()
        version = session.scalars(select(DeckVersionRow).where(DeckVersionRow.deck_id == deck.id)).one()
    rates = f"/panel/decks/versions/{version.id}/rates"
    assert "mine" in admin.get("/panel/decks").text
    assert f"{rates}" in admin.get(f"/panel/decks/{deck.id}").text

    def found(query: str) -> list[str]:
        text = admin.get(f"{rates}?{query}").text
        return [x for x in ("Germany mobile", "France", ">Germany<") if x in text]

    assert found("prefix=49") == ["Germany mobile", ">Germany<"]
    assert found("prefix=3") == ["France"]
    assert found("number=%2B49%20151%2012345678") == ["Germany mobile", ">Germany<"]
    assert found("destination=mob") == ["Germany mobile"]
    assert admin.get(f"{rates}?prefix=abc").status_code == 400
    sheet = admin.get(f"/panel/decks/versions/{version.id}/sheet.csv").text
    assert "4915,Germany mobile,,0.09" in sheet
    assert admin.get(f"/panel/decks/versions/{version.id}/sheet.xlsx").data[:2] == b"PK"


def test_a_sheet_that_cannot_be_used_says_why(office: Office) -> None:
    admin = office.seat("admin")
    page = admin.get(upload(admin, b"a,b\n1,2\n").location).text
    assert "No rate has changed" in page
    answer = upload(admin, SHEET, name="sheet.exe")
    assert answer.status_code == 200
    assert "CSV or XLSX file" in answer.text
    assert 'value="mine"' in answer.text
    past = upload(admin, SHEET, effective="1969-01-01T00:00:00")
    assert "is past" in past.text
    assert "No rate has changed" in admin.get(upload(admin, b"not a sheet", name="x.xlsx").location).text


def test_a_sheet_whose_columns_have_other_names_is_read_once_they_are_said(office: Office) -> None:
    admin = office.seat("admin")
    new = admin.get("/panel/decks/import").text
    assert "at least a prefix, a destination and a price" in new
    answer = upload(admin, b"prefix,Where,price\n49,Deutschland,0.02\n33,Frankreich,0.03\n")
    page = admin.get(answer.location).text
    assert "No rate has changed" in page
    assert "missing among &#39;prefix&#39;, &#39;Where&#39;, &#39;price&#39;" in page
    assert "--profile" not in page
    assert "Deutschland" in page
    assert '<option selected value="price">' in page
    again = admin.post(answer.location, {"destination": "Where"}, page=answer.location)
    assert again.status_code == 303
    assert "Write 2 rates into mine" in admin.get(answer.location).text
    admin.post(f"{answer.location}/agree", page=answer.location)
    assert "Go on with: A tariff" in admin.get(answer.location).text
    # What is read already is not read again.
    assert admin.post(answer.location, {"destination": "price"}).status_code == 303
    assert "The rates are in the deck" in admin.get(answer.location).text


def test_columns_can_be_named_with_the_sheet(office: Office) -> None:
    admin = office.seat("admin")
    answer = upload(
        admin, b"Nr,Where,price\n49,Germany,0.02\n", column_prefix="Nr", column_destination="Where"
    )
    assert "Write one rate into mine" in admin.get(answer.location).text
    odd = upload(admin, SHEET, new_deck="", zone="Nowhere/Land", increments="x").text
    assert "There is no zone Nowhere/Land" in odd
    unnamed = upload(admin, SHEET, new_deck="").text
    assert 'href="#new_deck"' in unnamed


def test_an_import_is_agreed_to_once(office: Office) -> None:
    admin = office.seat("admin")
    answer = upload(admin, SHEET)
    admin.post(f"{answer.location}/agree", page=answer.location)
    again = admin.post(f"{answer.location}/agree", page="/panel/decks/import")
    assert "not waiting to be agreed to" in admin.get(again.location).text
    with office.writing() as session:
        assert session.scalars(
            select(DeckVersionRow.number).join(RateDeckRow).where(RateDeckRow.name == "mine")
        ).all() == [1]


def test_two_who_import_at_once_do_not_overwrite_each_other(office: Office) -> None:
    admin = office.seat("admin")
    first, second = upload(admin, SHEET), upload(admin, SHEET)
    admin.post(f"{first.location}/agree", page=first.location)
    admin.post(f"{second.location}/agree", page=second.location)
    assert "got another version" in admin.get(second.location).text


def test_a_reseller_has_decks_of_his_own(office_on_each: Office) -> None:
    office = office_on_each
    reseller, other, admin = office.seat("reseller"), office.seat("other"), office.seat("admin")
    assert "Version 1" in imported(reseller).text
    assert "Version 1" in imported(admin).text  # of the same name, and another's
    with office.writing() as session:
        decks = {
            x.issuer_id: x.id for x in session.scalars(select(RateDeckRow).where(RateDeckRow.name == "mine"))
        }
        versions = {
            x.deck_id: x.id for x in session.scalars(select(DeckVersionRow)) if x.deck_id in decks.values()
        }
        imports = {x.issuer_id: x.id for x in session.scalars(select(RateImportRow))}
    own = office.account_id("reseller")
    theirs = next(x for x in decks if x != own)
    for path in (
        f"/panel/decks/{decks[theirs]}",
        f"/panel/decks/versions/{versions[decks[theirs]]}/rates",
        f"/panel/decks/versions/{versions[decks[theirs]]}/rates.csv",
        f"/panel/decks/versions/{versions[decks[theirs]]}/sheet.csv",
        f"/panel/decks/imports/{imports[theirs]}",
        f"/panel/decks/imports/{imports[theirs]}/changes.csv",
    ):
        assert reseller.get(path).status_code == 404, path
        assert other.get(path).status_code == 404, path
    assert reseller.get(f"/panel/decks/{decks[own]}").status_code == 200
    assert other.get(f"/panel/decks/{decks[own]}").status_code == 404
    assert (
        reseller.post(f"/panel/decks/imports/{imports[theirs]}/agree", page="/panel/decks/import").status_code
        == 404
    )


def test_a_reseller_sees_the_deck_that_he_is_charged_by_and_cannot_change_it(office: Office) -> None:
    reseller = office.seat("reseller")
    with office.writing() as session:
        decks = {x.name: x.id for x in session.scalars(select(RateDeckRow))}
    page = reseller.get(f"/panel/decks/{decks['wholesale']}")
    assert page.status_code == 200
    assert "You are charged by this deck" in page.text
    assert "Import a new version" not in page.text
    assert reseller.get(f"/panel/decks/{decks['retail']}").status_code == 404
    assert "wholesale" not in reseller.get("/panel/decks/import").text


def test_who_may_not_write_does_not_import(office: Office) -> None:
    assert office.seat("finance").get("/panel/decks").status_code == 200
    assert office.seat("finance").get("/panel/decks/import").status_code == 403
    assert office.seat("shop").get("/panel/decks").status_code == 403
