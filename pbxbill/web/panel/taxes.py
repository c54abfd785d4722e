"""Taxes: an issuer's rates by time, place and product class, and who is exempt from them."""

from datetime import date

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.period import local_date
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.billing.taxes.tax_rates import (
    NewExemption,
    NewTaxRate,
    add_exemption,
    add_tax_rate,
    end_exemption,
    end_tax_rate,
    last_moment_us,
    tax_rates,
    validity_us,
)
from pbxbill.listing.listing import N_
from pbxbill.listing.taxes import tax_exemptions
from pbxbill.listing.taxes import tax_rates as rates_listing
from pbxbill.store.billing_models import TaxExemptionRow, TaxRateRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import (
    AccountField,
    CountField,
    CountryField,
    DayField,
    LineField,
    PanelForm,
    PercentField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.formatting import ppm
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.invoice_access import billed_account
from pbxbill.web.panel.lists import ListPage, add_list

CATEGORY_WORDS = {
    "S": N_("standard or reduced rate"),
    "Z": N_("zero rate"),
    "E": N_("exempt"),
    "AE": N_("reverse charge"),
    "G": N_("export outside the EU"),
    "K": N_("intra-community supply of goods"),
    "O": N_("outside the scope of tax"),
    "L": N_("Canary Islands general indirect tax (IGIC)"),
    "M": N_("Ceuta and Melilla's tax (IPSI)"),
}


class RateForm(PanelForm):
    """A rate to be added."""

    name = LineField(
        lazy_gettext("Name"), [required(), at_most(40)], description=lazy_gettext("As invoices print it.")
    )
    percent = PercentField(lazy_gettext("Per cent"), [required()])
    category = SelectField(
        lazy_gettext("Category"),
        choices=lambda: [(code, f"{code}: {gettext(words)}") for code, words in CATEGORY_WORDS.items()],
    )
    country = CountryField(lazy_gettext("Buyers in"), description=lazy_gettext("Left empty: anywhere."))
    region = LineField(lazy_gettext("Region"), [at_most(64)])
    product_class = LineField(
        lazy_gettext("Product class"), [at_most(32)], description=lazy_gettext("As usage; left empty: any.")
    )
    first_day = DayField(lazy_gettext("First day"), description=lazy_gettext("Left empty: today."))
    last_day = DayField(lazy_gettext("Last day"))
    inclusive = BooleanField(lazy_gettext("Prices contain it already"))
    compound = BooleanField(lazy_gettext("It is reckoned on the amount with the taxes before it"))
    position = CountField(lazy_gettext("Order among taxes"), most=1000, default=0)
    reason = LineField(
        lazy_gettext("Printed reason"),
        [at_most(300)],
        description=lazy_gettext("Why it is exempt, say; some categories need one."),
    )


class EndForm(PanelForm):
    """Until when it holds."""

    last_day = DayField(lazy_gettext("Its last day"), [required()])


class ExemptionForm(PanelForm):
    """That an account owes no tax, or not one of them."""

    account = AccountField(lazy_gettext("Account"), [required(), at_most(64)])
    tax_name = SelectField(lazy_gettext("Tax that it does not owe"))
    reason = LineField(
        lazy_gettext("Reason"), [required(), at_most(300)], description=lazy_gettext("Invoices print it.")
    )
    certificate = LineField(lazy_gettext("Number of the certificate"), [at_most(100)])
    first_day = DayField(lazy_gettext("First day"), description=lazy_gettext("Left empty: today."))
    last_day = DayField(lazy_gettext("Last day"))


def taxes(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("taxes", __name__)
    add_list(
        section,
        front,
        ListPage(
            rates_listing(front.clock),
            "/taxes",
            link="taxes.end",
            template="panel/taxes/list.html",
            empty=(
                N_("There is no tax rate yet"),
                N_("Invoices show no tax until there is one. Add the one of your country first."),
            ),
            actions=((N_("New tax rate"), "taxes.new", Permission.INVOICES_WRITE),),
            more=lambda: {"tab": "rates"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            tax_exemptions(front.clock),
            "/taxes/exemptions",
            link="taxes.end_exempt",
            endpoint="exemptions",
            template="panel/taxes/list.html",
            empty=(N_("Nobody is exempt from tax"), N_("Who shows a certificate is exempted here.")),
            actions=((N_("New exemption"), "taxes.exempt", Permission.INVOICES_WRITE),),
            more=lambda: {"tab": "exemptions"},
        ),
    )
    _add_rates(section, front)
    _add_exemptions(section, front)
    return section


def _add_rates(section: Blueprint, front: Front) -> None:
    @section.route("/taxes/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def new() -> str | Response:
        form = RateForm()
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("tax.add", form.name.data or "") as change:
                issuer_id = front.scope.account_id
                zone = issuer_of(change.session, issuer_id).zone
                from_us, to_us = validity_us(form.first_day.data, form.last_day.data, zone, change.now_us)
                row = add_tax_rate(
                    change.session,
                    issuer_id,
                    NewTaxRate(
                        form.name.data or "",
                        form.percent.data or 0,
                        from_us,
                        to_us,
                        form.category.data,
                        form.country.data or "",
                        form.region.data or "",
                        form.product_class.data or "",
                        compound=form.compound.data,
                        inclusive=form.inclusive.data,
                        position=form.position.data or 0,
                        reason=form.reason.data or "",
                    ),
                )
                told = f"{row.name} {ppm(row.ppm)}"
            if not refused:
                flash(gettext("%(tax)s is added. What is issued already stays as it is.", tax=told))
                return redirect(url_for("taxes.listed"), 303)
        return render_template("panel/taxes/new.html", form=form)

    @section.route("/taxes/<int:id>/end", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def end(id: int) -> str | Response:
        form = EndForm()
        with front.reading() as session:
            row = _rate(session, front, id)
            zone = issuer_of(session, row.issuer_id).zone
        if request.method == "GET":
            form.last_day.data = _last_day(row.to_us, zone)
        if form.validate_on_submit():
            with refusals(form, "last_day") as refused, front.changing("tax.end", row.name) as change:
                now = _rate(change.session, front, id)
                end_tax_rate(change.session, now.issuer_id, id, last_moment_us(form.last_day.data, zone))
            if not refused:
                flash(gettext("%(name)s ends then.", name=row.name))
                return redirect(url_for("taxes.listed"), 303)
        return render_template("panel/taxes/end.html", form=form, row=row, zone=zone)


def _rate(session: Session, front: Front, id: int) -> TaxRateRow:
    return front.one(
        session, select(TaxRateRow).where(TaxRateRow.id == id, front.scope.issued(TaxRateRow.issuer_id))
    )


def _last_day(to_us: int | None, zone: str) -> date | None:
    return None if to_us is None else local_date(to_us - 1, zone)


def _add_exemptions(section: Blueprint, front: Front) -> None:
    @section.route("/taxes/exemptions/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def exempt() -> str | Response:
        form = ExemptionForm()
        with front.reading() as session:
            names = dict.fromkeys(x.name for x in tax_rates(session, front.scope.account_id))
        form.tax_name.choices = [("", gettext("every one")), *((x, x) for x in names)]
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64]
        if form.validate_on_submit():
            conflict, code = "", form.account.data or ""
            with refusals(form) as refused, front.changing("tax.exempt", code) as change:
                account = billed_account(front, change.session, code)
                zone = issuer_of(change.session, account.parent_id or account.id).zone
                from_us, to_us = validity_us(form.first_day.data, form.last_day.data, zone, change.now_us)
                new = NewExemption(
                    form.reason.data or "",
                    from_us,
                    to_us,
                    form.tax_name.data or "",
                    form.certificate.data or "",
                )
                add_exemption(change.session, account.id, new)
                conflict = tax_conflict(change.session, account.id, max(from_us, change.now_us))
            if not refused:
                flash(gettext("Account %(code)s is exempt.", code=code))
                if conflict:
                    flash(conflict, "warn")
                return redirect(url_for("taxes.exemptions"), 303)
        return render_template("panel/taxes/exempt.html", form=form)

    @section.route("/taxes/exemptions/<int:id>/end", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def end_exempt(id: int) -> str | Response:
        form = EndForm()
        with front.reading() as session:
            row, account = _exemption(session, front, id)
            zone = issuer_of(session, account.parent_id or account.id).zone
        if request.method == "GET":
            form.last_day.data = _last_day(row.to_us, zone)
        if form.validate_on_submit():
            with (
                refusals(form, "last_day") as refused,
                front.changing("tax.end-exemption", account.code, account_id=account.id) as change,
            ):
                now, _account = _exemption(change.session, front, id)
                until_us = last_moment_us(form.last_day.data, zone)
                end_exemption(change.session, now.account_id, now.tax_name, until_us)
            if not refused:
                flash(gettext("The exemption ends then."))
                return redirect(url_for("taxes.exemptions"), 303)
        return render_template("panel/taxes/end_exempt.html", form=form, row=row, account=account, zone=zone)


def _exemption(session: Session, front: Front, id: int) -> tuple[TaxExemptionRow, AccountRow]:
    row = session.get(TaxExemptionRow, id)
    account = None if row is None else session.get_one(AccountRow, row.account_id)
    if row is None or account is None or not front.scope.covers(account):
        abort(404)
    if not front.scope.bills(account):
        abort(403)
    return row, account
