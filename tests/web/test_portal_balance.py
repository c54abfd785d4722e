"""What a balance was used for, what it pays, and what an account is offered."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxbill.billing.codes.calling_cards import add_card
from pbxbill.billing.invoices.quotes import NewQuote, QuoteLine, offer
from pbxbill.billing.parties import set_party
from pbxbill.billing.points.points_rules import NewRule, add_rule
from pbxbill.money import Unit
from pbxbill.notify.outbox import ONE_TIME_LINK
from pbxbill.store.invoice_models import InvoiceRow, MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.units import add_unit
from tests.small_operator import eur
from tests.web.offices import Office
from tests.web.portal_shop import DAY_US, Shop, opened_shop
from tests.web.test_live_calls import Calling


@pytest.fixture
def shop(office: Office, tmp_path: Path) -> Iterator[Shop]:
    with opened_shop(office, tmp_path) as opened:
        yield opened


def test_every_movement_of_a_balance_is_listed_with_what_was_left(office: Office) -> None:
    calling = Calling(office)
    try:
        calling.end(calling.talking("alice"))
        calling.end(calling.talking("olga"))
        calling.end(calling.talking("alice"))
    finally:
        calling.engine.stop()
    alice = office.seat("alice")
    page = alice.get("/my/ledger")
    assert "9.28" in page.text
    assert "9.64" in page.text
    assert "10.00" in page.text
    assert "0049891234" in page.text
    (call,) = set(re.findall(r'href="(/my/calls/[0-9a-f]{32})"', page.text)[:1])
    assert alice.get(call).status_code == 200
    assert page.text.count("/my/calls/") == 2
    only_top_ups = alice.get("/my/ledger.csv?kind=top-up").text
    assert "9.28" not in only_top_ups
    assert "10.00" in only_top_ups
    calls = alice.get("/my/ledger.csv?kind=usage&order=oldest").text
    assert calls.index("9.64") < calls.index("9.28")
    file = alice.get("/my/ledger.csv").text
    assert file.index("9.28") < file.index("9.64") < file.index("10.00")


def test_an_invoice_is_paid_from_the_balance(shop: Shop) -> None:
    id = shop.invoice(net="4")
    alice = shop.browser("alice")
    assert "Your balance" not in alice.get(f"/my/invoices/{id}/pay").text
    calling = Calling(shop.office)
    calling.engine.stop()
    page = alice.get(f"/my/invoices/{id}/pay").text
    assert "Your balance, which has 10.00 EUR to spare" in page
    with shop.office.reading() as session:
        asked = session.get_one(InvoiceRow, id).open
    beyond = alice.post(f"/my/invoices/{id}/pay", {"amount": "9.99", "way": "balance"})
    assert beyond.status_code == 200
    assert "of these invoices" in beyond.text
    paid = alice.post(f"/my/invoices/{id}/pay", {"amount": f"{asked / eur('1'):.2f}", "way": "balance"})
    assert paid.status_code == 303
    with shop.office.reading() as session:
        assert session.get_one(InvoiceRow, id).state == "paid"
    assert shop.funds("alice") == eur("10") - asked
    assert "invoices paid from the wallet" in alice.get("/my/ledger").text


def test_the_page_of_an_open_invoice_says_where_money_is_sent(shop: Shop) -> None:
    with shop.office.writing() as session:
        party = {"legal_name": "Reseller Ltd", "iban": "DE02120300000000202051", "country": "DE"}
        set_party(session, shop.office.account_id("reseller"), party)
    id = shop.invoice()
    page = shop.browser("alice").get(f"/my/invoices/{id}").text
    assert "DE02120300000000202051" in page
    with shop.office.reading() as session:
        assert f"<dd>{session.get_one(InvoiceRow, id).number}</dd>" in page


def offered(office: Office, code: str = "alice") -> int:
    now_us = office.clock.now_us()
    with office.writing() as session:
        account = session.get_one(AccountRow, office.account_id(code))
        new = NewQuote("EUR", (QuoteLine("Router", eur("80")),), now_us + 10 * DAY_US)
        return offer(session, account, new, now_us).quote_id


def state(office: Office, id: int) -> str:
    with office.reading() as session:
        return session.get_one(InvoiceRow, id).state


def test_a_quote_is_accepted_by_whom_it_is_made_for(office: Office) -> None:
    id = offered(office)
    alice, olga = office.seat("alice"), office.seat("olga")
    assert olga.get(f"/my/quotes/{id}/accept").status_code == 404
    assert "/accept" in alice.get(f"/my/invoices/{id}").text
    assert "cannot be undone" in alice.get(f"/my/quotes/{id}/accept").text
    assert state(office, id) == "open"
    assert alice.post(f"/my/quotes/{id}/accept").status_code == 303
    assert state(office, id) == "accepted"
    assert "/accept" not in alice.get(f"/my/invoices/{id}").text
    late = alice.post(f"/my/quotes/{id}/refuse", {"reason": "No"})
    assert "accepted already" in late.text


def test_a_quote_is_refused_with_a_reason_that_the_seller_reads(office: Office) -> None:
    id = offered(office)
    alice = office.seat("alice")
    assert "Please fill this in" in alice.post(f"/my/quotes/{id}/refuse", {"reason": ""}).text
    assert alice.post(f"/my/quotes/{id}/refuse", {"reason": "Too dear"}).status_code == 303
    assert state(office, id) == "refused"
    assert "Too dear" in office.seat("reseller").get(f"/panel/invoices/{id}").text


def test_what_is_no_quote_is_not_accepted(shop: Shop) -> None:
    id = shop.invoice()
    assert shop.browser("alice").get(f"/my/quotes/{id}/accept").status_code == 404


def test_the_text_of_a_message_is_shown_but_for_links_that_open_doors(office: Office) -> None:
    ids = {}
    with office.writing() as session:
        for kind, text in (("invoice", "Dear Alice"), (ONE_TIME_LINK, "https://bill.example/link/x")):
            row = MessageRow(
                key=kind,
                issuer_id=office.account_id("reseller"),
                account_id=office.account_id("alice"),
                kind=kind,
                recipient="alice@example.com",
                subject=f"About {kind}",
                text=text,
                state="sent",
                created_us=0,
            )
            session.add(row)
            session.flush()
            ids[kind] = row.id
    alice = office.seat("alice")
    address = f"/my/notices/sent/{ids['invoice']}"
    assert address in alice.get("/my/notices/sent").text
    assert "Dear Alice" in alice.get(address).text
    assert "/link/x" not in alice.get(f"/my/notices/sent/{ids[ONE_TIME_LINK]}").text
    assert office.seat("olga").get(address).status_code == 404


def test_points_are_shown_where_there_are_any(office: Office) -> None:
    alice = office.seat("alice")
    assert "/my/points" not in alice.get("/my/payments").text
    with office.writing() as session:
        add_unit(session, Unit("PTS", 0))
        reseller = session.get_one(AccountRow, office.account_id("reseller"))
        new = NewRule("top_up", "PTS", "EUR", eur("1"), 2)
        rule = add_rule(session, reseller, new, 0).id
    assert "You have no points yet" in alice.get("/my/points").text
    assert "/my/points" in alice.get("/my/payments").text
    give = f"/panel/points/of-account/{office.account_id('alice')}/give"
    for points, key in (("7", "one"), ("5", "two")):
        given = {"rule": rule, "points": points, "reason": "Sorry", "key": key}
        assert office.seat("reseller").post(give, given).status_code == 303
    page = alice.get("/my/points").text
    assert re.search(r">\s*12\s*<", page)
    assert "Sorry" in page
    assert "Sorry" not in alice.get("/my/ledger.csv").text


def test_a_lost_calling_card_is_blocked_after_asking(office: Office) -> None:
    with office.writing() as session:
        account = session.get_one(AccountRow, office.account_id("alice"))
        id = add_card(session, account, 0, name="Anna").card_id
    alice = office.seat("alice")
    assert "/my/calling-cards" in alice.get("/my/numbers").text
    assert "Anna" in alice.get("/my/calling-cards").text
    address = f"/my/calling-cards/{id}"
    assert "Only your provider" in alice.get(f"{address}/block").text
    assert alice.post(f"{address}/block").status_code == 303
    assert "blocked" in alice.get(address).text
    assert office.seat("olga").get(address).status_code == 404
