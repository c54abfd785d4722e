"""A customer's day in the portal: balance, calls, invoices, paying, plans, disputes, notices, details."""

import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill.billing.codes.voucher_batches import NewBatch, facts_of, make_vouchers, open_batch
from pbxbill.billing.codes.voucher_file import VoucherFile
from pbxbill.billing.invoices.disputes import settle_dispute
from pbxbill.billing.subscriptions.plan_catalogue import import_plan, offered_version
from pbxbill.billing.subscriptions.subscribing import NewSubscription, subscribe
from pbxbill.store.access_models import AuditRow
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.web.offices import Office
from tests.web.portal_shop import Shop, opened_shop
from tests.web.test_live_calls import Calling

SEEN = re.compile(r'name="seen"[^>]*value="([^"]*)"')


PLAN_TERMS = """
unit = "EUR"
collection = "invoice"
[[charge]]
name = "Line"
price = "{price}"
"""


@pytest.fixture
def shop(office: Office, tmp_path: Path) -> Iterator[Shop]:
    with opened_shop(office, tmp_path) as opened:
        yield opened


def test_every_page_of_the_menu_tells_a_fresh_account_what_to_do(shop: Shop) -> None:
    alice = shop.browser("alice")
    for path, told in {
        "/my/": "Nothing is open",
        "/my/calls": "appear here as they end",
        "/my/invoices": "There is no invoice yet",
        "/my/payments": "Top up your balance",
        "/my/plans": "Ask for one of those that your provider offers.",
        "/my/numbers": "so that others can call you",
        "/my/disputes": "say so there",
        "/my/notices": "An invoice or another document was issued",
        "/my/notices/sent": "Nothing was sent to you yet",
        "/my/details": "Alice",
        "/my/saved-cards": "No card is saved",
        "/my/auto-top-up": "does not fill itself",
        "/my/auto-top-up/EUR": "No card is saved",
    }.items():
        answer = alice.get(path)
        assert answer.status_code == 200, path
        assert told in answer.text, path
    assert alice.get("/my/auto-top-up/USD").status_code == 404
    assert shop.browser("admin").get("/my/").status_code == 403


def test_calls_are_told_in_plain_words(office: Office) -> None:
    calling = Calling(office)
    try:
        calling.end(calling.talking("alice"))
        other = calling.talking("olga")
        calling.end(other)
    finally:
        calling.engine.stop()
    alice = office.seat("alice")
    listed = alice.get("/my/calls").text
    link = re.search(r'href="(/my/calls/[0-9a-f]{32})"', listed)
    assert link
    page = alice.get(link[1]).text
    assert "You talked for 0:30." in page
    assert "It cost 0.36 EUR, of which 0.06 EUR is tax." in page
    assert "wholesale" not in page
    assert alice.get(f"/my/calls/{other}").status_code == 404
    assert "0.36" in alice.get("/my/calls.csv").text
    assert "9.64" in alice.get("/my/").text


def test_an_invoice_is_seen_fetched_and_paid_on_the_gateways_page(shop: Shop) -> None:
    id = shop.invoice()
    alice = shop.browser("alice")
    assert "10.00" in alice.get("/my/").text
    page = alice.get(f"/my/invoices/{id}").text
    assert "Line rental" in page
    assert "Pay now" in page
    pdf = alice.get(f"/my/invoices/{id}/pdf")
    assert pdf.data.startswith(b"%PDF-")
    files = re.findall(rf'href="(/my/invoices/{id}/(?:xml|csv))"', page)
    assert len(files) == 2
    xml, calls = (alice.get(x) for x in files)
    assert calls.text.startswith("started_at,")
    assert xml.location == f"/my/invoices/{id}"
    assert "has no structured form" in alice.get(xml.location).text, "neither party has an address"
    assert shop.browser("olga").get(f"/my/invoices/{id}").status_code == 404
    path = f"/my/invoices/{id}/pay"
    assert 'value="10.00"' in alice.get(path).text
    refused = alice.post(path, {"amount": "ten", "way": "gateway:cards", "seen": "0"})
    assert 'href="#amount"' in refused.text
    assert "ten" in refused.text
    sent = alice.post(path, {"amount": "10", "way": "gateway:cards", "seen": "0"})
    assert sent.status_code == 303
    through = alice.get(sent.location)
    goes_to = re.search(r'content="0;url=(/pay/[0-9a-f]{32})"', through.text)
    assert goes_to
    assert alice.get(goes_to[1]).location.startswith("https://pay.example/")
    shop.pays_there()
    assert "nothing is open" in alice.get(f"/my/invoices/{id}").text
    assert "payment" in alice.get("/my/payments").text
    with shop.office.reading() as session:
        assert session.query(AuditRow).filter_by(action="payment.start", actor="alice").count() == 1


