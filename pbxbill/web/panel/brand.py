"""/panel/brand: how panel and portal look to those whom somebody sells to. /brand/...: its style and logo."""

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField

from pbxbill.access.permissions import Permission
from pbxbill.billing.brands import BrandTerms, FieldRefused, Shades, brand_of, set_brand, set_logo, shades
from pbxbill.billing.render.logo import LOGO_MAX_BYTES, checked_logo
from pbxbill.errors import InputRefused
from pbxbill.store.access_models import BrandRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, sentence
from pbxbill.web.front import Front, needs, open_to_all

TERMS = ("name", "host", "colour", "footer", "support_email", "support_phone", "support_url")
YEAR_S = 365 * 86_400


class BrandForm(PanelForm):
    """How it looks."""

    name = LineField(
        lazy_gettext("Name"), [at_most(80)], description=lazy_gettext("Empty: the name of your account.")
    )
    colour = LineField(
        lazy_gettext("Colour"),
        [at_most(7)],
        description=lazy_gettext(
            "Written as #1d5fa8, dark enough for white text on it. Dark pages get a lighter one of the kind."
        ),
    )
    logo = FileField(
        lazy_gettext("Logo"),
        description=lazy_gettext("PNG, JPEG or SVG, up to 1 MB. It is shown 32 pixels high."),
        render_kw={"accept": ".png,.jpg,.jpeg,.svg"},
    )
    no_logo = BooleanField(lazy_gettext("Take the logo away"))
    host = LineField(
        lazy_gettext("Host name of your own"),
        [at_most(253)],
        description=lazy_gettext(
            "For example portal.example.com: point it to this server. Who comes by it sees your log-in page."
        ),
    )
    footer = LineField(lazy_gettext("Line at the foot of every page"), [at_most(300)])
    support_email = LineField(lazy_gettext("E-mail of your support"), [at_most()])
    support_phone = LineField(lazy_gettext("Telephone of your support"), [at_most(40)])
    support_url = LineField(
        lazy_gettext("Address of your help pages"), [at_most(300)], description="https://..."
    )
    edition = EditionField()


def brand(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("brand", __name__)

    @section.route("/brand", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def show() -> str | AnyResponse:
        form = BrandForm()
        with front.reading() as session:
            row = brand_of(session, front.scope.account_id)
            account = session.get_one(AccountRow, front.scope.account_id)
        if request.method == "GET":
            for name in TERMS:
                form[name].data = _facts(row)[name]
            form.edition.data = edition_of(_facts(row))
        if form.validate_on_submit() and _logo_is_good(form) and _is_changed(front, form, account):
            flash(gettext("Your brand is changed. Your customers see it from now on."))
            return redirect(url_for("brand.show"), 303)
        return render_template("panel/brand/show.html", form=form, row=row, account=account)

    return section


def _is_changed(front: Front, form: BrandForm, account: AccountRow) -> bool:
    """Whether it could be done; if not, the form says why."""
    try:
        with (
            refusals(form) as refused,
            front.changing("brand.change", account.code, account_id=account.id) as change,
        ):
            check_edition(form, _facts(brand_of(change.session, account.id)))
            try:
                terms = BrandTerms(**{x: form[x].data or "" for x in TERMS})
                set_brand(change.session, account, terms, ours=front.desks.public_host)
            except FieldRefused as error:
                raise _AtField(error) from None  # past what makes it an error of the whole form
            content = _content(form.logo)
            if content is not None or form.no_logo.data:
                set_logo(change.session, account.id, content)
    except _AtField as told:
        form[told.error.field].errors = [sentence(str(told.error))]
        return False
    return not refused


class _AtField(Exception):
    """Undoes the transaction; the form's field tells of it."""

    def __init__(self, error: FieldRefused) -> None:
        self.error = error


def _facts(row: BrandRow | None) -> dict[str, str | None]:
    return {name: "" if row is None else getattr(row, name) or "" for name in TERMS}


def _content(field: Any) -> bytes | None:
    if not field.data or not getattr(field.data, "filename", ""):
        return None
    field.data.stream.seek(0)
    content: bytes = field.data.stream.read(LOGO_MAX_BYTES + 1)
    return content


def _logo_is_good(form: BrandForm) -> bool:
    content = _content(form.logo)
    try:
        if content is not None:
            checked_logo(content)
    except InputRefused as error:
        form.logo.errors = [sentence(str(error))]
        return False
    return True


def brand_files(front: Front) -> Blueprint:
    """What log-in pages show before anybody is known: the colours and the logo of a brand."""
    section = Blueprint("brand_files", __name__)

    def found(account_id: int) -> BrandRow:
        with front.reading() as session:
            row = brand_of(session, account_id)
        if row is None:
            abort(404)
        return row

    @section.get("/brand/<int:account_id>/<int:version>.css")
    @open_to_all
    def style(account_id: int, version: int) -> Response:  # noqa: ARG001  # the address changes with it
        row = found(account_id)
        answer = Response(_style(row.colour) if row.colour else "", mimetype="text/css")
        answer.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        return answer

    @section.get("/brand/<int:account_id>/<int:version>/logo")
    @open_to_all
    def logo(account_id: int, version: int) -> Response:  # noqa: ARG001  # as above
        row = found(account_id)
        if row.logo is None:
            abort(404)
        answer = Response(row.logo, mimetype=row.logo_type)
        answer.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        # Opened by itself, a drawing is a document: it may do nothing at all.
        answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        return answer

    return section


def _style(colour: str) -> str:
    light, dark = shades(colour, dark=False), shades(colour, dark=True)
    return (
        f':root, [data-bs-theme="light"] {{ {_variables(light)} }}\n'
        f'[data-bs-theme="dark"] {{ {_variables(dark)} }}\n'
    )


def _variables(found: Shades) -> str:
    return (
        f"--accent: {found.accent}; --accent-strong: {found.strong}; --accent-soft: {found.soft}; "
        f"--on-accent: {found.on_accent}; --busy: {found.accent}; --chart-1: {found.accent};"
    )
