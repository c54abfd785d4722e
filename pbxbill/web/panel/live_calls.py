"""Live calls: who talks, for how long, at what cost, with what funds left; and hanging one up.

Pages tick by asking a route of the background each second (static/js/live.js) for the same page, of which
they take the figures over. Without JavaScript they are read again every few seconds.
"""

from typing import Any

from flask import Blueprint, abort, current_app, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.listing.hang_ups import HangUp, hang_up, hang_ups_of
from pbxbill.listing.listing import N_, Asked, FilterRefused
from pbxbill.listing.live_calls import LiveTotals
from pbxbill.store.hang_ups import HangUpState
from pbxbill.store.models import AccountRow, CdrRow
from pbxbill.web.fields import LineField, PanelForm, at_most
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.lists import ListPage, add_list, asked_of

SESSION = "<string(maxlength=32):session_id>"
WHILE_SHOWN = 20
"""Calls of one account that its page shows."""


class HangUpForm(PanelForm):
    """Why a call is hung up."""

    note = LineField(
        lazy_gettext("Reason"),
        [at_most()],
        description=lazy_gettext(
            "For your own people: it is kept with the request. The caller does not see it."
        ),
    )


def live_calls(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("live", __name__)
    board = front.desks.live
    add_list(
        section,
        front,
        ListPage(
            board.listing,
            "/live-calls",
            columns=tuple(x.key for x in board.listing.columns if x.key != "call_id"),
            link=lambda row: url_for("live.show", session_id=row["id"]),
            template="panel/live_calls/list.html",
            empty=(N_("Nobody is calling now"), N_("Calls appear here as soon as they are asked for.")),
            more=lambda: {"totals": _totals(front), "may_hang_up": _may_hang_up(front)},
        ),
    )

    @section.get("/live-calls/now")
    @background
    @needs(Permission.CALLS_READ)
    def now() -> Any:
        """The list as it is now, for a page that is open."""
        return current_app.view_functions["live.listed"]()

    @section.get(f"/live-calls/{SESSION}")
    @needs(Permission.CALLS_READ)
    def show(session_id: str) -> str:
        return _call_page(front, session_id)

    @section.get(f"/live-calls/{SESSION}/now")
    @background
    @needs(Permission.CALLS_READ)
    def show_now(session_id: str) -> str:
        """The same page as it is now."""
        return _call_page(front, session_id)

    @section.route(f"/live-calls/{SESSION}/hang-up", methods=["GET", "POST"])
    @needs(Permission.CALLS_HANG_UP)
    def end(session_id: str) -> str | Response:
        return _hang_up_page(front, session_id)

    @section.get("/live-calls/of-account/<int:account_id>")
    @background
    @needs(Permission.CALLS_READ)
    def of_account(account_id: int) -> str:
        """An account's wallets and calls now, for its own page."""
        balance = board.balance(front.scope, account_id)
        if balance is None:
            abort(404)
        with front.reading() as session:
            account = front.account(session, account_id)
            code = account.code
        page = board.page(front.scope, Asked({"account": code}, size=WHILE_SHOWN))
        return render_template(
            "panel/live_calls/account_now.html", balance=balance, page=page, account_id=account_id, code=code
        )

    return section


def _totals(front: Front) -> LiveTotals:
    """Of the calls that the address's filters leave; none while one of them cannot be understood."""
    board = front.desks.live
    filters = asked_of(board.listing, {}).filters
    try:
        return board.totals(front.scope, {key: text for key, text in filters.items() if text.strip()})
    except FilterRefused:
        return LiveTotals(front.clock.now_us(), 0, 0, (), ())


def _may_hang_up(front: Front) -> bool:
    return front.actor.may(Permission.CALLS_HANG_UP)


def _call_page(front: Front, session_id: str) -> str:
    call = front.desks.live.call(front.scope, session_id)
    record, asked = _ended(front, session_id) if call is None else (None, call.hang_up)
    return render_template(
        "panel/live_calls/show.html",
        call=call,
        record=record,
        asked=asked,
        session_id=session_id,
        may_hang_up=_may_hang_up(front),
        sees_all=front.scope.is_everything,
        HangUpState=HangUpState,
    )


def _ended(front: Front, session_id: str) -> tuple[dict[str, Any], HangUp | None]:
    """What the record of a call that was live says; 404 for what never was, or is another's."""
    query = (
        select(CdrRow, AccountRow.code)
        .join(AccountRow, AccountRow.id == CdrRow.account_id)
        .where(CdrRow.session_id == session_id, front.scope.among(CdrRow.account_id))
    )
    with front.reading() as session:
        found = session.execute(query).first()
        if found is None:
            abort(404)
        asked = hang_ups_of(session, [session_id], front.clock.now_us()).get(session_id)
        row, code = found
        record = {
            "account": code,
            "account_id": row.account_id,
            "caller": row.caller,
            "called": row.called,
            "destination": row.destination,
            "ended_us": row.ended_us,
            "detail": row.detail,
        }
    return record, asked


def _hang_up_page(front: Front, session_id: str) -> str | Response:
    call = front.desks.live.call(front.scope, session_id)
    here = url_for("live.show", session_id=session_id)
    if call is None:
        _ended(front, session_id)
        flash(gettext("The call has ended already."))
        return redirect(here, 303)
    form = HangUpForm()
    if form.validate_on_submit():
        subject = f"{call.account}: {call.caller} → {call.called}"
        with front.changing("call.hang-up", subject, account_id=call.account_id) as change:
            asked = hang_up(change, front.scope, session_id, by=front.actor.name, note=form.note.data or "")
        if asked is None:
            flash(gettext("The call has ended already."))
        return redirect(here, 303)
    return render_template("panel/live_calls/hang_up.html", form=form, call=call, back=here)
