"""Telephone numbers: the inventory, who has which, quarantine, and the access numbers of calling cards."""

import json
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.did_inventory import (
    add_did,
    import_dids,
    move_to_inventory,
    state_at,
    withdraw,
)
from pbxbill.billing.subscriptions.did_sheet import DidSheet
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import offered_version, version_by_id
from pbxbill.billing.subscriptions.plan_terms import ChangeAt, period_price
from pbxbill.billing.subscriptions.subscribing import When
from pbxbill.errors import InputRefused
from pbxbill.listing.dids import DIDS
from pbxbill.listing.listing import N_
from pbxbill.store.billing_models import DidHistoryRow, DidRow, SubscriptionRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.access_numbers import add_access_numbers
from pbxbill.web.panel.did_choices import (
    account_named,
    inventories_for,
    own_did,
    plans_for,
    seen_did,
    seller_of_actor,
)
from pbxbill.web.panel.did_forms import AssignForm, HandOverForm, NumberForm, NumberListForm, ReleaseForm
from pbxbill.web.panel.did_quarantine import add_quarantine
from pbxbill.web.panel.did_together import add_together
from pbxbill.web.panel.lists import ListPage, add_list

REFUSED_SHOWN = 50
MAX_LIST_BYTES = 16_000_000


def dids(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("dids", __name__)
    add_list(
        section,
        front,
        ListPage(
            DIDS,
            "/numbers",
            link="dids.show",
            template="panel/dids/list.html",
            empty=(N_("There is no number yet"), N_("Add the numbers that you can give to accounts.")),
            actions=(
                (N_("Add a number"), "dids.new", Permission.NUMBERS_WRITE),
                (N_("Import a list"), "dids.import_list", Permission.NUMBERS_WRITE),
            ),
        ),
    )
    add_access_numbers(section, front)
    _add_page(section, front)
    _add_inventory(section, front)
    _add_assigning(section, front)
    _add_leaving(section, front)
    add_quarantine(section, front)
    add_together(section, front)
    return section


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/numbers/<int:id>")
    @needs(Permission.NUMBERS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = seen_did(session, front, id)
            holder = None if row.account_id is None else session.get(AccountRow, row.account_id)
            history = session.execute(
                select(AccountRow, DidHistoryRow)
                .join(AccountRow, AccountRow.id == DidHistoryRow.account_id)
                .where(DidHistoryRow.did_id == id)
                .order_by(DidHistoryRow.id.desc())
                .limit(50)
            ).all()
            return render_template(
                "panel/dids/show.html",
                row=row,
                charged=_charged(session, front, row),
                state=state_at(row, front.clock.now_us()),
                holder=holder,
                history=history,
                inventory=session.get_one(AccountRow, row.issuer_id),
                own=row.issuer_id == front.scope.account_id,
            )


def _charged(session: Session, front: Front, row: DidRow) -> dict[str, Any] | None:
    """What its holder pays for it, by which subscription; None: nothing, or that may not be seen."""
    if row.subscription_id is None or not front.actor.may(Permission.ACCOUNTS_READ):
        return None
    paid = session.scalar(
        select(SubscriptionRow).where(
            SubscriptionRow.id == row.subscription_id, front.scope.among(SubscriptionRow.account_id)
        )
    )
    if paid is None:
        return None
    version = version_by_id(session, paid.plan_version_id)
    return {
        "subscription": paid,
        "plan": version.name,
        "unit": version.terms.unit,
        "price": period_price(version.terms, paid.quantity, json.loads(paid.overrides)),
    }


def _add_inventory(section: Blueprint, front: Front) -> None:
    @section.route("/numbers/new", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def new() -> str | Response:
        form = NumberForm()
        if form.validate_on_submit():
            number, id = form.number.data or "", 0
            with refusals(form, "number") as refused, front.changing("number.add", number) as change:
                issuer = seller_of_actor(change.session, front)
                id = add_did(
                    change.session, issuer, number, change.now_us, country=form.country.data or ""
                ).id
            if not refused:
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/dids/new.html", form=form)

    @section.route("/numbers/import", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def import_list() -> str | Response:
        form = NumberListForm()
        if form.validate_on_submit():
            done = None
            sent = form.file.data
            with refusals(form, "file"), front.changing("numbers.import", sent.filename or "") as change:
                if len(sent.stream.read(MAX_LIST_BYTES + 1)) > MAX_LIST_BYTES:
                    raise InputRefused(gettext("a list as long as this is imported by the command line"))
                sent.stream.seek(0)
                rows = DidSheet(sent.stream).rows()
                done = import_dids(
                    change.session, seller_of_actor(change.session, front), rows, change.now_us
                )
            if done is not None:
                return render_template("panel/dids/imported.html", done=done, shown=REFUSED_SHOWN)
        return render_template("panel/dids/import.html", form=form)


def _add_assigning(section: Blueprint, front: Front) -> None:
    @section.route("/numbers/<int:id>/assign", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def assign(id: int) -> str | Response:
        form = AssignForm()
        with front.reading() as session:
            row = seen_did(session, front, id)
            form.plan.choices = [("", gettext("none")), *plans_for(session, row)]
        if form.validate_on_submit():
            with refusals(form, "account") as refused, front.changing("number.assign", row.number) as change:
                did = seen_did(change.session, front, id)
                account = account_named(change.session, front, form.account.data or "")
                issuer = change.session.get_one(AccountRow, did.issuer_id)
                version = offered_version(change.session, issuer, form.plan.data) if form.plan.data else None
                wanted = Assignment(version, reason=form.reason.data or "", by=front.actor.name)
                assign_did(change.session, change.books, did.number, account, wanted, change.now_us)
            if not refused:
                flash(gettext("The number is the account's."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/dids/assign.html", form=form, row=row)

    @section.route("/numbers/<int:id>/release", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def release(id: int) -> str | Response:
        form = ReleaseForm()
        with front.reading() as session:
            row = seen_did(session, front, id)
            holder = None if row.account_id is None else session.get(AccountRow, row.account_id)
        if form.validate_on_submit():
            at = ChangeAt.CYCLE_END if form.when.data == "cycle_end" else ChangeAt.NOW
            when = When(at, None, form.reason.data or "", front.actor.name)
            with refusals(form) as refused, front.changing("number.release", row.number) as change:
                seen_did(change.session, front, id)
                release_did(change.session, change.books, row.number, when, change.now_us)
            if not refused:
                flash(gettext("The number is taken back, or will be when its subscription ends."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/dids/release.html", form=form, row=row, holder=holder)


def _add_leaving(section: Blueprint, front: Front) -> None:
    @section.route("/numbers/<int:id>/withdraw", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def withdraw_number(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = own_did(session, front, id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("number.withdraw", row.number) as change:
                withdraw(change.session, own_did(change.session, front, id, lock=True))
            if not refused:
                flash(gettext("The number is out of the inventory."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/dids/withdraw.html", form=form, row=row)

    @section.route("/numbers/<int:id>/hand-over", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def hand_over(id: int) -> str | Response:
        form = HandOverForm()
        with front.reading() as session:
            row = seen_did(session, front, id)
            form.to.choices = inventories_for(session, front, row)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("number.hand-over", row.number) as change:
                to = change.session.get_one(AccountRow, int(form.to.data))
                move_to_inventory(change.session, seen_did(change.session, front, id, lock=True), to)
            if not refused:
                flash(gettext("The number is in the other inventory."))
                return redirect(url_for(".listed"), 303)
        return render_template("panel/dids/hand_over.html", form=form, row=row)
