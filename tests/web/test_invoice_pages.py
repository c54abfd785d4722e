"""Invoices in the panel: drafts mended and issued, credited, given up, sent; charges and quotes."""

import json
import re
from datetime import date
from html import unescape

import pytest
from sqlalchemy import select

from pbxbill.store.access_models import AuditRow
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow, MessageRow
from tests.web.offices import Office

LINE = {
    "description": "Router", "price": "10", "quantity": "2", "kind": "one_time", "product_class": "service",
    "reason": "as ordered",
}  # fmt: skip


def id_of(location: str | None, what: str = "invoices") -> int:
    found = re.search(rf"/{what}/(\d+)", location or "")
    assert found, location
    return int(found[1])


def new_draft(office: Office, account: str = "other", login: str = "admin") -> int:
    answer = office.seat(login).post("/panel/invoices/new", {"account": account, "unit": "EUR"})
    assert answer.status_code == 303, answer.text
    return id_of(answer.location)


def with_line(office: Office, account: str = "other", login: str = "admin", **more: str) -> int:
    id = new_draft(office, account, login)
    answer = office.seat(login).post(f"/panel/invoices/{id}/lines/new", {**LINE, **more})
    assert answer.status_code == 303, answer.text
    return id


def issued(office: Office, account: str = "other", login: str = "admin") -> int:
    id = with_line(office, account, login)
    assert office.seat(login).post(f"/panel/invoices/{id}/issue").status_code == 303
    return id


def row(office: Office, id: int) -> InvoiceRow:
    with office.reading() as session:
        return session.get_one(InvoiceRow, id)


