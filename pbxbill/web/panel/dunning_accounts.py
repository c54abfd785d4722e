"""Dunning by account: who owes what since when, how it has paid, by which policy it is dunned; collection."""

from datetime import date

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.ageing import (
    BUCKETS,
    ageing,
    behaviour,
    open_invoices,
    who_owes,
)
from pbxbill.billing.dunning.dunning_catalogue import all_policies, assign, assign_penalty, penalty_classes
from pbxbill.billing.dunning.promises_to_pay import policy_of, promises_of
from pbxbill.billing.period import day_start_us
from pbxbill.listing.collection import COLLECTION
from pbxbill.listing.listing import N_
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import EditionField, as_text, check_edition, edition_of
from pbxbill.web.fields import DayField, PanelForm, refusals
from pbxbill.web.formatting import reader_zone
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.asking import form_page, issuer, tabs_of
from pbxbill.web.panel.invoice_access import own_account
from pbxbill.web.panel.lists import ListPage, add_list

MOST_AGED = 200
MOST_PROMISES = 10
MOST_OPEN = 10


class AtForm(PanelForm):
    """As of which day."""

    class Meta:
        csrf = False

    at = DayField(lazy_gettext("As of the end of"))


class AssignForm(PanelForm):
    """By what an account is dunned."""

    policy = SelectField(lazy_gettext("Policy"), coerce=int)
    penalty = SelectField(lazy_gettext("Penalty class of what is overdue"), coerce=int)
    edition = EditionField()


def dunning_tabs(front: Front) -> list[tuple[str, str, str]]:
    """The lists of this section."""
    need = "dunning:read"
    return tabs_of(
        front,
        ("overdue", gettext("In dunning"), "dunning.listed", need),
        ("steps", gettext("Steps"), "dunning.steps", need),
        ("preview", gettext("What would be done"), "dunning.planned", need),
        ("promises", gettext("Promises"), "dunning.promises", need),
        ("ageing", gettext("Ageing"), "dunning.ageing_page", need),
        ("policies", gettext("Policies"), "dunning.policies", need),
        ("penalties", gettext("Penalties"), "dunning.penalties", need),
        ("life_cycle", gettext("Life-cycle"), "life_cycle.listed", need),
    )


def add_accounts(section: Blueprint, front: Front) -> None:
    """Add the routes."""
    _add_ageing(section, front)
    _add_account(section, front)


def _add_ageing(section: Blueprint, front: Front) -> None:
    @section.get("/dunning/ageing")
    @needs(Permission.DUNNING_READ)
    def ageing_page() -> str:
        form = AtForm(request.args)
        at_us = front.clock.now_us()
        if form.validate() and form.at.data is not None:
            day: date = form.at.data
            at_us = min(at_us, day_start_us(date.fromordinal(day.toordinal() + 1), str(reader_zone())) - 1)
        with front.reading() as session:
            below = None if front.scope.is_everything else issuer(session, front)
            owed = who_owes(session, at_us, below=below, limit=MOST_AGED)
            ids = _ids(session, [x.code for x in owed.rows])
        return render_template(
            "panel/dunning/ageing.html",
            form=form,
            found=owed.rows,
            count=owed.many,
            totals={x.unit: (x.open, *x.buckets) for x in owed.totals},
            buckets=BUCKETS,
            ids=ids,
            tabs=dunning_tabs(front),
        )

    add_list(
        section,
        front,
        ListPage(
            COLLECTION,
            "/dunning/collection",
            endpoint="collection",
            link="dunning.invoice",
            template="panel/payments/tabbed.html",
            empty=(
                N_("Nothing is for a collection agency"),
                N_("Invoices that are still open when the last level of their policy comes appear here."),
            ),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "ageing"},
        ),
    )


def _ids(session: Session, codes: list[str]) -> dict[str, int]:
    rows = session.execute(select(AccountRow.code, AccountRow.id).where(AccountRow.code.in_(codes)))
    return {code: id for code, id in rows}  # noqa: C416  # rows are no pairs to the types


def _add_account(section: Blueprint, front: Front) -> None:
    @section.get("/dunning/of-account/<int:id>")
    @needs(Permission.DUNNING_READ)
    def account(id: int) -> str:
        now_us = front.clock.now_us()
        with front.reading() as session:
            row = front.account(session, id)
            return render_template(
                "panel/dunning/account.html",
                account=row,
                tabs=account_tabs(row, front.actor),
                tab="dunning",
                policy=policy_of(session, row, now_us),
                aged=ageing(session, now_us, account=row),
                buckets=BUCKETS,
                invoices=open_invoices(session, row, now_us, MOST_OPEN),
                paid=behaviour(session, row, now_us),
                promises=[x for x, _code in promises_of(session, row, most=MOST_PROMISES)],
                may_write=front.scope.bills(row) and front.actor.may(Permission.DUNNING_WRITE),
                may_assign=row.parent_id == front.scope.account_id,
            )

    @section.route("/dunning/of-account/<int:id>/policy", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def assign_account(id: int) -> str | AnyResponse:
        form = AssignForm()
        with front.reading() as session:
            row = own_account(front, session, id)
            seller = session.get_one(AccountRow, row.parent_id)
            policies = {x.id: x for x in all_policies(session, seller)}
            classes = {x.id: x for x in penalty_classes(session, seller)}
            held = _dunned_by(session, id)
        form.policy.choices = [(0, gettext("that of its group, or the standard one"))]
        form.policy.choices += [(x.id, x.name) for x in policies.values()]
        form.penalty.choices = [
            (0, gettext("as the policy says")),
            *((x.id, x.name) for x in classes.values()),
        ]
        if request.method == "GET":
            form.policy.data, form.penalty.data = held["policy"], held["penalty"]
            form.edition.data = edition_of(as_text(held))
        back = url_for(".account", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("dunning.assign", row.code, account_id=id) as change,
            ):
                now = own_account(front, change.session, id)
                check_edition(form, as_text(_dunned_by(change.session, id)))
                assign(change.session, now, policies.get(form.policy.data), change.now_us)
                assign_penalty(change.session, now, classes.get(form.penalty.data), change.now_us)
            if not refused:
                flash(gettext("The account is dunned so from the next run on."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("How %(name)s is dunned", name=row.name),
            gettext("Save"),
            back,
            [(gettext("Accounts"), url_for("accounts.listed")), (row.code, back)],
        )


def _dunned_by(session: Session, account_id: int) -> dict[str, int]:
    """What an account has of its own, 0 for nothing."""
    profile = session.get(BillingProfileRow, account_id)
    if profile is None:
        return {"policy": 0, "penalty": 0}
    return {"policy": profile.dunning_policy_id or 0, "penalty": profile.penalty_class_id or 0}