def test_a_saved_card_is_charged_once_however_often_the_form_is_sent(shop: Shop) -> None:
    card = shop.save_card()
    alice = shop.browser("alice")
    page = alice.get("/my/top-up").text
    seen = SEEN.search(page)
    assert seen
    form = {"amount": "20", "way": f"card:{card}", "seen": seen[1], "unit": "EUR"}
    assert alice.post("/my/top-up", form).status_code == 303
    assert shop.funds("alice") == eur("20")
    again = alice.post("/my/top-up", form)
    assert "Another payment was made" in again.text
    assert shop.funds("alice") == eur("20")
    assert shop.gateway.charges == 1
    shop.gateway.fault("charge", "declined")
    form["seen"] = SEEN.search(again.text)[1]  # type: ignore[index]  # the form is shown again
    assert alice.post("/my/top-up", form).status_code == 303
    assert "was not paid: no funds" in alice.get("/my/payments").text


def test_cards_are_preferred_and_removed_after_asking(shop: Shop) -> None:
    first, second = shop.save_card(), shop.save_card(last4="1111")
    alice = shop.browser("alice")
    alice.post(f"/my/saved-cards/{second}/prefer", page="/my/saved-cards")
    shown = alice.get("/my/saved-cards").text
    assert shown.index("1111") < shown.index("4242")
    assert "payment service is asked to forget it" in alice.get(f"/my/saved-cards/{first}/remove").text
    alice.post(f"/my/saved-cards/{first}/remove")
    assert "4242" not in alice.get("/my/saved-cards").text.partition("<table")[2]
    assert shop.gateway.removed() == ["pm_4242"]


def test_the_automatic_top_up_is_set_with_caps_and_turned_off(shop: Shop) -> None:
    card = shop.save_card()
    alice = shop.browser("alice")
    path = "/my/auto-top-up/EUR"
    terms = {"below": "5", "amount": "20", "card": str(card), "daily_cap": "10", "monthly_cap": ""}
    assert "daily cap is less" in alice.post(path, terms).text
    assert alice.post(path, terms | {"daily_cap": "40"}).status_code == 303
    shown = alice.get("/my/auto-top-up").text
    assert "40.00" in shown
    alice.post(f"{path}/off", page="/my/auto-top-up")
    assert "does not fill itself" in alice.get("/my/auto-top-up").text


def test_a_voucher_is_redeemed_and_a_wrong_code_says_so(shop: Shop, tmp_path: Path) -> None:
    office = shop.office
    with office.writing() as session:
        issuer = session.get_one(AccountRow, office.account_id("reseller"))
        batch = open_batch(session, issuer, NewBatch("ten", "EUR", eur("10"), 1, 0), 1)
        facts = facts_of(session, batch)
    file = VoucherFile(tmp_path / "codes.csv", facts, new=True)
    make_vouchers(office.application.database, batch.id, file)
    (voucher,) = file.vouchers()
    file.close()
    alice = shop.browser("alice")
    wrong = alice.post("/my/voucher", {"voucher-code": "1234"})
    assert "A digit of the code is wrong" in wrong.text
    assert alice.post("/my/voucher", {"voucher-code": voucher.code}).status_code == 303
    assert shop.funds("alice") == eur("10")
    assert "You can spend 10.00 EUR now." in alice.get("/my/payments").text
    assert "used this voucher before" in alice.post("/my/voucher", {"voucher-code": voucher.code}).text


def test_another_plan_is_asked_for_and_the_wish_withdrawn(shop: Shop) -> None:
    office = shop.office
    with shop.desks.desk() as desk, desk.writing() as (session, books):
        issuer = session.get_one(AccountRow, office.account_id("reseller"))
        for name, price in (("Small", "5"), ("Large", "9")):
            import_plan(session, issuer, name, PLAN_TERMS.format(price=price), 1)
        account = session.get_one(AccountRow, office.account_id("alice"))
        new = NewSubscription(offered_version(session, issuer, "Small"))
        id = subscribe(session, books, account, new, office.clock.now_us()).subscribed.row.id
    alice = shop.browser("alice")
    assert "Small" in alice.get("/my/plans").text
    ask = f"/my/subscriptions/{id}/ask"
    assert "9.00" in alice.get(ask).text
    missing = alice.post(ask, {"what": "change", "plan": "", "quantity": "", "reason": "more calls"})
    assert 'href="#plan"' in missing.text
    assert "more calls" in missing.text
    wish = {"what": "change", "plan": "Large", "quantity": "", "reason": "more calls"}
    assert alice.post(ask, wish).status_code == 303
    page = alice.get(f"/my/subscriptions/{id}").text
    assert "another plan: Large" in page
    withdraw = re.search(r'action="(/my/requests/\d+/withdraw)"', page)
    assert withdraw
    alice.post(withdraw[1], page=f"/my/subscriptions/{id}")
    assert "It waits for a decision" not in alice.get(f"/my/subscriptions/{id}").text
    assert shop.browser("olga").get(f"/my/subscriptions/{id}").status_code == 404


