"""What an account is offered: it takes a quote up, or turns it down."""

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.documents import document_from_json
from pbxbill.billing.invoices.quotes import PLAN_VERSION, accept, refuse
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_invoice


class TurnDownForm(PanelForm):
    """Why not."""

    reason = LineField(
        lazy_gettext("Why"),
        [required(), at_most(300)],
        description=lazy_gettext("Your provider reads it."),
    )


def is_offered(row: InvoiceRow, now_us: int) -> bool:
    """Whether a document is a quote that can still be taken up."""
    return row.kind == "quote" and row.state == "open" and (row.due_us is None or now_us < row.due_us)


def add_quotes(section: Blueprint, front: Front) -> None:
    """The pages that ask before either."""

    @section.route("/quotes/<int:id>/accept", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def take_up(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = _own_quote(front, session, id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("quote.accept", row.number or "", account_id=row.account_id) as change,
            ):
                _own_quote(front, change.session, id)
                accept(change.session, change.books, id, change.now_us, front.actor.name)
            if not refused:
                flash(gettext("You have accepted the quote. Thank you."))
                return redirect(url_for("my_invoices.show", id=id), 303)
        return render_template("portal/invoices/take_up.html", form=form, row=row, is_plan=_is_of_plan(row))

    @section.route("/quotes/<int:id>/refuse", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def turn_down(id: int) -> str | Response:
        form = TurnDownForm()
        with front.reading() as session:
            row = _own_quote(front, session, id)
        if form.validate_on_submit():
            with (
                refusals(form, "reason") as refused,
                front.changing("quote.refuse", row.number or "", account_id=row.account_id) as change,
            ):
                _own_quote(front, change.session, id)
                refuse(change.session, id, form.reason.data or "", change.now_us, front.actor.name)
            if not refused:
                flash(gettext("You have refused the quote. Your provider sees why."))
                return redirect(url_for("my_invoices.show", id=id), 303)
        return render_template("portal/invoices/turn_down.html", form=form, row=row)


def _own_quote(front: Front, session: Session, id: int) -> InvoiceRow:
    row = own_invoice(front, session, id)
    if row.kind != "quote":
        abort(404)
    return row


def _is_of_plan(row: InvoiceRow) -> bool:
    return row.snapshot is not None and PLAN_VERSION in document_from_json(row.snapshot).extra
