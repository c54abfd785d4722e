"""Disputes: what accounts contest of their invoices, what was said about it, files, and how it ends."""

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from werkzeug.wrappers import Response as AnyResponse
from wtforms import FileField, RadioField, TextAreaField
from wtforms.validators import Length

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.dispute_decisions import decide_dispute
from pbxbill.billing.invoices.dispute_files import KINDS, MAX_BYTES, attach, content_of, files_of
from pbxbill.billing.invoices.disputes import dispute, remark
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.errors import InputRefused
from pbxbill.listing.dunning import DISPUTES
from pbxbill.listing.listing import N_
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import AmountField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import ReasonForm, form_page
from pbxbill.web.panel.invoice_access import asking_invoice, is_own, own_asking_invoice
from pbxbill.web.panel.lists import ListPage, add_list

THREAD = ("disputed", "dispute_remark", "dispute_file", "dispute_settled", "credited")
"""Kinds of an invoice's events that belong to its dispute."""
OUTCOMES = (
    ("stands", lazy_gettext("The invoice stands: it is due as before.")),
    ("credit", lazy_gettext("The account is right: a credit note gives back what is disputed.")),
)


class FindInvoiceForm(PanelForm):
    """Which invoice is contested."""

    number = LineField(lazy_gettext("Number of the invoice"), [required(), at_most(64)])


class DisputeForm(ReasonForm):
    """What is contested, and why."""

    amount = AmountField(
        lazy_gettext("Disputed"), least=1, description=lazy_gettext("Of what is open. Empty: all of it.")
    )


class RemarkForm(PanelForm):
    """What was said."""

    remark = TextAreaField(
        lazy_gettext("What was said"), [required(), Length(max=400)], render_kw={"rows": 3}
    )


class AttachForm(PanelForm):
    """Something that was sent."""

    file = FileField(lazy_gettext("File"), [required()], render_kw={"accept": ",".join(KINDS)})


class DecideForm(ReasonForm):
    """How it ends."""

    outcome = RadioField(
        lazy_gettext("Who is right?"),
        [required()],
        choices=list(OUTCOMES),
    )


