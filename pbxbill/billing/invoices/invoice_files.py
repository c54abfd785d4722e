"""Files of issued documents: made once, from the document as it was issued, and the same for ever.

Setting a PDF takes longer than anybody may hold SQLite's write lock: `invoice_files(engine, ...)` reads, sets
and keeps in three steps. Two that do so at once keep one file: whoever was first.
"""

import csv
import hashlib
import io
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.call_list import calls_of
from pbxbill.billing.invoices.document import Document, DocumentCall
from pbxbill.billing.invoices.documents import document_of
from pbxbill.billing.invoices.templates import StoredTemplate, template_in_use, without_own_markup
from pbxbill.billing.profiles import profile_of
from pbxbill.billing.render.html import render_html
from pbxbill.billing.render.pdf import render_pdf, xml_of
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount
from pbxbill.rating.sheet_guard import guarded
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceFileRow, InvoiceRow

UNISSUED = ("draft", "discarded")
CALL_LIST_KINDS = ("invoice",)
_COLUMNS = ("started_at", "caller", "called", "destination", "duration_s", "amount", "unit", "tax")


class InvoiceFile(NamedTuple):
    """A file of a document."""

    kind: str
    """pdf, xml or csv."""
    name: str
    sha256: str
    content: bytes


class Material(NamedTuple):
    """What files are made from, read once."""

    invoice_id: int
    document: Document
    stored: StoredTemplate
    missing: tuple[str, ...]
    """Kinds of files that are not kept yet."""
    call_list: bytes
    """The CSV, where it is among them."""


class Made(NamedTuple):
    """Files that are not kept yet, and what went wrong on the way."""

    files: tuple[InvoiceFile, ...]
    template_fault: str
    """Why the issuer's template could not be used for it: the built-in one was, with the issuer's brand."""


def invoice_files(engine: Engine, invoice_id: int, now_us: int) -> tuple[InvoiceFile, ...]:
    """All files that the account gets of an issued document, made now if they were not before."""
    with transaction(reading(engine)) as session:
        material = material_of(session, invoice_id)
        if not material.missing:
            return _kept(session, invoice_id)
    made = make_files(material)
    with transaction(engine) as session:
        return keep_files(session, material, made, now_us)


def file_shown(engine: Engine, invoice_id: int, kind: str, now_us: int) -> InvoiceFile:
    """A document as a file to look at: as the account got it, else as it would look now.

    kind: pdf, html, xml or csv (its calls); InputRefused where there is no such form of it.
    """
    with transaction(reading(engine)) as session:
        row = session.get(InvoiceRow, invoice_id)
        if row is None:
            raise InputRefused(f"there is no invoice {invoice_id}")
        document = document_of(session, row.id)
        stored = template_in_use(session, row.issuer_id, profile_of(session, row.account_id).template_id)
        name = row.number or f"draft-{row.id}"
        calls = b""
        if kind == "csv" and row.kind in CALL_LIST_KINDS:
            calls = call_list_csv(calls_of(session, row), document.unit)
    # What the account got is what is shown, even if the template is another one today.
    kept = () if row.state in UNISSUED else invoice_files(engine, row.id, now_us)
    content = next((file.content for file in kept if file.kind == kind), b"")
    if not content:
        match kind:
            case "pdf":
                content = render_pdf(document, stored.template, stored.logo, xml=xml_of(document))
            case "html":
                content = render_html(document, stored.template, stored.logo).encode()
            case "csv":
                content = calls
            case _:
                content = xml_of(document) or b""
    if not content:
        raise InputRefused(f"{name} has no structured form")
    return InvoiceFile(kind, f"{_safe(name)}.{kind}", hashlib.sha256(content).hexdigest(), content)


