"""The till: cash for an account that was found, with its receipt; vouchers sold as they are made; the day."""

from datetime import date

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import SelectField
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import money_units
from pbxbill.billing.codes.voucher_batches import NewBatch, make_and_tell, open_batch
from pbxbill.billing.codes.voucher_codes import grouped
from pbxbill.billing.payments.payments import NewPayment
from pbxbill.billing.payments.received_payments import receive_payment
from pbxbill.billing.payments.top_ups import NewTopUp, top_up
from pbxbill.billing.period import day_start_us
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.listing.listing import contains
from pbxbill.listing.till import TILL, day_of_till
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow
from pbxbill.web.fields import (
    AmountField,
    CountField,
    LineField,
    PanelForm,
    UnitField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.formatting import day_of, reader_zone
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.asking import OnceField, give_units, issuer, wallet_units
from pbxbill.web.portal.home import due_of

MAX_FOUND, MOST_VOUCHERS = 12, 50
MAX_QUERY = 64


class CashForm(PanelForm):
    """What somebody hands over."""

    amount = AmountField(lazy_gettext("Amount received"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Unit"))
    method = SelectField(
        lazy_gettext("How"),
        choices=[
            ("cash", lazy_gettext("cash")),
            ("card", lazy_gettext("card")),
            ("cheque", lazy_gettext("cheque")),
        ],
    )
    purpose = SelectField(
        lazy_gettext("For"),
        choices=[
            ("wallet", lazy_gettext("the balance")),
            ("invoices", lazy_gettext("open invoices, the oldest first")),
        ],
    )
    reference = LineField(lazy_gettext("Note"), [Optional(), at_most(100)])
    key = OnceField()


class SellForm(PanelForm):
    """Vouchers that somebody buys."""

    amount = AmountField(lazy_gettext("Value of each"), [required()], least=1, bare=True)
    unit = UnitField(lazy_gettext("Unit"))
    count = CountField(lazy_gettext("How many"), [required()], least=1, most=MOST_VOUCHERS, default=1)
    key = OnceField()


def till(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("till", __name__)

    @section.get("/till")
    @needs(Permission.PAYMENTS_TAKE)
    def show() -> str:
        text = request.args.get("q", "").strip()[:MAX_QUERY]
        wanted = _day(request.args.get("day", ""), front)
        with front.reading() as session:
            found = (
                session.scalars(
                    contains(AccountRow.code, AccountRow.name)(
                        select(AccountRow)
                        .where(front.scope.among(AccountRow.id), AccountRow.kind != "operator")
                        .order_by(AccountRow.code)
                        .limit(MAX_FOUND),
                        text,
                    )
                ).all()
                if text
                else []
            )
            zone = str(reader_zone())
            start_us, end_us = (
                day_start_us(date.fromordinal(wanted.toordinal() + later), zone) for later in (0, 1)
            )
            day = day_of_till(session, front.scope, front.actor.name, start_us, end_us)
        return render_template(
            "panel/till/show.html",
            text=text,
            found=found,
            day=day,
            wanted=wanted,
            is_today=wanted == day_of(front.clock.now_us()),
            last=request.args.get("taken", ""),
        )

    _add_taking(section, front)
    _add_selling(section, front)
    return section


def _day(text: str, front: Front) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return day_of(front.clock.now_us())
    return found if 1970 < found.year < 9999 else day_of(front.clock.now_us())


def _add_taking(section: Blueprint, front: Front) -> None:
    @section.route("/till/take/<int:id>", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_TAKE)
    def take(id: int) -> str | Response:
        form = CashForm()
        with front.reading() as session:
            account = front.account(session, id)
            give_units(form, wallet_units(session, account))
            due = due_of(session, id)
        if request.method == "GET" and due:
            form.purpose.data, form.unit.data = "invoices", due[0].unit
        if form.validate_on_submit():
            entry = ""
            with (
                refusals(form, "amount") as refused,
                front.changing("payment.take", account.code, account_id=id) as change,
            ):
                entry = _taken(change, front.account(change.session, id), form, front.actor.name)
            if not refused:
                flash(gettext("Received from %(name)s.", name=account.name))
                return redirect(url_for("till.show", taken=entry), 303)
        return render_template("panel/till/take.html", form=form, account=account, due=due)


def _taken(change: Change, account: AccountRow, form: CashForm, by: str) -> str:
    amount, unit, method = form.amount.data or 0, form.unit.data, form.method.data
    note, key = form.reference.data or "", f"till:{form.key.data}"
    session, books, now_us = change.session, change.books, change.now_us
    try:
        if form.purpose.data == "wallet":
            new = NewTopUp(amount, unit, method, key, note, by)
            return top_up(session, books, account, new, now_us).entry_id
        payment = NewPayment(amount, unit, method, key, None, note, by)
        return receive_payment(session, books, account, payment, now_us).allocated.entry_id
    except DuplicateKey:
        raise InputRefused(
            gettext("this page was sent before with another amount; find the account anew")
        ) from None


def _add_selling(section: Blueprint, front: Front) -> None:
    @section.route("/till/vouchers", methods=["GET", "POST"])
    @needs(Permission.VOUCHERS_SELL)
    def sell() -> str | Response:
        form = SellForm()
        with front.reading() as session:
            give_units(form, {x.code: x for x in money_units(session)})
        if form.validate_on_submit():
            batch_id = 0
            with (
                refusals(form, "amount") as refused,
                front.changing("voucher.sell", form.unit.data) as change,
            ):
                batch_id = _opened(change, front, form).id
            if not refused:
                return _handed_out(front, batch_id)
        return render_template("panel/till/sell.html", form=form)


def _opened(change: Change, front: Front, form: SellForm) -> VoucherBatchRow:
    name = f"{TILL}{form.key.data}"
    known = select(VoucherBatchRow.id).where(
        VoucherBatchRow.issuer_id == front.scope.account_id, VoucherBatchRow.name == name
    )
    if change.session.scalar(known) is not None:
        raise InputRefused(
            gettext("this page was sent before; the codes were shown then, and are nowhere else")
        )
    new = NewBatch(
        name,
        form.unit.data,
        form.amount.data or 0,
        form.count.data or 0,
        change.now_us,
        by=front.actor.name,
    )
    return open_batch(change.session, issuer(change.session, front), new, change.now_us)


def _handed_out(front: Front, batch_id: int) -> str:
    """The codes of a batch, made now: the database keeps hashes alone, and this page is their only place."""
    with front.reading() as session:
        batch = session.get_one(VoucherBatchRow, batch_id)
        seller = issuer(session, front).name
    printed = make_and_tell(front.desks.application.database, batch_id)
    return render_template(
        "panel/till/codes.html", batch=batch, printed=printed, grouped=grouped, seller=seller
    )
