"""Settings: what is configured, without secrets; and what lives in the database: units, exchange rates,
calendars."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_, Listing
from pbxbill.listing.units import CALENDARS, EXCHANGE_RATES, UNITS
from pbxbill.store.exchange import ExchangeWriter, NewExchangeRate, parse_exchange_rate
from pbxbill.store.models import UnitRow
from pbxbill.store.units import UNIT_KINDS, add_unit, all_units, change_unit, checked_unit
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import (
    CountField,
    LineField,
    MomentField,
    PanelForm,
    UnitField,
    at_most,
    plain_number,
    refusals,
    required,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.calendars import add_calendars
from pbxbill.web.panel.exchange_import import add_exchange_import
from pbxbill.web.panel.lists import Link, ListPage, add_list

KINDS = (
    ("currency", N_("a currency: 6 digits are kept, 2 shown")),
    ("crypto", N_("a crypto-currency: 8 digits")),
    ("items", N_("what is counted: seconds, messages, points")),
)


class NewUnitForm(PanelForm):
    """A unit that is not known yet."""

    code = LineField(
        lazy_gettext("Code"), [required(), at_most(12)], description=lazy_gettext("As in EUR or XBT.")
    )
    kind = SelectField(
        lazy_gettext("Kind"),
        description=lazy_gettext("How many digits amounts keep can never be changed."),
    )
    name = LineField(lazy_gettext("Name"), [at_most(40)])
    symbol = LineField(lazy_gettext("Symbol"), [at_most(8)])


class UnitForm(PanelForm):
    """How a unit is shown."""

    name = LineField(lazy_gettext("Name"), [at_most(40)])
    symbol = LineField(lazy_gettext("Symbol"), [at_most(8)])
    digits = CountField(lazy_gettext("Digits shown"), [required()], most=9)
    edition = EditionField()


class ExchangeForm(PanelForm):
    """What a unit is in another from a moment on."""

    from_unit = UnitField(lazy_gettext("One"))
    rate = LineField(lazy_gettext("is"), [required(), at_most(40)], render_kw={"inputmode": "decimal"})
    to_unit = UnitField(lazy_gettext("Of"))
    since = MomentField(lazy_gettext("Counts from"), description=lazy_gettext("Empty: at once."))


def settings(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("settings", __name__)

    @section.get("/settings")
    @needs(Permission.SETTINGS_READ)
    def show() -> str | Response:
        # How the machine is set up is the operator's alone.
        if not front.scope.is_everything:
            return redirect(url_for(".units"))
        return render_template("panel/settings/show.html", installation=front.rules.installation)

    def opens_unit(row: Mapping[str, Any]) -> str | None:
        may_change = front.scope.is_everything and front.actor.may(Permission.SETTINGS_WRITE)
        return url_for("settings.unit", code=row["code"]) if may_change else None

    first = N_("Make the first one with the button above.")
    lists: tuple[tuple[Listing, str, Link, str], ...] = (
        (UNITS, "units", opens_unit, N_("There is no unit yet")),
        (
            EXCHANGE_RATES,
            "exchange",
            "",
            N_("No exchange rate is known: a wallet pays only what is priced in its own unit"),
        ),
        (CALENDARS, "calendars", "settings.calendar", N_("There is no calendar of time bands yet")),
    )
    for listing, name, link, nothing in lists:
        add_list(
            section,
            front,
            ListPage(
                listing,
                f"/settings/{name}",
                link=link,
                endpoint=name,
                template=f"panel/settings/{name}.html",
                empty=(nothing, first),
            ),
        )
    _add_units(section, front)
    _add_exchange(section, front)
    add_exchange_import(section, front)
    add_calendars(section, front)
    return section


def _operator(front: Front) -> None:
    """What all share is the operator's to change."""
    if not front.scope.is_everything:
        abort(404)


def _add_units(section: Blueprint, front: Front) -> None:
    @section.route("/settings/units/new", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def new_unit() -> str | Response:
        _operator(front)
        form = NewUnitForm()
        form.kind.choices = [(key, gettext(text)) for key, text in KINDS]
        if form.validate_on_submit():
            code = (form.code.data or "").upper()
            with refusals(form, "code") as refused, front.changing("unit.add", code) as change:
                usual = UNIT_KINDS[form.kind.data]
                unit = checked_unit(code, usual.scale, usual.digits)
                add_unit(change.session, unit, form.name.data or "", form.symbol.data or "")
            if not refused:
                flash(gettext("Accounts can have wallets, and decks prices, in %(unit)s.", unit=code))
                return redirect(url_for(".units"), 303)
        return render_template("panel/settings/unit.html", form=form, row=None)

    @section.route("/settings/units/<string(maxlength=12):code>", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def unit(code: str) -> str | Response:
        _operator(front)
        with front.reading() as session:
            row = session.get(UnitRow, code)
            if row is None:
                abort(404)
            facts = _facts(row)
        form = UnitForm(data={"name": row.name, "symbol": row.symbol, "digits": row.digits})
        if request.method == "GET":
            form.edition.data = edition_of(facts)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("unit.change", code) as change:
                check_edition(form, _facts(change.session.get_one(UnitRow, code)))
                change_unit(
                    change.session,
                    code,
                    name=form.name.data or "",
                    symbol=form.symbol.data or "",
                    digits=form.digits.data,
                )
            if not refused:
                flash(
                    gettext(
                        "%(unit)s is changed. Pages show it when the web process is started anew.", unit=code
                    )
                )
                return redirect(url_for(".units"), 303)
        return render_template("panel/settings/unit.html", form=form, row=row)


def _facts(row: UnitRow) -> dict[str, str | None]:
    return {"name": row.name, "symbol": row.symbol, "digits": str(row.digits)}


def _add_exchange(section: Blueprint, front: Front) -> None:
    @section.route("/settings/exchange/new", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def new_rate() -> str | Response:
        _operator(front)
        form = ExchangeForm()
        with front.reading() as session:
            known = [(x.code, x.code) for x in all_units(session)]
        form.from_unit.choices = form.to_unit.choices = known
        if form.validate_on_submit():
            pair = f"{form.from_unit.data} {form.to_unit.data}"
            with refusals(form, "rate") as refused, front.changing("exchange.set", pair) as change:
                rate = parse_exchange_rate(plain_number(form.rate.data or ""))
                since_us = change.now_us if form.since.data is None else form.since.data
                writer = ExchangeWriter(change.session, front.actor.name, change.now_us)
                writer.add(NewExchangeRate(form.from_unit.data, form.to_unit.data, rate, since_us))
                writer.finish()
            if not refused:
                flash(gettext("The exchange rate is set. Charges keep the rate that they were made by."))
                return redirect(url_for(".exchange"), 303)
        return render_template("panel/settings/exchange_rate.html", form=form, few=len(known) < 2)