def test_a_draft_is_made_mended_and_issued(office_on_each: Office) -> None:
    office, admin = office_on_each, office_on_each.seat("admin")
    id = with_line(office)
    page = admin.get(f"/panel/invoices/{id}").text
    assert f"Draft {id}" in page
    assert "Router" in page
    assert "20.00" in page
    with office.reading() as session:
        line_id = session.scalars(select(InvoiceLineRow.id).where(InvoiceLineRow.invoice_id == id)).one()
    line = f"/panel/invoices/{id}/lines/{line_id}"
    edition = re.search(r'name="edition"[^>]*value="([^"]*)"', admin.get(line).text)
    assert edition
    mended = {"description": "Router, used", "net": "15", "reason": "second hand", "edition": "{}"}
    assert admin.post(line, mended).status_code == 303
    assert "15.00" in admin.get(f"/panel/invoices/{id}").text
    asked = admin.get(f"/panel/invoices/{id}/issue").text
    assert "never changed" in asked
    answer = admin.post(f"/panel/invoices/{id}/issue")
    assert answer.status_code == 303
    page = admin.get(f"/panel/invoices/{id}").text
    assert "INV-2026-00001" in page
    assert "Credit note" in page
    with office.reading() as session:
        audit = session.scalars(select(AuditRow).where(AuditRow.action == "draft.issue")).one()
    assert audit.actor == "admin"
    assert "invoices" in {x["table"] for x in json.loads(audit.changes)}


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"price": "much"}, "is not a number"),
        ({"price": ""}, "Please fill this in"),
        ({"quantity": "0"}, "quantity above zero"),
        ({"reason": ""}, "Please fill this in"),
        ({"price": "-5"}, "never below zero"),
        ({"kind": "usage"}, "Not a valid choice"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_and_kept(
    office: Office, wrong: dict[str, str], told: str
) -> None:
    id = new_draft(office)
    answer = office.seat("admin").post(f"/panel/invoices/{id}/lines/new", {**LINE, **wrong})
    assert answer.status_code == 200
    assert told in answer.text
    assert "Router" in answer.text
    assert row(office, id).total == 0


def test_two_who_correct_a_line_see_each_other(office: Office) -> None:
    id = with_line(office)
    with office.reading() as session:
        line_id = session.scalars(select(InvoiceLineRow.id).where(InvoiceLineRow.invoice_id == id)).one()
    line = f"/panel/invoices/{id}/lines/{line_id}"
    stale = json.dumps({"description": "Router", "net": "25.00"})
    mended = {"description": "Router", "net": "12", "reason": "a gift", "edition": stale}
    answer = office.seat("finance").post(line, mended)
    assert "Somebody else changed this" in answer.text
    assert 'value="12"' in answer.text


def test_a_line_is_removed_and_a_draft_discarded(office: Office) -> None:
    admin, id = office.seat("admin"), with_line(office)
    with office.reading() as session:
        line_id = session.scalars(select(InvoiceLineRow.id).where(InvoiceLineRow.invoice_id == id)).one()
    assert "counts nothing" in admin.get(f"/panel/invoices/{id}/lines/{line_id}/remove").text
    gone = admin.post(f"/panel/invoices/{id}/lines/{line_id}/remove", {"reason": "not wanted"})
    assert gone.status_code == 303
    assert "Removed: not wanted" in admin.get(f"/panel/invoices/{id}").text
    assert "has no lines" in admin.post(f"/panel/invoices/{id}/issue").text
    assert "Please fill this in" in admin.post(f"/panel/invoices/{id}/discard").text
    assert admin.post(f"/panel/invoices/{id}/discard", {"reason": "a mistake"}).status_code == 303
    assert row(office, id).state == "discarded"


def test_credit_debit_and_write_off(office: Office) -> None:
    admin, id = office.seat("admin"), issued(office)
    with office.reading() as session:
        line_id = session.scalars(select(InvoiceLineRow.id).where(InvoiceLineRow.invoice_id == id)).one()
    credit = f"/panel/invoices/{id}/credit"
    assert "say the amount" in admin.post(credit, {"what": "amount", "reason": "late"}).text.lower()
    assert "line at least" in admin.post(credit, {"what": "lines", "reason": "late"}).text
    part = {"what": "lines", "line": str(line_id), f"net-{line_id}": "5", "reason": "late"}
    assert admin.post(credit, part).status_code == 303
    assert row(office, id).open == 15_000_000
    assert "CN-2026-00001" in admin.get(f"/panel/invoices/{id}").text
    debit = {
        "description": "Cable",
        "price": "3",
        "quantity": "1",
        "product_class": "service",
        "reason": "left out",
    }
    note = admin.post(f"/panel/invoices/{id}/debit", debit)
    assert row(office, id_of(note.location)).number == "DN-2026-00001"
    off = f"/panel/invoices/{id}/write-off"
    assert "only 15" in admin.post(off, {"amount": "99", "reason": "insolvent"}).text.lower()
    assert admin.post(off, {"amount": "", "reason": "insolvent"}).status_code == 303
    assert row(office, id).state == "written_off"
    assert "insolvent" in admin.get(f"/panel/invoices/{id}").text


def test_who_may_not_correct_money_writes_nothing_off(office: Office) -> None:
    id = issued(office)
    assert office.seat("support").get(f"/panel/invoices/{id}").status_code == 200
    assert office.seat("support").get(f"/panel/invoices/{id}/write-off").status_code == 403
    assert "Credit note" not in office.seat("support").get(f"/panel/invoices/{id}").text


def test_files_are_looked_at_and_an_invoice_is_sent(office: Office) -> None:
    admin, id = office.seat("admin"), issued(office)
    pdf = admin.get(f"/panel/invoices/{id}/file.pdf")
    assert pdf.data[:5] == b"%PDF-"
    assert "INV-2026-00001.pdf" in pdf.headers["Content-Disposition"]
    assert admin.get(f"/panel/invoices/{id}/file.csv").mimetype == "text/csv"
    send = f"/panel/invoices/{id}/send"
    assert "has no e-mail address" in admin.post(send, {"to": ""}).text
    assert admin.post(send, {"to": "nobody"}).status_code == 200
    assert admin.post(send, {"to": "books@other.example"}).status_code == 303
    with office.reading() as session:
        assert session.scalars(select(MessageRow.recipient)).all() == ["books@other.example"]
    assert "books@other.example" in admin.get(f"/panel/invoices/{id}").text


def test_a_draft_shows_how_it_would_look(office: Office) -> None:
    id = with_line(office)
    assert office.seat("admin").get(f"/panel/invoices/{id}/file.pdf").data[:5] == b"%PDF-"


def test_a_reseller_bills_his_own_and_sees_no_others(office: Office) -> None:
    reseller = office.seat("reseller")
    own = issued(office, "alice", "reseller")
    others = issued(office, "other")
    assert row(office, own).issuer_id == office.account_id("reseller")
    assert reseller.get(f"/panel/invoices/{own}").status_code == 200
    assert reseller.get(f"/panel/invoices/{others}").status_code == 404
    refused = reseller.post("/panel/invoices/new", {"account": "olga", "unit": "EUR"})
    assert refused.status_code == 200
    listed = reseller.get("/panel/invoices").text
    assert "alice" in listed
    assert ">other<" not in listed


def test_the_list_is_filtered_and_says_what_to_do_when_there_is_nothing(office: Office) -> None:
    admin = office.seat("admin")
    assert "There is no invoice yet" in admin.get("/panel/invoices").text
    issued(office)
    with_line(office, "reseller")
    drafts = admin.get("/panel/invoices?status=draft").text
    assert "reseller" in drafts
    assert "INV-2026-00001" not in drafts
    assert b"INV-2026-00001" in admin.get("/panel/invoices.csv").data


def test_invoices_are_found_by_amount_reseller_cycle_group_and_dunning_level(office_on_each: Office) -> None:
    admin = office_on_each.seat("admin")
    issued(office_on_each)
    for query in ("least=20", "least=19.999&most=20", "reseller=other", "cycle=month", "step=0"):
        assert "INV-2026-00001" in admin.get(f"/panel/invoices.csv?{query}").text, query
    for query in (
        "least=20.01",
        "most=19.99",
        "reseller=reseller",
        "reseller=alice",
        "cycle=year",
        "group=gold",
        "step=1",
    ):
        assert "INV-2026-00001" not in admin.get(f"/panel/invoices.csv?{query}").text, query
    assert "is not an amount; write it as 1234.50" in admin.get("/panel/invoices?least=much").text


def test_a_quote_is_offered_and_accepted(office: Office) -> None:
    admin = office.seat("admin")
    until = {"account": "other", "until": "2026-01-31", "unit": "EUR", "plan": "", "plan_quantity": "1"}
    assert "either a plan, or lines" in admin.post("/panel/quotes/new", until).text
    half = admin.post("/panel/quotes/new", {**until, "text-0": "Router"}).text
    assert "needs a description and a price" in half
    assert 'value="Router"' in half
    wanted = {**until, "text-0": "Router", "quantity-0": "2", "price-0": "10"}
    made = admin.post("/panel/quotes/new", wanted)
    assert made.status_code == 303
    id = id_of(made.location)
    assert row(office, id).number == "Q-2026-00001"
    assert "Q-2026-00001" in admin.get("/panel/quotes").text
    taken = admin.post(f"/panel/quotes/{id}/accept", {"issue_now": "y"})
    assert row(office, id_of(taken.location)).number == "INV-2026-00001"
    assert "accepted" in admin.get(f"/panel/invoices/{id}").text
    again = admin.post("/panel/quotes/new", wanted)
    refused = id_of(again.location)
    assert admin.post(f"/panel/quotes/{refused}/refuse", {"reason": "too dear"}).status_code == 303
    assert row(office, refused).state == "refused"


def test_a_quote_of_a_day_that_is_over_is_refused(office: Office) -> None:
    over = {
        "account": "other",
        "until": str(date(2025, 1, 1)),
        "unit": "EUR",
        "plan": "",
        "plan_quantity": "1",
    }
    answer = office.seat("admin").post("/panel/quotes/new", {**over, "text-0": "Router", "price-0": "1"})
    assert "moment to come" in answer.text


def test_a_charge_waits_for_an_invoice_and_is_taken_back(office: Office) -> None:
    admin = office.seat("admin")
    charge = {
        "account": "other", "unit": "EUR", "description": "A visit", "kind": "one_time", "price": "40",
        "quantity": "1", "product_class": "service", "reason": "called us",
    }  # fmt: skip
    assert "There is no charge yet" in admin.get("/panel/charges").text
    made = admin.post("/panel/charges/new", {**charge, "key": "once"})
    assert made.status_code == 303
    assert admin.post("/panel/charges/new", {**charge, "key": "once"}).location == made.location
    id = id_of(made.location, "charges")
    assert "A visit" in admin.get("/panel/charges?billed=waiting").text
    assert "waits for an invoice" in admin.get(f"/panel/charges/{id}").text
    assert admin.post(f"/panel/charges/{id}/withdraw", {"reason": "no"}).status_code == 303
    assert "withdrawn" in admin.get(f"/panel/charges/{id}").text
    assert "A visit" not in admin.get("/panel/charges?billed=waiting").text


def test_a_payment_is_for_the_invoice_that_it_is_said_to_be_for(office: Office) -> None:
    first, second, admin = issued(office), issued(office), office.seat("admin")
    link = re.search(r'href="(/panel/payments/top-up\?[^"]*)"', admin.get(f"/panel/invoices/{second}").text)
    assert link
    page = admin.get(unescape(link[1])).text
    assert f'<option selected value="invoice:{second}">' in page
    assert f'value="invoice:{first}"' in page
    key = re.search(r'name="key"[^>]*value="([^"]+)"', page)
    assert key
    sent = {"amount": "5", "unit": "EUR", "purpose": f"invoice:{second}", "method": "bank", "key": key[1]}
    assert admin.post("/panel/payments/top-up?account=other", sent).status_code == 303
    assert row(office, first).open == row(office, first).total
    assert row(office, second).open == row(office, second).total - 5_000_000
    foreign = sent | {"purpose": "invoice:999999", "key": "0123456789abcdef"}
    assert 'href="#purpose"' in admin.post("/panel/payments/top-up?account=other", foreign).text
