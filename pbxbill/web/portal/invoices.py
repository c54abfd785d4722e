"""/my/invoices: what the account was asked to pay; seen, fetched, and paid."""

from dataclasses import replace

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.document import PartyBlock
from pbxbill.billing.invoices.documents import document_from_json
from pbxbill.billing.invoices.invoice_files import CALL_LIST_KINDS, file_shown
from pbxbill.billing.invoices.standing import ASKING, UNSETTLED
from pbxbill.billing.payments.payment_gateways import gateways_for
from pbxbill.billing.payments.payments import spare_funds
from pbxbill.errors import InputRefused
from pbxbill.listing.invoice_lines import INVOICE_ID, OWN_INVOICE_LINES
from pbxbill.listing.listing import N_
from pbxbill.listing.own import own_invoices
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.web.fields import refusals, sentence
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.invoices import shown_states
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.own import own_account, own_invoice
from pbxbill.web.portal.paying import BALANCE, PayForm, give_balance, give_ways, gone_on, pay, pay_by_balance
from pbxbill.web.portal.quotes import add_quotes, is_offered

MOST_LINES = 50
MIMETYPES = {"pdf": "application/pdf", "xml": "application/xml", "csv": "text/csv"}


def invoices(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_invoices", __name__)
    add_list(
        section,
        front,
        ListPage(
            replace(own_invoices(front.clock), finish=shown_states(front)),
            "/invoices",
            link="my_invoices.show",
            sparse=("disputed",),
            empty=(N_("There is no invoice yet"), N_("As soon as one is made out to you, it appears here.")),
        ),
    )
    _add_lines(section, front)
    _add_pages(section, front)
    _add_payment(section, front)
    add_quotes(section, front)
    return section


def is_payable(row: InvoiceRow) -> bool:
    """Whether money is asked for by it."""
    return row.kind in ASKING and row.state in UNSETTLED and row.open > 0


def _has_ways(front: Front, session: Session, row: InvoiceRow) -> bool:
    account = own_account(front, session)
    return bool(gateways_for(session, account, row.unit)) or spare_funds(session, account.id, row.unit) > 0


def _seller(row: InvoiceRow) -> PartyBlock | None:
    """Who asks for the money, as the document says."""
    return None if row.snapshot is None else document_from_json(row.snapshot).seller


def _add_lines(section: Blueprint, front: Front) -> None:
    def of_path() -> InvoiceRow:
        with front.reading() as session:
            return own_invoice(front, session, int((request.view_args or {})["id"]))

    add_list(
        section,
        front,
        ListPage(
            OWN_INVOICE_LINES,
            "/invoices/<int:id>/lines",
            endpoint="lines",
            template="portal/invoices/lines.html",
            empty=(N_("It has no line"), N_("The document itself says what it is for.")),
            more=lambda: {"row_of_lines": of_path()},
            given=lambda: {INVOICE_ID: str(of_path().id)},
        ),
    )


def _add_pages(section: Blueprint, front: Front) -> None:
    @section.get("/invoices/<int:id>")
    @needs(Permission.OWN_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = own_invoice(front, session, id)
            lines = session.scalars(
                select(InvoiceLineRow)
                .where(InvoiceLineRow.invoice_id == id, InvoiceLineRow.origin != "removed")
                .order_by(InvoiceLineRow.position, InvoiceLineRow.id)
                .limit(MOST_LINES + 1)
            ).all()
            corrected = session.get(InvoiceRow, row.corrects_id) if row.corrects_id else None
            can_pay = is_payable(row) and _has_ways(front, session, row)
        return render_template(
            "portal/invoices/show.html",
            row=row,
            lines=lines[:MOST_LINES],
            has_more=len(lines) > MOST_LINES,
            corrected=corrected,
            has_calls=row.kind in CALL_LIST_KINDS,
            can_pay=can_pay,
            is_open=is_payable(row),
            is_offered=is_offered(row, front.clock.now_us()),
            seller=_seller(row) if is_payable(row) else None,
            is_overdue=is_payable(row) and (row.due_us or front.clock.now_us()) < front.clock.now_us(),
        )

    @section.get("/invoices/<int:id>/<any(pdf, xml, csv):kind>")
    @needs(Permission.OWN_READ)
    def file(id: int, kind: str) -> Response | AnyResponse:
        with front.reading() as session:
            own_invoice(front, session, id)
        try:
            found = file_shown(front.desks.application.database, id, kind, front.clock.now_us())
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return redirect(url_for("my_invoices.show", id=id), 303)
        name = found.name.encode("ascii", "replace").decode().replace('"', "")
        head = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(found.content, mimetype=MIMETYPES[kind], headers=head)


def _add_payment(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/pay", methods=["GET", "POST"], endpoint="pay")
    @needs(Permission.OWN_PAY)
    def pay_it(id: int) -> str | AnyResponse:
        form = PayForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            account = own_account(front, session)
            form.amount.unit = unit_of(session, row.unit)
            has_ways = give_ways(session, form, account, row.unit, front)
            has_ways = give_balance(session, form, account, row.unit) or has_ways
            has_gateways = bool(gateways_for(session, account, row.unit))
        if not is_payable(row):
            return redirect(url_for("my_invoices.show", id=id), 303)
        if request.method == "GET":
            form.amount.data = row.open
        if has_ways and form.validate_on_submit():
            standing = None
            with refusals(form, "amount") as refused:
                if form.way.data == BALANCE:
                    pay_by_balance(front, account, form, row.unit, id)
                else:
                    standing = pay(front, account, form, row.unit, (id,))
            if not refused and standing is not None:
                return gone_on(standing)
            if not refused:
                amount = plain_amount(form.amount.data, form.amount.unit)
                flash(gettext("%(amount)s is paid from your balance.", amount=amount))
                return redirect(url_for("my_invoices.show", id=id), 303)
        if not has_gateways:
            del form.save
        return render_template(
            "portal/invoices/pay.html", form=form, row=row, has_ways=has_ways, has_gateways=has_gateways
        )
