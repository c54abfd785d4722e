"""Payments in the panel: taken, with their receipt, taken back, moved; and whose they are."""

import re

from tests.web.offices import Browser, Office

KEY = re.compile(r'name="key"[^>]*value="([^"]+)"')


def take(browser: Browser, account: str, **more: object) -> str:
    path = f"/panel/payments/top-up?account={account}"
    found = KEY.search(browser.get(path).text)
    assert found
    sent = {
        "amount": "25.00",
        "unit": "EUR",
        "purpose": "wallet",
        "method": "cash",
        "reference": "book 7",
        "receipt": "y",
        "key": found[1],
    }
    answer = browser.post(path, sent | more)
    assert answer.status_code == 303, answer.text
    return answer.location


def test_a_payment_is_taken_and_has_a_receipt(office_on_each: Office) -> None:
    shop = office_on_each.seat("shop")
    assert "Account" in shop.get("/panel/payments/top-up").text
    page = shop.get(take(shop, "alice")).text
    assert "25.00" in page
    assert "cash: book 7" in page
    assert "Print the receipt" in page
    listed = shop.get("/panel/payments").text
    assert "alice" in listed
    assert "25.00" in listed
    assert "book 7" in shop.get("/panel/payments.csv?account=alice").text
    assert "book 7" not in shop.get("/panel/payments.csv?account=olga").text


def test_a_page_that_is_sent_twice_counts_once(office: Office) -> None:
    admin = office.seat("admin")
    first = take(admin, "alice", key="0123456789abcdef")
    assert take(admin, "alice", key="0123456789abcdef") == first
    path = "/panel/payments/top-up?account=alice"
    sent = {"amount": "26", "unit": "EUR", "purpose": "wallet", "method": "cash", "key": "0123456789abcdef"}
    refused = admin.post(path, sent)
    assert refused.status_code == 200
    assert "sent before with another amount" in refused.text


def test_bad_input_names_the_field_and_is_kept(office: Office) -> None:
    admin = office.seat("admin")
    path = "/panel/payments/top-up?account=alice"
    sent = {"amount": "many", "unit": "EUR", "purpose": "wallet", "method": "cash", "reference": "kept"}
    answer = admin.post(path, sent)
    assert answer.status_code == 200
    assert 'href="#amount"' in answer.text
    assert 'value="kept"' in answer.text
    assert admin.get("/panel/payments/top-up?account=nobody").status_code == 404


def test_a_payment_is_taken_back_once(office: Office) -> None:
    admin = office.seat("admin")
    entry = take(admin, "alice")
    assert "The equal and opposite entry" in admin.get(f"{entry}/reverse").text
    back = admin.post(f"{entry}/reverse", {"reason": "counted wrong"})
    assert back.status_code == 303, back.text
    assert "counted wrong" in admin.get(back.location).text
    assert "This was taken back" in admin.get(entry).text
    again = admin.post(f"{entry}/reverse", {"reason": "again"})
    assert "reversed already" in again.text


def test_entries_are_their_sellers(office: Office) -> None:
    entry = take(office.seat("reseller"), "alice")
    assert office.seat("other").get(entry).status_code == 404
    assert office.seat("other").get(f"{entry}/receipt.pdf").status_code == 404
    assert office.seat("other").get("/panel/payments/top-up?account=alice").status_code == 404
    assert "alice" not in office.seat("other").get("/panel/payments").text
    assert office.seat("admin").get(entry).status_code == 200
    assert office.seat("support").get("/panel/payments/top-up").status_code == 403
    assert office.seat("shop").get(f"{entry}/reverse").status_code == 403


def test_funds_move_to_another_account(office: Office) -> None:
    admin = office.seat("admin")
    take(admin, "olga")
    path = "/panel/payments/transfer?account=olga"
    sent = {"taker": "alice", "amount": "5", "unit": "EUR", "reason": "wrong account", "key": "k1"}
    refused = admin.post(path, sent)
    assert refused.status_code == 200  # of two sellers
    assert 'value="alice"' in refused.text
    assert admin.post(path, sent | {"taker": "nobody"}).status_code == 200
    assert "There is no account nobody" in admin.post(path, sent | {"taker": "nobody"}).text
