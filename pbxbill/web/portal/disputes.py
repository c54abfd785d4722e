"""/my/disputes: what the account contests of an invoice, what was said about it, and files with it."""

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse
from wtforms import TextAreaField
from wtforms.validators import Length, ValidationError

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.dispute_files import (
    KINDS,
    MAX_BYTES,
    attach,
    checked_file,
    content_of,
    files_of,
)
from pbxbill.billing.invoices.disputes import dispute, remark
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_DISPUTES
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceEventRow
from pbxbill.web.fields import AmountField, PanelForm, refusals, required, sentence
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.invoices import is_payable
from pbxbill.web.portal.own import own_invoice

EVENTS = ("disputed", "dispute_remark", "dispute_file", "dispute_settled", "credited")
MAX_TEXT = 280


class _Texted(PanelForm):
    """Something said, and perhaps a file with it."""

    reason = TextAreaField(
        lazy_gettext("What is wrong"),
        [required(), Length(max=MAX_TEXT, message=lazy_gettext("Up to %(max)d characters."))],
        render_kw={"rows": "4"},
    )
    file = FileField(
        lazy_gettext("File"),
        description=lazy_gettext("PDF, picture, text, CSV or mail, up to 5 MB."),
        render_kw={"accept": ",".join(KINDS)},
    )

    def validate_file(self, field: Any) -> None:
        """Of a kind that is kept, and not too large."""
        if is_sent(field):
            try:
                checked_file(field.data.filename, _content(field))
            except InputRefused as error:
                raise ValidationError(sentence(str(error))) from None


class DisputeForm(_Texted):
    """What is contested of it."""

    amount = AmountField(
        lazy_gettext("Amount that you contest"),
        least=1,
        description=lazy_gettext("Empty: all that is open."),
    )


class RemarkForm(_Texted):
    """What else is to be said."""

    reason = TextAreaField(
        lazy_gettext("Your message"),
        [required(), Length(max=MAX_TEXT, message=lazy_gettext("Up to %(max)d characters."))],
        render_kw={"rows": "4"},
    )


def disputes(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_disputes", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_DISPUTES,
            "/disputes",
            link="my_disputes.show",
            empty=(
                N_("You contest nothing"),
                N_("If something on an invoice is wrong, open the invoice and say so there."),
            ),
        ),
    )

    @section.route("/invoices/<int:id>/dispute", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def begin(id: int) -> str | AnyResponse:
        form = DisputeForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            form.amount.unit = unit_of(session, row.unit)
        if row.disputed_us is not None or not is_payable(row):
            return redirect(
                url_for("my_disputes.show" if row.disputed_us else "my_invoices.show", id=id), 303
            )
        if form.validate_on_submit():
            with (
                refusals(form, "amount") as refused,
                front.changing("invoice.dispute", row.number or str(id), account_id=row.account_id) as change,
            ):
                dispute(
                    change.session,
                    id,
                    reason=_line(form),
                    now_us=change.now_us,
                    amount=form.amount.data,
                    by=front.actor.name[:64],
                )
                _keep_file(change, form, id, front)
            if not refused:
                flash(gettext("You contest it. You are not reminded to pay that part until it is decided."))
                return redirect(url_for("my_disputes.show", id=id), 303)
        return render_template("portal/disputes/begin.html", form=form, row=row)

    _add_thread(section, front)
    return section


def _add_thread(section: Blueprint, front: Front) -> None:
    @section.route("/disputes/<int:id>", methods=["GET", "POST"])
    @needs(Permission.OWN_READ)
    def show(id: int) -> str | AnyResponse:
        form = RemarkForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            thread = _thread(session, id)
            files = files_of(session, id)
            own = set(session.scalars(select(UserRow.login).where(UserRow.account_id == row.account_id)))
        if not thread:
            abort(404)
        if request.method == "POST" and not front.actor.may(Permission.OWN_WRITE):
            abort(403)
        if form.validate_on_submit():
            with (
                refusals(form, "reason") as refused,
                front.changing("dispute.remark", row.number or str(id), account_id=row.account_id) as change,
            ):
                remark(change.session, id, _line(form), now_us=change.now_us, by=front.actor.name[:64])
                _keep_file(change, form, id, front)
            if not refused:
                return redirect(url_for("my_disputes.show", id=id), 303)
        return render_template(
            "portal/disputes/show.html", form=form, row=row, thread=thread, files=files, own=own
        )

    @section.get("/disputes/<int:id>/files/<int:file_id>")
    @needs(Permission.OWN_READ)
    def file(id: int, file_id: int) -> Response:
        with front.reading() as session:
            own_invoice(front, session, id)
            try:
                found, content = content_of(session, id, file_id)
            except InputRefused:
                abort(404)
        name = found.name.encode("ascii", "replace").decode().replace('"', "")
        # What others sent is never shown in our name: it is kept to be opened elsewhere.
        head = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, mimetype=found.media_type, headers=head)


def _thread(session: Session, id: int) -> list[InvoiceEventRow]:
    query = select(InvoiceEventRow).where(InvoiceEventRow.invoice_id == id, InvoiceEventRow.kind.in_(EVENTS))
    found = list(session.scalars(query.order_by(InvoiceEventRow.id)))
    return found if any(x.kind == "disputed" for x in found) else []


def _line(form: _Texted) -> str:
    """As one line, which is what events keep."""
    return " ".join((form.reason.data or "").split())


def is_sent(field: Any) -> bool:
    """Whether a file came with the form."""
    return bool(field.data and getattr(field.data, "filename", ""))


def _content(field: Any) -> bytes:
    field.data.stream.seek(0)
    content: bytes = field.data.stream.read(MAX_BYTES + 1)
    return content


def _keep_file(change: Change, form: _Texted, id: int, front: Front) -> None:
    if is_sent(form.file):
        name, by = form.file.data.filename, front.actor.name[:64]
        attach(change.session, id, name, _content(form.file), now_us=change.now_us, by=by)
