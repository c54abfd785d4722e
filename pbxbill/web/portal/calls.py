"""/my/calls: what was called, what it cost, and why, in plain words."""

from flask import Blueprint, render_template, url_for
from flask_babel import gettext
from sqlalchemy import select

from pbxbill.access.permissions import Permission
from pbxbill.charging.events import DenialReason
from pbxbill.charging.explain import explain
from pbxbill.charging.explanation import Explanation
from pbxbill.charging.statement import rate_lines
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_CALLS
from pbxbill.rating.rater import billable_seconds
from pbxbill.store.models import CdrRow
from pbxbill.web.formatting import duration_s, plain_amount
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.own import own_account

WHY_NOT = {
    DenialReason.CREDIT_LIMIT_REACHED: N_("There was no credit left for it."),
    DenialReason.END_USER_SERVICE_DENIED: N_("Calls of this account or line were suspended."),
    DenialReason.USER_UNKNOWN: N_("The line was not known."),
    DenialReason.RATING_FAILED: N_("There is no price for this number."),
    DenialReason.SERVICE_UNAVAILABLE: N_("The billing system could not answer in time."),
    DenialReason.SIMULTANEOUS_CALLS: N_("As many calls were up as you may have at once."),
    DenialReason.CALL_RATE: N_("Calls came faster than is allowed."),
    DenialReason.SPENDING_LIMIT: N_("What may be spent in this time was spent."),
    DenialReason.DESTINATION_BARRED: N_("Calls to this destination are not allowed."),
    DenialReason.COUNTRY_HELD: N_("It was the first call to this country, which has to be released first."),
    DenialReason.SHORT_CALLS: N_("Too many short calls had come in a short time."),
    DenialReason.LOSS_MAKING: N_("Your provider does not connect calls at this price."),
}

PAGE_COLUMNS = (
    *("started_us", "direction", "caller", "called", "destination"),
    *("state", "denial", "duration_s", "total"),
)


def calls(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_calls", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_CALLS,
            "/calls",
            link=lambda row: url_for("my_calls.show", session_id=row["id"]),
            columns=PAGE_COLUMNS,
            empty=(
                N_("No call has ended yet"),
                N_("Your calls appear here as they end, each with what it cost and why."),
            ),
        ),
    )

    @section.get("/calls/<string(maxlength=32):session_id>")
    @needs(Permission.OWN_READ)
    def show(session_id: str) -> str:
        with front.reading() as session:
            own = CdrRow.session_id == session_id, front.scope.among(CdrRow.account_id)
            row = front.one(session, select(CdrRow).where(*own))
            code = own_account(front, session).code
        found = _explained(front, session_id)
        level = next((x for x in found.levels if x.account == code), None) if found else None
        return render_template(
            "portal/calls/show.html",
            row=row,
            call=None if found is None else found.call,
            level=level,
            told=_told(row, found, code),
            rate_lines=rate_lines,
        )

    return section


def _explained(front: Front, session_id: str) -> Explanation | None:
    driver = front.desks.application.connect()
    try:
        return explain(driver, session_id)[0]
    except InputRefused:
        return None  # its prices are not kept any more; the record still stands
    finally:
        driver.close()


def _told(row: CdrRow, found: Explanation | None, code: str) -> list[str]:
    """What happened and what it cost, sentence by sentence."""
    told = [_who(row)]
    if row.denial:
        why = WHY_NOT.get(DenialReason(row.denial)) if row.denial in set(DenialReason) else None
        return [*told, gettext("The call was not put through."), *([gettext(why)] if why else [])]
    if row.answered_us is None and row.direction != "usage":
        return [*told, gettext("Nobody answered, so that it cost nothing.")]
    if row.direction != "usage" and row.answered_us is not None:
        lasted_s = max(0, row.ended_us - row.answered_us) // SECOND_US
        told.append(gettext("You talked for %(time)s.", time=duration_s(lasted_s)))
    if found is None:
        return told
    if found.is_emergency:
        return [*told, gettext("Emergency calls are free.")]
    return told + _price(row, found, code)


def _who(row: CdrRow) -> str:
    called = f"{row.called or row.dialled}, {row.destination}".rstrip(", ")
    if row.direction == "inbound":
        return str(
            gettext("%(caller)s called your number %(called)s.", caller=row.caller or "?", called=row.called)
        )
    if row.direction == "usage":
        return str(gettext("You used %(what)s.", what=row.detail))
    if row.caller:
        return str(gettext("You called %(called)s from %(caller)s.", called=called, caller=row.caller))
    return str(gettext("You called %(called)s.", called=called))


def _price(row: CdrRow, found: Explanation, code: str) -> list[str]:
    level = next((x for x in found.levels if x.account == code), None)
    if level is None or not level.shares:
        return [gettext("It cost nothing.")]
    told = []
    if row.direction != "usage" and level.rate.terms is None and not level.rate.free_s:
        charged_s = billable_seconds(level.rate, row.billed_us)
        if charged_s != row.billed_us // SECOND_US or row.billed_us % SECOND_US:
            told.append(
                gettext(
                    "Time is counted in steps of %(first)d and then %(then)d seconds: %(time)s are charged.",
                    first=level.rate.initial_increment_s,
                    then=level.rate.following_increment_s,
                    time=duration_s(charged_s),
                )
            )
    for share in level.shares:
        if share.total is None:
            continue
        cost = plain_amount(share.total, share.unit)
        if share.tax:
            tax = plain_amount(share.tax, share.unit)
            told.append(gettext("It cost %(amount)s, of which %(tax)s is tax.", amount=cost, tax=tax))
        else:
            told.append(gettext("It cost %(amount)s.", amount=cost))
    return told
