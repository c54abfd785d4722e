"""Files of issued documents: made once, kept with their sum, the same for ever."""

import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import replace

import facturx
import pytest
from pypdf import PdfReader

from pbxbill.billing.invoices.drafting import Drafted
from pbxbill.billing.invoices.invoice_files import InvoiceFile, invoice_files
from pbxbill.billing.invoices.templates import StoredTemplate, save_template
from pbxbill.billing.parties import issuer_of, set_issuer, set_party
from pbxbill.billing.profiles import profile_of, set_profile
from pbxbill.billing.render.template import Colours, Template
from pbxbill.errors import InputRefused
from pbxbill.store.invoice_models import InvoiceEventRow, TemplateRow
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import JANUARY_US, Invoicing, operator_id

SELLER = {
    "legal_name": "Nordlicht Telecom GmbH", "street": "Speicherstraße 14", "postal_code": "20457",
    "city": "Hamburg", "country": "DE", "vat_id": "DE136695976", "iban": "DE02120300000000202051",
}  # fmt: skip
BUYER = {"legal_name": "Carol & Sons Ltd", "street": "1 High Street", "city": "Dublin", "country": "IE"}


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """Carol, postpaid, called twice in January; who she and her seller are is known."""
    found = Invoicing(accounts)
    found.tax(19)
    found.call("carol", 100, 3)
    found.call("carol", 60, 4)
    with found.transaction() as session:
        set_party(session, operator_id(session), SELLER)
        set_party(session, accounts.ids["carol"], BUYER)
    yield found
    found.database.dispose()


def wants(invoicing: Invoicing, *formats: str, call_list: str = "annex") -> None:
    with invoicing.transaction() as session:
        carol = invoicing.accounts.ids["carol"]
        terms = replace(profile_of(session, carol).terms, formats=formats, call_list=call_list)
        set_profile(session, carol, terms)


def made(invoicing: Invoicing, invoice_id: int) -> dict[str, InvoiceFile]:
    return {file.kind: file for file in invoice_files(invoicing.database, invoice_id, JANUARY_US)}


def said(file: InvoiceFile) -> list[str]:
    return ["".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(file.content)).pages]


def test_every_format_that_the_account_gets(invoicing: Invoicing) -> None:
    wants(invoicing, "pdf", "xml", "csv")
    issued = invoicing.invoice("carol")
    files = made(invoicing, issued.invoice_id)
    assert list(files) == ["pdf", "xml", "csv"]
    assert files["pdf"].name == f"{issued.number}.pdf"
    assert files["csv"].name == f"{issued.number}-calls.csv"
    for file in files.values():
        assert file.sha256 == hashlib.sha256(file.content).hexdigest()
    first, calls = said(files["pdf"])
    assert f"Invoice{issued.number}" in first
    assert "Carol&SonsLtd" in first
    assert "Callsinthisperiod" in calls
    assert facturx.get_facturx_xml_from_pdf(files["pdf"].content)[1] == files["xml"].content
    rows = files["csv"].content.decode().splitlines()
    assert rows[0] == "started_at,caller,called,destination,duration_s,amount,unit,tax"
    assert [row.split(",")[-4:] for row in rows[1:]] == [
        ["100", "0.20", "EUR", "0.00"],
        ["60", "0.12", "EUR", "0.00"],
    ]


@pytest.mark.parametrize(
    "formats,call_list,kinds,pages",
    [
        (("pdf",), "annex", ["pdf"], 2),
        (("pdf",), "none", ["pdf"], 1),
        (("pdf",), "file", ["pdf", "csv"], 1),
        (("xml",), "none", ["xml"], 0),
    ],
)
def test_what_is_asked_for(
    invoicing: Invoicing, formats: tuple[str, ...], call_list: str, kinds: list[str], pages: int
) -> None:
    wants(invoicing, *formats, call_list=call_list)
    files = made(invoicing, invoicing.invoice("carol").invoice_id)
    assert list(files) == kinds
    if pages:
        assert len(said(files["pdf"])) == pages


def test_they_are_made_once(invoicing: Invoicing) -> None:
    wants(invoicing, "pdf")
    issued = invoicing.invoice("carol")
    first = made(invoicing, issued.invoice_id)
    with invoicing.transaction() as session:
        set_party(session, operator_id(session), {"legal_name": "Renamed GmbH"})
        template = StoredTemplate("", 0, Template(colours=Colours(accent="#7a1f4e")), None)
        operator = session.get_one(AccountRow, operator_id(session))
        save_template(session, operator, "plum", template, JANUARY_US)
        row = session.query(TemplateRow).one()
        set_issuer(session, operator.id, replace(issuer_of(session, operator.id), template_id=row.id))
    assert made(invoicing, issued.invoice_id) == first
    wants(invoicing, "pdf", "xml")
    later = made(invoicing, issued.invoice_id)
    assert later["pdf"] == first["pdf"]
    assert b"Nordlicht Telecom GmbH" in later["xml"].content, "the document is what it was when it was issued"


def test_two_at_once_keep_one(invoicing: Invoicing) -> None:
    wants(invoicing, "pdf", "xml")
    invoice_id = invoicing.invoice("carol").invoice_id
    results: list[tuple[InvoiceFile, ...]] = []
    together = threading.Barrier(3)

    def make() -> None:
        together.wait(30)
        results.append(invoice_files(invoicing.database, invoice_id, JANUARY_US))

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3
    assert len({tuple(file.sha256 for file in files) for files in results}) == 1
    assert invoicing.accounts.select("SELECT COUNT(*) FROM invoice_files") == [(2,)]


def test_a_draft_has_none(invoicing: Invoicing) -> None:
    drafted = invoicing.draft("carol")
    assert isinstance(drafted, Drafted)
    with pytest.raises(InputRefused, match="only what is issued has files"):
        made(invoicing, drafted.invoice_id)
    with pytest.raises(InputRefused, match="there is no invoice 99"):
        made(invoicing, 99)


def test_without_a_country_there_is_a_pdf_and_no_xml(invoicing: Invoicing) -> None:
    with invoicing.transaction() as session:
        set_party(session, invoicing.accounts.ids["carol"], {"country": ""})
    wants(invoicing, "pdf", "xml")
    files = made(invoicing, invoicing.invoice("carol").invoice_id)
    assert list(files) == ["pdf"]
    assert not PdfReader(io.BytesIO(files["pdf"].content)).attachments


def test_a_template_that_fails_on_a_document_stops_no_invoice(invoicing: Invoicing) -> None:
    """It passed the check, and fails on what only this document has: the brand stays, the markup is ours."""
    html = "<h1>x</h1>{% if document.number != 'INV-2026-00042' %}{{ 1 // 0 }}{% endif %}"
    template = Template(html=html, texts={"en": {"due": "Please pay"}})
    wants(invoicing, "pdf")
    with invoicing.transaction() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        save_template(session, operator, "own", StoredTemplate("", 0, template, None), JANUARY_US)
        row = session.query(TemplateRow).one()
        set_issuer(session, operator.id, replace(issuer_of(session, operator.id), template_id=row.id))
    issued = invoicing.invoice("carol")
    first = said(made(invoicing, issued.invoice_id)["pdf"])[0]
    assert "Pleasepay" in first
    assert f"Invoice{issued.number}" in first
    with invoicing.transaction() as session:
        events = session.query(InvoiceEventRow).filter_by(kind="template-failed").all()
        assert [event.detail for event in events] == [
            "template own failed, the built-in one was used: line 1: integer division or modulo by zero"
        ]
