"""An invoice in the customer's language has no English word of ours on it: the PDF's text is looked at.

English words are those of our English texts that are in none of the language's own, nor in what the test
itself writes, as people write names and reasons.
"""

import io
import re
from collections.abc import Iterator

import pytest
from pypdf import PdfReader
from sqlalchemy import select

from pbxbill.billing.charge import Collection
from pbxbill.billing.invoices.correction_notes import invoiced, issue_correction_notes
from pbxbill.billing.invoices.document import Document
from pbxbill.billing.invoices.documents import document_of
from pbxbill.billing.invoices.note_amounts import Amount
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.invoices.receipts import issue_receipt
from pbxbill.billing.render.pdf import render_pdf
from pbxbill.billing.render.texts import built_in_texts
from pbxbill.billing.subscriptions.charges_by_hand import HandCharge, add_charge, withdraw_charge
from pbxbill.billing.subscriptions.subscribing import Wanted, When, cancel, change
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.mediation.rerate import Definition, Rerating
from pbxbill.store.accounts import account_by_code, add_endpoint
from pbxbill.store.billing_models import BillingProfileRow, PartyRow
from pbxbill.store.catalogue_models import DestinationPrefixRow, DestinationRow
from pbxbill.store.decks import add_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow, TariffRow
from tests.small_operator import eur
from tests.store.billed_accounts import CLOCK, FRANCE, GERMANY, BilledAccounts, rate
from tests.store.booked_months import BookedMonths, open_books_of
from tests.store.invoiced_accounts import FEBRUARY_US, JANUARY_US

pytestmark = pytest.mark.long

PLAN = """
unit = "EUR"
minimum_spend = "20"
[[charge]]
name = "Nova"
steps = [{ from = 1, price = "31" }, { from = 11, price = "15.50" }]
[term]
months = 12
fee = "fixed"
amount = "25"
"""
WRITTEN = "Nova Carol Telefonie Nord Südweg Köln Lyon Kulanz bank wire Strom M1 kWh Germany France VAT"
"""What people have written, and names of destinations, which the operator chose."""


@pytest.fixture
def months(accounts: BilledAccounts) -> Iterator[BookedMonths]:
    opened = open_books_of(accounts)
    yield opened
    opened.close()
    assert accounts.problems() == []


def settle_parties(months: BookedMonths, language: str) -> None:
    """Who is who, and calls of every class."""
    with months.shop.session() as session:
        carol = account_by_code(session, "carol")
        operator = session.get_one(AccountRow, carol.parent_id)
        session.add(PartyRow(account_id=operator.id, legal_name="Telefonie Nord", city="Köln", country="DE"))
        session.add(PartyRow(account_id=carol.id, legal_name="Carol", city="Lyon", country="FR"))
        session.add(BillingProfileRow(account_id=carol.id, language=language, previous_balance=True))
        kinds = {"49": "national", "4917": "mobile", "33": "international"}
        for id, (prefix, kind) in enumerate(kinds.items(), 1):
            session.add(DestinationRow(id=id, name=f"D{id}", kind=kind))
            session.flush()
            session.add(DestinationPrefixRow(prefix=prefix, destination_id=id))
        carol.inbound_tariff_id = session.scalars(select(TariffRow).filter_by(name="plain")).one().id
        add_endpoint(session, carol, "did", GERMANY)


def a_month_with_everything(months: BookedMonths) -> int:
    """carol's January: the invoice's id."""
    shop, invoicing = months.shop, months.invoicing
    shop.at("2026-01-06")
    shop.plan("Nova", PLAN)
    id = shop.subscribe("carol", "Nova", quantity=12)
    for number in (GERMANY, "4917123456", FRANCE):
        invoicing.call("carol", 60, 7, number)
    invoicing.call("", 30, 8, GERMANY, did=GERMANY)
    shop.at("2026-01-21")
    shop.does(change, id, Wanted(quantity=11))
    shop.at("2026-01-26")
    shop.does(cancel, id, When())
    with shop.session() as session:
        carol = account_by_code(session, "carol")
        for collection in (Collection.WALLET, Collection.INVOICE):
            new = HandCharge("Kulanz", "EUR", eur("2"), "Kulanz", collection=collection)
            row = add_charge(session, shop.books, carol, new, shop.now_us)
            if collection is Collection.WALLET:
                withdraw_charge(session, shop.books, row.id, "Kulanz", shop.now_us)
    invoicing.post("carol", "-1", "adjustment", 27, LedgerCode.ADJUSTMENT)
    invoicing.post("carol", "-1", "charge", 27, LedgerCode.REVENUE_ONE_TIME)
    shop.at("2026-01-28")
    months.pay("30")
    shop.at("2026-02-01")
    return invoicing.invoice("carol").invoice_id


