"""Templates of documents: written version by version, tried on samples, taken into use."""

from base64 import b64encode
from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.templates import (
    BUILT_IN_STORED,
    NAME_MAX_CHARACTERS,
    StoredTemplate,
    save_new_template,
    save_template,
    template_row,
    template_version,
    template_versions,
    use_template,
)
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.render.html import render_html
from pbxbill.billing.render.logo import LOGO_MAX_BYTES, Logo, checked_logo
from pbxbill.billing.render.pdf import render_sheets, xml_of
from pbxbill.billing.render.sample import SAMPLES, sample_document
from pbxbill.billing.render.template import (
    CSS_MAX_CHARACTERS,
    FONTS,
    HTML_MAX_CHARACTERS,
    TEXT_MAX_CHARACTERS,
    Template,
    template_from_mapping,
)
from pbxbill.billing.render.template_check import fault_of, refuse_fetching
from pbxbill.listing.invoice_templates import INVOICE_TEMPLATES
from pbxbill.store.invoice_models import TemplateRow
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import conflicts, field, found, issuer
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.uploads import content_of, request_bytes
from pbxbill.web.front import Front, needs
from pbxbill.web.policies import PREVIEW_POLICY

TAG = "Invoice templates"
RULE = "/invoice-templates/<int:template_id>"
MOST_BYTES = request_bytes(LOGO_MAX_BYTES) + 4 * (HTML_MAX_CHARACTERS + CSS_MAX_CHARACTERS)
HTML = File("text/html", "The sample, as the template makes it.")
PDF = File("application/pdf", "The sample, as the template makes it.")
Colour = Annotated[str, StringConstraints(pattern="^#[0-9a-fA-F]{6}$")]
Text = Annotated[str, StringConstraints(max_length=TEXT_MAX_CHARACTERS)]
Language = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}(-[A-Z]{2})?$")]
LogoText = Annotated[str, StringConstraints(min_length=1, max_length=request_bytes(LOGO_MAX_BYTES))]
TextName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,39}$")]


class TemplatePath(Sent):
    """A template, by its id."""

    template_id: Id


class VersionQuery(Sent):
    """Which version."""

    version: Annotated[int, Field(ge=1, le=10**9)] = left_out("Default: the newest.")


class SentColours(Sent):
    """As #rrggbb; what is left out is ours."""

    accent: Colour = left_out("Of headings and rules.")
    text: Colour = left_out()
    muted: Colour = left_out("Of labels.")
    line: Colour = left_out("Between rows.")


class SentLayout(Sent):
    """What of our own layout is shown where; what is left out is as we have it."""

    page_size: Literal["A4", "Letter"] = left_out()
    logo_position: Literal["left", "right", "centre"] = left_out()
    logo_height_mm: Annotated[int, Field(ge=5, le=40)] = left_out()
    show_quantity: bool = left_out()
    show_tax_column: bool = left_out()
    show_bank: bool = left_out()
    show_payment_code: bool = left_out()
    call_columns: Annotated[
        list[Literal["started_at", "caller", "called", "destination", "duration", "amount"]],
        Field(min_length=1, max_length=6),
    ] = left_out()


class SentTemplate(Sent):
    """A template, whole: what is left out is ours."""

    html: Annotated[str, StringConstraints(max_length=HTML_MAX_CHARACTERS)] = Field(
        default="", description="Of the page's body; docs/templates.md says what it may use. Empty: ours."
    )
    css: Annotated[str, StringConstraints(max_length=CSS_MAX_CHARACTERS)] = Field(
        default="", description="After ours; with own html it stands alone."
    )
    font: Literal[FONTS] = "sans"  # type: ignore[valid-type]  # made of what there is
    colours: SentColours = SentColours()
    layout: SentLayout = SentLayout()
    texts: Annotated[
        dict[Language, Annotated[dict[TextName, Text], Field(max_length=200)]], Field(max_length=50)
    ] = Field(
        default={}, description="By language, in place of ours.", examples=[{"en": {"kind_invoice": "Bill"}}]
    )
    logo: Annotated[str, StringConstraints(min_length=1, max_length=request_bytes(LOGO_MAX_BYTES))] = (
        left_out(f"PNG, JPEG or SVG in base64; up to {LOGO_MAX_BYTES:,} bytes.")
    )
    keep_logo: bool = Field(
        default=True, description="Of a new version without `logo`: that of the one before."
    )


