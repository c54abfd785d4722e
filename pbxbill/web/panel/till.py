"""The till: cash for an account that was found, with its receipt; vouchers sold as they are made; the day."""

from datetime import date

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectField
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import money_units
from pbxbill.billing.codes.voucher_batches import NewBatch, make_and_tell, open_batch
from pbxbill.billing.codes.voucher_codes import grouped
from pbxbill.billing.payments.payments import NewPayment
from pbxbill.billing.payments.received_payments import receive_payment
from pbxbill.billing.payments.top_ups import NewTopUp, top_up
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.listing.dues import due_of
from pbxbill.listing.listing import Asked, contains
from pbxbill.listing.till import MAX_SHOWN, TILL, TILL_LINES, asked_of_day, day_of_till, who_took
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
from pbxbill.web.panel.list_files import csv_file, xlsx_file

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
        by = _by(front)
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
            asked = wanted.isoformat(), str(reader_zone())
            day = day_of_till(session, front.scope, by, *asked)
            takers = who_took(session, front.scope, *asked) if _sees_all(front) else []
        return render_template(
            "panel/till/show.html",
            text=text,
            found=found,
            day=day,
            wanted=wanted,
            is_today=wanted == day_of(front.clock.now_us()),
            by=by,
            is_own=by == front.actor.name,
            takers=sorted({front.actor.name, by, *takers}) if takers else [],
            most=MAX_SHOWN,
            last=request.args.get("taken", ""),
        )

    _add_files(section, front)
    _add_taking(section, front)
    _add_selling(section, front)
    return section


def _sees_all(front: Front) -> bool:
    """Whether he is shown what others took, too."""
    return front.actor.may(Permission.PAYMENTS_CORRECT)


def _by(front: Front) -> str:
    """Whose till is asked for."""
    by = request.args.get("by", "").strip() or front.actor.name
    if by != front.actor.name and not _sees_all(front):
        abort(403)
    return by


def _add_files(section: Blueprint, front: Front) -> None:
    def asked() -> Asked:
        wanted = _day(request.args.get("day", ""), front)
        return asked_of_day(_by(front), wanted.isoformat(), str(reader_zone()))

    @section.get("/till.csv")
    @needs(Permission.PAYMENTS_TAKE)
    def day_csv() -> Response:
        return csv_file(front, TILL_LINES, asked())

    @section.get("/till.xlsx")
    @needs(Permission.PAYMENTS_TAKE)
    def day_xlsx() -> Response:
        return xlsx_file(front, TILL_LINES, asked())


def _day(text: str, front: Front) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return day_of(front.clock.now_us())
    return found if 1970 < found.year < 9999 else day_of(front.clock.now_us())


def _add_taking(section: Blueprint, front: Front) -> None:
    @section.route("/till/take/<int:id>", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_TAKE)
    def take(id: int) -> str | AnyResponse:
        form = CashForm()
        with front.reading() as session:
            account = front.billed(session, id)
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
                entry = _taken(change, front.billed(change.session, id), form, front.actor.name)
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
    def sell() -> str | AnyResponse:
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
