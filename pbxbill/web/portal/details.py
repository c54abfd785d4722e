"""/my/details: who the account is on its invoices, and where it is reached."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import change_account
from pbxbill.billing.parties import OWN_FIELDS, Party, party_of, set_party
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LanguageField, LineField, PanelForm, at_most, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.portal.own import own_account


class DetailsForm(PanelForm):
    """Where the account is, and how it is reached."""

    contact = LineField(lazy_gettext("Contact"), [at_most()], render_kw={"autocomplete": "name"})
    street = LineField(lazy_gettext("Street"), [at_most()], render_kw={"autocomplete": "address-line1"})
    extra = LineField(lazy_gettext("Address, second line"), [at_most()])
    postal_code = LineField(
        lazy_gettext("Postal code"), [at_most()], render_kw={"autocomplete": "postal-code"}
    )
    city = LineField(lazy_gettext("City"), [at_most()], render_kw={"autocomplete": "address-level2"})
    region = LineField(lazy_gettext("Region"), [at_most()])
    email = LineField(lazy_gettext("E-mail"), [at_most()], render_kw={"autocomplete": "email"})
    phone = LineField(lazy_gettext("Telephone"), [at_most()], render_kw={"autocomplete": "tel"})
    website = LineField(lazy_gettext("Website"), [at_most()])
    language = LanguageField(lazy_gettext("Language of invoices and notices"))
    edition = EditionField()


def details(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_details", __name__)

    @section.get("/details")
    @needs(Permission.OWN_READ)
    def show() -> str:
        with front.reading() as session:
            account = own_account(front, session)
            party = party_of(session, account.id)
        return render_template("portal/details/show.html", account=account, party=party)

    @section.route("/details/edit", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def edit() -> str | Response:
        form = DetailsForm()
        with front.reading() as session:
            account = own_account(front, session)
            party = party_of(session, account.id)
        if account.language not in LANGUAGES:
            form.language.choices = [*LANGUAGES.items(), (account.language, account.language)]
        if request.method == "GET":
            for name in OWN_FIELDS:
                form[name].data = getattr(party, name)
            form.language.data = account.language
            form.edition.data = edition_of(_facts(party, account.language))
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("account.details", account.code, account_id=account.id) as change,
            ):
                now = front.account(change.session, account.id)
                check_edition(form, _facts(party_of(change.session, now.id), now.language))
                set_party(change.session, now.id, {name: form[name].data or "" for name in OWN_FIELDS})
                change_account(change.session, now, {"language": form.language.data})
            if not refused:
                flash(gettext("Your details are saved. Documents issued from now on show them."))
                return redirect(url_for("my_details.show"), 303)
        return render_template("portal/details/edit.html", form=form)

    return section


def _facts(party: Party, language: str) -> dict[str, str | None]:
    return {name: getattr(party, name) for name in OWN_FIELDS} | {"language": language}
