"""Documents as PDF/A-3b files. What others wrote, templates and SVG logos, is set in a process of its own."""

import atexit
import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from pbxbill.billing.invoices.document import Document
from pbxbill.billing.render.facturx import NoXml, facturx_xml
from pbxbill.billing.render.html import LOGO_URL, filled_body, page, style_sheet
from pbxbill.billing.render.logo import SVG_TYPE, Logo
from pbxbill.billing.render.sample import sample_document
from pbxbill.billing.render.template import BUILT_IN, Template
from pbxbill.billing.render.typesetting import Job, Sheets, Typesetter
from pbxbill.billing.render.worker import Isolated

TIMEOUT_S = 30
ROWS_PER_S = 50
"""What is added to the time that others' templates may take, by the lines and calls of the document."""

_here = threading.local()
"""Typesetters are for one thread each."""


def render_pdf(
    document: Document, template: Template = BUILT_IN, logo: Logo | None = None, *, xml: bytes | None = None
) -> bytes:
    """The document as PDF/A-3b, with the XML inside if it is given; TemplateFault if the template fails."""
    return render_sheets(document, template, logo, xml=xml).pdf


def render_sheets(
    document: Document, template: Template = BUILT_IN, logo: Logo | None = None, *, xml: bytes | None = None
) -> Sheets:
    """The same, with how many pages it has, and what of the template could not be done."""
    body = filled_body(document, template, LOGO_URL if logo else "")
    job = Job(
        html=page(document, body),
        css=style_sheet(template),
        logo=logo,
        xml=xml,
        created_on=document.issued_on.isoformat(),
    )
    if not template.own and not (logo and logo.media_type == SVG_TYPE):
        return _typesetter().set(job)
    rows = len(document.lines) + len(document.calls)
    return _isolated().set(job, TIMEOUT_S + rows // ROWS_PER_S)


def xml_of(document: Document) -> bytes | None:
    """The structured invoice, where there is one."""
    xml = facturx_xml(document)
    return None if isinstance(xml, NoXml) else xml


def _typesetter() -> Typesetter:
    if not hasattr(_here, "typesetter"):
        _here.typesetter = Typesetter()
    typesetter: Typesetter = _here.typesetter
    return typesetter


@atexit.register
def _let_go() -> None:
    # Fonts go before the libraries that made them do; after them a process that ends would crash.
    vars(_here).clear()


@cache
def _isolated() -> Isolated:
    return Isolated()


def render_many(documents: Iterable[Document], template: Template = BUILT_IN) -> tuple[int, int]:
    """Set documents with their XML, for benches: how many there were, and how many pages."""
    count = pages = 0
    for document in documents:
        pages += render_sheets(document, template, xml=xml_of(document)).pages
        count += 1
    return count, pages


def numbered_samples(count: int, kind: str = "invoice", calls: int | None = None) -> Iterable[Document]:
    """Sample documents that differ in their numbers, to be rendered by the many."""
    sample = sample_document(kind)
    if calls is not None:
        sample = replace(sample, calls=sample.calls[:calls])
    for number in range(count):
        yield replace(sample, number=f"INV-2026-{number:05d}")
