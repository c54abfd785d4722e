"""Vouchers, calling cards and points in the panel."""

import csv
import io
import re
import zipfile

from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit
from tests.web.offices import Browser, Office

BATCH = {"name": "Spring", "count": "3", "amount": "10", "unit": "EUR", "digits": "16"}


def made_batch(browser: Browser, **more: object) -> str:
    answer = browser.post("/panel/vouchers/new", BATCH | more)
    assert answer.status_code == 303, answer.text
    return answer.location


def codes_of(browser: Browser, batch: str) -> list[dict[str, str]]:
    answer = browser.post(f"{batch}/codes", {"form": "csv", "language": "en", "note": ""}, page=batch)
    assert answer.mimetype == "text/csv", answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_codes_are_handed_out_once_and_redeemed(office_on_each: Office) -> None:
    reseller = office_on_each.seat("reseller")
    batch = made_batch(reseller)
    codes = codes_of(reseller, batch)
    assert [x["serial"] for x in codes] == ["1", "2", "3"]
    again = reseller.post(f"{batch}/codes", {"form": "csv", "language": "en"}, page="/me")
    assert again.status_code == 303
    assert "handed out already" in reseller.get(batch).text
    shop = office_on_each.seat("shop")
    path = "/panel/vouchers/redeem?account=alice"
    wrong = shop.post(path, {"code": "1234 5678 9012 3456"})
    assert wrong.status_code == 200
    assert 'href="#code"' in wrong.text
    done = shop.post(path, {"code": codes[1]["code"]})
    assert done.status_code == 303, done.text
    assert "10.00" in shop.get("/panel/accounts?q=alice").text
    found = shop.get("/panel/vouchers/serials?serial=2").text
    assert "alice" in found
    assert "redeemed" in found


def test_cards_come_with_the_table(office: Office) -> None:
    admin = office.seat("admin")
    batch = made_batch(admin, to_day="2099-12-31")
    answer = admin.post(f"{batch}/codes", {"form": "cards", "language": "en", "note": "Dial 100"}, page=batch)
    assert answer.mimetype == "application/zip", answer.text
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.namelist() == ["Spring.csv", "Spring-1.pdf"]
        assert archive.read("Spring-1.pdf").startswith(b"%PDF-")


def test_serials_are_blocked(office: Office) -> None:
    admin = office.seat("admin")
    batch = made_batch(admin)
    codes_of(admin, batch)
    page = admin.post(f"{batch}/block", {"first": "1", "last": "2"})
    assert page.status_code == 303, page.text
    assert "2 vouchers are changed" in admin.get(batch).text
    assert admin.post(f"{batch}/block", {"last": "2"}).status_code == 200
    assert admin.post(f"{batch}/unblock").status_code == 303
    assert office.seat("shop").get(f"{batch}/block").status_code == 403
    assert office.seat("other").get(batch).status_code == 404


def test_a_batch_that_makes_no_sense_is_refused(office: Office) -> None:
    admin = office.seat("admin")
    answer = admin.post("/panel/vouchers/new", BATCH | {"count": "5000"})
    assert answer.status_code == 200
    assert "From 1 to 2000" in answer.text
    assert 'value="Spring"' in answer.text
    made_batch(admin)
    assert "has a batch" in admin.post("/panel/vouchers/new", BATCH).text


def test_a_cards_pin_is_shown_once(office: Office) -> None:
    reseller = office.seat("reseller")
    answer = reseller.post("/panel/cards/new?account=alice", {"count": "2", "digits": "10", "name": "Wife"})
    pins = re.findall(r'<span class="code">(\d{10})</span>', answer.text)
    assert len(pins) == 2
    listed = reseller.get("/panel/cards?account=alice").text
    card = re.findall(r'href="(/panel/cards/\d+)"', listed)[0]
    page = reseller.get(card).text
    assert "Wife" in page
    assert not any(pin in page for pin in pins)
    assert reseller.post(f"{card}/callers", {"number": "+4930123456"}, page=card).status_code == 303
    assert "4930123456" in reseller.get(card).text
    listed = reseller.get("/panel/known-callers?number=4930").text
    assert card in listed
    assert "No caller is known yet" in office.seat("other").get("/panel/known-callers").text
    assert "4930123456" in reseller.get("/panel/known-callers.csv").text
    assert reseller.post(f"{card}/block", page=card).status_code == 303
    assert "blocked" in reseller.get(card).text
    fresh = reseller.post(f"{card}/pin")
    assert re.search(r'<span class="code">\d{6,}</span>', fresh.text)
    assert office.seat("other").get(card).status_code == 404


def test_points_are_earned_by_a_rule(office: Office) -> None:
    with office.writing() as session:
        ensure_unit(session, Unit("POINTS", scale=0, digits=0))
    reseller = office.seat("reseller")
    rule = {
        "kind": "top_up",
        "amount": "1",
        "unit": "EUR",
        "points": "2",
        "points_unit": "POINTS",
        "worth": "0.01",
    }
    made = reseller.post("/panel/points/new", rule)
    assert made.status_code == 303, made.text
    id = office.account_id("alice")
    given = reseller.post(
        f"/panel/points/of-account/{id}/give",
        {"rule": made.location.rsplit("/", 1)[1], "points": "200", "reason": "sorry", "key": "k"},
    )
    assert given.status_code == 303, given.text
    assert "200" in reseller.get(given.location).text
    used = reseller.post(
        f"/panel/points/of-account/{id}/spend",
        {"points_unit": "POINTS", "points": "100", "unit": "EUR", "key": "s"},
    )
    assert used.status_code == 303, used.text
    assert "1.00" in reseller.get("/panel/accounts?q=alice").text
    assert office.seat("other").get(made.location).status_code == 404
    ended = reseller.post(f"{made.location}/end")
    assert ended.status_code == 303
    assert "ended" in reseller.get(made.location).text


def test_who_brought_whom(office: Office) -> None:
    reseller = office.seat("reseller")
    refused = reseller.post("/panel/referrals/new", {"account": "alice", "referrer": "olga"})
    assert "There is no account olga" in refused.text
    assert reseller.get("/panel/referrals").status_code == 200
