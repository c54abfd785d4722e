"""API keys as pages: made, shown once, listed, revoked.

The panel has them for the account of whoever asks and, for what their portals show, for those below it; the
portal for the account itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Redirect
from wtforms import IntegerField, SelectField
from wtforms.validators import NumberRange

from pbxbill.access.api_keys import (
    DEFAULT_PER_MINUTE,
    MAX_PER_MINUTE,
    NewKey,
    givable,
    is_of_portal,
    make_key,
    revoke,
    scopes_of,
)
from pbxbill.access.permissions import Permission
from pbxbill.clock import SECOND_US
from pbxbill.listing.listing import Listing
from pbxbill.listing.users import API_KEYS, told_maker
from pbxbill.store.access_models import ApiKeyRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import ChecksField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, grave, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.permission_words import permission_text

DAY_US = 86_400 * SECOND_US


class KeyForm(PanelForm):
    """A key to be made."""

    name = LineField(
        lazy_gettext("Name"),
        [required(), at_most(64)],
        description=lazy_gettext("What uses it, e.g. web shop."),
    )
    scopes = ChecksField(lazy_gettext("It may"), [required()])
    days = SelectField(
        lazy_gettext("It ends after"),
        choices=[
            ("30", lazy_gettext("30 days")),
            ("90", lazy_gettext("90 days")),
            ("365", lazy_gettext("a year")),
            ("", lazy_gettext("never")),
        ],
        default="365",
    )
    per_minute = IntegerField(
        lazy_gettext("Requests per minute"), [NumberRange(1, MAX_PER_MINUTE)], default=DEFAULT_PER_MINUTE
    )


@dataclass(frozen=True, slots=True)
class KeyPages:
    """Where they stand, what they list, and who makes and revokes."""

    path: str
    """Below the blueprint's; with <int:id> where it is another account than that of whoever asks."""
    listing: Listing
    write: Permission
    empty: tuple[str, str]
    template: str = "panel/api_keys/list.html"
    """Of the list."""
    more: Callable[[AccountRow], dict[str, Any]] = lambda account: {}
    """What its template gets besides."""

    def account(self, front: Front, session: Session) -> AccountRow:
        """Whose keys they are; 404 for accounts that nobody here may see."""
        id = (request.view_args or {}).get("id")
        if id is not None:
            return front.account(session, id)
        return session.get_one(AccountRow, front.scope.account_id)

    def key(self, front: Front, session: Session, key_id: int) -> ApiKeyRow:
        """One of them; 404 for any other."""
        key = session.get(ApiKeyRow, key_id)
        if key is None or key.account_id != self.account(front, session).id:
            abort(404)
        if self.listing is not API_KEYS and not is_of_portal(key):
            abort(404)
        return key

    def url(self, endpoint: str, **values: Any) -> str:
        """One of these pages, of the account whose page is shown."""
        id = (request.view_args or {}).get("id")
        return url_for(f".{endpoint}", **values) if id is None else url_for(f".{endpoint}", id=id, **values)


def add_key_pages(made: Blueprint, front: Front, pages: KeyPages) -> None:
    """Give a section the list of keys and its pages."""
    read = pages.listing.permission

    def more() -> dict[str, Any]:
        with front.reading() as session:
            return {"pages": pages, **pages.more(pages.account(front, session))}

    def given() -> dict[str, str]:
        if "id" not in (request.view_args or {}):
            return {}
        with front.reading() as session:
            return {"account_id": str(pages.account(front, session).id)}

    add_list(
        made,
        front,
        ListPage(
            pages.listing,
            pages.path,
            link=lambda row: pages.url("show", key_id=row["id"]),
            template=pages.template,
            empty=pages.empty,
            more=more,
            given=given,
        ),
    )
    _add_new(made, front, pages)

    @made.get(f"{pages.path}/<int:key_id>", endpoint="show")
    @needs(read)
    def show(key_id: int, **_path: int) -> str:
        with front.reading() as session:
            account, key = pages.account(front, session), pages.key(front, session, key_id)
            by = key.by if pages.listing is API_KEYS else told_maker(session, front.scope, key)
        scopes = [permission_text(x) for x in sorted(scopes_of(key))]
        return _page("show", pages, account, key=key, by=by or None, scopes=scopes)

    @made.route(f"{pages.path}/<int:key_id>/revoke", methods=["GET", "POST"], endpoint="revoke")
    @needs(pages.write)
    def end(key_id: int, **_path: int) -> Redirect | str:
        with front.reading() as session:
            account, key = pages.account(front, session), pages.key(front, session, key_id)
        form = PanelForm()
        if not form.validate_on_submit():
            return _page("revoke", pages, account, form=form, key=key)
        with front.changing("key.revoke", key.name, account_id=key.account_id) as change:
            revoke(change.session, pages.key(front, change.session, key_id), change.now_us)
        flash(_("The key opens nothing any more."))
        return redirect(pages.url("listed"), 303)


def _add_new(made: Blueprint, front: Front, pages: KeyPages) -> None:
    @made.route(f"{pages.path}/new", methods=["GET", "POST"], endpoint="new")
    @needs(pages.write)
    @grave
    def new(**_path: int) -> str:
        with front.reading() as session:
            account = pages.account(front, session)
        form = KeyForm()
        given = givable(front.actor, account)
        form.scopes.choices = [(x.value, permission_text(x)) for x in Permission if x in given]
        if form.validate_on_submit():
            shown = ""
            days = int(form.days.data) if form.days.data else None
            with (
                refusals(form) as refused,
                front.changing("key.make", str(form.name.data), account_id=account.id) as change,
            ):
                asked = NewKey(
                    str(form.name.data),
                    frozenset(Permission(x) for x in form.scopes.data or ()),
                    None if days is None else change.now_us + days * DAY_US,
                    int(form.per_minute.data or 0),
                )
                whose = pages.account(front, change.session)
                _row, shown = make_key(change.session, front.actor, asked, change.now_us, whose)
            if not refused:
                return _page("made", pages, account, shown=shown, name=form.name.data)
        return _page("new", pages, account, form=form)


def _page(name: str, pages: KeyPages, account: AccountRow, /, **values: Any) -> str:
    above = [(_("API keys"), pages.url("listed"))]
    if "id" in (request.view_args or {}):
        above = [
            (_("Accounts"), url_for("accounts.listed")),
            (account.name, url_for("accounts.show", id=account.id)),
            *above,
        ]
    return render_template(f"panel/api_keys/{name}.html", pages=pages, above=above, account=account, **values)
