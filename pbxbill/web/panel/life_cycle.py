"""Life-cycle: what becomes of accounts that are not filled or not used; policies, stages, dry runs."""

from datetime import date
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.life_cycle import LifeOf, Wanted, life_of, revive, set_life_cycle, standing_of
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    ACTIVE,
    PAUSED,
    RELEASED,
    KnownPolicy,
    policies_of,
    set_state,
)
from pbxbill.billing.life_cycle.life_cycle_policy import over_us
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.billing.period import local_date
from pbxbill.listing.life_cycle import STAGES
from pbxbill.listing.listing import N_
from pbxbill.listing.previews import life_cycle_preview
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import EditionField, as_text, check_edition, edition_of
from pbxbill.web.fields import CountField, DayField, PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import done_at_once, form_page, issuer
from pbxbill.web.panel.dunning_accounts import dunning_tabs
from pbxbill.web.panel.invoice_access import own_account
from pbxbill.web.panel.life_cycle_policies import add_policy_forms, policy_of_scope
from pbxbill.web.panel.lists import ListPage, add_list

MOST_PREVIEWED = 500


class LifeForm(PanelForm):
    """What is different for one account."""

    policy = SelectField(lazy_gettext("Policy"), coerce=int)
    valid_to = DayField(
        lazy_gettext("Valid to"), description=lazy_gettext("The last day. Empty: as it is, or for ever.")
    )
    for_ever = BooleanField(lazy_gettext("Valid for ever"))
    stop_on = DayField(
        lazy_gettext("Stops on"),
        description=lazy_gettext("From this day it has no service. Empty: no such day."),
    )
    edition = EditionField()


class ReviveForm(PanelForm):
    """Brought back."""

    days = CountField(
        lazy_gettext("Valid for days"),
        least=1,
        most=3_650,
        description=lazy_gettext("Empty: as the policy says."),
    )


def life_cycle(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("life_cycle", __name__)
    add_list(
        section,
        front,
        ListPage(
            STAGES,
            "/life-cycle",
            link="life_cycle.account",
            template="panel/life_cycle/list.html",
            empty=(
                N_("No account has a life-cycle yet"),
                N_("A standard policy gives one to all customers of its modes; write one first."),
            ),
            actions=((N_("New policy"), "life_cycle.new", Permission.DUNNING_WRITE),),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "life_cycle", "policies": _policies(front)},
        ),
    )
    _add_policies(section, front)
    add_policy_forms(section, front)
    _add_accounts(section, front)
    return section


def _policies(front: Front) -> list[KnownPolicy]:
    with front.reading() as session:
        return policies_of(session, front.scope.account_id)


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Life-cycle"), url_for("life_cycle.listed"))]