class NewTemplate(SentTemplate):
    """A template with its first version."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=NAME_MAX_CHARACTERS)]


class SentPreview(SentTemplate):
    """A template to be tried, and on what."""

    sample: Literal[SAMPLES] = "invoice"  # type: ignore[valid-type]  # made of what there is
    language: Literal["en", "fr", "es"] = "en"
    template_id: Id = left_out("Whose logo is shown where none is sent.")


class InUse(Sent):
    """What documents are made with."""

    template_id: Id | None = Field(description="null: the built-in one.")


class TemplateVersion(BaseModel):
    """One version."""

    number: int
    made: Moment
    error: str = Field(description="Why it cannot be used; the last good one stays in use.")


class InvoiceTemplate(BaseModel):
    """One version of a template."""

    id: int
    name: str
    current: int | None = Field(description="The version in use; null: none is without errors.")
    used: bool = Field(description="All documents are made with it, where an account has chosen no other.")
    version: int
    error: str
    html: str
    css: str
    font: str
    colours: dict[str, str]
    layout: dict[str, str | int | bool | list[str]]
    texts: dict[str, dict[str, str]]
    logo: str | None = Field(description="In base64.", json_schema_extra={"contentEncoding": "base64"})
    versions: list[TemplateVersion] = Field(description="The newest first.")


def invoice_templates(api: Api) -> None:
    """Templates of the key's own account."""
    front = api.front
    declare_list(api, "/invoice-templates", INVOICE_TEMPLATES, TAG)
    for rule in ("/invoice-templates", f"{RULE}/versions"):
        api.take_larger(rule, MOST_BYTES)

    @api.get(RULE, InvoiceTemplate, TAG, moving=("used",))
    @needs(Permission.INVOICES_READ)
    def get_invoice_template(path: TemplatePath, query: VersionQuery) -> InvoiceTemplate:
        """One version of a template. 404: there is none of that number."""
        with front.reading() as session:
            row = _template(session, front, path.template_id)
            return _shown(session, front, row, query.version)

    @api.post("/invoice-templates", InvoiceTemplate, TAG)
    @needs(Permission.INVOICES_WRITE)
    def make_invoice_template(body: NewTemplate) -> Answer:
        """Make a template. One with an error is kept, and not used. 409: there is one of that name."""
        tried = _tried(body.name, body, BUILT_IN_STORED)
        with api.writing("template.save", body.name) as change:
            seller = issuer(change.session, front.scope)
            with conflicts():
                save_new_template(change.session, seller, body.name, tried, change.now_us)
            made = template_row(change.session, seller, body.name)
            if made is None:
                raise Refused(404)
            return change.done(_shown(change.session, front, made, None), 201)

    @api.post(f"{RULE}/versions", InvoiceTemplate, TAG, of=RULE)
    @needs(Permission.INVOICES_WRITE)
    def change_invoice_template(path: TemplatePath, body: SentTemplate) -> Answer:
        """Give a template a new version, which is used from now on if it has no error."""
        with front.reading() as session:
            row = _template(session, front, path.template_id)
            before = template_version(session, issuer(session, front.scope), row.name)
        tried = _tried(row.name, body, before)
        with api.writing("template.save", row.name) as change:
            now = _template(change.session, front, row.id)
            save_template(change.session, issuer(change.session, front.scope), now.name, tried, change.now_us)
            return change.done(_shown(change.session, front, now, None), 201)

    _declare_use(api)
    _declare_previews(api)


