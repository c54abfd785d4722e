"""What customers ask for of their subscriptions, answered; and whose subscriptions are seen and changed."""

from collections.abc import Mapping

from flask import Blueprint, abort, flash, redirect, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.plan_catalogue import version_by_id
from pbxbill.billing.subscriptions.requests import Decision, decide_request
from pbxbill.store.billing_models import SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import refusals
from pbxbill.web.formatting import count
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import Crumb, form_page
from pbxbill.web.panel.subscription_forms import DecisionForm
from pbxbill.web.words import word_of


def seen_subscription(session: Session, front: Front, id: int) -> SubscriptionRow:
    """One of the scope; 404 for any other."""
    query = select(SubscriptionRow).where(
        SubscriptionRow.id == id, front.scope.among(SubscriptionRow.account_id)
    )
    return front.one(session, query)


def bills(front: Front, account: AccountRow) -> bool:
    """Whether who acts bills the account himself: the operator any, a reseller his own."""
    return front.scope.is_everything or account.parent_id == front.scope.account_id


def add_decision(section: Blueprint, front: Front) -> None:
    """Give the section the page on which a wish is answered."""

    def wish_of(session: Session, id: int) -> tuple[SubscriptionChangeRow, SubscriptionRow, AccountRow]:
        wish = session.get(SubscriptionChangeRow, id)
        if wish is None:
            abort(404)
        row = seen_subscription(session, front, wish.subscription_id)
        return wish, row, session.get_one(AccountRow, row.account_id)

    @section.route("/subscription-requests/<int:id>", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def decide(id: int) -> str | Response:
        form = DecisionForm()
        with front.reading() as session:
            wish, row, account = wish_of(session, id)
            if not bills(front, account):
                abort(403)
            if wish.state != "requested":
                flash(gettext("It is decided already."), "warn")
                return redirect(url_for("subscriptions.show", id=row.id), 303)
            names = {
                x: version_by_id(session, x).name for x in (row.plan_version_id, wish.plan_version_id) if x
            }
        if form.validate_on_submit():
            accepted = form.answer.data == "yes"
            action = "request.accept" if accepted else "request.refuse"
            with (
                refusals(form, "" if accepted else "reason") as refused,
                front.changing(action, account.code, account_id=account.id) as written,
            ):
                at, at_us = form.moment() if accepted else (None, None)
                decision = Decision(accepted, front.actor.name, form.reason.data or "", at, at_us)
                decide_request(written.session, written.books, id, decision, written.now_us)
            if not refused:
                flash(gettext("It is done as asked for.") if accepted else gettext("The wish is refused."))
                return redirect(url_for("subscriptions.show", id=row.id), 303)
        wanted = wish_text(wish, names)
        lead = gettext("Account %(account)s asks for: %(what)s.", account=account.code, what=wanted)
        if wish.reason:
            lead += " " + gettext("It says: %(text)s", text=wish.reason)
        return form_page(
            form,
            gettext("Request of %(account)s", account=account.code),
            gettext("Answer it"),
            url_for("subscriptions.show", id=row.id),
            crumbs(account, names[row.plan_version_id], row.id),
            lead=lead,
        )


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
    if change.quantity is not None and change.kind in ("change", "quantity"):
        parts.append(gettext("quantity %(count)s", count=count(change.quantity)))
    known = {
        "cancel": gettext("its end"),
        "subscribe": gettext("begun"),
        "renew": gettext("renewed"),
        "pause": gettext("paused"),
        "resume": gettext("resumed"),
        "end": gettext("ended"),
        "unpaid": gettext("could not be paid"),
    }
    if change.kind in known:
        parts.insert(0, known[change.kind])
    return ", ".join(parts) or word_of(change.kind)
