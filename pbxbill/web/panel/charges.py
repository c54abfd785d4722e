"""Charges: those that wait for an invoice and all others; made by hand, and taken back."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.subscriptions.charges_by_hand import VOID, HandCharge, add_charge, withdraw_charge
from pbxbill.ids import new_id
from pbxbill.listing.charges import CHARGES
from pbxbill.listing.listing import N_
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import refusals
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.invoice_access import billed_account
from pbxbill.web.panel.invoice_forms import ChargeForm, ReasonForm, currencies
from pbxbill.web.panel.lists import ListPage, add_list


def charges(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("charges", __name__)
    add_list(
        section,
        front,
        ListPage(
            CHARGES,
            "/charges",
            link="charges.show",
            empty=(
                N_("There is no charge yet"),
                N_("Subscriptions charge by themselves; what is owed once is charged by hand."),
            ),
            actions=((N_("New charge"), "charges.new", Permission.INVOICES_WRITE),),
        ),
    )
    _add_new(section, front)

    @section.get("/charges/<int:id>")
    @needs(Permission.INVOICES_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row, account = _seen(session, front, id)
            return render_template(
                "panel/charges/show.html", row=row, account=account, **_may(front, row, account)
            )

    @section.route("/charges/<int:id>/withdraw", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def withdraw(id: int) -> str | Response:
        form = ReasonForm()
        with front.reading() as session:
            row, account = _own(session, front, id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("charge.withdraw", str(id), account_id=account.id) as change,
            ):
                _own(change.session, front, id)
                reason = form.reason.data or ""
                withdraw_charge(change.session, change.books, id, reason, change.now_us, front.actor.name)
            if not refused:
                flash(gettext("The charge is taken back."))
                return redirect(url_for("charges.show", id=id), 303)
        return render_template("panel/charges/withdraw.html", form=form, row=row, account=account)

    return section


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route("/charges/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def new() -> str | Response:
        form = ChargeForm()
        with front.reading() as session:
            units = currencies(session, form)
        form.price.unit = units.get(form.unit.data) or next(iter(units.values()), None)
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64]
        key = request.form.get("key", "")[:32] or new_id()
        if form.validate_on_submit():
            made: list[tuple[int, str]] = []
            code = form.account.data or ""
            with refusals(form) as refused, front.changing("charge.add", code) as change:
                account = billed_account(front, change.session, code)
                charge = HandCharge(
                    description=form.description.data or "",
                    unit=form.unit.data,
                    unit_price=form.price.data,
                    reason=form.reason.data or "",
                    kind=ChargeKind(form.kind.data),
                    quantity=form.quantity.data,
                    product_class=form.product_class.data or "",
                    collection=Collection.WALLET if form.wallet.data else Collection.INVOICE,
                    # Sent twice, it charges once.
                    key=f"panel:{key}",
                    by=front.actor.name,
                )
                row = add_charge(change.session, change.books, account, charge, change.now_us)
                made.append((row.id, plain_amount(row.net, units[row.unit])))
            if not refused:
                flash(gettext("%(amount)s without tax is charged.", amount=made[0][1]))
                return redirect(url_for("charges.show", id=made[0][0]), 303)
        return render_template("panel/charges/new.html", form=form, key=key)


def _seen(session: Session, front: Front, id: int) -> tuple[ChargeRow, AccountRow]:
    row = session.get(ChargeRow, id)
    account = None if row is None else session.get_one(AccountRow, row.account_id)
    if row is None or account is None or not front.scope.covers(account):
        abort(404)
    return row, account


def _own(session: Session, front: Front, id: int) -> tuple[ChargeRow, AccountRow]:
    row, account = _seen(session, front, id)
    if not front.scope.bills(account):
        abort(403)
    return row, account


def _may(front: Front, row: ChargeRow, account: AccountRow) -> dict[str, Any]:
    own = front.scope.bills(account)
    waits = row.invoice_id is None and row.collection != VOID
    return {
        "may": own and front.actor.may(Permission.INVOICES_WRITE) and waits and row.subscription_id is None,
        "withdrawn": row.collection == VOID,
    }
