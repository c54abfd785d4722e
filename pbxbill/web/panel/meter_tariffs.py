"""Meter tariffs: what consumption costs, written as text or in a file; a change is a version of its own."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import TextAreaField

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.meters import METER_TARIFFS
from pbxbill.mediation.meter_tariffs import (
    MAX_TERMS_LENGTH,
    add_meter_tariff,
    newest_number,
    parse_meter_tariff,
    versions_of,
)
from pbxbill.mediation.meters import quantity_text
from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.rating.consumption import ComponentKind, MeterTariff
from pbxbill.rating.tariff import TaxMode
from pbxbill.store.accounts import unit_of
from pbxbill.store.mediation_models import MeterTariffRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LineField, MomentField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list

PERCENT_PPM_DIGITS = 4
SAMPLE = """\
unit = "EUR"
tax_mode = "exclusive"
tax = 19

[[component]]
name = "base price"
kind = "per_day"
price = "0.30"

[[component]]
name = "power"
kind = "stepped"
ranges = [{ from = 0, price = "0.20" }, { from = 100, price = "0.15" }]
"""
KINDS = {
    ComponentKind.PER_DAY: N_("for each day"),
    ComponentKind.FIXED: N_("for each period"),
    ComponentKind.PER_PIECE: N_("for each piece"),
    ComponentKind.STEPPED: N_("by ranges"),
}
TAXES = {
    TaxMode.NONE: N_("none"),
    TaxMode.INCLUSIVE: N_("in the prices"),
    TaxMode.EXCLUSIVE: N_("on top"),
}


class MeterTariffForm(PanelForm):
    """A tariff, or its next version."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    since = MomentField(lazy_gettext("Counts from"), description=lazy_gettext("Empty: at once."))
    text = TextAreaField(
        lazy_gettext("Prices"),
        [at_most(MAX_TERMS_LENGTH)],
        description=lazy_gettext("TOML: a unit, a tax, and a [[component]] for each price."),
        render_kw={"rows": 20, "spellcheck": "false", "class": "form-control mono"},
    )
    file = FileField(lazy_gettext("File"), description=lazy_gettext("It is read in place of the text."))
    edition = EditionField()


def add_meter_tariffs(section: Blueprint, front: Front) -> None:
    """Their pages."""
    add_list(
        section,
        front,
        ListPage(
            METER_TARIFFS,
            "/meter-tariffs",
            endpoint="tariffs",
            link="meters.tariff",
            template="panel/meters/tariffs.html",
            empty=(
                N_("There is no meter tariff yet"),
                N_("A meter needs one: prices for each day, each piece or by ranges, a minimum, a tax."),
            ),
        ),
    )

    @section.get("/meter-tariffs/<int:id>")
    @needs(Permission.OPERATIONS_READ)
    def tariff(id: int) -> str:
        with front.reading() as session:
            row = _row(session, id)
            shown = parse_meter_tariff(row.name, row.terms, unit_of(session, row.unit))
            versions = versions_of(session, row.name)
        return render_template(
            "panel/meters/tariff.html", row=row, versions=versions, **_shown(shown), kinds=KINDS, taxes=TAXES
        )

    @section.route("/meter-tariffs/new", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def new_tariff() -> str | Response:
        form = MeterTariffForm()
        if request.method == "GET":
            form.text.data = SAMPLE
        return _written(front, form, None)

    @section.route("/meter-tariffs/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def edit_tariff(id: int) -> str | Response:
        form = MeterTariffForm()
        with front.reading() as session:
            row = _row(session, id)
        del form.name
        if request.method == "GET":
            form.text.data = row.terms
            form.edition.data = edition_of({"version": str(row.number)})
        return _written(front, form, row)


def _written(front: Front, form: MeterTariffForm, row: MeterTariffRow | None) -> str | Response:
    if form.validate_on_submit():
        name, made_id = row.name if row is not None else form.name.data or "", 0
        with refusals(form, "text") as refused, front.changing("meter-tariff.set", name) as change:
            newest = newest_number(change.session, name)
            if row is None and newest:
                raise TermRefused(gettext("There is a meter tariff of this name already."), "name")
            if row is not None:
                check_edition(form, {"version": str(newest)})
            since_us = change.now_us if form.since.data is None else form.since.data
            made = add_meter_tariff(change.session, name, _text(form), since_us, change.now_us)
            made_id = made.id
        if not refused:
            flash(gettext("What is read from then on is charged by this version."))
            return redirect(url_for(".tariff", id=made_id), 303)
    return render_template("panel/meters/tariff_form.html", form=form, row=row)


def _text(form: MeterTariffForm) -> str:
    """What is in the file, if one is sent, and then stands in the form as well."""
    sent = form.file.data
    if sent:
        try:
            form.text.data = sent.read(MAX_TERMS_LENGTH + 1).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputRefused(gettext("the list is not UTF-8; save it as UTF-8")) from None
    text = form.text.data or ""
    if not text.strip() or len(text) > MAX_TERMS_LENGTH:
        raise InputRefused(gettext("a tariff has at least one component"))
    return text


def _row(session: Session, id: int) -> MeterTariffRow:
    row = session.get(MeterTariffRow, id)
    if row is None:
        abort(404)
    return row


def _shown(tariff: MeterTariff) -> dict[str, Any]:
    """What the page says of a version: prices as they are written."""
    return {
        "tariff": tariff,
        "minimum": _price(tariff.minimum),
        "tax": f"{to_decimal(tariff.tax_ppm, PERCENT_PPM_DIGITS).normalize():f}",
        "components": [
            {
                "name": x.name,
                "kind": x.kind,
                "price": _price(x.price),
                "minimum": _price(x.minimum),
                "ranges": [(quantity_text(r.from_quantity), _price(r.price)) for r in x.ranges],
            }
            for x in tariff.components
        ],
    }


def _price(price: int) -> str:
    return f"{to_decimal(price, PRICE_SCALE).normalize():f}" if price else ""