def printed(months: BookedMonths, invoice_id: int) -> tuple[Document, str]:
    """A document, and the text of its PDF."""
    with months.shop.session() as session:
        document = document_of(session, invoice_id)
    pages = PdfReader(io.BytesIO(render_pdf(document))).pages
    return document, " ".join(page.extract_text() for page in pages)


def english_in(text: str, language: str) -> set[str]:
    """Words of ours, of four letters at least, that the language's own texts do not hold."""
    own, ours = (
        re.sub(r"\$\w+", "", " ".join(built_in_texts(each).values())).casefold() for each in (language, "en")
    )
    own += WRITTEN.casefold()
    found = "".join(text.casefold().split())
    return {word for word in re.findall(r"[a-z]{4,}", ours) if word not in own and word in found}


GERMAN = [
    ("Nova: Nova, ab Stück 11", ""),
    ("Nova: Mindestumsatz", "Mindestumsatz 12,903226, davon genutzt 0,65"),
    ("Nova: Nova, Erstattung", "16 von 31 Tagen zu \u2212310,00"),
    ("Nova: Nova, ab Stück 11, Erstattung", "16 von 31 Tagen zu \u221231,00"),
]
FRENCH = [
    ("Nova\u00a0: Nova, à partir de l'unité 11", ""),
    ("Nova\u00a0: Minimum de consommation", "minimum 12,903226, utilisé 0,65"),
    ("Nova\u00a0: Nova, remboursement", "16 sur 31 jours à \u2212310,00"),
    ("Nova\u00a0: Nova, à partir de l'unité 11, remboursement", "16 sur 31 jours à \u221231,00"),
]


@pytest.mark.parametrize("language, told", [("de", GERMAN), ("fr", FRENCH)])
def test_no_english_word_of_ours(months: BookedMonths, language: str, told: list[tuple[str, str]]) -> None:
    settle_parties(months, language)
    top_up = months.invoicing.top_up("carol", "5", day=2)
    invoice_id = a_month_with_everything(months)
    document, text = printed(months, invoice_id)
    assert english_in(text, language) == set()
    assert [(line.description, line.detail) for line in document.lines[1:5]] == told
    # The operator's lists stay in English.
    listed = [description for description, _ in months.invoicing.lines(invoice_id)]
    assert listed[1:4] == [
        "Nova: Nova, from piece 11 on",
        "Nova: Minimum spend",
        "Nova: Nova, given back",
    ]
    assert {"given", "piece", "withdrawn"} <= english_in(" ".join(listed), language)

    with months.shop.session() as session:
        note = credit(session, months.shop.books, invoice_id, Amount(eur("5")), "Kulanz", months.shop.now_us)
        receipt = issue_receipt(session, top_up, months.shop.now_us)
    for id in (note.note_id, receipt.invoice_id, *rerated(months)):
        assert english_in(printed(months, id)[1], language) == set(), id


def rerated(months: BookedMonths) -> list[int]:
    """The notes of calls that should have cost otherwise; there are funds for those that cost more."""
    months.pay("300")
    with months.shop.session() as session:
        rows = [rate("49", "Germany", "0.06"), rate("33", "France", "0.60")]
        add_deck_version(
            session,
            deck_name="retail",
            unit="EUR",
            rates=rows,
            effective_from_us=0,
            source="corrected.csv",
            now_us=months.shop.now_us,
        )
    url = months.accounts.url
    Rerating(lambda: connect(url), CLOCK, Definition(JANUARY_US, FEBRUARY_US), invoiced).apply(
        lambda calls, of: None
    )
    with months.shop.session() as session:
        found = []
        while made := issue_correction_notes(session, months.shop.books, months.shop.now_us):
            found += made
    assert sorted(note.kind for note in found) == ["credit_note", "debit_note"]
    return [note.note_id for note in found]