def test_an_invoice_is_contested_with_a_file_and_the_decision_read(shop: Shop) -> None:
    id = shop.invoice()
    alice = shop.browser("alice")
    path = f"/my/invoices/{id}/dispute"
    much = alice.post(path, {"reason": "never called", "amount": "99"})
    assert "is open of" in much.text
    assert "never called" in much.text
    bad = alice.post(path, {"reason": "never called", "amount": "", "file": (io.BytesIO(b"MZ"), "run.exe")})
    assert 'href="#file"' in bad.text
    file = (io.BytesIO(b"%PDF-1.4 proof"), "proof.pdf")
    assert alice.post(path, {"reason": "never\ncalled", "amount": "4", "file": file}).status_code == 303
    page = alice.get(f"/my/disputes/{id}").text
    assert "You contest 4.00 EUR" in page
    assert "never called" in page
    found = re.search(rf'href="(/my/disputes/{id}/files/\d+)"', page)
    assert found
    assert alice.get(found[1]).data == b"%PDF-1.4 proof"
    assert shop.browser("olga").get(found[1]).status_code == 404
    alice.post(f"/my/disputes/{id}", {"reason": "see page 2"})
    with shop.office.writing() as session:
        settle_dispute(session, id, reason="you did call", now_us=shop.office.clock.now_us(), by="reseller")
    page = alice.get(f"/my/disputes/{id}").text
    assert "see page 2" in page
    assert "you did call" in page
    assert "It is decided" in page


def test_notices_go_where_and_when_somebody_wants_them(shop: Shop) -> None:
    alice = shop.browser("alice")
    path = "/my/notices/top_up"
    assert 'href="#emails"' in alice.post(path, {"on": "y", "emails": "nonsense"}).text
    assert alice.post(path, {"on": "y", "emails": "a@example.com, b@example.com"}).status_code == 303
    assert "a@example.com, b@example.com" in alice.get("/my/notices").text
    assert alice.post(path, {"emails": ""}).status_code == 303
    assert "state-quiet" in alice.get("/my/notices").text
    assert "cannot be switched off" in alice.get("/my/notices/invoice").text
    times = {"quiet_from": "22:00", "quiet_to": "", "digest": "daily", "digest_at": "09:30"}
    assert "a beginning and an end" in alice.post("/my/notices/times", times).text
    assert alice.post("/my/notices/times", times | {"quiet_to": "07:00"}).status_code == 303
    page = alice.get("/my/notices").text
    assert "from 22:00 to 07:00" in page
    assert "once a day, at 09:30" in page
    assert alice.post("/my/notices/balance/EUR", {"first": "5", "second": "1"}).status_code == 303
    assert "5.00" in alice.get("/my/notices").text
    assert alice.get("/my/notices/switch_lost").status_code == 404


def test_details_are_changed_and_two_who_do_so_see_each_other(shop: Shop) -> None:
    alice, second = shop.browser("alice"), shop.browser("alice")
    path = "/my/details/edit"
    edition = re.search(r'name="edition"[^>]*value="([^"]*)"', second.get(path).text)
    assert edition
    form = {"street": "Long Lane 1", "city": "London", "email": "post@example.com", "language": "en"}
    assert alice.post(path, form).status_code == 303
    assert "Long Lane 1" in alice.get("/my/details").text
    late = second.post(path, form | {"city": "Leeds", "edition": html.unescape(edition[1])})
    assert "Somebody else changed this" in late.text
    assert "Leeds" in late.text
    assert "E-mail" in alice.post(path, form | {"email": "nowhere"}).text


def test_an_operator_sees_and_removes_saved_cards_and_sets_the_automatic_top_up(shop: Shop) -> None:
    card, other = shop.save_card(), shop.save_card(last4="1111")
    id = shop.office.account_id("alice")
    reseller = shop.browser("reseller")
    path = f"/panel/accounts/{id}/saved-cards"
    page = reseller.get(path).text
    assert "4242" in page
    assert "This balance does not fill itself." in page
    terms = {"below": "5", "amount": "20", "card": str(card), "daily_cap": "10", "monthly_cap": ""}
    fills = f"/panel/accounts/{id}/wallets/EUR/auto-top-up"
    assert "daily cap is less" in reseller.post(fills, terms).text
    assert reseller.post(fills, terms | {"daily_cap": "40"}).status_code == 303
    assert "40.00" in reseller.get(path).text
    assert "40.00" in shop.browser("alice").get("/my/auto-top-up").text
    assert "The automatic top-up uses it" in reseller.get(f"{path}/{card}/remove").text
    reseller.post(f"{fills}/off", page=path)
    assert "This balance does not fill itself." in reseller.get(path).text
    reseller.post(f"{path}/{other}/prefer", page=path)
    assert reseller.get(path).text.index("1111") < reseller.get(path).text.index("4242")
    assert reseller.post(f"{path}/{card}/remove").status_code == 303
    assert shop.gateway.removed() == ["pm_4242"]
    assert reseller.get(f"{path}/{card}/remove").status_code == 404
    support = shop.browser("support")
    assert support.get(f"{path}/{other}/remove").status_code == 403
    assert shop.browser("other").get(path).status_code == 404
    with shop.office.reading() as session:
        told = session.query(AuditRow).filter(AuditRow.action.in_(("card.remove", "auto-top-up.set")))
        assert {x.account_id for x in told} == {id}