def material_of(session: Session, invoice_id: int) -> Material:
    """What to make an issued document's files from; InputRefused for a draft: it has no files."""
    row = session.get(InvoiceRow, invoice_id)
    if row is None:
        raise InputRefused(f"there is no invoice {invoice_id}")
    if row.state in UNISSUED:
        raise InputRefused(f"invoice {invoice_id} is {row.state}; only what is issued has files")
    profile = profile_of(session, row.account_id)
    terms = profile.terms
    kept = set(session.scalars(select(InvoiceFileRow.kind).where(InvoiceFileRow.invoice_id == invoice_id)))
    missing: tuple[str, ...] = tuple(
        kind for kind in ("pdf", "xml") if kind in terms.formats and kind not in kept
    )
    document = document_of(session, invoice_id, with_calls="pdf" in missing)
    as_file = "csv" in terms.formats or terms.call_list == "file" or document.calls_left_out
    if row.kind in CALL_LIST_KINDS and as_file and "csv" not in kept:
        missing = (*missing, "csv")
    calls = call_list_csv(calls_of(session, row), document.unit) if "csv" in missing else b""
    stored = template_in_use(session, row.issuer_id, profile.template_id)
    return Material(invoice_id, document, stored, missing, calls)


def make_files(material: Material) -> Made:
    """The missing files, in memory. The slow part: no transaction is needed for it."""
    document = material.document
    xml = xml_of(document)
    fault = ""
    files = []
    for kind in material.missing:
        if kind == "pdf":
            content, fault = _set(document, material.stored, xml)
        elif kind == "xml":
            if xml is None:
                continue  # this document has none; billing.render.facturx says why
            content = xml
        else:
            content = material.call_list
        name = f"{_safe(document.number)}{'-calls' if kind == 'csv' else ''}.{kind}"
        files.append(InvoiceFile(kind, name, hashlib.sha256(content).hexdigest(), content))
    return Made(tuple(files), fault)


def _set(document: Document, stored: StoredTemplate, xml: bytes | None) -> tuple[bytes, str]:
    # An invoice that is issued goes out: its numbers are right whatever became of its looks.
    plain = without_own_markup(stored)
    first_fault = stored.error
    for tried in (stored, plain) if stored.template.own else (stored,):
        try:
            return render_pdf(document, tried.template, tried.logo, xml=xml), first_fault
        except TemplateFault as fault:
            first_fault = first_fault or str(fault)
    return render_pdf(document, plain.template, None, xml=xml), first_fault


def keep_files(session: Session, material: Material, made: Made, now_us: int) -> tuple[InvoiceFile, ...]:
    """Keep files that were made, unless another process was first; all that are kept now."""
    for file in made.files:
        row = InvoiceFileRow(
            invoice_id=material.invoice_id,
            kind=file.kind,
            name=file.name,
            sha256=file.sha256,
            content=file.content,
            created_us=now_us,
        )
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            continue  # what was kept first is the file
    if made.template_fault:
        detail = f"template {material.stored.name} failed, the built-in one was used: {made.template_fault}"
        session.add(
            InvoiceEventRow(
                invoice_id=material.invoice_id,
                at_us=now_us,
                kind="template-failed",
                detail=detail[:500],
                by="",
            )
        )
    session.flush()
    return _kept(session, material.invoice_id)


def _kept(session: Session, invoice_id: int) -> tuple[InvoiceFile, ...]:
    query = select(
        InvoiceFileRow.kind, InvoiceFileRow.name, InvoiceFileRow.sha256, InvoiceFileRow.content
    ).where(InvoiceFileRow.invoice_id == invoice_id)
    order = ("pdf", "xml", "csv")
    return tuple(
        sorted((InvoiceFile(*row) for row in session.execute(query)), key=lambda x: order.index(x.kind))
    )


def call_list_csv(calls: Iterable[DocumentCall], unit: Unit) -> bytes:
    """Calls for a spreadsheet; amounts as in the annex, and what was taken as tax beside them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for call in calls:
        cells = map(guarded, (call.started_at, call.caller, call.called, call.destination))
        amount, tax = (format_amount(x, unit) for x in (call.total, call.tax))
        writer.writerow((*cells, call.duration_s, amount, unit.code, tax))
    return text.getvalue().encode()


def _safe(number: str) -> str:
    """A number as the name of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in number).lstrip(".") or "document"
