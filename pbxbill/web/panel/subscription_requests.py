"""What customers ask for of their subscriptions, answered; and whose subscriptions are seen and changed."""

from collections.abc import Mapping
from typing import NamedTuple

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import version_by_id
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.requests import Decision, asking_account, decide_request
from pbxbill.errors import check
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import refusals
from pbxbill.web.foretelling import told_before, told_of
from pbxbill.web.formatting import count
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.asking import Crumb, form_page
from pbxbill.web.panel.subscription_forms import DecisionForm, whens_of_new
from pbxbill.web.panel.terms_forms import wants_preview
from pbxbill.web.words import word_of


def seen_subscription(session: Session, front: Front, id: int) -> SubscriptionRow:
    """One of the scope; 404 for any other."""
    query = select(SubscriptionRow).where(
        SubscriptionRow.id == id, front.scope.among(SubscriptionRow.account_id)
    )
    return front.one(session, query)


class _Asked(NamedTuple):
    """A wish, and what its page says of it."""

    wish: SubscriptionChangeRow
    account: AccountRow
    wanted: str
    has: str
    """The plan that it would change; empty where a new one is asked for."""


def _asked(session: Session, front: Front, id: int) -> _Asked:
    """One of the scope; 404 for any other."""
    wish = session.get(SubscriptionChangeRow, id)
    if wish is None:
        abort(404)
    account = front.account(session, asking_account(session, wish).id)
    names = {x: version_by_id(session, x).name for x in [wish.plan_version_id] if x}
    has = ""
    if wish.subscription_id is not None:
        row = seen_subscription(session, front, wish.subscription_id)
        has = version_by_id(session, row.plan_version_id).name
    return _Asked(wish, account, wish_text(wish, names), has)


def add_decision(section: Blueprint, front: Front) -> None:
    """Give the section the page on which a wish is answered."""

    @section.route("/subscription-requests/<int:id>", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def decide(id: int) -> str | Response:
        form = DecisionForm()
        with front.reading() as session:
            asked = _asked(session, front, id)
        if not front.scope.bills(asked.account):
            abort(403)
        if asked.wish.state != "requested":
            flash(gettext("It is decided already."), "warn")
            return redirect(_back(asked.wish), 303)
        if asked.wish.subscription_id is None:
            form.when.choices = whens_of_new()
            form.when.data = form.when.data or ChangeAt.NOW.value

        def work(written: Change) -> BroughtUp:
            return _accepted(front, form, written, id)

        foretold, back = told_before(front, work) if request.method == "GET" else [], ""
        if form.validate_on_submit():
            accepted = form.answer.data == "yes"
            with refusals(form, "" if accepted else "reason") as refused:
                if wants_preview():
                    foretold = told_of(front, work)
                else:
                    back = _answered(front, form, asked.account, id)
            if back and not refused:
                flash(gettext("It is done as asked for.") if accepted else gettext("The wish is refused."))
                return redirect(back, 303)
        return _page(form, asked, foretold)


def _page(form: DecisionForm, asked: _Asked, foretold: list[str]) -> str:
    wish, account = asked.wish, asked.account
    lead = gettext("Account %(account)s asks for: %(what)s.", account=account.code, what=asked.wanted)
    if wish.reason:
        lead += " " + gettext("It says: %(text)s", text=wish.reason)
    return form_page(
        form,
        gettext("Request of %(account)s", account=account.code),
        gettext("Answer it"),
        _back(wish),
        crumbs() if wish.subscription_id is None else crumbs(account, asked.has, wish.subscription_id),
        lead=lead,
        preview=gettext("Show what it costs"),
        foretold=foretold,
    )


def _back(wish: SubscriptionChangeRow) -> str:
    if wish.subscription_id is None:
        return url_for("subscriptions.requests")
    return url_for("subscriptions.show", id=wish.subscription_id)


def _accepted(front: Front, form: DecisionForm, written: Change, id: int) -> BroughtUp:
    at, at_us = form.moment()
    decision = Decision(True, front.actor.name, form.reason.data or "", at, at_us)
    done = decide_request(written.session, written.books, id, decision, written.now_us)
    check(done is not None, "what is accepted is carried out")
    assert done is not None  # for mypy
    return done


def _answered(front: Front, form: DecisionForm, account: AccountRow, id: int) -> str:
    """Carry it out, or refuse it; where it goes on from there."""
    if form.answer.data == "yes":
        with front.changing("request.accept", account.code, account_id=account.id) as written:
            return url_for("subscriptions.show", id=_accepted(front, form, written, id).subscribed.row.id)
    with front.changing("request.refuse", account.code, account_id=account.id) as written:
        decision = Decision(False, front.actor.name, form.reason.data or "")
        decide_request(written.session, written.books, id, decision, written.now_us)
        return _back(written.session.get_one(SubscriptionChangeRow, id))


def crumbs(account: AccountRow | None = None, plan: str = "", id: int = 0) -> list[Crumb]:
    """Where a page of a subscription is."""
    first = [(gettext("Subscriptions"), url_for("subscriptions.listed"))]
    if account is None:
        return first
    return [*first, (f"{account.code}, {plan}", url_for("subscriptions.show", id=id))]


def wish_text(change: SubscriptionChangeRow, names: Mapping[int, str]) -> str:
    """What is to happen, or happened, to a subscription."""
    parts = []
    if change.plan_version_id is not None and change.kind in ("change", "subscribe", "requested"):
        parts.append(gettext("plan %(plan)s", plan=names.get(change.plan_version_id, "")))
    is_new = change.kind == "subscribe" and change.subscription_id is None
    if change.quantity is not None and (change.kind in ("change", "quantity") or is_new):
        parts.append(gettext("quantity %(count)s", count=count(change.quantity)))
    known = {
        "cancel": gettext("its end"),
        "subscribe": gettext("a new subscription") if is_new else gettext("begun"),
        "renew": gettext("renewed"),
        "pause": gettext("paused"),
        "resume": gettext("resumed"),
        "end": gettext("ended"),
        "unpaid": gettext("could not be paid"),
    }
    if change.kind in known:
        parts.insert(0, known[change.kind])
    return ", ".join(parts) or word_of(change.kind)
