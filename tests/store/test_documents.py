"""What is printed of an invoice: its rows while it is a draft, and for ever the same afterwards."""

import json
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import select

from pbxbill.billing.invoices.document import Document, DocumentPayment, DocumentTax
from pbxbill.billing.invoices.documents import document_from_json, document_of, document_to_json
from pbxbill.billing.invoices.draft_editing import Correction, correct_line
from pbxbill.billing.invoices.drafting import Drafted
from pbxbill.billing.invoices.receipts import issue_receipt
from pbxbill.billing.invoices.templates import StoredTemplate, save_template
from pbxbill.billing.period import Period, day_start_us
from pbxbill.billing.render.template import Template
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.billing_models import BillingProfileRow, ChargeRow, IssuerRow, PartyRow
from pbxbill.store.invoice_models import InvoiceRow, TemplateRow
from pbxbill.store.models import AccountRow
from tests.small_operator import EUR, eur
from tests.store.invoiced_accounts import FEBRUARY, JANUARY, Invoicing, operator_id


def settle_parties(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        issuer = IssuerRow(account_id=operator_id(session), zone="Asia/Tokyo", payment_days=10)
        issuer.payment_terms = "Net cash"
        session.add(issuer)
        session.add(PartyRow(account_id=operator_id(session), legal_name="Operator KK", country="JP"))
        carol = invoicing.accounts.ids["carol"]
        session.add(PartyRow(account_id=carol, legal_name="Carol Ltd", city="Leeds", vat_id="GB1"))
        profile = BillingProfileRow(account_id=carol, language="de", purchase_order="PO 7")
        profile.previous_balance = True
        session.add(profile)


def document(invoicing: Invoicing, invoice_id: int) -> Document:
    with invoicing.transaction() as session:
        return document_of(session, invoice_id)


def test_a_document_says_who_owes_whom_what_for_what(invoicing: Invoicing) -> None:
    settle_parties(invoicing)
    invoicing.tax(10)
    invoicing.top_up("carol", "0.10", day=2)
    invoicing.call("carol", 100, 3)
    charge = invoicing.charge("carol", "10", day=1, service=JANUARY)
    with invoicing.transaction() as session:
        session.get_one(
            ChargeRow, charge
        ).explanation = '{"used": 10, "of": 31, "by": "day", "whole": 31000000}'
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)
    draft = document(invoicing, drafted.invoice_id)
    invoicing.issue(drafted.invoice_id)
    issued = document(invoicing, drafted.invoice_id)

    # 10.20 and 10 %: 1.02. The wallet had 0.10 for the 0.20 that it gave: 11.12 are due.
    assert (issued.number, issued.draft, issued.language) == ("INV-2026-00001", False, "de")
    assert (issued.net, issued.tax, issued.total) == (eur("10.20"), eur("1.02"), eur("11.22"))
    assert (issued.from_wallet, issued.due) == (eur("0.10"), eur("11.12"))
    assert issued.taxes == (DocumentTax("VAT", 100_000, "S", eur("10.20"), eur("1.02")),)
    assert (issued.seller.name, issued.buyer.name, issued.buyer.city) == ("Operator KK", "Carol Ltd", "Leeds")
    assert (issued.purchase_order, issued.payment_terms, issued.previous_balance) == ("PO 7", "Net cash", 0)
    # Midnight UTC is nine in the morning in Tokyo; ten days to pay.
    assert (issued.issued_on, issued.due_on) == (date(2026, 2, 1), date(2026, 2, 11))
    assert (issued.from_date, issued.to_date) == (date(2026, 1, 1), date(2026, 2, 1))
    assert issued.payments == (DocumentPayment(date(2026, 1, 2), "Aufladung", eur("0.10")),)
    line, calls = issued.lines
    assert (line.detail, line.category, line.ppm, line.tax_names) == (
        "10 von 31 Tagen zu 31,00",
        "S",
        100_000,
        ("VAT",),
    )
    assert (calls.quantity, calls.measure, calls.net) == (100_000_000, "seconds", eur("0.20"))
    assert [x.total for x in issued.calls] == [eur("0.20")]
    # The draft said the same, but for number and last day.
    assert draft == replace(issued, number="", draft=True, due_on=None)


