"""Payments: taken at the counter or from the bank, put to invoices, moved between wallets, taken back.

What goes through gateways stands in gateway_payments.py.
"""

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.invoice_files import invoice_files
from pbxbill.billing.invoices.receipts import issue_receipt
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.billing.payments.payments import NewPayment
from pbxbill.billing.payments.received_payments import receive_payment
from pbxbill.billing.payments.taking_back import Reversal, take_back_entry
from pbxbill.billing.payments.top_ups import NewTopUp, top_up
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.payment_entries import facts_of_entry, payment_entry, receipt_of
from pbxbill.listing.payments import PAYMENTS, accounts_of_entries
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, JournalEntryRow
from pbxbill.web.fields import refusals
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.asking import (
    billed_account_asked,
    done_when_sure,
    find_page,
    form_page,
    give_units,
    tabs_of,
    wallet_units,
)
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.payment_forms import OF_INVOICE, PURPOSES, ReverseForm, TakeForm
from pbxbill.web.panel.payment_moves import add_moving, crumbs
from pbxbill.web.words import word_of

CAN_BE_REVERSED = ("top-up", "payment", "allocation", "write-off")
HAVE_RECEIPTS = ("top-up", "payment")
MAX_ID_DIGITS = 18
MOST_OFFERED = 10
"""Open invoices that a payment can be said to be for; others by their own pages."""