def _add_policies(section: Blueprint, front: Front) -> None:
    @section.get("/life-cycle/preview")
    @needs(Permission.DUNNING_READ)
    def preview() -> str:
        with front.reading() as session:
            found = life_cycle_preview(session, front.scope, front.clock.now_us(), MOST_PREVIEWED)
        return render_template(
            "panel/life_cycle/preview.html",
            found=found,
            tabs=dunning_tabs(front),
        )

    @section.get("/life-cycle/<int:id>")
    @needs(Permission.DUNNING_READ)
    def policy(id: int) -> str:
        with front.reading() as session:
            found = policy_of_scope(session, front, id)
        return render_template(
            "panel/life_cycle/policy.html", policy=found, terms=found.terms, crumbs=_crumbs()
        )

    @section.post("/life-cycle/<int:id>/<any(pause,resume):do>")
    @needs(Permission.DUNNING_WRITE)
    def change_state(id: int, do: str) -> Response:
        state = PAUSED if do == "pause" else ACTIVE
        with front.reading() as session:
            name = policy_of_scope(session, front, id).name
        return done_at_once(
            front,
            f"life-cycle.{do}",
            name,
            lambda change: set_state(
                change.session, issuer(change.session, front), name, state, change.now_us
            ),
            gettext("The policy is paused.") if do == "pause" else gettext("The policy goes on."),
            url_for(".policy", id=id),
        )

    @section.route("/life-cycle/<int:id>/release", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def release(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            found = policy_of_scope(session, front, id)
        back = url_for(".policy", id=id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("life-cycle.release", found.name) as change:
                set_state(change.session, issuer(change.session, front), found.name, RELEASED, change.now_us)
            if not refused:
                flash(gettext("The next run goes without the brake of this policy."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Release %(name)s", name=found.name),
            gettext("Release it"),
            back,
            [*_crumbs(), (found.name, back)],
            warning=gettext(
                "Its brake stopped it, since too many accounts would be barred at once. Look at what would "
                "be done first: the next run does all of that."
            ),
        )


def _standing(session: Session, life: LifeOf | None) -> dict[str, Any]:
    """Where an account stands, and when its time is over."""
    if life is None:
        return {"life": None, "ends": None, "valid_to": None}
    ends_us = over_us(life.terms, standing_of(session, life), life.zone)
    valid_us = life.row.valid_to_us
    return {
        "life": life,
        # The moment after a day's end is the beginning of the next one.
        "ends": None if ends_us is None else local_date(ends_us - 1, life.zone),
        "valid_to": None if valid_us is None else local_date(valid_us - 1, life.zone),
    }


def _held(session: Session, account: AccountRow) -> dict[str, Any]:
    """What is different for an account."""
    standing = _standing(session, life_of(session, account))
    if standing["life"] is None:
        return {"policy": 0, "valid_to": None, "stop_on": None}
    row = standing["life"].row
    return {
        "policy": row.policy_id or 0,
        "valid_to": standing["valid_to"],
        "stop_on": date.fromisoformat(row.stop_on) if row.stop_on else None,
    }


def _add_accounts(section: Blueprint, front: Front) -> None:
    @section.get("/life-cycle/of-account/<int:id>")
    @needs(Permission.DUNNING_READ)
    def account(id: int) -> str:
        with front.reading() as session:
            row = front.account(session, id)
            return render_template(
                "panel/life_cycle/account.html",
                account=row,
                may_write=front.scope.bills(row) and front.actor.may(Permission.DUNNING_WRITE),
                barred=all_in_force(session, id),
                crumbs=_crumbs(),
                **_standing(session, life_of(session, row)),
            )

    @section.route("/life-cycle/of-account/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def change(id: int) -> str | Response:
        form = LifeForm()
        with front.reading() as session:
            row = own_account(front, session, id)
            known = {x.id: x for x in policies_of(session, row.parent_id)}
            held = _held(session, row)
        form.policy.choices = [(0, gettext("the standard one")), *((x.id, x.name) for x in known.values())]
        if request.method == "GET":
            for name, value in held.items():
                form[name].data = value
            form.edition.data = edition_of(as_text(held))
        back = url_for(".account", id=id)
        if form.validate_on_submit():
            chosen = known.get(form.policy.data)
            wanted = Wanted(
                policy=chosen,
                standard=chosen is None,
                valid_to=None if form.for_ever.data else form.valid_to.data,
                for_ever=form.for_ever.data,
                stop_on=form.stop_on.data,
                never=form.stop_on.data is None,
            )
            with (
                refusals(form) as refused,
                front.changing("life-cycle.set", row.code, account_id=id) as changing,
            ):
                now = own_account(front, changing.session, id)
                check_edition(form, as_text(_held(changing.session, now)))
                set_life_cycle(changing.session, now, wanted, changing.now_us, by=front.actor.name)
            if not refused:
                flash(gettext("It is set. What that means is done with the next run."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Life-cycle of %(name)s", name=row.name),
            gettext("Save"),
            back,
            [*_crumbs(), (row.code, back)],
        )

    @section.route("/life-cycle/of-account/<int:id>/revive", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def bring_back(id: int) -> str | Response:
        form = ReviveForm()
        with front.reading() as session:
            row = own_account(front, session, id)
        back = url_for(".account", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("life-cycle.revive", row.code, account_id=id) as changing,
            ):
                own_account(front, changing.session, id)
                revive(changing.session, id, changing.now_us, days=form.days.data, by=front.actor.name)
            if not refused:
                flash(gettext("The account is back. What else bars it stays."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Bring %(name)s back", name=row.name),
            gettext("Bring it back"),
            back,
            [*_crumbs(), (row.code, back)],
            lead=gettext("From whatever stage of its life-cycle. What else bars it stays."),
        )
