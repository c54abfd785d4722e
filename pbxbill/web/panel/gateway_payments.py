"""Payments through gateways: started, looked at, given back; those that are held until somebody decides."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.gateway_payments import NewGatewayPayment, pay_link
from pbxbill.billing.payments.held_payments import accept_held, drop_held
from pbxbill.billing.payments.payment_gateways import coin, gateways_for
from pbxbill.billing.payments.refunds import NewRefund, RefundDesk, ask_refund
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.listing.gateway_payments import GATEWAY_PAYMENTS
from pbxbill.listing.gateways import REFUNDS
from pbxbill.listing.listing import N_
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, RefundRow, SavedMethodRow
from pbxbill.store.units import units_by_code
from pbxbill.web.fields import refusals, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import (
    ReasonForm,
    billed_account_asked,
    find_page,
    form_page,
    give_units,
    wallet_units,
)
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.payment_forms import AcceptForm, RefundForm, StartForm
from pbxbill.web.panel.payments import payment_tabs


def gateway_payments(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("gateway_payments", __name__)
    add_list(
        section,
        front,
        ListPage(
            GATEWAY_PAYMENTS,
            "/gateway-payments",
            link="gateway_payments.show",
            template="panel/payments/gateway_list.html",
            empty=(
                N_("Nobody has paid through a gateway yet"),
                N_("Set one up under Gateways; accounts then pay on its page."),
            ),
            actions=((N_("Send somebody to pay"), "gateway_payments.start", Permission.PAYMENTS_TAKE),),
            more=lambda: {"tabs": payment_tabs(front), "tab": "gateway", "held": _held(front)},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            REFUNDS,
            "/refunds",
            endpoint="refunds",
            link=lambda row: url_for("gateway_payments.show", id=row["payment_id"]),
            template="panel/payments/tabbed.html",
            empty=(
                N_("Nothing has gone back"),
                N_("Refunds are made on the page of a payment through a gateway; charge-backs appear here."),
            ),
            more=lambda: {"tabs": payment_tabs(front), "tab": "refunds"},
        ),
    )
    _add_start(section, front)
    _add_page(section, front)
    _add_refund(section, front)
    _add_held(section, front)
    return section


def _held(front: Front) -> int:
    with front.reading() as session:
        query = select(func.count()).select_from(GatewayPaymentRow).where(GatewayPaymentRow.state == "held")
        return session.scalar(query.where(front.scope.among(GatewayPaymentRow.account_id))) or 0


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Payments through gateways"), url_for("gateway_payments.listed"))]


def _payment(session: Session, front: Front, id: int) -> GatewayPaymentRow:
    return front.one(
        session,
        select(GatewayPaymentRow).where(
            GatewayPaymentRow.id == id, front.scope.among(GatewayPaymentRow.account_id)
        ),
    )


def _billed_payment(session: Session, front: Front, id: int) -> GatewayPaymentRow:
    """One whose money is to move."""
    row = _payment(session, front, id)
    front.billed(session, row.account_id)
    return row


def _add_start(section: Blueprint, front: Front) -> None:
    @section.route("/gateway-payments/new", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_TAKE)
    def start() -> str | Response:
        title = gettext("Send somebody to pay")
        form = StartForm()
        with front.reading() as session:
            account = billed_account_asked(session, front)
            if account is None:
                return find_page(title, url_for(".listed"), _crumbs())
            units = wallet_units(session, account)
            give_units(form, units)
            known = {x.name: x for unit in units for x in gateways_for(session, account, unit)}
        form.gateway.choices = [("", gettext("the first that takes the currency")), *((x, x) for x in known)]
        if form.validate_on_submit():
            payment_id = 0
            with refusals(form) as refused:
                payment_id = _started(front, account, form)
            if not refused:
                with front.changing("payment.start", str(payment_id), account_id=account.id):
                    pass  # the payment is written already: what was asked of the gateway is told here
                return redirect(url_for(".show", id=payment_id), 303)
        return form_page(
            form,
            title,
            gettext("Make the link"),
            url_for(".listed"),
            _crumbs(),
            lead=gettext("%(name)s gets a link to the gateway's page, and pays there.", name=account.name),
        )


def _started(front: Front, account: AccountRow, form: StartForm) -> int:
    new = NewGatewayPayment(
        form.amount.data or 0,
        form.unit.data,
        form.purpose.data,
        None,
        form.gateway.data or "",
        by=front.actor.name,
    )
    try:
        with front.desks.desk() as desk:
            return desk.start_payment(account.id, new).id
    except ConfigurationError:
        raise InputRefused(
            gettext("the gateway's secrets cannot be read on the server; whoever runs it has to look")
        ) from None


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/gateway-payments/<int:id>")
    @needs(Permission.PAYMENTS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _payment(session, front, id)
            facts = _facts(session, row)
        public = front.desks.public_url
        link = (
            pay_link(public, row.key)
            if public and row.state in ("open", "asking") and not row.method_id
            else ""
        )
        return render_template(
            "panel/payments/gateway_payment.html", row=row, link=link, crumbs=_crumbs(), **facts
        )

    @section.post("/gateway-payments/<int:id>/ask")
    @needs(Permission.PAYMENTS_TAKE)
    def ask(id: int) -> Response:
        with front.reading() as session:
            row = _payment(session, front, id)
        try:
            with front.desks.desk() as desk:
                desk.poll(id)
            flash(gettext("The gateway was asked."))
        except (InputRefused, ConfigurationError) as error:
            flash(sentence(str(error)), "bad")
        with front.changing("payment.ask", str(id), account_id=row.account_id):
            pass  # what the gateway said is written already
        return redirect(url_for(".show", id=id), 303)


def _facts(session: Session, row: GatewayPaymentRow) -> dict[str, Any]:
    refunds = session.scalars(select(RefundRow).where(RefundRow.payment_id == row.id).order_by(RefundRow.id))
    return {
        "account": session.get_one(AccountRow, row.account_id),
        "gateway": session.get_one(PaymentGatewayRow, row.gateway_id),
        "method": session.get(SavedMethodRow, row.method_id) if row.method_id is not None else None,
        "refunds": list(refunds),
        "told": _told(session, row),
        "can_go_back": row.received > row.refunded or (row.state == "held" and row.told_amount is not None),
    }


def _told(session: Session, row: GatewayPaymentRow) -> tuple[int, str] | None:
    """What the gateway says that it received, where that is a unit of ours."""
    known = units_by_code(session).get(row.told_currency)
    if row.told_amount is None or known is None:
        return None
    return row.told_amount * coin(known), known.code


def _add_refund(section: Blueprint, front: Front) -> None:
    @section.route("/gateway-payments/<int:id>/refund", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def refund(id: int) -> str | Response:
        form = RefundForm()
        with front.reading() as session:
            row = _billed_payment(session, front, id)
            form.amount.unit = unit_of(session, row.unit)
        back = url_for(".show", id=id)
        if form.validate_on_submit():
            refund_id = 0
            with (
                refusals(form) as refused,
                front.changing("payment.refund", str(id), account_id=row.account_id) as change,
            ):
                new = NewRefund(form.reason.data or "", form.amount.data, form.reopen.data, front.actor.name)
                _billed_payment(change.session, front, id)
                refund_id = ask_refund(change.session, change.books, id, new, change.now_us).id
            if not refused:
                _go_on(front, refund_id)
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Give payment %(number)s back", number=id),
            gettext("Give it back"),
            back,
            [*_crumbs(), (str(id), back)],
            warning=gettext(
                "The money leaves the wallet now, and the gateway pays it back to the payer. "
                "A refund cannot be stopped; only if the gateway fails, the money comes back."
            ),
        )


def _go_on(front: Front, refund_id: int) -> None:
    """Ask the gateway; what it does not answer now, the job asks again."""
    try:
        with front.desks.desk() as desk:
            found = RefundDesk(desk).go_on(refund_id)
    except (InputRefused, ConfigurationError) as error:
        flash(sentence(str(error)), "bad")
        return
    if found.state == "failed":
        flash(gettext("The gateway did not give it back: %(why)s", why=found.error), "bad")
    elif found.state == "done":
        flash(gettext("The money is given back."))
    else:
        flash(gettext("The refund is under way; the gateway is asked until it is done."))


def _add_held(section: Blueprint, front: Front) -> None:
    @section.route("/gateway-payments/<int:id>/accept", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def accept(id: int) -> str | Response:
        form = AcceptForm()
        with front.reading() as session:
            row = _billed_payment(session, front, id)
        if row.told_amount and request.method == "GET":
            del form.reference
        back = url_for(".show", id=id)
        if form.validate_on_submit():
            reference = (form.reference.data or "") if "reference" in form else ""
            with (
                refusals(form) as refused,
                front.changing("payment.accept", str(id), account_id=row.account_id) as change,
            ):
                _billed_payment(change.session, front, id)
                accept_held(
                    change.session,
                    change.books,
                    id,
                    by=front.actor.name,
                    now_us=change.now_us,
                    reference=reference,
                )
            if not refused:
                flash(gettext("The payment is booked with what really came."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Accept payment %(number)s", number=id),
            gettext("Accept it"),
            back,
            [*_crumbs(), (str(id), back)],
            warning=gettext(
                "It is booked with what the gateway received. It is held because: %(why)s", why=row.error
            ),
        )

    @section.route("/gateway-payments/<int:id>/drop", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def drop(id: int) -> str | Response:
        form = ReasonForm()
        with front.reading() as session:
            row = _billed_payment(session, front, id)
        back = url_for(".show", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("payment.drop", str(id), account_id=row.account_id) as change,
            ):
                _billed_payment(change.session, front, id)
                drop_held(
                    change.session,
                    id,
                    reason=form.reason.data or "",
                    by=front.actor.name,
                    now_us=change.now_us,
                )
            if not refused:
                flash(gettext("The payment is ended; no money came."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("End payment %(number)s without money", number=id),
            gettext("End it"),
            back,
            [*_crumbs(), (str(id), back)],
            warning=gettext(
                "Only if you did not find it at the gateway. Should it tell of it later, it is booked."
            ),
        )