def disputes(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("disputes", __name__)
    add_list(
        section,
        front,
        ListPage(
            DISPUTES,
            "/disputes",
            link="disputes.show",
            empty=(
                N_("No invoice is disputed"),
                N_("What an account contests is not dunned until it is decided."),
            ),
            actions=((N_("New dispute"), "disputes.new", Permission.DUNNING_WRITE),),
        ),
    )
    _add_page(section, front)
    _add_beginning(section, front)
    _add_deciding(section, front)
    return section


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Disputes"), url_for("disputes.listed"))]


def _page(front: Front, id: int, remarks: RemarkForm, files: AttachForm) -> str:
    with front.reading() as session:
        row = asking_invoice(front, session, id)
        thread = session.scalars(
            select(InvoiceEventRow)
            .where(InvoiceEventRow.invoice_id == id, InvoiceEventRow.kind.in_(THREAD))
            .order_by(InvoiceEventRow.id)
        )
        return render_template(
            "panel/disputes/show.html",
            row=row,
            account=session.get_one(AccountRow, row.account_id),
            thread=list(thread),
            files=files_of(session, id),
            remarks=remarks,
            attach_form=files,
            may_write=is_own(front.scope, row) and front.actor.may(Permission.DUNNING_WRITE),
            crumbs=_crumbs(),
        )


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/disputes/<int:id>")
    @needs(Permission.DUNNING_READ)
    def show(id: int) -> str:
        return _page(front, id, RemarkForm(formdata=None), AttachForm(formdata=None))

    @section.post("/disputes/<int:id>/remarks")
    @needs(Permission.DUNNING_WRITE)
    def add_remark(id: int) -> str | AnyResponse:
        form = RemarkForm()
        with front.reading() as session:
            row = own_asking_invoice(front, session, id)
        if form.validate_on_submit():
            text = " ".join((form.remark.data or "").split())
            with (
                refusals(form, "remark") as refused,
                front.changing("dispute.remark", row.number or "", account_id=row.account_id) as change,
            ):
                own_asking_invoice(front, change.session, id)
                remark(change.session, id, text, now_us=change.now_us, by=front.actor.name)
            if not refused:
                return redirect(url_for(".show", id=id), 303)
        return _page(front, id, form, AttachForm(formdata=None))

    @section.post("/disputes/<int:id>/files")
    @needs(Permission.DUNNING_WRITE)
    def add_file(id: int) -> str | AnyResponse:
        form = AttachForm()
        with front.reading() as session:
            row = own_asking_invoice(front, session, id)
        if form.validate_on_submit():
            sent = form.file.data
            content = sent.stream.read(MAX_BYTES + 1)
            name = (sent.filename or "").replace("\\", "/").rpartition("/")[2]
            with (
                refusals(form, "file") as refused,
                front.changing("dispute.file", row.number or "", account_id=row.account_id) as change,
            ):
                own_asking_invoice(front, change.session, id)
                attach(change.session, id, name, content, now_us=change.now_us, by=front.actor.name)
            if not refused:
                return redirect(url_for(".show", id=id), 303)
        return _page(front, id, RemarkForm(formdata=None), form)

    @section.get("/disputes/<int:id>/files/<int:file_id>")
    @needs(Permission.DUNNING_READ)
    def file(id: int, file_id: int) -> Response:
        try:
            with front.reading() as session:
                asking_invoice(front, session, id)
                kept, content = content_of(session, id, file_id)
        except InputRefused:
            abort(404)
        answer = Response(content, mimetype=kept.media_type)
        answer.headers.set("Content-Disposition", "attachment", filename=kept.name)
        return answer


def _add_beginning(section: Blueprint, front: Front) -> None:
    @section.route("/disputes/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new() -> str | AnyResponse:
        form = FindInvoiceForm()
        if form.validate_on_submit():
            with front.reading() as session:
                id = session.scalar(
                    select(InvoiceRow.id).where(
                        InvoiceRow.number == form.number.data,
                        InvoiceRow.kind.in_(ASKING),
                        front.scope.among(InvoiceRow.account_id),
                    )
                )
            if id is not None:
                return redirect(url_for(".begin", id=id), 303)
            form.number.errors = [gettext("There is no invoice of this number.")]
        return form_page(form, gettext("New dispute"), gettext("Continue"), url_for(".listed"), _crumbs())

    @section.route("/disputes/<int:id>/begin", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def begin(id: int) -> str | AnyResponse:
        form = DisputeForm()
        with front.reading() as session:
            row = own_asking_invoice(front, session, id)
            form.amount.unit = unit_of(session, row.unit)
        if request.method == "GET" and row.disputed:
            form.amount.data = row.disputed
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("dispute.begin", row.number or "", account_id=row.account_id) as change,
            ):
                own_asking_invoice(front, change.session, id)
                dispute(
                    change.session,
                    id,
                    reason=form.reason.data or "",
                    now_us=change.now_us,
                    amount=form.amount.data,
                    by=front.actor.name,
                )
            if not refused:
                flash(gettext("What is disputed is not dunned until it is decided."))
                return redirect(url_for(".show", id=id), 303)
        return form_page(
            form,
            gettext("Dispute about %(number)s", number=row.number),
            gettext("Save the dispute"),
            url_for(".listed"),
            _crumbs(),
        )


def _add_deciding(section: Blueprint, front: Front) -> None:
    @section.route("/disputes/<int:id>/decide", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def decide(id: int) -> str | AnyResponse:
        form = DecideForm()
        with front.reading() as session:
            row = own_asking_invoice(front, session, id)
        back = url_for(".show", id=id)
        # A credit note is an invoice's: who only settles disputes may not issue one.
        if not front.actor.may(Permission.INVOICES_WRITE):
            form.outcome.choices = list(OUTCOMES[:1])
        if form.validate_on_submit():
            told = ""
            with (
                refusals(form) as refused,
                front.changing("dispute.decide", row.number or "", account_id=row.account_id) as change,
            ):
                own_asking_invoice(front, change.session, id)
                done = decide_dispute(
                    change.session,
                    change.books,
                    id,
                    credited=form.outcome.data == "credit",
                    reason=form.reason.data or "",
                    now_us=change.now_us,
                    by=front.actor.name,
                )
                told = done.note.number if done.note is not None else ""
            if not refused:
                flash(
                    gettext("It is decided; credit note %(number)s gives it back.", number=told)
                    if told
                    else gettext("It is decided; the invoice is due as before.")
                )
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Decide the dispute about %(number)s", number=row.number),
            gettext("Decide it"),
            back,
            [*_crumbs(), (row.number or "", back)],
            warning=gettext("The account is told. A credit note cannot be taken back."),
        )
