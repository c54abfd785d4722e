"""Users and API keys of the account of whoever asks; users of the accounts below it as well."""

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from werkzeug.wrappers import Response as Redirect
from wtforms import IntegerField, SelectField
from wtforms.validators import NumberRange

from pbxbill.access.api_keys import DEFAULT_PER_MINUTE, MAX_PER_MINUTE, NewKey, make_key, revoke, scopes_of
from pbxbill.access.permissions import Permission
from pbxbill.clock import SECOND_US
from pbxbill.listing.listing import N_
from pbxbill.listing.users import API_KEYS, USERS
from pbxbill.store.access_models import ApiKeyRow
from pbxbill.web.fields import ChecksField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, grave, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.user_pages import UserPages, add_user_pages

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


def users(front: Front) -> Blueprint:
    """The section of users."""
    made = Blueprint("users", __name__)
    add_list(
        made,
        front,
        ListPage(
            USERS,
            "/users",
            link=lambda row: url_for("users.show", user_id=row["id"]),
            actions=((N_("New user"), "users.new", Permission.USERS_WRITE),),
        ),
    )
    add_user_pages(made, front, UserPages("users", Permission.USERS_READ, Permission.USERS_WRITE))
    return made


def api_keys(front: Front) -> Blueprint:
    """The section of API keys."""
    made = Blueprint("api_keys", __name__)
    add_list(
        made,
        front,
        ListPage(
            API_KEYS,
            "/api-keys",
            link=lambda row: url_for("api_keys.show", key_id=row["id"]),
            empty=(N_("No API keys yet"), N_("Make one for each program, with no more than it needs.")),
            actions=((N_("New key"), "api_keys.new", Permission.USERS_WRITE),),
        ),
    )

    @made.route("/api-keys/new", methods=["GET", "POST"], endpoint="new")
    @needs(Permission.USERS_WRITE)
    @grave
    def new() -> str:
        form = KeyForm()
        form.scopes.choices = [(x.value, x.value) for x in Permission if front.actor.may(x)]
        if form.validate_on_submit():
            shown = ""
            days = int(form.days.data) if form.days.data else None
            with (
                refusals(form) as refused,
                front.changing("key.make", str(form.name.data), account_id=front.scope.account_id) as change,
            ):
                asked = NewKey(
                    str(form.name.data),
                    frozenset(Permission(x) for x in form.scopes.data or ()),
                    None if days is None else change.now_us + days * DAY_US,
                    int(form.per_minute.data or 0),
                )
                _row, shown = make_key(change.session, front.actor, asked, change.now_us)
            if not refused:
                return render_template("panel/api_keys/made.html", shown=shown, name=form.name.data)
        return render_template("panel/api_keys/new.html", form=form)

    @made.get("/api-keys/<int:key_id>")
    @needs(Permission.USERS_READ)
    def show(key_id: int) -> str:
        key = _key(front, key_id)
        return render_template("panel/api_keys/show.html", key=key, scopes=sorted(scopes_of(key)))

    @made.route("/api-keys/<int:key_id>/revoke", methods=["GET", "POST"], endpoint="revoke")
    @needs(Permission.USERS_WRITE)
    def end(key_id: int) -> Redirect | str:
        key = _key(front, key_id)
        form = PanelForm()
        if not form.validate_on_submit():
            return render_template("panel/api_keys/revoke.html", form=form, key=key)
        with front.changing("key.revoke", key.name, account_id=key.account_id) as change:
            revoke(change.session, change.session.get_one(ApiKeyRow, key.id), change.now_us)
        flash(_("The key opens nothing any more."))
        return redirect(url_for("api_keys.listed"), 303)

    return made


def _key(front: Front, key_id: int) -> ApiKeyRow:
    with front.reading() as session:
        key = session.get(ApiKeyRow, key_id)
    if key is None or key.account_id != front.scope.account_id:
        abort(404)
    return key
