"""Invoices, notes, receipts and quotes: the list, one document, its files, and what is done with it.

Drafts and their lines are in drafts.py, what is done with many in together.py.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.call_list import zone_of_document
from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.draft_editing import NewLine
from pbxbill.billing.invoices.history import MAX_PAGE, behind_lines
from pbxbill.billing.invoices.invoice_files import file_shown
from pbxbill.billing.invoices.note_amounts import Amount, Lines, What, Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.invoices.printed_parties import lacks_of
from pbxbill.billing.invoices.sending import NotQueued, send_invoice
from pbxbill.billing.invoices.standing import ASKING, STANDING, UNSETTLED
from pbxbill.billing.payments.payments import spare_funds, write_off
from pbxbill.billing.period import local_date
from pbxbill.errors import InputRefused
from pbxbill.listing.draft_review import review_of
from pbxbill.listing.invoice_lines import INVOICE_ID, INVOICE_LINES, lines_to_choose
from pbxbill.listing.invoice_parts import parts_of
from pbxbill.listing.invoices import invoices as invoices_listing
from pbxbill.listing.listing import MAX_FILTER_LENGTH, N_
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import plain_number, refusals, sentence
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.invoice_access import changed, is_own, own_invoice, seen_invoice, subject
from pbxbill.web.panel.invoice_forms import (
    QUANTITY,
    CreditForm,
    DebitForm,
    SendForm,
    WriteOffForm,
)
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.taxes import CATEGORY_WORDS

MEDIA = {"pdf": "application/pdf", "xml": "application/xml", "csv": "text/csv"}
ENTRIES_SHOWN = 100
MAX_ID_DIGITS = 18


def invoices(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("invoices", __name__)
    add_list(
        section,
        front,
        ListPage(
            replace(invoices_listing(front.clock), finish=shown_states(front)),
            "/invoices",
            link="invoices.show",
            template="panel/invoices/list.html",
            sparse=("disputed",),
            empty=(
                N_("There is no invoice yet"),
                N_("A billing run makes them, of what accounts have used and subscribed to."),
            ),
            actions=(
                (N_("New billing run"), "runs.new", Permission.INVOICES_WRITE),
                (N_("New draft"), "drafts.new", Permission.INVOICES_WRITE),
                (N_("Charges"), "charges.listed", Permission.INVOICES_READ),
            ),
        ),
    )
    _add_lines(section, front)
    _add_pages(section, front)
    _add_sending(section, front)
    _add_notes(section, front)
    _add_debits(section, front)
    return section


def shown_states(front: Front) -> Callable[[Session, list[dict[str, Any]]], None]:
    """What has no number yet is named all the same; what is past its day says so."""

    def finish(_session: Session, rows: list[dict[str, Any]]) -> None:
        now_us = front.clock.now_us()
        for row in rows:
            row["number"] = row["number"] or gettext("Draft %(id)s", id=row["id"])
            is_past = (row["due_us"] or now_us) < now_us
            if is_past and row["kind"] in ASKING and row["state"] in UNSETTLED and row["open"] > 0:
                row["state"] = "overdue"
            elif is_past and row["kind"] == "quote" and row["state"] == "open":
                row["state"] = "expired"

    return finish


def _add_lines(section: Blueprint, front: Front) -> None:
    def of_path() -> InvoiceRow:
        with front.reading() as session:
            return seen_invoice(front, session, int((request.view_args or {})["id"]))

    def more() -> dict[str, Any]:
        row = of_path()
        may = front.actor.may(Permission.INVOICES_WRITE) and is_own(front.scope, row)
        is_draft = row.kind == "invoice" and row.state == "draft"
        return {"row_of_lines": row, "may_change": may and is_draft}

    add_list(
        section,
        front,
        ListPage(
            INVOICE_LINES,
            "/invoices/<int:id>/lines",
            endpoint="lines",
            template="panel/invoices/lines.html",
            empty=(N_("It has no line yet"), N_("A draft without lines cannot be issued.")),
            more=more,
            given=lambda: {INVOICE_ID: str(of_path().id)},
        ),
    )


def _add_pages(section: Blueprint, front: Front) -> None:
    @section.get("/invoices/<int:id>")
    @needs(Permission.INVOICES_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = seen_invoice(front, session, id)
            may = front.actor.may(Permission.INVOICES_WRITE) and is_own(front.scope, row)
            is_open = row.kind in ASKING and row.state in UNSETTLED
            may_correct = may and front.actor.may(Permission.PAYMENTS_CORRECT)
            zone = zone_of_document(session, row)
            return render_template(
                "panel/invoices/show.html",
                row=row,
                parts=parts_of(session, row),
                category_words=CATEGORY_WORDS,
                account=session.get_one(AccountRow, row.account_id),
                issuer=session.get_one(AccountRow, row.issuer_id),
                asks=row.kind in ASKING and row.state in STANDING,
                is_open=is_open,
                spare=spare_funds(session, row.account_id, row.unit) if is_open and may_correct else 0,
                lacks=lacks_of(session, row) if row.state == "draft" else (),
                review=review_of(session, front.scope, row) if may else None,
                day_there=lambda at_us: None if at_us is None else local_date(at_us, zone),
                overdue=_is_overdue(row, front.clock.now_us()),
                expired=row.kind == "quote" and row.state == "open" and (row.due_us or 0) <= _now(front),
                may=may,
                may_correct=may_correct,
                quantity=lambda value: format_amount(value, QUANTITY),
            )

    @section.get("/invoices/<int:id>/entries")
    @needs(Permission.INVOICES_READ)
    def entries(id: int) -> str:
        after = request.args.get("after", "")[:32]
        with front.reading() as session:
            row = seen_invoice(front, session, id)
            found = behind_lines(session, row.id, after=after, limit=min(ENTRIES_SHOWN + 1, MAX_PAGE))
        shown = found[:ENTRIES_SHOWN]
        return render_template(
            "panel/invoices/entries.html",
            row=row,
            entries=shown,
            next_after=shown[-1].entry_id if len(found) > ENTRIES_SHOWN else "",
            after=after,
        )

    @section.get("/invoices/<int:id>/file.<any(pdf, xml, csv):kind>")
    @needs(Permission.INVOICES_READ)
    def file(id: int, kind: str) -> Response | AnyResponse:
        with front.reading() as session:
            seen_invoice(front, session, id)
        try:
            found = file_shown(front.desks.application.database, id, kind, front.clock.now_us())
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return redirect(url_for("invoices.show", id=id), 303)
        answer = Response(found.content, mimetype=MEDIA[kind])
        how = "attachment" if request.args.get("save") or kind != "pdf" else "inline"
        name = found.name.encode("ascii", "replace").decode().replace('"', "").replace("?", "-")
        answer.headers["Content-Disposition"] = f'{how}; filename="{name}"'
        return answer


def _add_sending(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/send", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def send(id: int) -> str | AnyResponse:
        form = SendForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
        if form.validate_on_submit():
            told = ""
            with refusals(form, "to") as refused:
                to = tuple(x.strip() for x in (form.to.data or "").split(",") if x.strip())
                # It makes files, which takes longer than a transaction may: what was done is noted after.
                database = front.desks.application.database
                outcome = send_invoice(database, id, front.clock.now_us(), to=to, by=front.actor.name)
                if isinstance(outcome, NotQueued):
                    raise InputRefused(outcome.reason)
                told = ", ".join(outcome.recipients)
                with front.changing("invoice.send", subject(row), account_id=row.account_id):
                    pass
            if not refused:
                flash(gettext("It is on its way to %(addresses)s.", addresses=told))
                return redirect(url_for("invoices.show", id=id), 303)
        return render_template("panel/invoices/send.html", form=form, row=row)


def _add_notes(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/credit", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def credit_note(id: int) -> str | AnyResponse:
        form = CreditForm()
        lines: list[InvoiceLineRow] = []
        has_more = False
        with front.reading() as session:
            row = own_invoice(front, session, id)
            form.amount.unit = unit = unit_of(session, row.unit)
            with refusals(form):
                text = request.form.get("q", "").replace("\0", "")[:MAX_FILTER_LENGTH]
                lines, has_more = lines_to_choose(session, id, text, _chosen())
        if request.method == "GET" and request.args.get("what") == "whole":
            form.what.data = "whole"
        if not (form.form_errors or request.form.get("find")) and form.validate_on_submit():
            made: list[tuple[str, int]] = []

            def give_back(change: Change, now: InvoiceRow) -> None:
                what = _what(form, unit, lines)
                done = credit(
                    change.session, change.books, now.id, what, form.reason.data or "", change.now_us,
                    front.actor.name,
                )  # fmt: skip
                made.append((done.number, done.total))

            if not changed(front, form, "invoice.credit", id, give_back):
                number, total = made[0]
                flash(
                    gettext(
                        "Credit note %(number)s gives back %(amount)s.",
                        number=number,
                        amount=plain_amount(total, unit),
                    )
                )
                return redirect(url_for("invoices.show", id=id), 303)
        return render_template(
            "panel/invoices/credit.html",
            form=form,
            row=row,
            lines=lines,
            has_more=has_more,
            written=request.form,
        )


def _add_debits(section: Blueprint, front: Front) -> None:
    @section.route("/invoices/<int:id>/debit", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def debit_note(id: int) -> str | AnyResponse:
        form = DebitForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            form.price.unit = unit = unit_of(session, row.unit)
        if form.validate_on_submit():
            made: list[tuple[int, str, int]] = []

            def ask_more(change: Change, now: InvoiceRow) -> None:
                line = NewLine(
                    form.description.data or "",
                    form.price.data,
                    form.quantity.data,
                    product_class=form.product_class.data or "",
                )
                done = debit(
                    change.session, change.books, now.id, [line], form.reason.data or "", change.now_us,
                    front.actor.name,
                )  # fmt: skip
                made.append((done.invoice_id, done.number, done.total))

            if not changed(front, form, "invoice.debit", id, ask_more):
                note_id, number, total = made[0]
                flash(
                    gettext(
                        "Debit note %(number)s asks for %(amount)s.",
                        number=number,
                        amount=plain_amount(total, unit),
                    )
                )
                return redirect(url_for("invoices.show", id=note_id), 303)
        return render_template("panel/invoices/debit.html", form=form, row=row)

    @section.route("/invoices/<int:id>/write-off", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def give_up(id: int) -> str | AnyResponse:
        form = WriteOffForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
            form.amount.unit = unit_of(session, row.unit)
        if form.validate_on_submit():

            def write(change: Change, now: InvoiceRow) -> None:
                write_off(
                    change.session, change.books, now.id, reason=form.reason.data or "",
                    now_us=change.now_us, amount=form.amount.data, by=front.actor.name,
                )  # fmt: skip

            if not changed(front, form, "invoice.write-off", id, write, field="amount"):
                flash(gettext("It is written off."))
                return redirect(url_for("invoices.show", id=id), 303)
        return render_template("panel/invoices/write_off.html", form=form, row=row)


def _chosen() -> set[int]:
    """Lines of a form that are ticked, or of which something is written."""
    written = [
        key.removeprefix("net-") for key, x in request.form.items() if key.startswith("net-") and x.strip()
    ]
    names = [*request.form.getlist("line"), *written]
    return {int(x) for x in names if x.isascii() and x.isdigit() and len(x) <= MAX_ID_DIGITS}


def _what(form: CreditForm, unit: Unit, lines: list[InvoiceLineRow]) -> What:
    """What a form gives back; InputRefused where it cannot be known."""
    match form.what.data:
        case "whole":
            return Whole()
        case "amount":
            if form.amount.data is None:
                raise InputRefused(gettext("say the amount, or choose something else to give back"))
            return Amount(form.amount.data)
        case _:
            chosen = _chosen()
            nets: list[tuple[int, int | None]] = []
            for line in lines:
                written = request.form.get(f"net-{line.id}", "").strip()[:40]
                if line.id in chosen:
                    nets.append((line.id, parse_amount(plain_number(written), unit) if written else None))
            if not nets:
                raise InputRefused(gettext("choose a line at least"))
            return Lines(tuple(nets))


def _is_overdue(row: InvoiceRow, now_us: int) -> bool:
    asks = row.kind in ASKING and row.state in UNSETTLED and row.open > 0
    return asks and row.due_us is not None and row.due_us < now_us


def _now(front: Front) -> int:
    return front.clock.now_us()