def payments(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("payments", __name__)
    add_list(
        section,
        front,
        ListPage(
            PAYMENTS,
            "/payments",
            link=lambda row: url_for("payments.show", entry=row["id"]),
            template="panel/payments/tabbed.html",
            empty=(
                N_("No money has come in yet"),
                N_("Enter what came in cash or at the bank; what comes through gateways appears by itself."),
            ),
            actions=((N_("Take a payment"), "payments.top_up", Permission.PAYMENTS_TAKE),),
            more=lambda: {"tabs": payment_tabs(front), "tab": "payments", "buttons": _buttons(front)},
        ),
    )
    _add_taking(section, front)
    _add_page(section, front)
    add_moving(section, front)
    return section


def _buttons(front: Front) -> list[tuple[str, str]]:
    """What moves money that is here already."""
    if not front.actor.may(Permission.PAYMENTS_CORRECT):
        return []
    return [
        (gettext("Pay invoices from a wallet"), url_for("payments.from_wallet")),
        (gettext("Move funds"), url_for("payments.transfer")),
        (gettext("Correct a wallet"), url_for("payments.adjust")),
    ]


def payment_tabs(front: Front) -> list[tuple[str, str, str]]:
    """The lists of this section."""
    return tabs_of(
        front,
        ("payments", gettext("Received and given back"), "payments.listed", "payments:read"),
        ("gateway", gettext("Through gateways"), "gateway_payments.listed", "payments:read"),
        ("refunds", gettext("Refunds and charge-backs"), "gateway_payments.refunds", "payments:read"),
        ("gateways", gettext("Gateways"), "gateways.listed", "settings:read"),
        ("received", gettext("What gateways sent"), "gateways.received", "payments:correct"),
    )


def _add_taking(section: Blueprint, front: Front) -> None:
    @section.route("/payments/top-up", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_TAKE)
    def top_up() -> str | AnyResponse:
        form = TakeForm()
        with front.reading() as session:
            account = billed_account_asked(session, front)
            if account is None:
                return find_page(gettext("Take a payment"), url_for("payments.listed"), crumbs())
            give_units(form, wallet_units(session, account))
            owed = _owed(session, account)
            asked = _invoice_asked(session, account)
            form.purpose.choices = [*PURPOSES, *_invoice_choices(session, account, asked)]
        if request.method == "GET":
            form.purpose.data = "invoices" if owed else "wallet"
            if asked is not None:
                form.purpose.data, form.unit.data = f"{OF_INVOICE}{asked.id}", asked.unit
        if form.validate_on_submit():
            entry = ""
            with (
                refusals(form) as refused,
                front.changing("payment.take", account.code, account_id=account.id) as change,
            ):
                entry, repeated = _taken(change, front, front.billed(change.session, account.id), form)
            if not refused:
                flash(
                    gettext("It had been entered before: nothing has moved.")
                    if repeated
                    else gettext("The payment is entered.")
                )
                return redirect(url_for("payments.show", entry=entry), 303)
        return render_template(
            "panel/payments/take.html", form=form, account=account, owed=owed, crumbs=crumbs()
        )


def _owed(session: Session, account: AccountRow) -> list[tuple[str, int, int]]:
    """What is open of an account's invoices: unit, number of invoices, amount."""
    query = (
        _open_invoices(account)
        .with_only_columns(InvoiceRow.unit, func.count(), func.sum(InvoiceRow.open))
        .group_by(InvoiceRow.unit)
    )
    return [(unit, count, int(amount)) for unit, count, amount in session.execute(query)]


def _open_invoices(account: AccountRow) -> Select[InvoiceRow]:
    return (
        select(InvoiceRow)
        .where(InvoiceRow.account_id == account.id, InvoiceRow.kind.in_(ASKING), InvoiceRow.open > 0)
        .where(InvoiceRow.state.in_(("issued", "partly_paid")))
    )


def _invoice_asked(session: Session, account: AccountRow) -> InvoiceRow | None:
    """The invoice that the address says the payment is for; None: none, or it is not open any more."""
    text = request.args.get("invoice", "")
    if not text.isdecimal() or len(text) > MAX_ID_DIGITS:
        return None
    return session.scalar(_open_invoices(account).where(InvoiceRow.id == int(text)))


def _invoice_choices(
    session: Session, account: AccountRow, asked: InvoiceRow | None
) -> list[tuple[str, str]]:
    """Those that were due first, and the one that is asked for."""
    first = _open_invoices(account).order_by(InvoiceRow.due_us, InvoiceRow.id).limit(MOST_OFFERED)
    rows = list(session.scalars(first))
    if asked is not None and asked not in rows:
        rows.append(asked)
    return [
        (
            f"{OF_INVOICE}{x.id}",
            gettext(
                "%(number)s: %(open)s are open; the rest into the wallet",
                number=x.number,
                open=plain_amount(x.open, x.unit),
            ),
        )
        for x in rows
    ]


def _taken(change: Change, front: Front, account: AccountRow, form: TakeForm) -> tuple[str, bool]:
    common: dict[str, Any] = {"reference": form.reference.data or "", "by": front.actor.name}
    amount, unit, method = form.amount.data or 0, form.unit.data, form.method.data
    key = f"panel:{form.key.data}"
    try:
        if form.purpose.data == "wallet":
            new = NewTopUp(amount, unit, method, key, receipt=form.receipt.data, **common)
            topped = top_up(change.session, change.books, account, new, change.now_us)
            return topped.entry_id, topped.repeated
        paid = receive_payment(
            change.session,
            change.books,
            account,
            NewPayment(amount, unit, method, key, _invoice_ids(form.purpose.data), **common),
            change.now_us,
            with_receipt=form.receipt.data,
        )
        return paid.allocated.entry_id, paid.allocated.repeated
    except DuplicateKey:
        raise InputRefused(
            gettext("this page was sent before with another amount; open it anew to enter one more payment")
        ) from None


def _invoice_ids(purpose: str) -> tuple[int, ...] | None:
    return (int(purpose.removeprefix(OF_INVOICE)),) if purpose.startswith(OF_INVOICE) else None


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/payments/<entry>")
    @needs(Permission.PAYMENTS_READ)
    def show(entry: str) -> str:
        with front.reading() as session:
            row = _entry(session, front, entry)
            facts = facts_of_entry(session, row)
            may_write = _is_billed(session, front, entry)
        return render_template(
            "panel/payments/show.html",
            entry=row,
            may_reverse=may_write and row.kind in CAN_BE_REVERSED and not facts["reversed_by"],
            may_have_receipt=may_write and row.kind in HAVE_RECEIPTS and facts["cash"] > 0,
            title=word_of(row.kind)[:1].upper() + word_of(row.kind)[1:],
            crumbs=crumbs(),
            **facts,
        )

    @section.route("/payments/<entry>/receipt", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_TAKE)
    def receipt(entry: str) -> str | AnyResponse:
        with front.reading() as session:
            row = _entry(session, front, entry)
            whose = _whose(session, front, entry)
        back = url_for(".show", entry=entry)

        def made(change: Change) -> str:
            number = issue_receipt(change.session, entry, change.now_us, front.actor.name).number
            return str(gettext("Receipt %(number)s is made.", number=number))

        return done_when_sure(
            front,
            "payment.receipt",
            entry,
            made,
            back,
            whose[0] if whose else None,
            title=gettext("Make a receipt"),
            button=gettext("Make the receipt"),
            crumbs=[*crumbs(), (word_of(row.kind), back)],
            warning=gettext("It gets the next number and stays, also where the payment is taken back later."),
        )

    @section.get("/payments/<entry>/receipt.pdf")
    @needs(Permission.PAYMENTS_READ)
    def receipt_file(entry: str) -> Response:
        with front.reading() as session:
            _entry(session, front, entry)
            made = receipt_of(session, entry)
            if made is None:
                abort(404)
        files = invoice_files(front.desks.application.database, made.id, front.clock.now_us())
        found = next((x for x in files if x.kind == "pdf"), None)
        if found is None:
            abort(404)
        head = {"Content-Disposition": f'inline; filename="{found.name}"'}
        return Response(found.content, mimetype="application/pdf", headers=head)

    @section.route("/payments/<entry>/reverse", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def reverse(entry: str) -> str | AnyResponse:
        form = ReverseForm()
        with front.reading() as session:
            row = _entry(session, front, entry)
            if row.kind not in CAN_BE_REVERSED:
                abort(404)
            whose = _whose(session, front, entry)
        if row.kind != "top-up":
            del form.owed
        back = url_for(".show", entry=entry)
        if form.validate_on_submit():
            made = ""
            account_id = whose[0] if whose else None
            with (
                refusals(form) as refused,
                front.changing("payment.reverse", entry, account_id=account_id) as change,
            ):
                owed = bool("owed" in form and form.owed.data)
                wanted = Reversal(entry, form.reason.data or "", owed, front.actor.name)
                made = take_back_entry(change.session, change.books, wanted, change.now_us)
            if not refused:
                flash(gettext("It is taken back."))
                return redirect(url_for(".show", entry=made), 303)
        return form_page(
            form,
            gettext("Take back a %(what)s", what=word_of(row.kind)),
            gettext("Take it back"),
            back,
            [*crumbs(), (word_of(row.kind), back)],
            warning=gettext(
                "The equal and opposite entry is posted: invoices that it paid are open again, and what it "
                "put into the wallet leaves it. Live calls are shortened for it."
            ),
        )


def _is_billed(session: Session, front: Front, entry: str) -> bool:
    """Whether the money of an entry that may be seen is the matter of who looks."""
    whose = accounts_of_entries(session, [entry]).get(entry)
    return whose is None or front.scope.bills(session.get_one(AccountRow, whose[0]))


def _whose(session: Session, front: Front, entry: str) -> tuple[int, str] | None:
    """The account of an entry that is to be changed; 403: a reseller between bills it."""
    whose = accounts_of_entries(session, [entry]).get(entry)
    if whose is not None:
        front.billed(session, whose[0])
    return whose


def _entry(session: Session, front: Front, entry: str) -> JournalEntryRow:
    row = payment_entry(session, front.scope, entry)
    if row is None:
        abort(404)
    return row
