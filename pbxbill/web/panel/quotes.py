"""Quotes: offered, accepted, refused. One quote is shown where invoices are."""

from collections.abc import Iterator
from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.quotes import (
    NewQuote,
    Offered,
    QuoteLine,
    accept,
    end_of_validity,
    offer,
    plan_quote,
    refuse,
    seller_of,
)
from pbxbill.billing.subscriptions.plan_catalogue import offered_version
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.quotes import quotes as quotes_listing
from pbxbill.money import Unit, parse_amount
from pbxbill.store.billing_models import PlanRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import plain_number, refusals
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.invoice_access import billed_account, changed, confirmation, own_invoice
from pbxbill.web.panel.invoice_forms import (
    QUANTITY,
    QUOTED_LINES,
    AcceptForm,
    QuoteForm,
    ReasonForm,
    currencies,
)
from pbxbill.web.panel.invoices import shown_states
from pbxbill.web.panel.lists import ListPage, add_list


def quotes(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("quotes", __name__)
    listing = replace(quotes_listing(front.clock), finish=shown_states(front))
    add_list(
        section,
        front,
        ListPage(
            listing,
            "/quotes",
            link="invoices.show",
            empty=(
                N_("There is no quote yet"),
                N_("A quote offers lines or a plan until a day. Accepted, it is invoiced or subscribed to."),
            ),
            actions=((N_("New quote"), "quotes.new", Permission.INVOICES_WRITE),),
        ),
    )
    _add_new(section, front)
    _add_ends(section, front)
    return section


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route("/quotes/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def new() -> str | Response:
        form = QuoteForm()
        with front.reading() as session:
            units = currencies(session, form)
            plans = session.scalars(
                select(PlanRow.name)
                .where(
                    front.scope.issued(PlanRow.issuer_id), PlanRow.retired_us.is_(None), PlanRow.kind != "did"
                )
                .order_by(PlanRow.name)
            ).all()
        form.plan.choices = [("", gettext("no plan: the lines below")), *((x, x) for x in plans)]
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64]
        if form.validate_on_submit():
            made: list[Offered] = []
            code = form.account.data or ""
            with refusals(form) as refused, front.changing("quote.offer", code) as change:
                account = billed_account(front, change.session, code)
                wanted = _wanted(change.session, form, account, units)
                made.append(offer(change.session, account, wanted, change.now_us, front.actor.name))
                unit = units[wanted.unit]
            if not refused:
                total = plain_amount(made[0].total, unit)
                flash(gettext("Quote %(number)s offers %(total)s.", number=made[0].number, total=total))
                return redirect(url_for("invoices.show", id=made[0].quote_id), 303)
        return render_template("panel/quotes/new.html", form=form, written=request.form, count=QUOTED_LINES)


def _wanted(session: Session, form: QuoteForm, account: AccountRow, units: dict[str, Unit]) -> NewQuote:
    note = (form.note.data or "").strip().replace("\r\n", "\n")
    lines = tuple(_lines(units[form.unit.data]))
    if bool(form.plan.data) == bool(lines):
        raise InputRefused(gettext("Say what is offered: either a plan, or lines."))
    until_us = end_of_validity(session, account, form.until.data)
    if form.plan.data:
        version = offered_version(session, seller_of(session, account), form.plan.data)
        return plan_quote(version, form.plan_quantity.data or 1, until_us, note)
    return NewQuote(form.unit.data, lines, until_us, note)


def _lines(unit: Unit) -> Iterator[QuoteLine]:
    """What the rows of the form offer; an empty row offers nothing."""
    for number in range(QUOTED_LINES):
        text, quantity, price = (
            " ".join(request.form.get(f"{name}-{number}", "").split())[:300]
            for name in ("text", "quantity", "price")
        )
        if not (text or price):
            continue
        if not (text and price):
            raise InputRefused(gettext("Line %(number)s needs a description and a price.", number=number + 1))
        yield QuoteLine(
            text,
            parse_amount(plain_number(price), unit),
            parse_amount(plain_number(quantity or "1"), QUANTITY),
        )


def _add_ends(section: Blueprint, front: Front) -> None:
    @section.route("/quotes/<int:id>/accept", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def take_up(id: int) -> str | Response:
        form = AcceptForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
        if form.validate_on_submit():
            target: list[int] = []

            def take(change: Change, now: InvoiceRow) -> None:
                done = accept(
                    change.session, change.books, now.id, change.now_us, front.actor.name,
                    issue_now=form.issue_now.data,
                )  # fmt: skip
                target.append(done.invoice_id or now.id)

            if not changed(front, form, "quote.accept", id, take):
                flash(gettext("The quote is accepted."))
                return redirect(url_for("invoices.show", id=target[0]), 303)
        what = gettext("Its lines become a draft at its prices; a plan becomes a subscription at once.")
        return confirmation(
            form, row, gettext("The quote is accepted"), what, gettext("It is accepted"), danger=False
        )

    @section.route("/quotes/<int:id>/refuse", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def turn_down(id: int) -> str | Response:
        form = ReasonForm()
        with front.reading() as session:
            row = own_invoice(front, session, id)
        if form.validate_on_submit():

            def end(change: Change, now: InvoiceRow) -> None:
                refuse(change.session, now.id, form.reason.data or "", change.now_us, front.actor.name)

            if not changed(front, form, "quote.refuse", id, end):
                flash(gettext("It is noted that nobody wants it."))
                return redirect(url_for("invoices.show", id=id), 303)
        what = gettext("A quote that is refused cannot be accepted any more.")
        return confirmation(form, row, gettext("The quote is refused"), what, gettext("It is refused"))
