"""The template designer: what documents look like, tried beside the form, kept version by version.

A version with an error is kept and not used: the last good one stays in use. What is written here is drawn
in a frame that runs nothing and belongs to nobody (policies.PREVIEW_POLICY).
"""

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.document import Document
from pbxbill.billing.invoices.templates import (
    BUILT_IN_STORED,
    StoredTemplate,
    save_new_template,
    save_template,
    template_row,
    template_version,
    template_versions,
    use_template,
)
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.render.html import built_in_css, built_in_html, render_html
from pbxbill.billing.render.pdf import render_sheets, xml_of
from pbxbill.billing.render.sample import SAMPLES, sample_document
from pbxbill.billing.render.template import Template
from pbxbill.billing.render.template_check import fault_of, refuse_fetching
from pbxbill.errors import InputRefused
from pbxbill.listing.invoice_templates import INVOICE_TEMPLATES
from pbxbill.listing.listing import N_
from pbxbill.store.invoice_models import TemplateRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.template_forms import TemplateForm, logo_of, shown, template_of
from pbxbill.web.policies import DESIGNER_POLICY, PREVIEW_POLICY


def invoice_templates(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("invoice_templates", __name__)
    add_list(
        section,
        front,
        ListPage(
            INVOICE_TEMPLATES,
            "/templates",
            link="invoice_templates.show",
            empty=(
                N_("Documents look as we bring them"),
                N_("Make a template for your own logo, colours and words."),
            ),
            actions=((N_("New template"), "invoice_templates.new", Permission.INVOICES_WRITE),),
        ),
    )
    _add_designer(section, front)
    _add_preview(section, front)
    _add_use(section, front)
    return section


def _add_designer(section: Blueprint, front: Front) -> None:
    @section.get("/templates/new")
    @needs(Permission.INVOICES_WRITE)
    def new() -> Response:
        return _page(front, _filled(front, BUILT_IN_STORED), None, BUILT_IN_STORED)

    @section.post("/templates/new")
    @needs(Permission.INVOICES_WRITE)
    def make() -> Response | AnyResponse:
        form = TemplateForm()
        if form.validate_on_submit():
            if not form.name.data:
                form.name.errors = [gettext("Please fill this in.")]
            elif (saved := _save(front, form, None, BUILT_IN_STORED)) is not None:
                return saved
        return _page(front, form, None, BUILT_IN_STORED)

    @section.get("/templates/<int:id>")
    @needs(Permission.INVOICES_READ)
    def show(id: int) -> Response:
        number = request.args.get("version", "")
        with front.reading() as session:
            row = _template(session, front, id)
            wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 9 else None
            try:
                stored = template_version(session, _issuer(session, front), row.name, wanted)
            except InputRefused:
                abort(404)
        form = _filled(front, stored)
        form.edition.data = edition_of({"version": str(_newest(front, row))})
        return _page(front, form, row, stored)

    @section.post("/templates/<int:id>")
    @needs(Permission.INVOICES_WRITE)
    def change(id: int) -> Response | AnyResponse:
        form = TemplateForm()
        with front.reading() as session:
            row = _template(session, front, id)
            stored = template_version(session, _issuer(session, front), row.name)
        if form.validate_on_submit():
            saved = _save(front, form, row, stored)
            if saved is not None:
                return saved
        return _page(front, form, row, stored)


def _filled(front: Front, stored: StoredTemplate) -> TemplateForm:
    facts = shown(stored.template)
    if request.args.get("markup") == "ours":
        # To be changed: with own html our style sheet is not there by itself.
        facts |= {"html": built_in_html(), "css": built_in_css() + stored.template.css}
    language = front.actor.language if front.actor.language in LANGUAGES else "en"
    return TemplateForm(formdata=None, data={"name": stored.name, "sample_language": language, **facts})


def _newest(front: Front, row: TemplateRow) -> int:
    with front.reading() as session:
        return template_versions(session, _issuer(session, front), row.name)[0][0]


def _save(
    front: Front, form: TemplateForm, row: TemplateRow | None, before: StoredTemplate
) -> AnyResponse | None:
    """Keep a version; None: something is refused, and the form says what."""
    name = row.name if row is not None else form.name.data or ""
    kept = before
    template_id = 0
    with refusals(form) as refused:
        made, logo = template_of(form), logo_of(form, before.logo)
        # It sets a document, which takes longer than a transaction may.
        tried = StoredTemplate(name, 0, made, logo, fault_of(made, logo))
        with front.changing("template.save", name) as change:
            issuer = _issuer(change.session, front)
            save = save_new_template
            if row is not None:
                save = save_template
                newest = template_versions(change.session, issuer, name)[0][0]
                check_edition(form, {"version": str(newest)})
            kept = save(change.session, issuer, name, tried, change.now_us)
            found = template_row(change.session, issuer, name)
            template_id, current = (found.id, found.current_version) if found else (0, None)
    if refused:
        return None
    if not kept.error:
        flash(gettext("Version %(number)s is kept and can be used.", number=kept.number))
    else:
        flash(
            gettext(
                "Version %(number)s is kept, but cannot be used: %(why)s",
                number=kept.number,
                why=sentence(kept.error),
            ),
            "bad",
        )
        if current is not None:
            flash(gettext("Version %(number)s stays in use.", number=current), "warn")
    return redirect(url_for("invoice_templates.show", id=template_id), 303)


def _page(front: Front, form: TemplateForm, row: TemplateRow | None, stored: StoredTemplate) -> Response:
    versions = []
    is_standard = False
    form.name.flags.required = True
    if row is not None:
        with front.reading() as session:
            issuer = _issuer(session, front)
            versions = template_versions(session, issuer, row.name)
            is_standard = issuer_of(session, issuer.id).template_id == row.id
    answer = make_response(
        render_template(
            "panel/invoice_templates/designer.html",
            form=form,
            row=row,
            stored=stored,
            versions=versions,
            is_standard=is_standard,
            may=front.actor.may(Permission.INVOICES_WRITE),
        )
    )
    answer.headers["Content-Security-Policy"] = DESIGNER_POLICY
    return answer


def _add_preview(section: Blueprint, front: Front) -> None:
    def tried() -> tuple[TemplateForm, Template, StoredTemplate]:
        form = TemplateForm()
        stored = BUILT_IN_STORED
        id = request.args.get("id", "")
        if id.isascii() and id.isdigit() and len(id) < 18:
            with front.reading() as session:
                row = _template(session, front, int(id))
                stored = template_version(session, _issuer(session, front), row.name)
        made = template_of(form)
        return form, made, stored._replace(logo=logo_of(form, stored.logo))

    @section.post("/templates/preview")
    @needs(Permission.INVOICES_READ)
    def preview() -> Response:
        """The sample as the form would have it, for the frame beside it."""
        try:
            form, made, stored = tried()
            body = render_html(_sample(form), made, stored.logo)
        except InputRefused as fault:
            body = render_template("panel/invoice_templates/fault.html", why=sentence(str(fault)))
        answer = Response(body, mimetype="text/html")
        answer.headers["Content-Security-Policy"] = PREVIEW_POLICY
        answer.headers["X-Frame-Options"] = "SAMEORIGIN"
        return answer

    @section.post("/templates/preview.pdf")
    @needs(Permission.INVOICES_READ)
    def preview_pdf() -> Response:
        """The same as paper."""
        try:
            form, made, stored = tried()
            document = _sample(form)
            sheets = render_sheets(document, made, stored.logo, xml=xml_of(document))
            refuse_fetching(made, sheets)
        except InputRefused as fault:
            body = render_template("panel/invoice_templates/fault.html", why=sentence(str(fault)))
            answer = Response(body, mimetype="text/html")
            answer.headers["Content-Security-Policy"] = PREVIEW_POLICY
            return answer
        return Response(sheets.pdf, mimetype="application/pdf")


def _sample(form: TemplateForm) -> Document:
    kind = form.sample.data if form.sample.data in SAMPLES else SAMPLES[0]
    language = form.sample_language.data if form.sample_language.data in LANGUAGES else "en"
    return sample_document(kind, language)


def _add_use(section: Blueprint, front: Front) -> None:
    @section.post("/templates/<int:id>/use")
    @needs(Permission.INVOICES_WRITE)
    def use(id: int) -> AnyResponse:
        with front.reading() as session:
            name = _template(session, front, id).name
        back = url_for("invoice_templates.show", id=id)
        return _used(front, name, back, gettext("All documents are made with it from now on."))

    @section.post("/templates/built-in/use")
    @needs(Permission.INVOICES_WRITE)
    def use_ours() -> AnyResponse:
        told = gettext("Documents look as we bring them from now on.")
        return _used(front, "", url_for("invoice_templates.listed"), told)


def _used(front: Front, name: str, back: str, told: str) -> AnyResponse:
    try:
        with front.changing("template.use", name or "built-in") as change:
            issuer = _issuer(change.session, front)
            use_template(change.session, issuer, name)
    except InputRefused as error:
        flash(sentence(str(error)), "bad")
    else:
        flash(told)
    return redirect(back, 303)


def _issuer(session: Session, front: Front) -> AccountRow:
    return session.get_one(AccountRow, front.scope.account_id)


def _template(session: Session, front: Front, id: int) -> TemplateRow:
    own = front.scope.issued(TemplateRow.issuer_id)
    return front.one(session, select(TemplateRow).where(own, TemplateRow.id == id))
