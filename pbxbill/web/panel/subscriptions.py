"""Subscriptions: plans that accounts have; begun, changed, paused, ended, and what customers ask for."""

import json
from typing import NamedTuple

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import (
    alternatives_to,
    offered_to,
    offers_to,
    version_by_id,
)
from pbxbill.billing.subscriptions.plan_terms import ChangeAt, PlanKind, period_price
from pbxbill.billing.subscriptions.subscribing import (
    NewSubscription,
    Wanted,
    When,
    cancel,
    change,
    pause,
    resume,
    subscribe,
    withdraw_change,
)
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.subscriptions import SUBSCRIPTION_REQUESTS, SUBSCRIPTIONS
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals, sentence
from pbxbill.web.foretelling import told_before, told_of
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.asking import account_asked, find_page, form_page
from pbxbill.web.panel.invoice_access import billed_account
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.subscription_forms import ChangeForm, SubscribeForm, WhenForm
from pbxbill.web.panel.subscription_requests import (
    add_decision,
    crumbs,
    seen_subscription,
    wish_text,
)
from pbxbill.web.panel.terms_forms import wants_preview
from pbxbill.web.words import word_of

MAX_HISTORY = 100
EVENTS = {"pause": pause, "resume": resume, "cancel": cancel}


def subscriptions(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("subscriptions", __name__)
    add_list(
        section,
        front,
        ListPage(
            SUBSCRIPTIONS,
            "/subscriptions",
            link="subscriptions.show",
            empty=(
                N_("Nobody has a plan yet"),
                N_("Subscribe an account to one of your plans: its charges are then made by themselves."),
            ),
            actions=(
                (N_("New subscription"), "subscriptions.new", Permission.ACCOUNTS_WRITE),
                (N_("Requests of customers"), "subscriptions.requests", Permission.ACCOUNTS_READ),
            ),
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            SUBSCRIPTION_REQUESTS,
            "/subscription-requests",
            link="subscriptions.decide",
            endpoint="requests",
            empty=(
                N_("Nobody asks for anything"),
                N_("What customers ask for of their plans appears here and waits for your answer."),
            ),
        ),
    )
    _add_new(section, front)
    _add_show(section, front)
    _add_change(section, front)
    _add_events(section, front)
    add_decision(section, front)
    return section


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route("/subscriptions/new", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def new() -> str | Response:
        with front.reading() as session:
            account = account_asked(session, front)
            if account is None:
                return find_page(gettext("New subscription"), url_for("subscriptions.listed"), crumbs())
            if not front.scope.bills(account):
                abort(403)
            offers = offers_to(session, account, PlanKind.SERVICE)
        code = account.code
        form = SubscribeForm()
        form.plan.choices = [(x.name, x.name) for x in offers]
        foretold: list[str] = []
        if offers and form.validate_on_submit():
            done: list[tuple[int, str, str]] = []
            with refusals(form, "plan") as refused:
                if wants_preview():
                    foretold = told_of(front, lambda tried: _begun(front, form, tried, code))
                else:
                    with front.changing("subscription.begin", code, account_id=account.id) as written:
                        done.append(_done(written.session, _begun(front, form, written, code)))
            if done and not refused:
                return _told(*done[0])
        return render_template(
            "panel/subscriptions/new.html", form=form, account=account, offers=offers, foretold=foretold
        )


def _begun(front: Front, form: SubscribeForm, written: Change, code: str) -> BroughtUp:
    owner = billed_account(front, written.session, code)
    wanted = NewSubscription(
        offered_to(written.session, owner, form.plan.data),
        form.quantity.data or 1,
        form.agreed(),
        from_us=form.begins.data,
        trial=form.trial.data,
        by=front.actor.name,
        reason=form.reason.data or "",
    )
    return subscribe(written.session, written.books, owner, wanted, written.now_us)


def _done(session: Session, made: BroughtUp) -> tuple[int, str, str]:
    """The subscription, its state, and what its account lacks for it."""
    short = made.short
    lacks = "" if short is None else plain_amount(short.needed, unit_of(session, short.unit))
    return made.subscribed.row.id, made.subscribed.row.state, lacks


def _told(id: int, state: str, lacks: str) -> Response:
    flash(gettext("The subscription is %(state)s.", state=word_of(state)))
    if lacks:
        flash(gettext("It costs %(amount)s, which the wallet cannot pay.", amount=lacks), "warn")
    return redirect(url_for("subscriptions.show", id=id), 303)


def _own(session: Session, front: Front, id: int) -> tuple[SubscriptionRow, AccountRow]:
    """One that who acts bills himself; 403 for what another sells."""
    row = seen_subscription(session, front, id)
    account = session.get_one(AccountRow, row.account_id)
    if not front.scope.bills(account):
        abort(403)
    return row, account


def _add_show(section: Blueprint, front: Front) -> None:
    @section.get("/subscriptions/<int:id>")
    @needs(Permission.ACCOUNTS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = seen_subscription(session, front, id)
            account = session.get_one(AccountRow, row.account_id)
            version = version_by_id(session, row.plan_version_id)
            query = select(SubscriptionChangeRow).where(SubscriptionChangeRow.subscription_id == id)
            newest = query.order_by(SubscriptionChangeRow.id.desc())
            history = session.scalars(newest.limit(MAX_HISTORY)).all()
            names = {x: version_by_id(session, x).name for x in {y.plan_version_id for y in history} if x}
            unit = unit_of(session, version.terms.unit)
        agreed = json.loads(row.overrides)
        return render_template(
            "panel/subscriptions/show.html",
            row=row,
            account=account,
            version=version,
            unit=unit,
            price=period_price(version.terms, row.quantity, agreed),
            agreed=agreed,
            waiting=[x for x in history if x.state == "requested"],
            planned=[x for x in history if x.state == "planned"],
            history=[x for x in history if x.state not in ("requested", "planned")],
            what=lambda x: wish_text(x, names),
            may=front.actor.may(Permission.ACCOUNTS_WRITE) and front.scope.bills(account),
        )

    @section.post("/subscriptions/<int:id>/changes/<int:change_id>/withdraw")
    @needs(Permission.ACCOUNTS_WRITE)
    def withdraw(id: int, change_id: int) -> Response:
        with front.reading() as session:
            _row, account = _own(session, front, id)
            planned = session.get(SubscriptionChangeRow, change_id)
            if planned is None or planned.subscription_id != id:
                abort(404)
        try:
            with front.changing("subscription.withdraw", account.code, account_id=account.id) as written:
                withdraw_change(written.session, change_id, written.now_us, front.actor.name)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            flash(gettext("What was planned does not happen."))
        return redirect(url_for("subscriptions.show", id=id), 303)


def _facts(session: Session, row: SubscriptionRow) -> dict[str, str]:
    version = version_by_id(session, row.plan_version_id)
    return {"plan": version.name, "quantity": str(row.quantity)}


def _add_change(section: Blueprint, front: Front) -> None:
    @section.route("/subscriptions/<int:id>/change", methods=["GET", "POST"], endpoint="change")
    @needs(Permission.ACCOUNTS_WRITE)
    def change_it(id: int) -> str | Response:
        form = ChangeForm()
        with front.reading() as session:
            row, account = _own(session, front, id)
            now = version_by_id(session, row.plan_version_id)
            others = alternatives_to(session, account, now)
            facts = _facts(session, row)
        as_now = gettext("%(plan)s, as now", plan=now.name)
        form.plan.choices = [("", as_now), *((x.name, x.name) for x in others)]
        if request.method == "GET":
            form.quantity.data, form.edition.data = row.quantity, edition_of(facts)
        foretold: list[str] = []
        if form.validate_on_submit():
            done: list[tuple[int, str, str]] = []
            with refusals(form, "plan") as refused:
                if wants_preview():
                    foretold = told_of(front, lambda tried: _changed(front, form, tried, id))
                else:
                    with front.changing(
                        "subscription.change", account.code, account_id=account.id
                    ) as written:
                        done.append(_done(written.session, _changed(front, form, written, id)))
            if done and not refused:
                return _told(*done[0])
        return form_page(
            form,
            gettext("Change %(plan)s of %(account)s", plan=now.name, account=account.code),
            gettext("Change it"),
            url_for("subscriptions.show", id=id),
            crumbs(account, now.name, id),
            lead=gettext("What was paid for the rest of the period is reckoned and given back."),
            preview=gettext("Show what it costs"),
            foretold=foretold,
        )


def _changed(front: Front, form: ChangeForm, written: Change, id: int) -> BroughtUp:
    subscription, owner = _own(written.session, front, id)
    check_edition(form, _facts(written.session, subscription))
    version = offered_to(written.session, owner, form.plan.data) if form.plan.data else None
    quantity = form.quantity.data if form.quantity.data != subscription.quantity else None
    if version is None and quantity is None:
        raise InputRefused(gettext("Choose another plan or another quantity"))
    at, at_us = form.moment()
    wanted = Wanted(version, quantity, at, at_us, form.reason.data or "", front.actor.name)
    return change(written.session, written.books, id, wanted, written.now_us)


def _add_events(section: Blueprint, front: Front) -> None:
    @section.route("/subscriptions/<int:id>/<any(pause, resume, cancel):what>", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def happen(id: int, what: str) -> str | Response:
        form = WhenForm()
        with front.reading() as session:
            row, account = _own(session, front, id)
            version = version_by_id(session, row.plan_version_id)

        def work(written: Change) -> BroughtUp:
            _own(written.session, front, id)
            at, at_us = form.moment()
            when = When(at or ChangeAt.NOW, at_us, form.reason.data or "", front.actor.name)
            return EVENTS[what](written.session, written.books, id, when, written.now_us)

        # What a pause gives back depends on when it ends: only of an end is told what it costs.
        is_end = what == "cancel"
        foretold = told_before(front, work) if is_end and request.method == "GET" else []
        if form.validate_on_submit():
            done: list[tuple[int, str, str]] = []
            with refusals(form) as refused:
                if is_end and wants_preview():
                    foretold = told_of(front, work)
                else:
                    with front.changing(
                        f"subscription.{what}", account.code, account_id=account.id
                    ) as written:
                        done.append(_done(written.session, work(written)))
            if done and not refused:
                return _told(*done[0])
        asks = _asks(what)
        return form_page(
            form,
            asks.title % {"plan": version.name, "account": account.code},
            asks.button,
            url_for("subscriptions.show", id=id),
            crumbs(account, version.name, id),
            **{"warning" if is_end else "lead": asks.what},
            danger=is_end,
            preview=gettext("Show what it costs") if is_end else "",
            foretold=foretold,
        )


class _Asks(NamedTuple):
    """What a page says of what it would do."""

    title: str
    button: str
    what: str


def _asks(what: str) -> _Asks:
    match what:
        case "pause":
            return _Asks(
                gettext("Let %(plan)s of %(account)s rest"),
                gettext("Let it rest"),
                gettext("No service and no charges until it is resumed."),
            )
        case "resume":
            return _Asks(
                gettext("Resume %(plan)s of %(account)s"),
                gettext("Resume it"),
                gettext("Service and charges go on."),
            )
        case _:
            return _Asks(
                gettext("End %(plan)s of %(account)s"),
                gettext("End it"),
                gettext(
                    "Its service and its charges end. Within its minimum term that costs the plan's fee. "
                    "It cannot be taken up again: a new subscription would begin."
                ),
            )
