"""/my/invoices: what the account was asked to pay; seen, fetched, and paid."""

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.invoice_files import invoice_files
from pbxbill.billing.invoices.standing import ASKING, UNSETTLED
from pbxbill.billing.payments.payment_gateways import gateways_for
from pbxbill.listing.listing import N_
from pbxbill.listing.own import own_invoices
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.own import own_account, own_invoice
from pbxbill.web.portal.paying import PayForm, give_ways, gone_on, pay

MIMETYPES = {"pdf": "application/pdf", "xml": "application/xml", "csv": "text/csv"}


def invoices(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_invoices", __name__)
    add_list(
        section,
        front,
        ListPage(
            own_invoices(front.clock),
            "/invoices",
            link="my_invoices.show",
            empty=(N_("There is no invoice yet"), N_("As soon as one is made out to you, it appears here.")),
        ),
    )
    _add_pages(section, front)
    _add_payment(section, front)
    return section


def is_payable(row: InvoiceRow) -> bool:
    """Whether money is asked for by it."""
    return row.kind in ASKING and row.state in UNSETTLED and row.open > 0


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
            ).all()
            corrected = session.get(InvoiceRow, row.corrects_id) if row.corrects_id else None
            can_pay = is_payable(row) and bool(gateways_for(session, own_account(front, session), row.unit))
        return render_template(
            "portal/invoices/show.html",
            row=row,
            lines=lines,
            corrected=corrected,
            can_pay=can_pay,
            is_open=is_payable(row),
            is_overdue=is_payable(row) and (row.due_us or front.clock.now_us()) < front.clock.now_us(),
        )

    @section.get("/invoices/<int:id>/<any(pdf, xml, csv):kind>")
    @needs(Permission.OWN_READ)
    def file(id: int, kind: str) -> Response:
        with front.reading() as session:
            own_invoice(front, session, id)
        made = invoice_files(front.desks.application.database, id, front.clock.now_us())
        found = next((x for x in made if x.kind == kind), None)
        if found is None:
            abort(404, gettext("You get no such file of this document."))
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
        if not is_payable(row):
            return redirect(url_for("my_invoices.show", id=id), 303)
        if request.method == "GET":
            form.amount.data = row.open
        if has_ways and form.validate_on_submit():
            with refusals(form, "amount") as refused:
                standing = pay(front, account, form, row.unit, (id,))
            if not refused:
                return gone_on(standing)
        return render_template("portal/invoices/pay.html", form=form, row=row, has_ways=has_ways)