def _declare_use(api: Api) -> None:
    front = api.front

    @api.get("/invoice-templates/in-use", InUse, TAG)
    @needs(Permission.INVOICES_READ)
    def get_template_in_use() -> InUse:
        """What documents are made with, where an account has chosen no other."""
        with front.reading() as session:
            return InUse(template_id=issuer_of(session, front.scope.account_id).template_id)

    @api.put("/invoice-templates/in-use", InUse, TAG)
    @needs(Permission.INVOICES_WRITE)
    def use_invoice_template(body: InUse) -> Answer:
        """Make all documents with a template from now on. 409: it has no version without errors."""
        with front.reading() as session:
            name = ""
            if body.template_id is not None:
                name = _template(session, front, body.template_id).name
        with api.writing("template.use", name or "built-in") as change:
            with conflicts():
                use_template(change.session, issuer(change.session, front.scope), name)
            return change.done(body)


def _declare_previews(api: Api) -> None:
    front = api.front

    def tried(body: SentPreview) -> tuple[Template, Logo | None]:
        sent: Any = body
        before = BUILT_IN_STORED
        if sent.template_id is not None:
            with front.reading() as session:
                row = _template(session, front, sent.template_id)
                before = template_version(session, issuer(session, front.scope), row.name)
        return _template_of(body), _logo_of(body, before.logo)

    def preview_html(body: SentPreview) -> Response:
        made, logo = tried(body)
        answer = Response(render_html(sample_document(body.sample, body.language), made, logo))
        answer.headers["Content-Security-Policy"] = PREVIEW_POLICY
        return answer

    def preview_pdf(body: SentPreview) -> Response:
        made, logo = tried(body)
        document = sample_document(body.sample, body.language)
        sheets = render_sheets(document, made, logo, xml=xml_of(document))
        refuse_fetching(made, sheets)
        return Response(sheets.pdf, mimetype=PDF.mimetype)

    for kind, view, told in (("html", preview_html, HTML), ("pdf", preview_pdf, PDF)):
        rule = f"/invoice-templates/preview.{kind}"
        api.take_larger(rule, MOST_BYTES)
        view.__name__ = f"preview_invoice_template_{kind}"
        view.__doc__ = f"What a sample looks like with a template, as {kind.upper()}; nothing is kept."
        api.post(rule, told, TAG, 200)(needs(Permission.INVOICES_READ)(view))


def _template(session: Session, front: Front, id: int) -> TemplateRow:
    return found(session, TemplateRow, id, front.scope.issued(TemplateRow.issuer_id))


def _template_of(body: SentTemplate) -> Template:
    return template_from_mapping(
        {
            "html": body.html,
            "css": body.css,
            "font": body.font,
            "colours": body.colours.model_dump(exclude_unset=True),
            "layout": body.layout.model_dump(exclude_unset=True),
            "texts": body.texts,
        }
    )


def _logo_of(body: SentTemplate, before: Logo | None) -> Logo | None:
    sent: Any = body
    if sent.logo is None:
        return before if body.keep_logo else None
    with field("logo"):
        return checked_logo(content_of(sent.logo, "logo", LOGO_MAX_BYTES))


def _tried(name: str, body: SentTemplate, before: StoredTemplate) -> StoredTemplate:
    """It sets a document, which takes longer than a transaction may."""
    made, logo = _template_of(body), _logo_of(body, before.logo)
    return StoredTemplate(name, 0, made, logo, fault_of(made, logo))


def _shown(session: Session, front: Front, row: TemplateRow, number: int | None) -> InvoiceTemplate:
    seller = issuer(session, front.scope)
    versions = template_versions(session, seller, row.name)
    if number is not None and number not in [x for x, _, _ in versions]:
        raise Refused(404)
    stored = template_version(session, seller, row.name, number)
    facts = asdict(stored.template)
    return InvoiceTemplate(
        id=row.id,
        name=row.name,
        current=row.current_version,
        used=issuer_of(session, seller.id).template_id == row.id,
        version=stored.number,
        error=stored.error,
        html=stored.template.html,
        css=stored.template.css,
        font=stored.template.font,
        colours=facts["colours"],
        layout={x: list(y) if isinstance(y, tuple) else y for x, y in facts["layout"].items()},
        texts=facts["texts"],
        logo=None if stored.logo is None else b64encode(stored.logo.content).decode(),
        versions=[TemplateVersion(number=x, made=moment(y), error=z) for x, y, z in versions],
    )
