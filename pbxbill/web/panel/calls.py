"""Call records: who called whom, what it cost, and why exactly that."""

from datetime import timedelta

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.charging.explain import explain
from pbxbill.charging.explanation import Explanation, LevelExplanation
from pbxbill.charging.statement import left_to, rate_lines
from pbxbill.errors import InputRefused
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.listing.calls import CALLS
from pbxbill.listing.calls_margin import MARGINS
from pbxbill.listing.listing import N_
from pbxbill.store.models import AccountRow, CdrRow, ReservationRow
from pbxbill.web.formatting import day_of
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list

SESSION = "<string(maxlength=32):session_id>"
SEARCHED_DAYS = 7
"""What no index knows is searched so far back unless a day is named: numbers, states, all that one sells."""
PAGE_COLUMNS = (
    *("started_us", "account", "direction", "caller", "called", "destination"),
    *("state", "denial", "duration_s", "total"),
)
MARGIN_COLUMNS = (
    *("started_us", "account", "called", "destination", "duration_s"),
    *("carrier", "income", "cost", "margin"),
)
SEARCHED = ("called", "caller", "destination", "state", "direction", "switch", "cause", "reseller", "carrier")

LISTS = {f"calls.{name}{kind}" for name in ("listed", "margins") for kind in ("", "_csv", "_xlsx")}


def calls(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("calls", __name__)
    add_list(
        section,
        front,
        ListPage(
            CALLS,
            "/calls",
            link=lambda row: url_for("calls.show", session_id=row["id"]),
            template="panel/calls/list.html",
            columns=PAGE_COLUMNS,
            empty=(
                N_("No call has ended yet"),
                N_("As soon as one does, its record appears here with what it cost and why."),
            ),
        ),
    )

    add_list(
        section,
        front,
        ListPage(
            MARGINS,
            "/calls/margins",
            link=lambda row: url_for("calls.show", session_id=row["id"]),
            endpoint="margins",
            template="panel/calls/list.html",
            columns=MARGIN_COLUMNS,
            empty=(
                N_("No call has ended yet"),
                N_("As soon as one does, what it brought and cost appears here."),
            ),
        ),
    )

    @section.before_request
    def bound_searches() -> Response | None:
        """A search that no index serves says from which day on."""
        if request.endpoint not in LISTS:
            return None
        args = request.args.to_dict()
        actor = g.get("actor")
        if actor is None or args.get("from") or args.get("account"):
            return None
        if actor.scope.is_everything and not any(args.get(x) for x in SEARCHED):
            return None
        first = day_of(front.clock.now_us()) - timedelta(days=SEARCHED_DAYS)
        args = {key: value for key, value in args.items() if value} | {"from": first.isoformat()}
        return redirect(url_for(request.endpoint, **args))  # type: ignore[arg-type]  # names of filters

    @section.get(f"/calls/{SESSION}")
    @needs(Permission.CALLS_READ)
    def show(session_id: str) -> str | Response:
        with front.reading() as session:
            row = _record(session, front, session_id)
            if row is None:
                if not _is_live(session, front, session_id):
                    abort(404)
                return redirect(url_for("live.show", session_id=session_id))
        explanation = _explained(front, session_id)
        with front.reading() as session:
            levels = _seen_levels(session, front, explanation)
            account = None if row.account_id is None else session.get(AccountRow, row.account_id)
        return render_template(
            "panel/calls/show.html",
            row=row,
            call=explanation.call,
            account=account,
            explanation=explanation,
            levels=levels,
            left_to=left_to,
            rate_lines=rate_lines,
            sees_all=front.scope.is_everything,
            sees_cost=front.scope.is_everything and front.actor.may(Permission.CARRIERS_READ),
        )

    return section


def _record(session: Session, front: Front, session_id: str) -> CdrRow | None:
    condition = CdrRow.session_id == session_id
    return session.scalar(select(CdrRow).where(condition, front.scope.among(CdrRow.account_id)))


def _is_live(session: Session, front: Front, session_id: str) -> bool:
    found = session.scalar(
        select(ReservationRow.session_id).where(
            ReservationRow.session_id == session_id,
            ReservationRow.state.in_([str(x) for x in OPEN_STATES]),
            front.scope.among(ReservationRow.account_id),
        )
    )
    return found is not None


def _explained(front: Front, session_id: str) -> Explanation:
    driver = front.desks.application.connect()
    try:
        return explain(driver, session_id)[0]
    except InputRefused as error:
        abort(404, gettext("This call cannot be explained: %(why)s.", why=str(error)))
    finally:
        driver.close()


def _seen_levels(
    session: Session, front: Front, explanation: Explanation
) -> list[tuple[LevelExplanation, AccountRow, bool]]:
    """Levels that may be seen, each with its account, and whether it is one's own: what one pays oneself.

    What is above is between others.
    """
    codes = [x.account for x in explanation.levels]
    known = {x.code: x for x in session.scalars(select(AccountRow).where(AccountRow.code.in_(codes)))}
    seen = []
    for level in explanation.levels:
        account = known[level.account]
        is_own = account.id == front.scope.account_id
        if is_own or front.scope.covers(account):
            seen.append((level, account, is_own))
    return seen