def test_an_issuers_words_are_on_his_documents_and_stay_there(invoicing: Invoicing) -> None:
    settle_parties(invoicing)

    def say(word: str) -> None:
        with invoicing.transaction() as session:
            operator = session.get_one(AccountRow, operator_id(session))
            texts = {"de": {"line_calls": word}, "en": {"line_calls": "x"}}
            save_template(
                session, operator, "ours", StoredTemplate("ours", 0, Template(texts=texts), None), 1
            )
            template = session.scalars(select(TemplateRow)).one()
            session.get_one(IssuerRow, operator.id).template_id = template.id

    say("Gespräche")
    invoicing.call("carol", 100, 3)
    issued = invoicing.invoice("carol")
    say("Telefonate")
    invoicing.call("carol", 100, 33)
    drafted = invoicing.draft("carol", FEBRUARY)
    assert isinstance(drafted, Drafted)
    assert [line.description for line in document(invoicing, issued.invoice_id).lines] == ["Gespräche (1)"]
    assert [line.description for line in document(invoicing, drafted.invoice_id).lines] == ["Telefonate (1)"]
    # A person's own words are nobody's to translate.
    ((line_id,),) = invoicing.accounts.select(
        f"SELECT id FROM invoice_lines WHERE invoice_id = {drafted.invoice_id}"
    )
    with invoicing.transaction() as session:
        correct_line(session, line_id, Correction(description="Calls (1)"), "clearer", 1)
    assert [line.description for line in document(invoicing, drafted.invoice_id).lines] == ["Calls (1)"]


def test_what_is_issued_stays_as_it_was_printed(invoicing: Invoicing) -> None:
    settle_parties(invoicing)
    invoicing.call("carol", 100, 3)
    issued = invoicing.invoice("carol")
    before = document(invoicing, issued.invoice_id)
    with invoicing.transaction() as session:
        session.get_one(PartyRow, invoicing.accounts.ids["carol"]).legal_name = "Carol & Sons"
        session.get_one(InvoiceRow, issued.invoice_id).note = "changed behind our back"
    assert document(invoicing, issued.invoice_id) == before


def test_documents_are_kept_exactly(invoicing: Invoicing) -> None:
    settle_parties(invoicing)
    invoicing.call("carol", 100, 3)
    issued = document(invoicing, invoicing.invoice("carol").invoice_id)
    whole = replace(issued, corrects="INV-1", corrects_on=date(2026, 1, 1), extra={"ä": "→"})
    assert document_from_json(document_to_json(whole)) == whole
    assert whole.unit == EUR


def test_what_was_open_before_is_shown_where_it_is_wanted(invoicing: Invoicing) -> None:
    settle_parties(invoicing)
    invoicing.call("carol", 100, 3)
    invoicing.invoice("carol")
    invoicing.call("carol", 200, 40)

    second = document(invoicing, invoicing.invoice("carol", FEBRUARY).invoice_id)
    assert (second.previous_balance, second.due) == (eur("0.20"), eur("0.40"))


def test_without_parties_names_and_codes_are_printed(invoicing: Invoicing) -> None:
    invoicing.call("carol", 100, 3)
    found = document(invoicing, invoicing.invoice("carol").invoice_id)
    assert (found.seller.name, found.buyer.name, found.buyer.code) == ("Operator", "Carol", "carol")
    assert [line.category for line in found.lines] == ["O"]


