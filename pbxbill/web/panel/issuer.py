"""Who issues documents, and how: name and address, terms, numbers; and how each account is billed."""

from dataclasses import asdict, replace
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import paying_unit
from pbxbill.billing.invoices.numbering import (
    DEFAULT_FORMATS,
    NumberFormat,
    begin_numbers,
    number_formats,
    set_number_format,
)
from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.billing.parties import (
    PARTY_FIELDS,
    issuer_of,
    party_of,
    set_issuer,
    set_party,
    support_numbers,
    template_id_of,
)
from pbxbill.billing.period import local_date
from pbxbill.billing.profiles import FORMATS, ProfileTerms, profile_of, set_profile
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.billing.taxes.tax_rules import TaxTreatment
from pbxbill.store.invoice_models import TemplateRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import as_text, check_edition, edition_of
from pbxbill.web.fields import (
    refusals,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.panel.issuer_forms import BillingForm, NumberForm, PartyForm, TermsForm, said
from pbxbill.web.panel.mail_server import add_mail_server


def issuer(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("issuer", __name__)
    _add_company(section, front)
    _add_numbers(section, front)
    _add_accounts(section, front)
    add_mail_server(section, front)
    return section


def _own(session: Session, front: Front) -> AccountRow:
    return session.get_one(AccountRow, front.scope.account_id)


def _add_company(section: Blueprint, front: Front) -> None:
    @section.get("/company")
    @needs(Permission.INVOICES_READ)
    def show() -> str:
        with front.reading() as session:
            own = _own(session, front)
            terms = issuer_of(session, own.id)
            template = None if terms.template_id is None else session.get(TemplateRow, terms.template_id)
            return render_template(
                "panel/issuer/show.html",
                own=own,
                party=party_of(session, own.id),
                terms=terms,
                rounding=said(terms.tax_rounding.value),
                template=template,
                formats=number_formats(session, own.id),
                year=local_date(front.clock.now_us(), terms.zone).year,
                may=front.actor.may(Permission.INVOICES_WRITE),
            )

    @section.route("/company/address", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def address() -> str | Response:
        return _party_page(front, front.scope.account_id, url_for("issuer.show"))

    @section.route("/company/terms", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def terms() -> str | Response:
        own_id = front.scope.account_id
        with front.reading() as session:
            form = TermsForm(data=_terms(session, own_id))
            if request.method == "GET":
                form.edition.data = edition_of(as_text(_terms(session, own_id)))
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("issuer.change", "", account_id=own_id) as change:
                check_edition(form, as_text(_terms(change.session, own_id)))
                wanted = replace(
                    issuer_of(change.session, own_id),
                    zone=form.zone.data or "UTC",
                    tax_rounding=TaxRounding(form.tax_rounding.data),
                    payment_days=form.payment_days.data,
                    payment_terms=form.payment_terms.data or "",
                    did_quarantine_days=form.did_quarantine_days.data,
                    support_numbers=support_numbers(form.support_numbers.data or ""),
                )
                set_issuer(change.session, own_id, wanted)
            if not refused:
                flash(gettext("Documents are made like this from now on."))
                return redirect(url_for("issuer.show"), 303)
        return render_template("panel/issuer/terms.html", form=form)


def _terms(session: Session, account_id: int) -> dict[str, Any]:
    facts = asdict(issuer_of(session, account_id))
    facts["tax_rounding"] = facts["tax_rounding"].value
    facts["support_numbers"] = ", ".join(f"+{x}" for x in facts["support_numbers"].split())
    return {key: value for key, value in facts.items() if key not in ("mail", "template_id")}


def _party_page(front: Front, account_id: int, back: str) -> str | Response:
    """Who an account is: whoever acts himself, or one of his."""
    with front.reading() as session:
        account = session.get_one(AccountRow, account_id)
        before = asdict(party_of(session, account_id))
    form = PartyForm(data=before)
    if request.method == "GET":
        form.edition.data = edition_of(before)
    if form.validate_on_submit():
        conflict = ""
        missing: tuple[str, ...] = ()
        with (
            refusals(form) as refused,
            front.changing("party.change", account.code, account_id=account_id) as change,
        ):
            check_edition(form, asdict(party_of(change.session, account_id)))
            party = set_party(change.session, account_id, {x: form[x].data or "" for x in PARTY_FIELDS})
            missing = party.missing
            conflict = tax_conflict(change.session, account_id, change.now_us)
        if not refused:
            flash(gettext("It is changed. What is issued keeps what was printed."))
            if missing:
                flash(gettext("For an invoice its address is not whole yet."), "warn")
            if conflict:
                flash(conflict, "warn")
            return redirect(back, 303)
    return render_template("panel/issuer/party.html", form=form, account=account, back=back)


def _add_numbers(section: Blueprint, front: Front) -> None:
    @section.route(f"/company/numbers/<any({', '.join(DEFAULT_FORMATS)}):kind>", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def numbers(kind: str) -> str | Response:
        own_id = front.scope.account_id
        with front.reading() as session:
            layout = number_formats(session, own_id)[kind]
            zone = issuer_of(session, own_id).zone
        form = NumberForm(data=asdict(layout))
        if request.method == "GET":
            form.edition.data = edition_of(as_text(asdict(layout)))
        if form.validate_on_submit():
            first = ""
            with refusals(form) as refused, front.changing("numbers.change", kind) as change:
                now = number_formats(change.session, own_id)[kind]
                check_edition(form, as_text(asdict(now)))
                # Spaces of a prefix belong to it, but at its ends.
                wanted = NumberFormat(form.prefix.data or "", form.padding.data, form.yearly.data)
                if wanted != now:
                    set_number_format(change.session, own_id, kind, wanted)
                if form.following.data is not None:
                    count = form.following.data
                    first = begin_numbers(change.session, own_id, kind, count, change.now_us, zone)
            if not refused:
                flash(gettext("They are numbered like this from now on."))
                if first:
                    flash(gettext("The next one is %(number)s.", number=first))
                return redirect(url_for("issuer.show"), 303)
        return render_template("panel/issuer/numbers.html", form=form, kind=kind)


def _add_accounts(section: Blueprint, front: Front) -> None:
    @section.route("/accounts/<int:id>/address", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def account_address(id: int) -> str | Response:
        with front.reading() as session:
            front.account(session, id)
        return _party_page(front, id, url_for("accounts.show", id=id))

    @section.route("/accounts/<int:id>/billing", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def account_billing(id: int) -> str | Response:
        with front.reading() as session:
            account = _billed(session, front, id)
            form = BillingForm(data=_shown(session, account))
            _fill(session, form, account)
            if request.method == "GET":
                form.edition.data = edition_of(as_text(_shown(session, account)))
        if form.validate_on_submit():
            conflict = ""
            with (
                refusals(form) as refused,
                front.changing("billing.change", account.code, account_id=id) as change,
            ):
                now = _billed(change.session, front, id)
                check_edition(form, as_text(_shown(change.session, now)))
                before = profile_of(change.session, id).terms
                set_profile(change.session, id, _wanted(change.session, form, now, before))
                conflict = tax_conflict(change.session, id, change.now_us)
            if not refused:
                flash(gettext("It is billed like this from what is not billed yet."))
                if conflict:
                    flash(conflict, "warn")
                return redirect(url_for("accounts.show", id=id), 303)
        return render_template("panel/issuer/billing.html", form=form, account=account)


def _billed(session: Session, front: Front, id: int) -> AccountRow:
    """An account that who acts bills himself."""
    account = front.account(session, id)
    if account.parent_id is None or not front.scope.bills(account):
        abort(403)
    return account


def _fill(session: Session, form: BillingForm, account: AccountRow) -> None:
    form.minimum_total.unit = paying_unit(session, account)
    form.language.choices = [("", gettext("as the account's")), *LANGUAGES.items()]
    names = session.scalars(
        select(TemplateRow.name)
        .where(TemplateRow.issuer_id == account.parent_id, TemplateRow.current_version.is_not(None))
        .order_by(TemplateRow.name)
    )
    form.template.choices = [("", gettext("the issuer's")), *((x, x) for x in names)]


def _shown(session: Session, account: AccountRow) -> dict[str, Any]:
    facts = asdict(profile_of(session, account.id).terms)
    template = None if facts["template_id"] is None else session.get(TemplateRow, facts.pop("template_id"))
    facts.pop("template_id", None)
    facts["template"] = "" if template is None else template.name
    facts["tax_treatment"] = facts["tax_treatment"].value
    facts["emails"] = ", ".join(facts["emails"])
    facts["formats"] = list(facts["formats"])
    return facts


def _wanted(session: Session, form: BillingForm, account: AccountRow, before: ProfileTerms) -> ProfileTerms:
    emails = (form.emails.data or "").split(",")
    return replace(
        before,
        invoicing=form.invoicing.data,
        cycle=form.cycle.data,
        every=form.every.data,
        anchor=form.anchor.data,
        zone=form.zone.data or "",
        language=form.language.data or "",
        formats=tuple(x for x in FORMATS if x in (form.formats.data or ())),
        emails=tuple(x.strip() for x in emails if x.strip()),
        template_id=template_id_of(session, account.parent_id or 0, form.template.data or ""),
        purchase_order=form.purchase_order.data or "",
        payment_days=form.payment_days.data,
        call_list=form.call_list.data,
        previous_balance=form.previous_balance.data,
        tax_treatment=TaxTreatment(form.tax_treatment.data),
        minimum_total=form.minimum_total.data or 0,
        group_name=form.group_name.data or "",
    )
