"""Books in the panel and the API: trial balance, journal, an entry, the export; and whose they are."""

import re

from tests.web.offices import Office
from tests.web.test_money_pages import KEY, take

TARIFF = re.compile(r'<option[^>]* value="([^"]+)"')
AS_OF = "last=2200-01-01"


def test_money_that_came_in_stands_in_the_books(office_on_each: Office) -> None:
    seller = office_on_each.seat("reseller")
    entry = take(seller, "alice").rsplit("/", 1)[1]
    assert "As of the end of" in seller.get("/panel/books").text
    page = seller.get(f"/panel/books?{AS_OF}").text
    assert "Cash" in page
    assert "25.00" in page
    journal = seller.get("/panel/books/journal?account=alice&ledger=cash").text
    assert f"/panel/books/journal/{entry}" in journal
    assert "nothing" not in seller.get("/panel/books/journal.csv").text
    shown = seller.get(f"/panel/books/journal/{entry}").text
    assert "Wallets" in shown
    assert "book 7" in shown
    assert f"/panel/payments/{entry}" in shown


def test_the_journal_is_handed_over_as_a_file(office: Office) -> None:
    seller = office.seat("reseller")
    entry = take(seller, "alice").rsplit("/", 1)[1]
    days = "first=1990-01-01&last=2200-01-01"
    lines = seller.get(f"/panel/books/export?{days}&form=csv").text
    assert entry in lines
    assert lines.startswith("date,moment,entry")
    text = seller.get(f"/panel/books/export?{days}&form=beancount").text
    assert 'option "title" "Books of reseller"' in text
    refused = seller.get("/panel/books/export?first=2026-02-02&last=2026-02-01&form=csv")
    assert refused.status_code == 400
    assert 'value="2026-02-02"' in refused.text
    assert seller.get("/panel/books?first=2026-02-02&last=2026-02-01").status_code == 400


def test_books_are_their_sellers(office: Office) -> None:
    entry = take(office.seat("reseller"), "alice").rsplit("/", 1)[1]
    other = office.seat("other")
    assert other.get(f"/panel/books/journal/{entry}").status_code == 404
    assert entry not in other.get("/panel/books/journal").text
    assert entry not in other.get("/panel/books/journal?account=alice").text
    foreign = office.account_id("reseller")
    assert other.get(f"/panel/books?issuer={foreign}&{AS_OF}").status_code == 400
    assert office.seat("admin").get(f"/panel/books/journal/{entry}").status_code == 200
    assert office.seat("admin").get(f"/panel/books?issuer={foreign}&{AS_OF}").status_code == 200
    assert office.seat("alice").get("/panel/books").status_code == 403


def test_a_wallet_is_corrected_once(office_on_each: Office) -> None:
    seller = office_on_each.seat("reseller")
    path = "/panel/payments/adjust?account=alice"
    page = seller.get(path).text
    assert "no money came or went" in page
    found = KEY.search(page)
    assert found
    sent = {"way": "in", "amount": "3.50", "unit": "EUR", "reason": "goodwill of May", "key": found[1]}
    done = seller.post(path, sent)
    assert done.status_code == 303, done.text
    shown = seller.get(done.location).text
    assert "Adjustments" in shown
    assert "goodwill of May" in shown
    assert seller.post(path, sent).location == done.location
    assert 'href="#reason"' in seller.post(path, sent | {"reason": ""}).text
    assert office_on_each.seat("other").get(path).status_code == 404
    assert office_on_each.seat("shop").get(path).status_code == 403


def test_services_of_an_account(office_on_each: Office) -> None:
    admin, alice = office_on_each.seat("admin"), office_on_each.account_id("alice")
    path = f"/panel/accounts/{alice}/services"
    page = admin.get(path).text
    assert "The account uses nothing beside calls" in page
    names = TARIFF.findall(page)
    assert names
    done = admin.post(path, {"service": "faxes", "tariff": names[0]})
    assert done.status_code in (200, 303)
    if done.status_code == 303:
        assert "faxes" in admin.get(path).text
        assert admin.post(f"{path}/remove", {"service": "faxes"}).status_code == 303
    assert "The account uses nothing beside calls" in admin.get(path).text
    assert office_on_each.seat("other").get(path).status_code == 404
