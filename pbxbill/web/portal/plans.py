"""/my/plans: what the account subscribes to and what is left of it; changes and plans are asked for here."""

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import RadioField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import (
    PlanVersion,
    alternatives_to,
    offered_to,
    offers_to,
    version_by_id,
)
from pbxbill.billing.subscriptions.plan_terms import PlanKind, PlanTerms, period_price
from pbxbill.billing.subscriptions.requests import (
    Decision,
    Request,
    asking_account,
    decide_request,
    request_change,
    request_plan,
    withdraw_request,
)
from pbxbill.billing.subscriptions.subscribing import NewSubscription
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, check
from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_SUBSCRIPTIONS
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.bundles import bundles_serving
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import CountField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.foretelling import told_of
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.terms_forms import wants_preview
from pbxbill.web.portal.own import own_account, own_row

MAX_HISTORY = 50
NEWS_US = 30 * 86_400 * SECOND_US
"""How long a refused plan is told of."""
MAX_SHOWN = 5
"""Plans that were asked for last."""


class RequestForm(PanelForm):
    """What somebody wants instead."""

    what = RadioField(
        lazy_gettext("What you want"),
        choices=[
            ("change", lazy_gettext("another plan")),
            ("quantity", lazy_gettext("another quantity")),
            ("cancel", lazy_gettext("to end it")),
        ],
        default="change",
    )
    plan = SelectField(lazy_gettext("Plan"))
    quantity = CountField(lazy_gettext("Quantity"), least=1, most=1_000_000)
    reason = LineField(lazy_gettext("What you want to say about it"), [at_most(200)])


class NewPlanForm(PanelForm):
    """What somebody wants besides."""

    plan = SelectField(lazy_gettext("Plan"))
    quantity = CountField(lazy_gettext("Quantity"), [required()], least=1, most=1_000_000, default=1)
    reason = LineField(lazy_gettext("What you want to say about it"), [at_most(200)])


def plans(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_plans", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_SUBSCRIPTIONS,
            "/plans",
            link="my_plans.show",
            template="portal/plans/list.html",
            empty=(N_("You have no plan yet"), N_("Ask for one of those that your provider offers.")),
            more=lambda: _left(front),
            actions=((N_("Ask for a plan"), "my_plans.ask_for_new", Permission.OWN_WRITE),),
        ),
    )
    _add_pages(section, front)
    _add_asking(section, front)
    _add_withdrawing(section, front)
    _add_new(section, front)
    return section


def _left(front: Front) -> dict[str, Any]:
    """What is left of what plans include, and which plans were asked for."""
    row = SubscriptionChangeRow
    with front.reading() as session:
        account = own_account(front, session)
        mine = (row.account_id == account.id, row.subscription_id.is_(None), row.kind == "subscribe")
        wishes = session.scalars(select(row).where(*mine).order_by(row.id.desc()).limit(MAX_SHOWN)).all()
        return {
            "bundles": bundles_serving(session, account, front.clock.now_us()),
            "own_code": account.code,
            "wishes": [x for x in wishes if x.state == "requested" or _is_news(x, front.clock.now_us())],
            "names": {x: version_by_id(session, x).name for x in {y.plan_version_id for y in wishes} if x},
        }


def _is_news(wish: SubscriptionChangeRow, now_us: int) -> bool:
    return wish.state == "refused" and (wish.decided_us or 0) > now_us - NEWS_US


