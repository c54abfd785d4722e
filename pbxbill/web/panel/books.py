"""Books: the trial balance, the journal and its entries, and the journal as a file for accounting."""

import threading
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import BooleanField, RadioField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.books.asked_books import (
    Books,
    Form,
    balances_of_days,
    books_of,
    checked_day,
)
from pbxbill.billing.books.trial_balance import TrialBalance
from pbxbill.billing.period import local_date
from pbxbill.listing.journal import CHART_NAMES, JOURNAL, journal_entry, sellers_of
from pbxbill.listing.listing import N_
from pbxbill.listing.payment_entries import SHOWN
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import DayField, PanelForm, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.journal_file import journal_file
from pbxbill.web.panel.asking import tabs_of
from pbxbill.web.panel.lists import ListPage, add_list


class _AskedForm(PanelForm):
    """Whose books, of which days; it is in the address, and changes nothing."""

    class Meta:
        csrf = False

    issuer = SelectField(lazy_gettext("Books of"))


class BalanceForm(_AskedForm):
    """A trial balance."""

    first = DayField(lazy_gettext("From"), description=lazy_gettext("Empty: since the first entry."))
    last = DayField(lazy_gettext("As of the end of"), [required()])
    unit = SelectField(lazy_gettext("Unit"))


class ExportForm(_AskedForm):
    """The journal as a file."""

    first = DayField(lazy_gettext("From"), [required()])
    last = DayField(lazy_gettext("To"), [required()])
    form = RadioField(
        lazy_gettext("File"),
        choices=[
            (Form.CSV.value, lazy_gettext("CSV: a line for each posting")),
            (Form.BEANCOUNT.value, lazy_gettext("Beancount: text with opening balances and checks")),
        ],
        default=Form.CSV.value,
    )
    by_day = BooleanField(lazy_gettext("Sum up usage by day instead of an entry for each call"))


def books(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("books", __name__)
    add_list(
        section,
        front,
        ListPage(
            JOURNAL,
            "/books/journal",
            link=lambda row: url_for("books.entry", entry=row["id"]),
            template="panel/payments/tabbed.html",
            endpoint="journal",
            empty=(
                N_("Nothing is in the books yet"),
                N_("Entries appear here as calls end, charges are made and money comes in."),
            ),
            more=lambda: {"tabs": _tabs(front), "tab": "journal"},
        ),
    )
    _add_balance(section, front)
    _add_export(section, front)
    _add_entry(section, front)
    return section


def _tabs(front: Front) -> list[tuple[str, str, str]]:
    return tabs_of(
        front,
        ("balance", gettext("Trial balance"), "books.listed", "reports:read"),
        ("journal", gettext("Journal"), "books.journal", "reports:read"),
        ("export", gettext("For accounting"), "books.export", "reports:read"),
    )


def _add_balance(section: Blueprint, front: Front) -> None:
    one = threading.Lock()

    @section.route("/books")
    @needs(Permission.REPORTS_READ)
    def listed() -> str | tuple[str, int]:
        with front.reading() as session:
            form, chosen = _asked(session, front, BalanceForm)
            form.unit.choices = [("", gettext("All")), *((x, x) for x in chosen.units)]
            form.unit.data = form.unit.data or ""
        if not form.is_submitted_here:
            form.last.data = local_date(front.clock.now_us(), chosen.zone)
        shown: list[dict[str, Any]] | None = None
        if form.is_submitted_here and form.validate():
            # Every posting is read: one at a time, or some clicks would hold all that serves pages.
            if not one.acquire(timeout=5):
                form.form_errors.append(gettext("The books are being added up for somebody else: try again."))
            else:
                try:
                    with refusals(form, "first"):
                        shown = _balances(front, chosen, form)
                finally:
                    one.release()
        body = render_template(
            "panel/books/balance.html",
            form=form,
            shown=shown,
            chosen=chosen,
            tabs=_tabs(front),
            names=CHART_NAMES,
        )
        return (body, 400) if form.errors else body


def _balances(front: Front, chosen: Books, form: BalanceForm) -> list[dict[str, Any]]:
    days = [None if x is None else checked_day(x) for x in (form.first.data, form.last.data)]
    found = balances_of_days(front.desks.application.connect, chosen, *days)
    return [_shown(x) for x in found if form.unit.data in ("", x.unit.code)]


def _shown(balance: TrialBalance) -> dict[str, Any]:
    """With the sums, and without accounts that were never used."""
    used = [x for x in balance.accounts if x.opening or x.debit or x.credit]
    sums = {key: sum(getattr(x, key) for x in used) for key in ("opening", "debit", "credit", "closing")}
    return {"balance": balance, "unit": balance.unit.code, "accounts": used, "sums": sums}


def _add_export(section: Blueprint, front: Front) -> None:
    @section.route("/books/export")
    @needs(Permission.REPORTS_READ)
    def export() -> str | Response | tuple[str, int]:
        with front.reading() as session:
            form, chosen = _asked(session, front, ExportForm)
        form.form.data = form.form.data or Form.CSV.value
        if not form.is_submitted_here:
            month_ends = local_date(front.clock.now_us(), chosen.zone).replace(day=1) - timedelta(days=1)
            form.first.data, form.last.data = month_ends.replace(day=1), month_ends
        elif form.validate():
            with refusals(form, "last") as refused:
                first, last = checked_day(form.first.data), checked_day(form.last.data)
                asked = chosen.exported(first, last, by_day=form.by_day.data)
            if not refused:
                connect = front.desks.application.connect
                return journal_file(connect, chosen, asked, Form(form.form.data))
        body = render_template("panel/books/export.html", form=form, tabs=_tabs(front))
        return (body, 400) if form.errors else body


def _asked(session: Session, front: Front, made: type[Any]) -> tuple[Any, Books]:
    """The form as the address fills it, and the books that it names; else those of whoever acts."""
    sellers = sellers_of(session, front.scope)
    # An address may say some of it: what a list says of another page.
    form = made(request.args)
    form.is_submitted_here = "last" in request.args
    form.issuer.choices = [(str(x.id), f"{x.code}, {x.name}") for x in sellers]
    own = next((x for x in sellers if x.id == front.scope.account_id), None)
    asked = next((x for x in sellers if str(x.id) == form.issuer.data), None)
    if not form.is_submitted_here or not form.issuer.data:
        form.issuer.data = str(front.scope.account_id)
    chosen = asked or own or session.get_one(AccountRow, front.scope.account_id)
    return form, books_of(session, chosen)


def _add_entry(section: Blueprint, front: Front) -> None:
    @section.route("/books/journal/<entry>")
    @needs(Permission.REPORTS_READ)
    def entry(entry: str) -> str:
        with front.reading() as session:
            facts = journal_entry(session, front.scope, entry)
            if facts is None:
                abort(404)
            return render_template(
                "panel/books/entry.html",
                facts=facts,
                entry=facts.entry,
                names=CHART_NAMES,
                is_payment=facts.entry.kind in SHOWN,
            )
