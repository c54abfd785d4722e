"""Money that is here already: put to invoices, moved to another wallet, given up."""

from collections.abc import Callable

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.adjustments import NewAdjustment, adjust_wallet
from pbxbill.billing.payments.payments import pay_from_wallet, write_off
from pbxbill.billing.payments.transfers import NewTransfer, transfer_funds
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.web.fields import refusals
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.asking import (
    account_of_code,
    billed_account_asked,
    find_page,
    form_page,
    give_units,
    wallet_units,
)
from pbxbill.web.panel.invoice_access import own_asking_invoice
from pbxbill.web.panel.payment_forms import AdjustForm, FromWalletForm, TransferForm, WriteOffForm


def crumbs() -> list[tuple[str, str]]:
    """What stands above pages of payments."""
    return [(gettext("Payments"), url_for("payments.listed"))]


def add_moving(section: Blueprint, front: Front) -> None:
    """Add the routes."""
    _add_from_wallet(section, front)
    _add_transfer(section, front)
    _add_adjusting(section, front)
    _add_write_off(section, front)


def _add_from_wallet(section: Blueprint, front: Front) -> None:
    @section.route("/payments/from-wallet", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def from_wallet() -> str | AnyResponse:
        title = gettext("Pay invoices from the wallet")
        form = FromWalletForm()
        with front.reading() as session:
            account = billed_account_asked(session, front)
            if account is None:
                return find_page(title, url_for("payments.listed"), crumbs())
            give_units(form, wallet_units(session, account))

        def pay(change: Change) -> str:
            return pay_from_wallet(
                change.session,
                change.books,
                front.billed(change.session, account.id),
                unit=form.unit.data,
                now_us=change.now_us,
                amount=form.amount.data,
                by=front.actor.name,
            ).entry_id

        if entry := _written(front, form, "payment.allocate", account.code, account.id, pay):
            flash(gettext("The funds are put to invoices."))
            return redirect(url_for("payments.show", entry=entry), 303)
        return form_page(
            form,
            title,
            gettext("Pay from the wallet"),
            url_for("payments.listed"),
            crumbs(),
            lead=gettext("Funds of %(code)s go to what was due first.", code=account.code),
        )


def _add_transfer(section: Blueprint, front: Front) -> None:
    @section.route("/payments/transfer", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def transfer() -> str | AnyResponse:
        title = gettext("Move funds to another account")
        form = TransferForm()
        with front.reading() as session:
            account = billed_account_asked(session, front)
            if account is None:
                return find_page(title, url_for("payments.listed"), crumbs())
            give_units(form, wallet_units(session, account))

        def move(change: Change) -> str:
            return _moved(change, front, account.id, form)

        if entry := _written(front, form, "payment.transfer", account.code, account.id, move):
            flash(gettext("The funds are moved."))
            return redirect(url_for("payments.show", entry=entry), 303)
        return form_page(
            form,
            title,
            gettext("Move the funds"),
            url_for("payments.listed"),
            crumbs(),
            lead=gettext(
                "Funds leave the wallet of %(code)s. Credit and what its live calls hold cannot be moved.",
                code=account.code,
            ),
        )


def _add_adjusting(section: Blueprint, front: Front) -> None:
    @section.route("/payments/adjust", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def adjust() -> str | AnyResponse:
        title = gettext("Correct a wallet")
        form = AdjustForm()
        with front.reading() as session:
            account = billed_account_asked(session, front)
            if account is None:
                return find_page(title, url_for("payments.listed"), crumbs())
            give_units(form, wallet_units(session, account))

        def correct(change: Change) -> str:
            return _adjusted(change, front, account.id, form)

        if entry := _written(front, form, "wallet.adjust", account.code, account.id, correct):
            flash(gettext("The wallet is corrected."))
            return redirect(url_for("books.entry", entry=entry), 303)
        return form_page(
            form,
            title,
            gettext("Correct the wallet"),
            url_for("payments.listed"),
            crumbs(),
            lead=gettext("Account %(code)s, %(name)s.", code=account.code, name=account.name),
            warning=gettext(
                "It is booked as an adjustment: no money came or went. The entry stays; what is wrong "
                "with it is corrected by an opposite one. Live calls are shortened for what is taken out."
            ),
        )


def _adjusted(change: Change, front: Front, account_id: int, form: AdjustForm) -> str:
    amount = form.amount.data or 0
    new = NewAdjustment(
        amount if form.way.data == "in" else -amount,
        form.unit.data,
        f"panel:adjust:{form.key.data}",
        form.reason.data or "",
        front.actor.name,
    )
    account = front.billed(change.session, account_id)
    return adjust_wallet(change.session, change.books, account, new, change.now_us)


def _add_write_off(section: Blueprint, front: Front) -> None:
    @section.route("/payments/write-off", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def give_up() -> str | AnyResponse:
        form = WriteOffForm()
        with front.reading() as session:
            invoice = _invoice_asked(session, front)
            form.amount.unit = unit_of(session, invoice.unit)

        def write(change: Change) -> str:
            return write_off(
                change.session,
                change.books,
                invoice.id,
                reason=form.reason.data or "",
                now_us=change.now_us,
                amount=form.amount.data,
                by=front.actor.name,
            ).entry_id

        if entry := _written(
            front, form, "payment.write-off", invoice.number or "", invoice.account_id, write
        ):
            flash(gettext("It is written off."))
            return redirect(url_for("payments.show", entry=entry), 303)
        return form_page(
            form,
            gettext("Write off %(number)s", number=invoice.number),
            gettext("Write it off"),
            url_for("payments.listed"),
            crumbs(),
            warning=gettext(
                "What is open of it is given up and booked as a loss. Taking it back asks for it again."
            ),
        )


def _moved(change: Change, front: Front, account_id: int, form: TransferForm) -> str:
    session = change.session
    giver = front.billed(session, account_id)
    taker = front.billed(session, account_of_code(session, front, form.taker.data or "").id)
    new = NewTransfer(
        form.amount.data or 0,
        form.unit.data,
        f"panel:{form.key.data}",
        form.reason.data or "",
        front.actor.name,
    )
    return transfer_funds(session, change.books, giver, taker, new, change.now_us).entry_ids[0]


def _written(
    front: Front,
    form: FlaskForm,
    action: str,
    subject: str,
    account_id: int,
    write: Callable[[Change], str],
) -> str:
    """Write what a form asks for: the journal entry's id; "" where nothing was asked, or it is refused."""
    if not form.validate_on_submit():
        return ""
    entry = ""
    with refusals(form) as refused, front.changing(action, subject, account_id=account_id) as change:
        try:
            entry = write(change)
        except DuplicateKey:
            raise InputRefused(
                gettext("this page was sent before with other values; open it anew to move more")
            ) from None
    return "" if refused else entry


def _invoice_asked(session: Session, front: Front) -> InvoiceRow:
    """The invoice that the address names by ?invoice=ID; 404 for none, and for another's; 403 for what a
    reseller below issued, whose loss it would be."""
    written = request.args.get("invoice", "")
    id = int(written) if written.isascii() and written.isdigit() and len(written) <= 18 else 0
    return own_asking_invoice(front, session, id)
