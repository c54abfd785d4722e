"""Re-rating: what past calls should have cost, shown first, corrected when somebody agrees, and stopped."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, stream_with_context, url_for
from flask import Response as Flow
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.rerating import (
    RERATINGS,
    begin_rerating,
    definition_of,
    definition_of_call,
    plan_rerating,
    state_of,
    stop_rerating,
)
from pbxbill.mediation.rerate import Definition
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code
from pbxbill.store.models import AccountRow, RateDeckRow, TariffRow
from pbxbill.store.rerating_models import ReratingPlanRow
from pbxbill.web.fields import AccountField, MomentField, PanelForm, refusals, required, sentence
from pbxbill.web.formatting import unit_known
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.list_files import harmless
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.rerate_worker import RerateWorker

MOST_SHOWN, AT_ONCE = 200, 5_000
FILE_COLUMNS = (
    *(N_("Account"), N_("Unit"), N_("Charges"), N_("Change"), N_("Owed"), N_("Would be")),
    *(N_("Difference"), N_("Without a rate"), N_("Kept")),
)


class RerateForm(PanelForm):
    """Which calls, and by what."""

    since = MomentField(lazy_gettext("Calls from"), [required()])
    until = MomentField(lazy_gettext("Until"), [required()])
    account = AccountField(
        lazy_gettext("Account"),
        description=lazy_gettext("Calls that it was charged for, those of accounts below it included."),
    )
    tariff = SelectField(
        lazy_gettext("By another tariff"),
        description=lazy_gettext("Instead of the one that each call was charged by."),
    )
    deck = SelectField(
        lazy_gettext("By another rate deck"),
        description=lazy_gettext("As it stands now for the time of each call."),
    )


def rerating(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("rerating", __name__)
    add_list(
        section,
        front,
        ListPage(
            RERATINGS,
            "/rerating",
            link="rerating.show",
            empty=(
                N_("No call was re-rated here yet"),
                N_("After a price was wrong: import the right one from its date, then re-rate the calls."),
            ),
            actions=((N_("Re-rate calls"), "rerating.new", Permission.OPERATIONS_WRITE),),
        ),
    )
    worker = RerateWorker(front)
    _add_making(section, front, worker)
    _add_plan(section, front, worker)
    return section


def _add_making(section: Blueprint, front: Front, worker: RerateWorker) -> None:
    @section.route("/rerating/new", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def new() -> str | Response:
        form = RerateForm()
        with front.reading() as session:
            _fill(session, front, form)
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64]
        if form.validate_on_submit():
            plan_id = 0
            with refusals(form):
                account = form.account.data or ""
                with front.changing("rerating.plan", account or "every account") as change:
                    definition = _definition(change.session, front, form)
                    plan_id = plan_rerating(change.session, definition, front.actor.name, change.now_us).id
            if plan_id:
                worker.reckon(plan_id)
                return redirect(url_for(".show", id=plan_id), 303)
        return render_template("panel/rerating/new.html", form=form)

    @section.post("/rerating/of-call/<string(maxlength=32):session_id>")
    @needs(Permission.OPERATIONS_WRITE)
    def of_call(session_id: str) -> Response:
        """One call: the microsecond in which it began, of its account."""
        with front.reading() as session:
            found = definition_of_call(session, front.scope, session_id)
        if found is None:
            abort(404)
        definition, account = found
        try:
            with front.changing("rerating.plan", session_id, account_id=account.id) as change:
                plan_id = plan_rerating(change.session, definition, front.actor.name, change.now_us).id
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return redirect(url_for("calls.show", session_id=session_id), 303)
        worker.reckon(plan_id)
        return redirect(url_for(".show", id=plan_id), 303)


def _fill(session: Session, front: Front, form: RerateForm) -> None:
    for field, model, text in (
        (form.tariff, TariffRow, gettext("no: each keeps its own")),
        (form.deck, RateDeckRow, gettext("no: each keeps its own")),
    ):
        names = session.scalars(
            select(model.name).where(front.scope.issued(model.issuer_id)).order_by(model.name)
        )
        field.choices = [("", text), *((x, x) for x in names)]


def _definition(session: Session, front: Front, form: RerateForm) -> Definition:
    accounts: tuple[str, ...] = ()
    if form.account.data:
        account = account_by_code(session, form.account.data)
        if not front.scope.covers(account):
            told = gettext("There is no account %(code)s.", code=form.account.data)
            raise TermRefused(told, "account")
        accounts = (account.code,)
    if (form.tariff.data or form.deck.data) and not accounts:
        raise InputRefused(gettext("Name the account whose calls another tariff or deck counts for."))
    return Definition(
        form.since.data, form.until.data, accounts, form.tariff.data or None, form.deck.data or None
    )


def _add_plan(section: Blueprint, front: Front, worker: RerateWorker) -> None:
    @section.get("/rerating/<int:id>")
    @needs(Permission.OPERATIONS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _row(session, front, id)
            preview = json.loads(row.preview) if row.preview else None
            result = json.loads(row.result) if row.result else None
            changes = sorted((preview or {}).get("accounts", ()), key=_moved)[:MOST_SHOWN]
            posted = sorted((result or {}).get("posted", ()), key=lambda x: -abs(x["delta"]))[:MOST_SHOWN]
            notes = (result or {}).get("notes", ())[:MOST_SHOWN]
            codes = _codes(session, {x["account_id"] for x in (*changes, *posted, *notes)})
        return render_template(
            "panel/rerating/show.html",
            row=row,
            wanted=definition_of(row),
            state=state_of(row, front.clock.now_us()),
            preview=preview,
            result=result,
            changes=changes,
            posted=posted,
            notes=notes,
            codes=codes,
            may_write=front.actor.may(Permission.OPERATIONS_WRITE),
        )

    @section.get("/rerating/<int:id>/accounts.csv")
    @needs(Permission.OPERATIONS_READ)
    def accounts(id: int) -> Response:
        with front.reading() as session:
            row = _row(session, front, id)
        head = {"Content-Disposition": f'attachment; filename="re-rating-{id}.csv"'}
        return Flow(stream_with_context(_lines(front, row)), mimetype="text/csv", headers=head)

    @section.get("/rerating/<int:id>/now")
    @background
    @needs(Permission.OPERATIONS_READ)
    def show_now(id: int) -> str:
        """The same as it is now, for a page that is watched while the work goes on."""
        return show(id)

    @section.post("/rerating/<int:id>/<any(begin, stop):do>")
    @needs(Permission.OPERATIONS_WRITE)
    def tell(id: int, do: str) -> Response:
        try:
            with front.changing(f"rerating.{do}", str(id)) as change:
                _row(change.session, front, id)
                if do == "begin":
                    begin_rerating(change.session, id, change.now_us)
                else:
                    stop_rerating(change.session, id)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            if do == "begin":
                worker.carry_out(id)
            else:
                flash(gettext("It stops after the calls it is at. What is corrected by then stays."))
        return redirect(url_for(".show", id=id), 303)


def _moved(change: dict[str, Any]) -> int:
    """Those whose charges move most come first."""
    return -abs(int(change["new"]) - int(change["old"]))


def _lines(front: Front, row: ReratingPlanRow) -> Iterator[str]:
    """What would change, by account, as a file."""
    accounts = json.loads(row.preview)["accounts"] if row.preview else []
    names = (
        "Account",
        "Unit",
        "Charges",
        "Change",
        "Owed",
        "Would be",
        "Difference",
        "Without a rate",
        "Kept",
    )
    yield _line([gettext(x) for x in names])
    for at in range(0, len(accounts), AT_ONCE):
        some = accounts[at : at + AT_ONCE]
        with front.reading() as session:
            codes = _codes(session, {x["account_id"] for x in some})
        for x in some:
            unit = unit_known(x["unit"])
            amounts = (format_amount(y, unit) for y in (x["old"], x["new"], x["new"] - x["old"]))
            code = codes.get(x["account_id"], str(x["account_id"]))
            yield _line([code, unit.code, x["calls"], x["changed"], *amounts, x["unrated"], x["kept"]])


def _line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([harmless(str(x)) for x in cells])
    return out.getvalue()


def _codes(session: Session, ids: set[int]) -> dict[int, str]:
    query = select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_(ids))
    return {row.id: row.code for row in session.execute(query)}


def _row(session: Session, front: Front, id: int) -> ReratingPlanRow:
    row = session.get(ReratingPlanRow, id)
    if row is None or not front.scope.is_everything:
        abort(404)
    return row
