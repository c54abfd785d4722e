"""Tariffs in the panel: made, changed as versions, tried on a number; and whose they are."""

from sqlalchemy import select
from werkzeug.test import TestResponse

from pbxbill.store.accounts import tariff_by_name
from pbxbill.store.models import RateDeckRow, TariffRow, TariffVersionRow
from tests.web.offices import Browser, Office
from tests.web.test_catalogue_decks import SHEET, imported
from tests.web.test_policy_forms import values

TERMS = {
    "name": "gold",
    "prices": "deck",
    "deck": "retail",
    "tax_mode": "exclusive",
    "tax": "19",
    "rounding": "half_up",
    "rounding_step": "10000",
    "slice_s": "60",
    "renew_before_s": "15",
    "max_call_s": "14400",
    "cycle_kind": "graduated",
    "calendar": "",
    "unit": "EUR",
}


def make(browser: Browser, **more: object) -> TestResponse:
    return browser.post("/panel/tariffs/new", TERMS | more)


def test_a_tariff_is_made_tried_and_changed(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    made = make(admin)
    assert made.status_code == 303, made.text
    page = admin.get(made.location).text
    assert "19 % added to the prices" in page
    assert "gold" in admin.get("/panel/tariffs").text
    tried = admin.get(f"{made.location}?number=%2B4930123&seconds=60").text
    assert "A call of 1:00 to 4930123 costs" in tried
    assert "0.71" in tried  # 0.60 and 19 %, to the cent
    assert "has no rate for 331" in admin.get(f"{made.location}?number=331&seconds=60").text
    edit = f"{made.location}/edit"
    assert 'value="19"' in admin.get(edit).text
    changed = admin.post(edit, TERMS | {"tax": "20"})
    assert changed.status_code == 303, changed.text
    text = admin.get(changed.location).text
    assert "Version 2" in text
    assert "Earlier versions" in text


def test_what_makes_no_sense_is_refused_and_kept(office: Office) -> None:
    admin = office.seat("admin")
    answer = make(admin, tax_mode="none", slice_s="90")
    assert answer.status_code == 200
    assert "say whether prices include it" in answer.text
    assert 'value="gold"' in answer.text
    assert "renewed at least a second before its end" in make(admin, slice_s="10", renew_before_s="15").text
    assert "choose the deck" in make(admin, deck="").text.lower()
    assert "there is a tariff of this name" in make(admin, name="retail").text.lower()


def test_the_second_of_two_who_change_it_is_told(office: Office) -> None:
    admin, again = office.seat("admin"), office.browser("admin")
    path = f"{make(admin).location}/edit"
    page = again.get(path).text
    edition = page.split('name="edition"')[1].split('value="')[1].split('"')[0].replace("&#34;", '"')
    assert admin.post(path, TERMS | {"tax": "7"}).status_code == 303
    answer = again.post(path, TERMS | {"tax": "20", "edition": edition})
    assert "Somebody else changed this" in answer.text
    assert 'value="20"' in answer.text


def test_a_reseller_makes_tariffs_of_his_own_decks_alone(office_on_each: Office) -> None:
    office = office_on_each
    reseller, other = office.seat("reseller"), office.seat("other")
    assert "Not a valid choice" in make(reseller).text  # the operator's deck
    imported(reseller, SHEET)
    made = make(reseller, deck="mine", name="retail")  # the operator has one of this name, too
    assert made.status_code == 303, made.text
    with office.writing() as session:
        own = tariff_by_name(session, "retail", office.account_id("reseller"))
        operators = tariff_by_name(session, "retail")
        wholesale = tariff_by_name(session, "wholesale")
    assert made.location.endswith(f"/panel/tariffs/{own.id}")
    assert other.get(f"/panel/tariffs/{own.id}").status_code == 404
    for id in (operators.id,):
        assert reseller.get(f"/panel/tariffs/{id}").status_code == 404
        assert reseller.get(f"/panel/tariffs/{id}/edit").status_code == 404
    page = reseller.get(f"/panel/tariffs/{wholesale.id}")
    assert "You are charged by this tariff" in page.text
    assert "Accounts that are charged" not in page.text
    assert reseller.get(f"/panel/tariffs/{wholesale.id}/edit").status_code == 404
    listed = reseller.get("/panel/tariffs").text
    assert "wholesale" in listed
    assert listed.count(f'href="/panel/tariffs/{operators.id}"') == 0


def test_a_mark_up_is_tried_on_what_the_reseller_is_charged(office: Office) -> None:
    reseller = office.seat("reseller")
    made = make(reseller, prices="mark_up", mark_up="20", deck="", tax_mode="none", tax="")
    assert made.status_code == 303, made.text
    page = reseller.get(f"{made.location}?number=4930123&seconds=60").text
    assert "0.36" in page  # 0.30 and 20 %
    assert "wholesale" not in page


def test_who_may_not_write_does_not_change_tariffs(office: Office) -> None:
    support = office.seat("support")
    assert support.get("/panel/tariffs").status_code == 200
    assert "New tariff" not in support.get("/panel/tariffs").text
    assert support.get("/panel/tariffs/new").status_code == 403
    with office.writing() as session:
        assert len(session.scalars(select(TariffVersionRow)).all()) == 2
        assert session.scalars(select(TariffRow.name).order_by(TariffRow.name)).all() == [
            "retail",
            "wholesale",
        ]
        assert len(session.scalars(select(RateDeckRow)).all()) == 2


def test_two_who_change_steps_of_a_cycle_are_told(office: Office) -> None:
    admin = office.seat("admin")
    steps = {
        "cycle_steps": "0:0.05 6000:0.04",
        "cycle": "month",
        "cycle_zone": "UTC",
        "cycle_destinations": "Germany",
    }
    made = make(admin, **steps)
    assert made.status_code == 303, made.text
    edit = f"{made.location}/edit"
    shown = values(admin.get(edit).text)
    assert admin.post(edit, shown | {"cycle_kind": "volume"}).status_code == 303
    second = admin.post(edit, shown | {"cycle_zone": "Europe/Berlin"}).text
    assert "Somebody else changed this" in second
    assert "volume" in second
    assert values(second)["cycle_zone"] == "Europe/Berlin"
