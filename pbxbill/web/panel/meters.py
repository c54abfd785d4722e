"""Meters: what counts for an account, what it showed, and what was charged for it."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.errors import TermRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.meters import METERS, READINGS
from pbxbill.mediation.meter_tariffs import NewMeter, add_meter, parse_quantity
from pbxbill.mediation.meters import PeriodPosted, Reading, take_reading_within
from pbxbill.store.accounts import account_by_code
from pbxbill.store.mediation_models import MeterRow, MeterTariffRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import (
    AccountField,
    LineField,
    MomentField,
    PanelForm,
    at_most,
    plain_number,
    refusals,
    required,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.meter_tariffs import add_meter_tariffs


class MeterForm(PanelForm):
    """A meter that is new."""

    account = AccountField(lazy_gettext("Account"), [required()])
    code = LineField(
        lazy_gettext("Meter"),
        [required(), at_most(64)],
        description=lazy_gettext("Its number, as readings name it."),
    )
    tariff = SelectField(lazy_gettext("Tariff"))
    measure = LineField(
        lazy_gettext("What it counts"),
        [required(), at_most(20)],
        description=lazy_gettext("As in kWh, MB or pages."),
    )
    rolls_over_at = LineField(
        lazy_gettext("Begins anew at"),
        [at_most(30)],
        description=lazy_gettext("The value after its highest one, which it shows as 0."),
    )


class ReadingForm(PanelForm):
    """What a meter shows."""

    value = LineField(lazy_gettext("It shows"), [required(), at_most(30)], render_kw={"inputmode": "decimal"})
    at = MomentField(lazy_gettext("Read"), description=lazy_gettext("Empty: now."))
    restarts_at = LineField(
        lazy_gettext("The new meter begins with"),
        [at_most(30)],
        description=lazy_gettext("Only where the meter was replaced: this is the old one's last reading."),
    )


def meters(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("meters", __name__)
    add_list(
        section,
        front,
        ListPage(
            METERS,
            "/meters",
            link="meters.show",
            template="panel/meters/list.html",
            empty=(N_("No account has a meter yet"), N_("What meters show is charged between two readings.")),
        ),
    )

    def of_path() -> dict[str, Any]:
        with front.reading() as session:
            row = _row(session, front, int((request.view_args or {})["id"]))
            return {"meter": row, "account": session.get_one(AccountRow, row.account_id)}

    add_list(
        section,
        front,
        ListPage(
            READINGS,
            "/meters/<int:id>",
            endpoint="show",
            template="panel/meters/show.html",
            empty=(N_("It was not read yet"), N_("The first reading starts it: nothing is charged for it.")),
            more=of_path,
            given=lambda: {"meter": str((request.view_args or {})["id"])},
        ),
    )
    _add_forms(section, front)
    add_meter_tariffs(section, front)
    return section


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/meters/new", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def make() -> str | Response:
        form = MeterForm()
        with front.reading() as session:
            names = session.scalars(
                select(MeterTariffRow.name).distinct().order_by(MeterTariffRow.name)
            ).all()
        form.tariff.choices = [(x, x) for x in names]
        if names and form.validate_on_submit():
            made_id = 0
            with refusals(form) as refused, front.changing("meter.add", form.code.data or "") as change:
                account = account_by_code(change.session, form.account.data or "")
                if not front.scope.covers(account):
                    told = gettext("There is no account %(code)s.", code=form.account.data)
                    raise TermRefused(told, "account")
                written = form.rolls_over_at.data
                rolls = plain_number(written) if written else None
                new = NewMeter(form.code.data or "", form.tariff.data, form.measure.data or "", rolls)
                made_id = add_meter(change.session, account.id, new, change.now_us).id
            if not refused:
                flash(gettext("The meter is known. Its first reading starts it."))
                return redirect(url_for(".show", id=made_id), 303)
        return render_template("panel/meters/new.html", form=form, known=bool(names))

    @section.route("/meters/<int:id>/read", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def read(id: int) -> str | Response:
        form = ReadingForm()
        with front.reading() as session:
            meter = _row(session, front, id)
        if form.validate_on_submit():
            found: Any = None
            with (
                refusals(form, "value") as refused,
                front.changing("meter.read", meter.code, account_id=meter.account_id) as change,
            ):
                reading = _reading(form, meter.code, change.now_us)
                connect = front.desks.application.connect
                found = take_reading_within(change.session, connect, reading, change.now_us)
            if not refused:
                _tell(found)
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/meters/read.html", form=form, meter=meter)


def _reading(form: ReadingForm, code: str, now_us: int) -> Reading:
    restarts = form.restarts_at.data
    return Reading(
        code,
        parse_quantity(plain_number(form.value.data or "")),
        now_us if form.at.data is None else form.at.data,
        parse_quantity(plain_number(restarts)) if restarts else None,
    )


def _tell(found: Any) -> None:
    if not isinstance(found, PeriodPosted):
        flash(gettext("This reading was taken before: it changed nothing."))
    elif "first" in found.explanation:
        flash(
            gettext("The meter begins with %(value)s. Nothing is charged.", value=found.explanation["first"])
        )
    else:
        flash(
            gettext(
                "%(consumed)s cost %(total)s.",
                consumed=found.explanation["consumed"],
                total=found.explanation["total"],
            )
        )


def _row(session: Session, front: Front, id: int) -> MeterRow:
    row = session.get(MeterRow, id)
    if row is None:
        abort(404)
    front.account(session, row.account_id)
    return row
