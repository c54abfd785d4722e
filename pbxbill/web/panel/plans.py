"""Plans: what is offered, at what price and terms, version by version, and who has which of them."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import RadioField

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.migrating import migrate_all
from pbxbill.billing.subscriptions.plan import plan_from_facts
from pbxbill.billing.subscriptions.plan_catalogue import (
    add_plan,
    newest_version,
    retire_plan,
    version_by_number,
    versions_of,
)
from pbxbill.billing.subscriptions.plan_terms import ChangeAt, PlanTerms
from pbxbill.billing.subscriptions.subscribing import Wanted, to_migrate
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.plans import PLANS, cycle_text
from pbxbill.money import Unit
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import PlanRow
from pbxbill.store.catalogue_models import BundleRow
from pbxbill.store.models import AccountRow, TariffRow, UnitRow
from pbxbill.web.background import Background
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import PanelForm, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.plan_forms import PlanForm, facts_of, fill, shown
from pbxbill.web.rows import rows_changed


class MigrateForm(PanelForm):
    """When subscriptions of older versions get the newest one."""

    when = RadioField(
        lazy_gettext("When"),
        [required()],
        choices=[
            (ChangeAt.CYCLE_END.value, lazy_gettext("with their next period")),
            (ChangeAt.NOW.value, lazy_gettext("at once, pro-rated")),
        ],
        default=ChangeAt.CYCLE_END.value,
    )


def plans(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("plans", __name__)
    add_list(
        section,
        front,
        ListPage(
            PLANS,
            "/plans",
            link="plans.show",
            empty=(
                N_("There is no plan yet"),
                N_("A plan says what accounts pay per period, and which tariff and bundles they get."),
            ),
            actions=((N_("New plan"), "plans.new", Permission.CATALOGUE_WRITE),),
        ),
    )

    @section.get("/plans/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def show(id: int) -> str:
        number = request.args.get("version", "")
        with front.reading() as session:
            plan = _plan(session, front, id)
            try:
                wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
                version = version_by_number(session, plan, wanted)
            except InputRefused:
                abort(404)
            return render_template(
                "panel/plans/show.html",
                plan=plan,
                version=version,
                terms=version.terms,
                cycle=cycle_text(version.terms),
                unit=unit_of(session, version.terms.unit),
                versions=list(reversed(versions_of(session, plan))),
                is_newest=version.number == newest_version(session, plan).number,
            )

    _add_forms(section, front)
    _add_endings(section, front)
    return section


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/plans/new", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | Response:
        form = PlanForm()
        with front.reading() as session:
            units = _fill_choices(session, front, form, PlanTerms(""))
        if not rows_changed(form) and form.validate_on_submit():
            name, id = form.name.data or "", 0
            with refusals(form) as refused, front.changing("plan.make", name) as change:
                known = select(PlanRow.id).where(_issued(front), PlanRow.name == name)
                if change.session.scalar(known) is not None:
                    raise TermRefused(gettext("there is a plan of this name already"), "name")
                id = _written(change.session, front, form, name, (units, change.now_us))
            if not refused:
                flash(gettext("The plan is made. Accounts subscribe to it on their own pages."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/plans/form.html", form=form, plan=None)

    @section.route("/plans/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def edit(id: int) -> str | Response:
        form = PlanForm()
        with front.reading() as session:
            plan = _plan(session, front, id)
            terms = newest_version(session, plan).terms
            units = _fill_choices(session, front, form, terms)
        if request.method == "GET":
            fill(form, plan.name, terms, units[terms.unit])
            form.edition.data = edition_of(shown(terms, units[terms.unit]))
        if not rows_changed(form) and form.validate_on_submit():
            with refusals(form) as refused, front.changing("plan.change", plan.name) as change:
                now = newest_version(change.session, _plan(change.session, front, id)).terms
                check_edition(form, shown(now, units[now.unit]))
                _written(change.session, front, form, plan.name, (units, change.now_us))
            if not refused:
                flash(gettext("New subscribers get this version. Who has an older one keeps it."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/plans/form.html", form=form, plan=plan)


def _add_endings(section: Blueprint, front: Front) -> None:
    background = Background()

    @section.route("/plans/<int:id>/retire", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def retire(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            plan = _plan(session, front, id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("plan.retire", plan.name) as change:
                retire_plan(change.session, _plan(change.session, front, id), change.now_us)
            if not refused:
                flash(gettext("Nobody can subscribe to the plan any more."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/plans/retire.html", form=form, plan=plan)

    @section.route("/plans/<int:id>/migrate", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def migrate(id: int) -> str | Response:
        form = MigrateForm()
        with front.reading() as session:
            plan = _plan(session, front, id)
            ids = to_migrate(session, plan, [])
        if form.validate_on_submit():
            with front.changing("plan.migrate", plan.name):
                pass  # that it was asked for; each subscription keeps in its history what became of it
            wanted = Wanted(at=ChangeAt(form.when.data), by=front.actor.name)
            background.start(f"plan-{id}", lambda: _migrate(front, plan, ids, wanted))
            flash(gettext("The subscriptions are being brought to the newest version."))
            return redirect(url_for(".show", id=id), 303)
        return render_template("panel/plans/migrate.html", form=form, plan=plan, count=len(ids))


def _migrate(front: Front, plan: PlanRow, ids: list[int], wanted: Wanted) -> None:
    with front.desks.desk() as desk:
        migrate_all(desk.writing, plan, ids, wanted, front.clock)


def _written(
    session: Session, front: Front, form: PlanForm, name: str, known: tuple[dict[str, Unit], int]
) -> int:
    units, now_us = known
    terms = plan_from_facts(facts_of(form), units)
    issuer = session.get_one(AccountRow, front.scope.account_id)
    return add_plan(session, issuer, name, terms, now_us, own=not front.scope.is_everything).plan_id


def _issued(front: Front) -> Any:
    return front.scope.issued(PlanRow.issuer_id)


def _plan(session: Session, front: Front, id: int) -> PlanRow:
    return front.one(session, select(PlanRow).where(PlanRow.id == id, _issued(front)))


def _fill_choices(session: Session, front: Front, form: PlanForm, terms: PlanTerms) -> dict[str, Unit]:
    """Own tariffs and bundles, and what the plan names already; returns the units by their codes."""
    issued = front.scope.issued
    tariffs = [*session.scalars(select(TariffRow.name).where(issued(TariffRow.issuer_id)))]
    bundles = [*session.scalars(select(BundleRow.name).where(issued(BundleRow.issuer_id)))]
    for field, name in ((form.tariff, terms.tariff), (form.inbound_tariff, terms.inbound_tariff)):
        field.choices = [("", "–"), *((x, x) for x in sorted({*tariffs, name} - {""}))]
    form.bundles.choices = [(x, x) for x in sorted({*bundles, *terms.bundles})]
    units = {x.code: Unit(x.code, x.scale, x.digits) for x in session.scalars(select(UnitRow))}
    form.unit.choices = [(x, x) for x in sorted(units)]
    return units
