"""Something is done with several numbers: chosen in the list, shown, agreed to; with all, or with none."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.did_inventory import move_to_inventory, set_country
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import offered_version
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import When
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.dids import DIDS, visible_dids
from pbxbill.listing.listing import narrowed
from pbxbill.store.billing_models import DidRow
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import edition_of
from pbxbill.web.fields import CountryField, PanelForm, refusals, sentence
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.did_choices import account_named, inventories_for, plans_for, seen_did
from pbxbill.web.panel.did_forms import AssignForm, HandOverForm, ReleaseForm
from pbxbill.web.panel.lists import asked_of

MOST_TOGETHER = 200
"""They are changed in one transaction, for which all calls wait on SQLite: half a second."""


class CountryForm(PanelForm):
    """Where numbers are."""

    country = CountryField(lazy_gettext("Country"))


Doing = Callable[[Front, Change, DidRow, Any], None]


def _assign(front: Front, change: Change, did: DidRow, form: Any) -> None:
    account = account_named(change.session, front, form.account.data or "")
    issuer = change.session.get_one(AccountRow, did.issuer_id)
    version = offered_version(change.session, issuer, form.plan.data) if form.plan.data else None
    wanted = Assignment(version, reason=form.reason.data or "", by=front.actor.name)
    assign_did(change.session, change.books, did.number, account, wanted, change.now_us)


def _release(front: Front, change: Change, did: DidRow, form: Any) -> None:
    at = ChangeAt.CYCLE_END if form.when.data == "cycle_end" else ChangeAt.NOW
    when = When(at, None, form.reason.data or "", front.actor.name)
    release_did(change.session, change.books, did.number, when, change.now_us)


def _hand_over(front: Front, change: Change, did: DidRow, form: Any) -> None:
    to = change.session.get_one(AccountRow, int(form.to.data))
    move_to_inventory(change.session, seen_did(change.session, front, did.id, lock=True), to)


def _set_country(front: Front, change: Change, did: DidRow, form: Any) -> None:
    locked = seen_did(change.session, front, did.id, lock=True)
    set_country(change.session, locked, form.country.data or "")


DOING: dict[str, tuple[type[PanelForm], Doing]] = {
    "assign": (AssignForm, _assign),
    "release": (ReleaseForm, _release),
    "hand-over": (HandOverForm, _hand_over),
    "country": (CountryForm, _set_country),
}


def add_together(section: Blueprint, front: Front) -> None:
    """Give the section its page; which numbers it is about stands in its address."""

    @section.route("/numbers/several", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def several() -> str | Response:
        do = request.args.get("do", "")
        if do not in DOING:
            abort(400)
        kind, doing = DOING[do]
        form: Any = kind()
        back = url_for("dids.listed", **_filters())
        with front.reading() as session:
            try:
                rows = _chosen(session, front)
            except InputRefused as error:
                flash(sentence(str(error)), "warn")
                return redirect(back, 303)
            _fill(session, front, form, rows)
            holders = _holders(session, rows)
        seen = edition_of({"numbers": ",".join(x.number for x in rows)})
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing(f"numbers.{do}", _subject(rows)) as change:
                if "seen" in request.form and request.form["seen"] != seen:
                    raise InputRefused(
                        gettext("These are other numbers now than you saw: look at them again.")
                    )
                for row in rows:
                    _done(front, change, row, form, doing)
            if not refused:
                flash(ngettext("One number is changed.", "%(num)d numbers are changed.", len(rows)))
                return redirect(back, 303)
        return render_template(
            "panel/dids/several.html", form=form, do=do, rows=rows, holders=holders, seen=seen, back=back
        )


def _done(front: Front, change: Change, row: DidRow, form: Any, doing: Doing) -> None:
    """Do it with one; a refusal says with which it could not be done."""
    try:
        doing(front, change, seen_did(change.session, front, row.id), form)
    except TermRefused:
        raise  # of a field, and so of all
    except InputRefused as error:
        why = sentence(str(error))
        raise InputRefused(gettext("%(number)s: %(why)s", number=row.number, why=why)) from None


def _filters() -> dict[str, Any]:
    return {x.key: request.args[x.key] for x in DIDS.filters if request.args.get(x.key)}


def _chosen(session: Session, front: Front) -> Sequence[DidRow]:
    """As far as they are his; in the order of their numbers, in which they are locked."""
    found: Any
    if request.args.get("all"):
        found = narrowed(session, DIDS, front.scope, asked_of(DIDS, {})).with_only_columns(DidRow.id)
        found = session.scalars(found.limit(MOST_TOGETHER + 1)).all()
    else:
        texts = request.args.getlist("chosen")
        found = {int(x) for x in texts if x.isascii() and x.isdigit() and len(x) < 18}
    if len(found) > MOST_TOGETHER:
        told = gettext(
            "Up to %(most)d numbers are changed at once: narrow the list by its filters, or tick fewer.",
            most=MOST_TOGETHER,
        )
        raise InputRefused(told)
    query = select(DidRow).where(DidRow.id.in_(found), visible_dids(front.scope))
    rows = session.scalars(query.order_by(DidRow.number)).all()
    if not rows:
        raise InputRefused(gettext("Tick the numbers first."))
    return rows


def _fill(session: Session, front: Front, form: Any, rows: Sequence[DidRow]) -> None:
    is_one_inventory = len({x.issuer_id for x in rows}) == 1
    if "plan" in form:
        plans = plans_for(session, rows[0]) if is_one_inventory else []
        form.plan.choices = [("", gettext("none")), *plans]
    if "to" in form:
        form.to.choices = inventories_for(session, front, rows[0]) if is_one_inventory else []
    if "country" in form and request.method == "GET":
        known = {x.country for x in rows}
        form.country.data = known.pop() if len(known) == 1 else ""


def _holders(session: Session, rows: Sequence[DidRow]) -> dict[int, str]:
    ids = {x.account_id for x in rows if x.account_id is not None}
    query = select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_(ids))
    return {row.id: row.code for row in session.execute(query)}


def _subject(rows: Sequence[DidRow]) -> str:
    return ", ".join(x.number for x in rows[:5]) + (" ..." if len(rows) > 5 else "")
