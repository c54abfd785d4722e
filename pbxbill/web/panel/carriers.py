"""Carriers: whom calls are sent through, by which gateways of the switches, and what they ask."""

from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.carriers import CARRIERS
from pbxbill.listing.listing import N_
from pbxbill.reports.catalogue import REPORTS
from pbxbill.store.carriers import put_carrier, remove_gateway, set_gateway
from pbxbill.store.catalogue_models import CarrierRow, GatewayRow
from pbxbill.store.models import RateDeckRow, TariffRow
from pbxbill.store.tariff_trial import newest_version_of
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.destinations import operator_only
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.reports_links import links_of
from pbxbill.web.report_cells import table_parts
from pbxbill.web.report_pages import entries_of, made_for_page, query_of, today_of

DAYS_SHOWN = 30
"""Of what went by a carrier, where its page is not asked for others."""


class CarrierForm(PanelForm):
    """A carrier and what it asks."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    tariff = SelectField(
        lazy_gettext("Asks by tariff"),
        description=lazy_gettext("One with the rate deck of what the carrier asks."),
    )
    edition = EditionField()


class GatewayForm(PanelForm):
    """A way of a switch to a carrier."""

    gateway = LineField(
        lazy_gettext("Gateway"),
        [required(), at_most(64)],
        description=lazy_gettext("Its name as the switch reports it with a call."),
    )


def carriers(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("carriers", __name__)
    add_list(
        section,
        front,
        ListPage(
            CARRIERS,
            "/carriers",
            link="carriers.show",
            template="panel/carriers/list.html",
            empty=(
                N_("There is no carrier yet"),
                N_("With carriers and their gateways, each call shows what it costs and what is left of it."),
            ),
            actions=((N_("New carrier"), "carriers.new", Permission.CARRIERS_WRITE),),
        ),
    )
    _add_forms(section, front)
    _add_page(section, front)
    return section


def _add_page(section: Blueprint, front: Front) -> None:
    @section.route("/carriers/<int:id>", methods=["GET"])
    @needs(Permission.CARRIERS_READ)
    def show(id: int) -> str:
        return _page(front, id, GatewayForm(formdata=None))

    @section.post("/carriers/<int:id>/gateways")
    @needs(Permission.CARRIERS_WRITE)
    def add_gateway(id: int) -> str | Response:
        form = GatewayForm()
        operator_only(front)
        if form.validate_on_submit():
            name = form.gateway.data or ""
            with refusals(form, "gateway") as refused, front.changing("gateway.set", name) as change:
                set_gateway(change.session, name, _row(change.session, front, id))
            if not refused:
                flash(gettext("Calls through %(gateway)s are this carrier's.", gateway=name))
                return redirect(url_for(".show", id=id), 303)
        return _page(front, id, form)

    @section.post("/carriers/<int:id>/gateways/remove")
    @needs(Permission.CARRIERS_WRITE)
    def drop_gateway(id: int) -> Response:
        operator_only(front)
        name = request.form.get("gateway", "")[:64]
        try:
            with front.changing("gateway.remove", name) as change:
                row = change.session.get(GatewayRow, name)
                if row is None or row.carrier_id != _row(change.session, front, id).id:
                    abort(404)
                remove_gateway(change.session, name)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            flash(gettext("What calls through %(gateway)s cost is unknown from now on.", gateway=name))
        return redirect(url_for(".show", id=id), 303)


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/carriers/new", methods=["GET", "POST"])
    @needs(Permission.CARRIERS_WRITE)
    def new() -> str | Response:
        operator_only(front)
        form = CarrierForm()
        with front.reading() as session:
            _fill(session, front, form)
        if form.validate_on_submit():
            name, id = form.name.data or "", 0
            with refusals(form) as refused, front.changing("carrier.make", name) as change:
                if change.session.scalar(select(CarrierRow.id).where(CarrierRow.name == name)) is not None:
                    raise TermRefused(gettext("there is a carrier of this name already"), "name")
                id = put_carrier(change.session, name, form.tariff.data)[0].id
            if not refused:
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/carriers/form.html", form=form, row=None)

    @section.route("/carriers/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.CARRIERS_WRITE)
    def edit(id: int) -> str | Response:
        operator_only(front)
        form = CarrierForm()
        del form.name
        with front.reading() as session:
            row = _row(session, front, id)
            tariff = session.get_one(TariffRow, row.tariff_id)
            _fill(session, front, form)
        if request.method == "GET":
            form.tariff.data = tariff.name
            form.edition.data = edition_of({"tariff": tariff.name})
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("carrier.change", row.name) as change:
                now = change.session.get_one(TariffRow, _row(change.session, front, id).tariff_id)
                check_edition(form, {"tariff": now.name})
                put_carrier(change.session, row.name, form.tariff.data)
            if not refused:
                flash(gettext("Calls from now on cost what this tariff says."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/carriers/form.html", form=form, row=row)


def _page(front: Front, id: int, form: GatewayForm) -> str:
    with front.reading() as session:
        row = _row(session, front, id)
        tariff = session.get_one(TariffRow, row.tariff_id)
        version = newest_version_of(session, tariff.id)
        deck = None if version.deck_id is None else session.get(RateDeckRow, version.deck_id)
        names = list(
            session.scalars(
                select(GatewayRow.name).where(GatewayRow.carrier_id == id).order_by(GatewayRow.name)
            )
        )
    return render_template(
        "panel/carriers/show.html",
        **_carried(front, row),
        row=row,
        tariff=tariff,
        unit=version.unit,
        deck=deck,
        gateways=names,
        form=form,
    )


def _carried(front: Front, row: CarrierRow) -> dict[str, Any]:
    """What went by a carrier in the days that the address asks for; nothing for who may read no reports."""
    report = REPORTS["carriers"]
    if not front.actor.may(report.permission):
        return {"report": None}
    today = today_of(front)
    args = request.args.to_dict() | {"carrier": row.name}
    if not any(args.get(x) for x in ("from", "to", "days")):
        since = today - timedelta(days=DAYS_SHOWN - 1)
        args |= {"from": since.isoformat(), "to": today.isoformat()}
    query = query_of(report, front.scope, {"group": "destination"} | args, today)
    made = made_for_page(front, report, query)
    wrong = made.refused.field if made.refused else ""
    link = None
    if made.table is not None:
        with front.reading() as session:
            link = links_of(session, front.actor, report, query, made.table)
    return {
        "report": report,
        "query": query,
        "made": made,
        "entries": entries_of(report, front.scope, query, wrong, without=("carrier",)),
        "link": link,
        **table_parts(made.table),
    }


def _row(session: Session, front: Front, id: int) -> CarrierRow:
    row = session.get(CarrierRow, id)
    if row is None or not front.scope.is_everything:
        abort(404)
    return row


def _fill(session: Session, front: Front, form: CarrierForm) -> None:
    names: Any = session.scalars(
        select(TariffRow.name).where(front.scope.issued(TariffRow.issuer_id)).order_by(TariffRow.name)
    )
    form.tariff.choices = [(x, x) for x in names]
