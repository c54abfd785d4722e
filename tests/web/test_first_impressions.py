"""What newcomers stumbled over: names, places, seconds, symbols, and hints that were missing."""

import re

from pbxbill.billing.parties import Issuer, issuer_of, set_issuer
from pbxbill.listing.own import own_invoices
from pbxbill.store.accounts import NewAccount, open_account
from pbxbill.store.models import UnitRow
from pbxbill.store.unit_symbols import usual_symbol
from tests.web.offices import Office
from tests.web.test_live_calls import Calling


def test_the_list_of_calls_says_seconds_and_is_called_as_its_menu(office: Office) -> None:
    calling = Calling(office)
    try:
        calling.end(calling.talking("alice", seconds=65))
    finally:
        calling.engine.stop()
    page = office.seat("admin").get("/panel/calls").text
    assert re.search(r"<h1>\s*Call records\s*</h1>", page)
    assert re.search(r"<time[^>]*>[^<]* \d\d:\d\d:\d\d</time>", page)
    assert re.search(r"<h1>\s*Calls\s*</h1>", office.seat("alice").get("/my/calls").text)


def test_a_customer_filters_by_nothing_that_he_never_sees(office: Office) -> None:
    known = next(x for x in own_invoices(office.clock).filters if x.key == "status")
    assert {"draft", "discarded"}.isdisjoint(value for value, _ in known.choices)
    assert "overdue" in {value for value, _ in known.choices}
    page = office.seat("alice").get("/my/invoices?status=overdue").text
    assert 'value="overdue"' in page
    assert 'value="draft"' not in page
    assert office.seat("alice").get("/my/invoices?status=draft").status_code == 400


def test_a_reseller_has_the_days_of_who_is_above_him(office: Office) -> None:
    with office.writing() as session:
        operator_id = office.account_id("operator")
        set_issuer(session, operator_id, Issuer(zone="Europe/Berlin"))
        fresh = open_account(session, NewAccount("fresh", "Fresh", kind="reseller", mode="postpaid"), 0)
        below = NewAccount("below", "Below", kind="reseller", mode="postpaid", parent="fresh")
        assert issuer_of(session, fresh.id).zone == "Europe/Berlin"
        assert issuer_of(session, open_account(session, below, 0).id).zone == "Europe/Berlin"


def test_currencies_have_their_symbols(office: Office) -> None:
    assert [usual_symbol(x) for x in ("EUR", "USD", "CHF", "XBT", "SECONDS")] == ["€", "$", "", "", ""]
    admin = office.seat("admin")
    sent = {"code": "GBP", "kind": "currency", "name": "", "symbol": ""}
    assert admin.post("/panel/settings/units/new", sent).status_code == 303
    with office.reading() as session:
        assert session.get_one(UnitRow, "GBP").symbol == "£"
        assert session.get_one(UnitRow, "EUR").symbol == "€"


def test_a_schedule_says_that_no_mail_can_leave(office: Office) -> None:
    page = office.seat("admin").get("/panel/reports/revenue/schedule").text
    assert "There is no mail server yet" in page
    assert 'href="/panel/company/mail-server"' in page


def test_an_empty_list_has_nothing_to_be_filtered(office: Office) -> None:
    seat = office.seat("admin")
    assert 'class="filters"' not in seat.get("/panel/invoices").text
    assert 'class="filters"' in seat.get("/panel/invoices?account=alice").text
