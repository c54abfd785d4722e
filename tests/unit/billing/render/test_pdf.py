"""The files that people get: what they say, that they last, and that templates get nothing out of us."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import facturx
import pytest
from PIL import Image
from pypdf import PdfReader

from pbxbill.billing.invoices.document import Document
from pbxbill.billing.render.facturx import facturx_xml
from pbxbill.billing.render.logo import Logo, checked_logo
from pbxbill.billing.render.pdf import render_pdf, render_sheets, xml_of
from pbxbill.billing.render.sample import sample_document
from pbxbill.billing.render.sandbox import TemplateFault
from pbxbill.billing.render.template import Colours, Layout, Template
from pbxbill.billing.render.template_check import fault_of, notes_on
from pbxbill.billing.render.typesetting import Job, Typesetter
from pbxbill.billing.render.worker import Isolated

pytestmark = pytest.mark.long

INVOICE = sample_document()
LOGO = checked_logo(
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 1"><rect width="4" height="1"/></svg>'
)


def photo() -> Logo:
    stream = io.BytesIO()
    Image.new("RGBA", (200, 60), (11, 110, 79, 128)).save(stream, "PNG")
    return checked_logo(stream.getvalue())


PHOTO = photo()


def reader(pdf: bytes) -> Any:
    return PdfReader(io.BytesIO(pdf))


class Page(str):
    """What a page says; where words are set apart is nothing that a PDF tells."""

    __slots__ = ()

    def __contains__(self, said: object) -> bool:
        return super().__contains__(squeezed(str(said)))


def squeezed(text: str) -> str:
    return "".join(text.split())


def texts(document: Document, template: Template | None = None) -> list[Page]:
    """What each page says."""
    pdf = render_pdf(document, template or Template())
    return [Page(squeezed(page.extract_text())) for page in reader(pdf).pages]


def test_an_invoice_says_all_that_matters() -> None:
    first = texts(INVOICE)[0]
    for said in (
        "Invoice INV-2026-00042", "Nordlicht Telecom GmbH", "Atelier Lumière SARL", "67000 Strasbourg",
        "1–31 Jan 2026", "15 Feb 2026", "PO 4500-118",
        "Cloud PBX Business: Extension 12 9.90 19% 118.80",
        "20 of 31 days", "Calls to mobiles (412)", "France",
        "Net €593.03", "VAT 19% €112.68", "Total €705.71",
        "Paid from your balance −€100.00", "Amount due €605.71",
        "Open from earlier invoices €42.50", "Payments received", "IBAN DE02 1203 0000 0000 2020 51",
        "VAT ID DE136695976", "Page 1 of 2",
    ):  # fmt: skip
        assert said in first, said


def test_pages_that_follow_repeat_the_head_of_the_table_and_say_whose_they_are() -> None:
    pages = texts(sample_document("long-invoice"))
    assert len(pages) >= 8
    lines, calls = pages[1], pages[4]
    assert "Invoice INV-2026-00042 · Nordlicht Telecom GmbH" in lines
    assert "Invoice INV-2026-00042 · Nordlicht Telecom GmbH" not in pages[0]
    assert "Description Quantity Price Tax Amount EUR" in lines
    assert "Begin From To Destination Duration Amount EUR" in calls
    assert f"Page 5 of {len(pages)}" in calls
    assert "1,284 more calls" in pages[-1]


@pytest.mark.parametrize(
    "kind,language,said",
    [
        ("paid-invoice", "en", "Nothing to pay: your balance has covered it."),
        ("credit_note", "de", "Korrigiert Rechnung INV-2026-00041 vom 01.02.2026"),
        ("quote", "es", "Válido hasta 1 mar 2026"),
        ("receipt", "fr", "Montant bien reçu, merci."),
        ("draft", "en", "This is a draft for review. It is not an invoice."),
        ("debit_note", "fr", "Net à payer 705,71 €"),
    ],
)
def test_each_kind_in_its_words(kind: str, language: str, said: str) -> None:
    assert said in texts(sample_document(kind, language))[0]


def test_only_a_draft_is_marked_as_one() -> None:
    assert "DRAFT" in texts(sample_document("draft"))[0]
    assert "DRAFT" not in texts(INVOICE)[0]


def test_layout_options_are_followed() -> None:
    layout = Layout(
        page_size="Letter", show_quantity=False, show_bank=False, call_columns=("called", "amount")
    )
    pdf = reader(render_pdf(INVOICE, Template(layout=layout)))
    page = pdf.pages[0]
    assert (page.mediabox.width, page.mediabox.height) == (612, 792)
    first, calls = (Page(squeezed(page.extract_text())) for page in pdf.pages)
    assert "Quantity" not in first
    assert "IBAN" not in first
    assert "To Amount EUR" in calls
    assert "Duration" not in calls


def test_texts_of_the_template_come_before_ours() -> None:
    template = Template(
        texts={"en": {"due": "Please send us", "closing": "With kind regards"}, "de": {"due": "x"}}
    )
    first = texts(INVOICE, template)[0]
    assert "Please send us €605.71" in first
    assert "With kind regards" in first


def test_the_same_document_makes_the_same_bytes() -> None:
    made = {render_pdf(INVOICE, xml=xml_of(INVOICE))}
    render_pdf(sample_document("draft", "fr"), Template(font="serif"), LOGO)
    made.add(render_pdf(INVOICE, xml=xml_of(INVOICE)))
    made.add(Typesetter().set(_job(INVOICE)).pdf)
    assert len(made) == 1
    assert render_pdf(replace(INVOICE, number="INV-2026-00043")) not in made


def _job(document: Document) -> Job:
    from pbxbill.billing.render.html import filled_body, page, style_sheet

    body = filled_body(document, Template(), "")
    return Job(page(document, body), style_sheet(Template()), None, xml_of(document), "2026-02-01")


def test_the_pdf_holds_the_structured_invoice() -> None:
    pdf = render_pdf(INVOICE, xml=xml_of(INVOICE))
    name, xml = facturx.get_facturx_xml_from_pdf(pdf)  # checks it against the schema, too
    assert name == "factur-x.xml"
    assert xml == facturx_xml(INVOICE)
    catalog = reader(pdf).trailer["/Root"]
    file = catalog["/AF"][0].get_object()
    assert file["/AFRelationship"] == "/Alternative"
    metadata = catalog["/Metadata"].get_data().decode()
    assert metadata.count("<rdf:RDF") == 1
    for said in (
        "<fx:ConformanceLevel>EN 16931<",
        "<fx:DocumentFileName>factur-x.xml<",
        "pdfaExtension:schemas",
    ):
        assert said in metadata


@pytest.mark.parametrize("kind", ["quote", "receipt", "draft"])
def test_what_is_no_invoice_holds_none(kind: str) -> None:
    document = sample_document(kind)
    pdf = reader(render_pdf(document, xml=xml_of(document)))
    assert not pdf.attachments


def test_it_is_made_to_last() -> None:
    """PDF/A-3b: it says so, every font is inside, colours are defined, nothing runs."""
    pdf = reader(render_pdf(INVOICE, Template(font="serif"), PHOTO, xml=xml_of(INVOICE)))
    catalog = pdf.trailer["/Root"]
    metadata = catalog["/Metadata"].get_data().decode()
    assert 'pdfaid:part="3"' in metadata
    assert 'pdfaid:conformance="B"' in metadata
    assert "/OutputIntents" in catalog
    assert catalog["/Lang"] == "en"
    assert not {"/OpenAction", "/AA"} & set(catalog)
    images = [image for page in pdf.pages for image in page["/Resources"]["/XObject"].values()]
    assert images
    assert {str(image.get_object().get("/Interpolate", False)).lower() for image in images} == {"false"}
    fonts = {
        name: font.get_object()
        for page in pdf.pages
        for name, font in page["/Resources"]["/Font"].get_object().items()
    }
    assert fonts
    for font in fonts.values():
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert {"/FontFile2", "/FontFile3"} & set(descriptor), font["/BaseFont"]
    families = {str(font["/BaseFont"]).partition("+")[2] for font in fonts.values()}
    assert all("Source" in family for family in families), families


@pytest.mark.parametrize(
    "css",
    ["{secret}", "@import '{secret}'; h1 {{ color: red }}", "h1 {{ background: url({secret}) }}",
     "h1::before {{ content: url({secret}) }}",
     "@font-face {{ font-family: x; src: url({secret}) }} h1 {{ font-family: x }}",
     "@page {{ @top-left {{ content: url({secret}) }} background: url({secret}) }}",
     "li {{ list-style-image: url({secret}) }}", "h1 {{ border-image: url({secret}) 1 }}",
     "@color-profile --x {{ src: url({secret}) }} h1 {{ color: color(--x 1 0 0) }}"],
)  # fmt: skip
def test_css_gets_no_file(css: str, tmp_path: Path) -> None:
    (tmp_path / "secret.css").write_text("h1::after { content: 'hunter2' } /* hunter2 */")
    template = Template(css=css.format(secret=(tmp_path / "secret.css").as_uri()))
    try:
        sheets = render_sheets(INVOICE, template)
    except TemplateFault as fault:
        assert "nothing is fetched" in str(fault)  # noqa: PT017  # refused, or left out: both will do
    else:
        assert not leaks(sheets.pdf)


@pytest.mark.parametrize(
    "html",
    ["<img src='{s}'>", "<link rel=stylesheet href='{s}'>", "<link rel=attachment href='{s}'>",
     "<a rel=attachment href='{s}'>x</a>", "<object data='{s}'></object>", "<embed src='{s}'>",
     "<iframe src='{s}'></iframe>", "<style>@import url({s});</style>",
     "<base href='file:///'><img src='{p}'>",
     "<svg xmlns='http://www.w3.org/2000/svg'><image href='{s}' width='9' height='9'/></svg>",
     "<svg xmlns='http://www.w3.org/2000/svg'><use href='{s}#a'/></svg>",
     "<svg><style>@import '{s}';</style></svg>",
     "<p style='background: url({s})'>x</p>", "<input type=image src='{s}'>", "<img srcset='{s} 1x'>",
     "<svg><text>&xxe;</text></svg>", "<link rel=attachment href='{p}'>", "<img src='{p}'>",
     "<img src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"{s}\"/></svg>'>",
     "<img src='data:text/html,hunter2'>", "<link rel=attachment href='data:text/plain,hunter2'>"],
)  # fmt: skip
def test_html_gets_no_file(html: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    sheets = render_sheets(INVOICE, Template(html=f"<h1>x</h1>{html.format(s=secret.as_uri(), p=secret)}"))
    assert not leaks(sheets.pdf)


def leaks(pdf: bytes) -> bool:
    """Whether the secret is anywhere in it: as text, attached, or in any stream."""
    found = reader(pdf)
    contents = [pdf, *(b"".join(contents) for contents in found.attachments.values())]
    contents += [page.extract_text().encode() for page in found.pages]
    for number in range(1, len(found.xref_objStm) + found.trailer["/Size"]):
        thing = found.get_object(number) if number < found.trailer["/Size"] else None
        if thing is not None and hasattr(thing, "get_data"):
            contents.append(thing.get_data())
    return any(b"hunter2" in content for content in contents)


def test_the_search_for_leaks_finds_one() -> None:
    assert leaks(render_pdf(replace(INVOICE, note="hunter2")))


@pytest.mark.parametrize(
    "html,css,line,reason",
    [
        (
            "<h1>x</h1>\n<img src='https://example.com/logo.png'>",
            "",
            2,
            "html wants https://example.com/logo.png",
        ),
        (
            "",
            "h1 { color: red }\n\nh2 { background: url(file:///etc/passwd) }",
            3,
            "css wants file:///etc/passwd",
        ),
        ("{{ document.nummer }}", "", 1, "no field 'nummer'"),
        (
            "{% if document.kind == 'quote' %}\n{{ document.due_on.jear }}{% endif %}",
            "",
            2,
            "no field 'jear'",
        ),
    ],
)
def test_a_check_says_line_and_reason(html: str, css: str, line: int, reason: str) -> None:
    fault = fault_of(Template(html=html, css=css), None)
    assert fault.startswith(f"line {line}: ")
    assert reason in fault


def test_what_is_fine_passes_the_check() -> None:
    assert fault_of(Template(), None) == ""
    assert fault_of(Template(css="h1 { font-size: 30pt }", colours=Colours(accent="#7a1f4e")), LOGO) == ""
    assert fault_of(Template(html="<img src='{{ logo }}'>{{ document.number }}"), LOGO) == ""


def test_css_that_is_not_understood_is_said_with_its_own_line() -> None:
    template = Template(css="h1 { color: red }\nh1 { colour: red }\n")
    notes = notes_on(template, render_sheets(INVOICE, template))
    assert any("colour" in note and "at line 2" in note for note in notes), notes


def test_a_layout_without_end_is_ended_and_the_next_document_is_set() -> None:
    isolated = Isolated()
    good = _job(INVOICE)
    endless = replace(good, css="@page { size: 20px 20px; margin: 0 } * { font-size: 40px; columns: 3 }",
                      html="<p>" + "word " * 60_000)  # fmt: skip
    try:
        with pytest.raises(TemplateFault, match="cannot be set within 1 s"):
            isolated.set(endless, 1)
        assert isolated.set(good, 60).pages == 2
    finally:
        isolated.close()


def test_the_same_bytes_come_from_whichever_process() -> None:
    isolated = Isolated()
    try:
        first = isolated.set(_job(INVOICE), 60).pdf
        assert first == Typesetter().set(_job(INVOICE)).pdf
    finally:
        isolated.close()


def test_a_logo_of_shapes_is_set_where_it_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in template too, with a drawing that takes longer than anybody waits."""
    inside = '<g id="a0"><rect width="1" height="1"/></g>'
    for number in range(1, 9):
        inside += f'<g id="a{number}">' + f'<use href="#a{number - 1}"/>' * 10 + "</g>"
    text = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{inside}<use href="#a8"/></svg>'
    monkeypatch.setattr("pbxbill.billing.render.pdf.TIMEOUT_S", 4)
    assert "cannot be set within 4 s" in fault_of(Template(), Logo("image/svg+xml", text.encode()))


def test_a_logo_is_tried_before_it_is_kept() -> None:
    broken = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="a b c d"><path d="M0 0"/></svg>'
    assert fault_of(Template(), Logo("image/svg+xml", broken)).startswith("it cannot be set: ValueError")
    fine = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'
    assert not fault_of(Template(), checked_logo(fine))


def test_a_name_with_control_characters_spoils_no_document() -> None:
    """Accounts opened by other programs may have one."""
    odd = replace(INVOICE, seller=replace(INVOICE.seller, name="North\x01light \ufffe"))
    metadata = PdfReader(io.BytesIO(render_pdf(odd, xml=xml_of(odd)))).metadata
    assert metadata is not None
    assert metadata.author == "North\ufffdlight \ufffd"
