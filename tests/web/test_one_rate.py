"""One prefix of a deck: corrected, added, ended, each shown first; in the panel and by programs."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from pbxbill.access.permissions import Role
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow
from tests.web.offices import Browser, Office
from tests.web.programs import Installation, installation
from tests.web.test_api import fields, problem
from tests.web.test_api_catalogue import made
from tests.web.test_catalogue_decks import SHEET, imported

RATE = {"destination": "Germany mobile", "price": "0.11", "increments": "60/60"}


@pytest.fixture
def installed(sqlite_url: str) -> Iterator[Installation]:
    with installation(sqlite_url) as made:
        yield made


def deck_id(office: Office, name: str = "mine") -> int:
    with office.reading() as session:
        return session.scalars(select(RateDeckRow.id).where(RateDeckRow.name == name)).one()


def prices(office: Office) -> dict[str, int]:
    """Prices per minute of the newest version, in millionths."""
    with office.reading() as session:
        newest = select(DeckVersionRow).where(DeckVersionRow.deck_id == deck_id(office))
        version = session.scalars(newest.order_by(DeckVersionRow.number.desc()).limit(1)).one()
        rows = session.scalars(select(RateRow).where(RateRow.deck_version_id == version.id))
        return {x.prefix: x.price_per_min // 1_000 for x in rows}


def agreed(office: Office, browser: Browser, location: str) -> str:
    office.clock.advance(1_000_000)
    done = browser.post(f"{location}/agree", page=location)
    office.clock.advance(1_000_000)
    return browser.get(done.location).text


def with_deck(office: Office, content: bytes = SHEET, name: str = "mine") -> Browser:
    admin = office.seat("admin")
    imported(admin, content, new_deck=name)
    office.clock.advance(1_000_000)
    return admin


def test_a_rate_is_corrected_and_the_others_stay(office_on_each: Office) -> None:
    office = office_on_each
    admin = with_deck(office)
    id = deck_id(office)
    rates = re.search(r"/panel/decks/versions/\d+/rates", admin.get(f"/panel/decks/{id}").text)
    assert rates is not None
    assert f"/panel/decks/{id}/rate?prefix=4915" in admin.get(rates[0]).text
    path = f"/panel/decks/{id}/rate?prefix=4915"
    form = admin.get(path).text
    assert 'value="Germany mobile"' in form
    assert 'value="0.09"' in form
    before = prices(office)
    shown = admin.post(path, {**RATE, "edition": edition(form)})
    assert shown.status_code == 303, shown.text
    page = admin.get(shown.location).text
    assert "Dearer" in page
    assert "Rise by more than 20 %: 1" in page
    assert prices(office) == before
    assert "Version 2 with 3 rates" in agreed(office, admin, shown.location)
    assert prices(office) == before | {"4915": before["4915"] * 11 // 9}


def edition(text: str) -> str:
    found = re.search(r'name="edition"[^>]*value="([^"]*)"', text)
    assert found is not None
    return found[1].replace("&#34;", '"').replace("&quot;", '"')


def test_what_it_is_sold_below_is_told_before(office: Office) -> None:
    admin = with_deck(office)
    sold = b"prefix,destination,price\n4915,Mobile,0.10\n49,Germany,0.05\n33,France,0.05\n"
    with_deck(office, sold, "sold")
    shown = admin.post(f"/panel/decks/{deck_id(office)}/rate?prefix=4915", {**RATE, "against": "sold"})
    assert "Sold below cost" in admin.get(shown.location).text


def test_a_rate_is_added_and_ended(office: Office) -> None:
    admin = with_deck(office)
    path = f"/panel/decks/{deck_id(office)}/rate"
    again = admin.post(path, {**RATE, "prefix": "4915"})
    assert "has a rate already" in again.text
    assert 'value="0.11"' in again.text
    odd = admin.post(path, {"prefix": "abc", "destination": "x", "price": "-1", "increments": "x"}).text
    assert 'href="#prefix"' in odd
    added = admin.post(
        path, {"prefix": "+34 6", "destination": "Spain mobile", "price": "0.2", "increments": "1"}
    )
    assert added.status_code == 303, added.text
    assert "Version 2 with 4 rates" in agreed(office, admin, added.location)
    end = f"/panel/decks/{deck_id(office)}/rate/end?prefix=4915"
    assert "a shorter prefix says" in admin.get(end).text
    ended = admin.post(end)
    assert ended.status_code == 303, ended.text
    assert "Withdrawn" in admin.get(ended.location).text
    assert "Version 3 with 3 rates" in agreed(office, admin, ended.location)
    assert set(prices(office)) == {"49", "33", "346"}
    assert admin.get(end).status_code == 404
    assert "no rate of its own now" in admin.get(f"{path}?prefix=4915").text
    assert "is past" in admin.post(f"{path}?prefix=49", {**RATE, "effective": "1999-01-01T00:00:00"}).text


def test_the_second_is_told_what_the_first_changed(office: Office) -> None:
    admin = with_deck(office)
    path = f"/panel/decks/{deck_id(office)}/rate?prefix=49"
    seen = edition(admin.get(path).text)
    first = admin.post(path, {**RATE, "destination": "Germany", "edition": seen})
    agreed(office, admin, first.location)
    office.clock.advance(1_000_000)
    second = admin.post(path, {**RATE, "destination": "Deutschland", "edition": seen})
    assert "Somebody else changed this" in second.text
    assert 'value="Deutschland"' in second.text


def test_who_did_not_make_a_deck_changes_no_rate(office: Office) -> None:
    with_deck(office)
    reseller = office.seat("reseller")
    assert reseller.get(f"/panel/decks/{deck_id(office)}/rate").status_code == 404
    assert reseller.get(f"/panel/decks/{deck_id(office)}/rate/end?prefix=49").status_code == 404
    assert office.seat("admin").get(f"/panel/decks/{deck_id(office)}/rate?prefix=x").status_code == 404


def test_programs_change_one_rate(installed: Installation) -> None:
    program = installed.program()
    deck = program.get("/decks").json["items"][0]
    body = {"prefix": "4930", "destination": "Berlin", "price": "0.012", "increments": "60/60"}
    ready = made(program.post(f"/decks/{deck['id']}/rate-changes", body), 202)
    address = f"/rate-imports/{ready['id']}"
    assert program.get(address).json["preview"]["counts"]["new"] == 1
    made(program.post(f"{address}/agreement", None), 202)
    assert program.get(address).json["state"] == "done"
    odd = body | {"increments": "0/0"}
    assert fields(program.post(f"/decks/{deck['id']}/rate-changes", odd)) == ["body.increments"]
    ended = program.post(f"/decks/{deck['id']}/rate-ends", {"prefix": "49301"})
    assert fields(ended) == ["body.prefix"]
    other = installed.program("reseller", role=Role.RESELLER)
    problem(other.post(f"/decks/{deck['id']}/rate-changes", body), 404)
