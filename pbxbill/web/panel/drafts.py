"""Drafts of invoices: made by hand, their lines changed, reckoned again, issued or given up."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.invoices.draft_editing import Correction, NewLine, add_line, correct_line, remove_line
from pbxbill.billing.invoices.drafting import discard, new_draft, recalculate
from pbxbill.billing.invoices.issuing import NotIssued, issue
from pbxbill.billing.invoices.printed_parties import lacks_of
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.invoice_access import billed_account, changed, confirmation, own_invoice
from pbxbill.web.panel.invoice_forms import (
    CorrectionForm,
    LineForm,
    NewDraftForm,
    PlainForm,
    ReasonForm,
    currencies,
)


def drafts(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("drafts", __name__)
    _add_new(section, front)
    _add_lines(section, front)
    _add_correction(section, front)
    _add_removal(section, front)
    _add_ends(section, front)
    _add_issuing(section, front)
    _add_discarding(section, front)
    return section


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def new() -> str | Response:
        form = NewDraftForm()
        with front.reading() as session:
            currencies(session, form)
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64]
        if form.validate_on_submit():
            made = 0
            with (
                refusals(form, "account") as refused,
                front.changing("draft.new", form.account.data or "") as change,
            ):
                account = billed_account(front, change.session, form.account.data or "")
                made = new_draft(
                    change.session, account.id, form.unit.data, change.now_us, front.actor.name
                ).id
            if not refused:
                flash(gettext("The draft is empty yet: add its lines."))
                return redirect(url_for("drafts.line", id=made), 303)
        return render_template("panel/drafts/new.html", form=form)


def _add_lines(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/lines/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def line(id: int) -> str | Response:
        form = LineForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            form.price.unit = unit_of(session, row.unit)
        if form.validate_on_submit():

            def add(change: Change, now: InvoiceRow) -> None:
                new = NewLine(
                    form.description.data or "",
                    form.price.data,
                    form.quantity.data,
                    ChargeKind(form.kind.data),
                    form.product_class.data or "",
                )
                add_line(change.session, now.id, new, form.reason.data or "", change.now_us, front.actor.name)

            if not changed(front, form, "draft.line-add", id, add):
                return _told(front, id, gettext("The line is added."))
        return render_template("panel/drafts/line.html", form=form, row=row)


def _add_correction(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/lines/<int:line_id>", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def correct(id: int, line_id: int) -> str | Response:
        with front.reading() as session:
            row = own_invoice(front, session, id)
            kept = _line(session, row, line_id)
            unit = unit_of(session, row.unit)
        form = CorrectionForm(data={"description": kept.description, "net": kept.net_exact})
        form.net.unit = unit

        def facts(found: InvoiceLineRow) -> dict[str, str | None]:
            return {"description": found.description, "net": format_amount(found.net_exact, unit)}

        if request.method == "GET":
            form.edition.data = edition_of(facts(kept))
        if form.validate_on_submit():

            def mend(change: Change, now: InvoiceRow) -> None:
                found = _line(change.session, now, line_id)
                check_edition(form, facts(found))
                text = form.description.data or ""
                correction = Correction(form.net.data, None if text == found.description else text)
                correct_line(
                    change.session,
                    line_id,
                    correction,
                    form.reason.data or "",
                    change.now_us,
                    front.actor.name,
                )

            if not changed(front, form, "draft.line-correct", id, mend, field="net"):
                return _told(front, id, gettext("The line is corrected."))
        return render_template("panel/drafts/correct.html", form=form, row=row, line=kept)


def _add_removal(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/lines/<int:line_id>/remove", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def remove(id: int, line_id: int) -> str | Response:
        form = ReasonForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            kept = _line(session, row, line_id)
        if form.validate_on_submit():

            def take_out(change: Change, now: InvoiceRow) -> None:
                _line(change.session, now, line_id)
                remove_line(change.session, line_id, form.reason.data or "", change.now_us, front.actor.name)

            if not changed(front, form, "draft.line-remove", id, take_out):
                return _told(front, id, gettext("The line counts nothing any more."))
        what = gettext(
            "%(line)s, %(amount)s, counts nothing then. What a wallet gave for it is given back when the "
            "draft is issued.",
            line=kept.description,
            amount=plain_amount(kept.net_exact, row.unit),
        )
        return confirmation(form, row, gettext("Remove a line"), what, gettext("Remove the line"))


def _line(session: Session, row: InvoiceRow, line_id: int) -> InvoiceLineRow:
    line = session.get(InvoiceLineRow, line_id)
    if line is None or line.invoice_id != row.id:
        abort(404)
    return line


def _told(front: Front, id: int, what: str) -> Response:
    """Back to the draft, with what it comes to now."""
    with front.reading() as session:
        row = session.get_one(InvoiceRow, id)
        total = plain_amount(row.total, unit_of(session, row.unit))
    flash(gettext("%(what)s The draft comes to %(total)s.", what=what, total=total))
    return redirect(url_for("invoices.show", id=id), 303)


def _add_ends(section: Blueprint, front: Front) -> None:
    @section.post("/invoices/<int:id>/recalculate")
    @needs(Permission.INVOICES_WRITE)
    def again(id: int) -> Response:
        form = PlainForm()

        def reckon(change: Change, now: InvoiceRow) -> None:
            recalculate(change.session, now.id, change.now_us, front.actor.name)

        refused = changed(front, form, "draft.recalculate", id, reckon)
        if refused:
            flash(refused.messages[0], "bad")
            return redirect(url_for("invoices.show", id=id), 303)
        return _told(front, id, gettext("It is reckoned again; lines changed by hand stayed."))


def _add_issuing(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/issue", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def issue_draft(id: int) -> str | Response:
        form = PlainForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            code = session.get_one(AccountRow, row.account_id).code
            lacks = lacks_of(session, row)
        if row.state != "draft":
            flash(gettext("It is issued or given up already."), "warn")
            return redirect(url_for("invoices.show", id=id), 303)
        if form.validate_on_submit():
            told: list[str] = []

            def number_it(change: Change, now: InvoiceRow) -> None:
                outcome = issue(change.session, change.books, now.id, change.now_us, front.actor.name)
                if isinstance(outcome, NotIssued):
                    raise InputRefused(outcome.reason)
                told.append(outcome.number)

            if not changed(front, form, "draft.issue", id, number_it):
                flash(gettext("It is invoice %(number)s now.", number=told[0]))
                return redirect(url_for("invoices.show", id=id), 303)
        what = gettext(
            "The draft of %(account)s over %(total)s gets a number and is owed from now on. An invoice that "
            "is issued is never changed: a credit note corrects it.",
            account=code,
            total=plain_amount(row.total, row.unit),
        )
        return confirmation(
            form,
            row,
            gettext("Issue the draft"),
            what,
            gettext("Issue the invoice"),
            danger=False,
            lacks=lacks,
        )


def _add_discarding(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/discard", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def give_up(id: int) -> str | Response:
        form = ReasonForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
        if form.validate_on_submit():
            found: list[bool] = []

            def drop(change: Change, now: InvoiceRow) -> None:
                of_period, reason = now.period_key is not None, form.reason.data or ""
                again = discard(change.session, now.id, reason, change.now_us, front.actor.name)
                found.extend([of_period, again])

            if not changed(front, form, "draft.discard", id, drop):
                flash(_discarded(*found))
                return redirect(url_for("invoices.show", id=id), 303)
        what = gettext(
            "Nothing is owed by it. What the draft holds is released: it is on the account's next invoice."
        )
        return confirmation(form, row, gettext("Discard the draft"), what, gettext("Discard the draft"))


def _discarded(of_period: bool, again: bool) -> str:
    if not of_period:
        return str(gettext("The draft is discarded."))
    if again:
        return str(gettext("The draft is discarded; the next billing run makes it anew."))
    return str(gettext("The draft is discarded; what was on it is on the account's next invoice."))
