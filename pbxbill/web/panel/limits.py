"""Limits of all accounts, with what is spent of them now, and countries that wait for a release."""

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.limits import HELD_COUNTRIES, OF_SOME_KINDS, limits_listing
from pbxbill.listing.listing import N_
from pbxbill.store.catalogue_models import HeldCountryRow
from pbxbill.store.limits import release_country
from pbxbill.web.fields import sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list

COUNTRY = "/limits/held/<int:account_id>/<region>"


def limits(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("limits", __name__)
    add_list(
        section,
        front,
        ListPage(
            limits_listing(front.clock.now_us),
            "/limits",
            link=lambda row: url_for("accounts.limits", id=row["account_id"]),
            template="panel/limits/list.html",
            empty=(
                N_("No account has a limit yet"),
                N_("Set one on an account's page: spending per day keeps a stolen password cheap."),
            ),
            more=lambda: {"held": _held(front)},
            sparse=OF_SOME_KINDS,
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            HELD_COUNTRIES,
            "/limits/held",
            link=lambda row: url_for("accounts.countries", id=row["account_id"]),
            endpoint="held",
            template="panel/limits/held.html",
            empty=(
                N_("No country is held back"),
                N_("With the limit for new countries, the first call to each waits here for your release."),
            ),
            more=lambda: {"held": _held(front)},
        ),
    )

    @section.post(f"{COUNTRY}/release")
    @needs(Permission.ACCOUNTS_WRITE)
    def release(account_id: int, region: str) -> Response:
        return _set(front, account_id, region, released=True)

    @section.post(f"{COUNTRY}/hold")
    @needs(Permission.ACCOUNTS_WRITE)
    def hold(account_id: int, region: str) -> Response:
        return _set(front, account_id, region, released=False)

    return section


def _set(front: Front, account_id: int, region: str, *, released: bool) -> Response:
    with front.reading() as session:
        code = front.account(session, account_id).code
    action = "country.release" if released else "country.hold"
    try:
        with front.changing(action, f"{code} {region[:4]}", account_id=account_id) as change:
            account = front.account(change.session, account_id)
            known = release_country(change.session, account, region, change.now_us, released=released)
    except InputRefused as error:
        flash(sentence(str(error)), "bad")
    else:
        told = (
            gettext("%(account)s may call %(country)s.", account=code, country=known)
            if released
            else gettext("Calls of %(account)s to %(country)s are held back.", account=code, country=known)
        )
        flash(told)
    state = request.form.get("state", "")
    return redirect(url_for(".held", state=state if state in ("held", "released") else None), 303)


def _held(front: Front) -> int:
    query = select(func.count()).select_from(HeldCountryRow)
    with front.reading() as session:
        waiting = query.where(~HeldCountryRow.released, front.scope.among(HeldCountryRow.account_id))
        return session.scalar(waiting) or 0
