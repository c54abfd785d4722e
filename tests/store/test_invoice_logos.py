"""Logos that were taken once and cannot be used: the invoice goes out without them."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pypdf import PdfReader

from pbxbill.billing.invoices.invoice_files import invoice_files
from pbxbill.billing.invoices.templates import StoredTemplate, save_template, template_in_use
from pbxbill.billing.parties import issuer_of, set_issuer
from pbxbill.billing.render.logo import Logo
from pbxbill.billing.render.template import Template
from pbxbill.store.invoice_models import InvoiceEventRow, TemplateRow
from pbxbill.store.models import AccountRow
from tests.store.billed_accounts import BilledAccounts
from tests.store.invoiced_accounts import JANUARY_US, Invoicing, operator_id


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    """Carol called in January."""
    found = Invoicing(accounts)
    found.call("carol", 100, 3)
    yield found
    found.database.dispose()


@pytest.mark.parametrize(
    "inside,reason",
    [
        ('<use href="#a"/>', "the logo's SVG has a <use>"),
        ('<svg viewBox="a b c d"/>', "the logo's SVG has the viewBox 'a b c d'"),
    ],
)
def test_an_invoice_goes_out_without_the_logo(invoicing: Invoicing, inside: str, reason: str) -> None:
    """It was kept before such logos were refused."""
    logo = Logo("image/svg+xml", f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>'.encode())
    template = Template(texts={"en": {"due": "Please pay"}})
    with invoicing.transaction() as session:
        operator = session.get_one(AccountRow, operator_id(session))
        save_template(session, operator, "own", StoredTemplate("", 0, template, logo), JANUARY_US)
        row = session.query(TemplateRow).one()
        set_issuer(session, operator.id, replace(issuer_of(session, operator.id), template_id=row.id))
        assert reason in template_in_use(session, operator.id, row.id).error
    issued = invoicing.invoice("carol")
    files = invoice_files(invoicing.database, issued.invoice_id, JANUARY_US)
    pdf = next(file for file in files if file.kind == "pdf")
    page = PdfReader(io.BytesIO(pdf.content)).pages[0]
    assert "Please pay" in page.extract_text()
    with invoicing.transaction() as session:
        (event,) = session.query(InvoiceEventRow).filter_by(kind="template-failed").all()
        assert reason in event.detail