def _add_pages(section: Blueprint, front: Front) -> None:
    @section.get("/subscriptions/<int:id>")
    @needs(Permission.OWN_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = own_row(front, session, SubscriptionRow, id)
            version = version_by_id(session, row.plan_version_id)
            changes = session.scalars(
                select(SubscriptionChangeRow)
                .where(SubscriptionChangeRow.subscription_id == id)
                .order_by(SubscriptionChangeRow.id.desc())
                .limit(MAX_HISTORY)
            ).all()
            names = {x: version_by_id(session, x).name for x in {y.plan_version_id for y in changes} if x}
        return render_template(
            "portal/plans/show.html",
            row=row,
            version=version,
            price=_price(version, row),
            unit=version.terms.unit,
            waiting=[x for x in changes if x.state == "requested"],
            changes=[x for x in changes if x.state != "requested"],
            names=names,
        )


def _add_asking(section: Blueprint, front: Front) -> None:
    @section.route("/subscriptions/<int:id>/ask", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def ask(id: int) -> str | Response:
        form = RequestForm()
        with front.reading() as session:
            row = own_row(front, session, SubscriptionRow, id)
            version = version_by_id(session, row.plan_version_id)
            account = own_account(front, session)
            offers = alternatives_to(session, account, version)
        form.plan.choices = [("", "–"), *((x.name, x.name) for x in offers)]

        def asked(change: Change) -> SubscriptionChangeRow:
            request = _request(change.session, account, form, front.actor.name)
            return request_change(change.session, id, request, change.now_us)

        foretold: list[str] = []
        if form.validate_on_submit():
            place = {"change": "plan", "quantity": "quantity"}.get(form.what.data, "")
            is_asked, foretold = _wished(front, account, form, place, asked)
            if is_asked:
                return redirect(url_for("my_plans.show", id=id), 303)
        return render_template(
            "portal/plans/ask.html",
            form=form,
            row=row,
            version=version,
            offers=offers,
            price=_offer_price,
            foretold=foretold,
        )


def _add_withdrawing(section: Blueprint, front: Front) -> None:
    @section.post("/requests/<int:request_id>/withdraw")
    @needs(Permission.OWN_WRITE)
    def withdraw(request_id: int) -> Response:
        with front.reading() as session:
            asked = session.get(SubscriptionChangeRow, request_id)
            if asked is None or asking_account(session, asked).id != front.scope.account_id:
                abort(404)
        with (
            refusals(PanelForm()) as refused,
            front.changing(
                "subscription.withdraw", str(request_id), account_id=front.scope.account_id
            ) as change,
        ):
            withdraw_request(change.session, request_id, change.now_us, front.actor.name)
        if refused:
            flash(refused.messages[0], "bad")
        else:
            flash(gettext("You do not ask for that any more."))
        if asked.subscription_id is None:
            return redirect(url_for("my_plans.listed"), 303)
        return redirect(url_for("my_plans.show", id=asked.subscription_id), 303)


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route("/plans/ask", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def ask_for_new() -> str | Response:
        form = NewPlanForm()
        with front.reading() as session:
            account = own_account(front, session)
            offers = offers_to(session, account, PlanKind.SERVICE)
        form.plan.choices = [(x.name, x.name) for x in offers]

        def asked(change: Change) -> SubscriptionChangeRow:
            wanted = NewSubscription(
                offered_to(change.session, account, form.plan.data),
                form.quantity.data or 1,
                by=front.actor.name,
                reason=form.reason.data or "",
            )
            return request_plan(change.session, account, wanted, change.now_us)

        foretold: list[str] = []
        if offers and form.validate_on_submit():
            is_asked, foretold = _wished(front, account, form, "plan", asked)
            if is_asked:
                return redirect(url_for("my_plans.listed"), 303)
        return render_template(
            "portal/plans/ask_for_new.html", form=form, offers=offers, price=_offer_price, foretold=foretold
        )


def _wished(
    front: Front,
    account: AccountRow,
    form: PanelForm,
    place: str,
    asked: Callable[[Change], SubscriptionChangeRow],
) -> tuple[bool, list[str]]:
    """Write down what a form asks for, or tell what it would cost: whether it is written, and what was told.
    place: the field that a refusal is about."""
    foretold: list[str] = []
    is_asked = False
    with refusals(form, place):
        if wants_preview():
            foretold = told_of(front, lambda change: _granted(change, asked(change)))
        else:
            with front.changing("subscription.ask", account.code, account_id=account.id) as change:
                asked(change)
            is_asked = True
    if is_asked:
        flash(gettext("Your wish is written down. You are told as soon as it is decided."))
    return is_asked, foretold


def _granted(change: Change, request: SubscriptionChangeRow) -> BroughtUp:
    """What accepting it now would do; for trying."""
    done = decide_request(change.session, change.books, request.id, Decision(True, ""), change.now_us)
    check(done is not None, "what is accepted is carried out")
    assert done is not None  # for mypy
    return done


def _request(session: Session, account: AccountRow, form: RequestForm, by: str) -> Request:
    reason = form.reason.data or ""
    match form.what.data:
        case "cancel":
            return Request(cancel=True, reason=reason, by=by)
        case "quantity":
            if form.quantity.data is None:
                raise InputRefused(gettext("Say which quantity you want"))
            return Request(quantity=form.quantity.data, reason=reason, by=by)
        case _:
            if not form.plan.data:
                raise InputRefused(gettext("Choose the plan that you want"))
            version = offered_to(session, account, form.plan.data)
            return Request(version, form.quantity.data, reason=reason, by=by)


def _price(version: PlanVersion, row: SubscriptionRow) -> int:
    return period_price(version.terms, row.quantity, json.loads(row.overrides))


def _offer_price(terms: PlanTerms, quantity: int) -> int:
    return period_price(terms, quantity, {})