def test_there_is_no_such_invoice(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session, pytest.raises(InputRefused, match="there is no invoice 99"):
        document_of(session, 99)


def test_a_receipt_for_a_top_up_once(invoicing: Invoicing) -> None:
    settle_parties(invoicing)
    entry_id = invoicing.top_up("carol", "25", day=2)
    with invoicing.transaction() as session:
        first = issue_receipt(session, entry_id, JANUARY.to_us)
        again = issue_receipt(session, entry_id, JANUARY.to_us)
    assert (first.number, first.total, first.repeated) == ("R-2026-00001", eur("25"), False)
    assert again == replace(first, repeated=True)
    printed = document(invoicing, first.invoice_id)
    assert (printed.kind, printed.total, printed.due) == ("receipt", eur("25"), 0)
    assert [line.description for line in printed.lines] == ["Aufladung"]


def test_what_brought_no_money_has_no_receipt(invoicing: Invoicing) -> None:
    entry_id = invoicing.post("carol", "3", "adjustment", 2, LedgerCode.ADJUSTMENT)
    with invoicing.transaction() as session:
        with pytest.raises(InputRefused, match="kind adjustment: receipts are for top-ups and payments"):
            issue_receipt(session, entry_id, 1)
        with pytest.raises(InputRefused, match="there is no journal entry"):
            issue_receipt(session, "nothing", 1)


def test_days_are_those_of_the_zone_in_which_periods_lie(invoicing: Invoicing) -> None:
    """Midnight in New York is 14:00 of the same day in Tokyo: the issuer's dates are others."""
    settle_parties(invoicing)
    with invoicing.transaction() as session:
        session.get_one(BillingProfileRow, invoicing.accounts.ids["carol"]).zone = "America/New_York"
    period = Period(
        day_start_us(date(2026, 1, 2), "America/New_York"),
        day_start_us(date(2026, 1, 15), "America/New_York"),
    )
    invoicing.call("carol", 100, 3)  # at noon UTC
    drafted = invoicing.draft("carol", period)
    assert isinstance(drafted, Drafted)
    for shown in (document(invoicing, drafted.invoice_id), _issued(invoicing, drafted.invoice_id)):
        assert (shown.from_date, shown.to_date) == (date(2026, 1, 2), date(2026, 1, 14))
        assert (shown.lines[0].from_date, shown.lines[0].to_date) == (date(2026, 1, 2), date(2026, 1, 14))
        assert [call.started_at for call in shown.calls] == ["2026-01-03 07:00:00"]
    with invoicing.transaction() as session:
        session.get_one(BillingProfileRow, invoicing.accounts.ids["carol"]).zone = "Europe/Paris"
    assert document(invoicing, drafted.invoice_id) == shown  # for ever the same


def _issued(invoicing: Invoicing, invoice_id: int) -> Document:
    invoicing.issue(invoice_id)
    return document(invoicing, invoice_id)


@pytest.mark.parametrize("by, last", [("day", 15), ("second", 16)])
def test_the_day_of_a_change_belongs_to_the_new_plan(invoicing: Invoicing, by: str, last: int) -> None:
    """From the 15th to the 16th at noon: one day where days are charged."""
    until_us = day_start_us(date(2026, 1, 16), "UTC") + 12 * 3600 * 1_000_000
    service = Period(day_start_us(date(2026, 1, 15), "UTC"), until_us)
    charge_id = invoicing.charge("carol", "10", day=15, service=service)
    with invoicing.transaction() as session:
        explanation = {"used": 1, "of": 31, "by": by, "whole": eur("310")}
        session.get_one(ChargeRow, charge_id).explanation = json.dumps(explanation)
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)
    (line,) = document(invoicing, drafted.invoice_id).lines
    assert (line.from_date, line.to_date) == (date(2026, 1, 15), date(2026, 1, last))


def test_calls_add_up_to_their_line(invoicing: Invoicing) -> None:
    """alice's tariff takes 19 percent: 0.20 and 0.12 net, 0.038 and 0.0228 of tax."""
    invoicing.call("alice", 100, 3)
    invoicing.call("alice", 60, 4)
    drafted = invoicing.draft("alice")
    assert isinstance(drafted, Drafted)
    shown = document(invoicing, drafted.invoice_id)
    assert [(x.total, x.tax) for x in shown.calls] == [
        (eur("0.20"), eur("0.038")),
        (eur("0.12"), eur("0.0228")),
    ]
    assert (sum(x.total for x in shown.calls), shown.call_amounts) == (shown.lines[0].net, "net")


def test_calls_are_with_tax_where_it_is_inside_the_issuers_price(invoicing: Invoicing) -> None:
    invoicing.tax(25, inclusive=True)
    invoicing.call("carol", 100, 3)
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)
    shown = document(invoicing, drafted.invoice_id)
    assert ([x.total for x in shown.calls], shown.call_amounts) == ([eur("0.20")], "gross")
    assert shown.lines[0].net == eur("0.16")
