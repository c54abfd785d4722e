"""Something is done with many invoices: chosen in the list, shown, agreed to, watched as it goes on.

The work itself is billing/invoices/together.py's; here it runs in the background of this process, and its
row says to every process how far it is.
"""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.app import open_books
from pbxbill.billing.invoices.together import (
    ACTIONS,
    NEED_REASON,
    ask_to_stop,
    begin,
    choose,
    do_chosen,
    state_of,
    told_of,
)
from pbxbill.errors import InputRefused
from pbxbill.listing.chosen_invoices import chosen_by_id, chosen_of_list, sums_of
from pbxbill.listing.invoices import invoices as invoices_listing
from pbxbill.listing.listing import Asked, FilterRefused
from pbxbill.store.invoice_models import InvoiceActionRow, InvoiceRow
from pbxbill.web.background import Background
from pbxbill.web.fields import refusals, sentence
from pbxbill.web.formatting import count, reader_zone
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.invoice_forms import PlainForm, ReasonForm

MAX_TICKED = 1_000


def together(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("together", __name__)
    _add_choice(section, front)
    _add_work(section, front, Background())
    return section


def _add_choice(section: Blueprint, front: Front) -> None:
    @section.post("/invoices/together", endpoint="choose")
    @needs(Permission.INVOICES_WRITE)
    def choose_them() -> AnyResponse:
        action = request.form.get("action", "")
        if action not in ACTIONS:
            abort(400)
        back = url_for("invoices.listed") + "?" + urlencode(_filters(front))
        try:
            with front.reading() as session:
                ids = _chosen(session, front, action)
            with front.changing("invoices.choose", action) as change:
                scope_id = front.scope.account_id
                row_id = choose(change.session, scope_id, action, ids, change.now_us, front.actor.name).id
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return redirect(back, 303)
        return redirect(url_for("together.show", id=row_id), 303)


def _filters(front: Front) -> dict[str, str]:
    listing = invoices_listing(front.clock)
    return {x.key: request.form[x.key] for x in listing.filters if request.form.get(x.key)}


def _chosen(session: Session, front: Front, action: str) -> list[int]:
    """Ids of what was chosen, as far as it can be done with them and they are his."""
    if request.form.get("which") == "all":
        asked = Asked(_filters(front), zone=str(reader_zone()))
        try:
            return chosen_of_list(session, front.scope, action, asked, front.clock)
        except FilterRefused as error:
            raise InputRefused(str(error)) from None
    ticked = {int(x) for x in request.form.getlist("chosen") if x.isascii() and x.isdigit() and len(x) < 18}
    if not ticked:
        raise InputRefused(gettext("Tick the invoices first, or choose all of the list."))
    if len(ticked) > MAX_TICKED:
        told = gettext(
            "Up to %(most)d invoices are ticked at once: choose all of the list instead.", most=MAX_TICKED
        )
        raise InputRefused(told)
    return chosen_by_id(session, front.scope, action, ticked)


def _add_work(section: Blueprint, front: Front, threads: Background) -> None:
    application = front.desks.application

    def work(row_id: int) -> None:
        with open_books(application) as books:
            do_chosen(application.database, books, application.clock, row_id)

    @section.route("/invoices/together/<int:id>", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def show(id: int) -> str | AnyResponse:
        with front.reading() as session:
            row = _seen(session, front, id)
            state = state_of(row, front.clock.now_us())
            sums = sums_of(session, row) if state == "chosen" else []
            numbers = _numbers(session, row)
        form = ReasonForm() if row.action in NEED_REASON and state == "chosen" else PlainForm()
        if form.validate_on_submit():
            reason = form.reason.data if isinstance(form, ReasonForm) else ""
            with refusals(form) as refused, front.changing(f"invoices.{row.action}", str(id)) as change:
                begin(change.session, _seen(change.session, front, id).id, change.now_us, reason or "")
            if not refused:
                threads.start(f"invoices-{id}", lambda: work(id))
                return redirect(url_for("together.show", id=id), 303)
        return render_template(
            "panel/together/show.html",
            form=form,
            row=row,
            state=state,
            sums=sums,
            told=told_of(row),
            numbers=numbers,
            sentence=sentence,
        )

    @section.get("/invoices/together/<int:id>/progress")
    @background
    @needs(Permission.INVOICES_WRITE)
    def progress(id: int) -> Response:
        """How far it is, for a page that is open."""
        with front.reading() as session:
            row = _seen(session, front, id)
        state = state_of(row, front.clock.now_us())
        text = gettext("%(done)s of %(total)s", done=count(row.looked), total=count(row.total))
        return jsonify(done=row.looked, total=row.total, text=text, over=state not in ("running", "stopping"))

    @section.post("/invoices/together/<int:id>/stop")
    @needs(Permission.INVOICES_WRITE)
    def stop(id: int) -> AnyResponse:
        try:
            with front.changing("invoices.stop", str(id)) as change:
                ask_to_stop(change.session, _seen(change.session, front, id).id)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            flash(gettext("It stops after the invoice that it is at."))
        return redirect(url_for("together.show", id=id), 303)


def _seen(session: Session, front: Front, id: int) -> InvoiceActionRow:
    return front.one(
        session,
        select(InvoiceActionRow).where(
            InvoiceActionRow.id == id, front.scope.issued(InvoiceActionRow.scope_id)
        ),
    )


def _numbers(session: Session, row: InvoiceActionRow) -> dict[int, Any]:
    """What the invoices that something is told of are called."""
    ids = [id for id, _text, _done in told_of(row)]
    query = select(InvoiceRow.id, InvoiceRow.number).where(InvoiceRow.id.in_(ids))
    return {id: number or gettext("Draft %(id)s", id=id) for id, number in session.execute(query)}
