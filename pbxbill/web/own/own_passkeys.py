"""/log-in/passkey, /me/passkeys: log in without a password, by a key of one's device. Needs JavaScript."""

import base64

import structlog
from flask import Blueprint, Response, abort, flash, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Redirect
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length

from pbxbill.access import passkeys as keys
from pbxbill.access.login_sessions import may_log_in
from pbxbill.access.passkeys import Site
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.store.access_models import PasskeyRow, UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, for_users, grave, open_to_all
from pbxbill.web.identity import Identity, address, own_path
from pbxbill.web.own.log_in import let_in
from pbxbill.web.own.me import own_row

CHALLENGE = "challenge"
CHALLENGE_US = 5 * 60 * SECOND_US
_log = structlog.get_logger()


class PasskeyForm(PanelForm):
    """A key that the browser made."""

    name = StringField(
        lazy_gettext("Name of the device"),
        [DataRequired(lazy_gettext("Give it a name.")), Length(max=64)],
    )
    answer = HiddenField(validators=[Length(max=keys.MAX_ANSWER_LENGTH)])


def passkeys(front: Front, identity: Identity) -> Blueprint:
    """These pages."""
    made = Blueprint("passkeys", __name__)

    @made.get("/log-in/passkey")
    @open_to_all
    def log_in_options() -> Response:
        options, challenge = keys.offer_to_log_in(_site(front))
        _keep(front, challenge, "log-in")
        return Response(options, mimetype="application/json")

    @made.post("/log-in/passkey")
    @open_to_all
    def log_in() -> Redirect:
        challenge = _kept(front, "log-in")
        answer = request.form.get("answer", "")
        user: UserRow | None = None
        if challenge is not None:
            with front.writing() as database:
                user = keys.user_of_answer(database, _site(front), answer, challenge, front.clock.now_us())
                account = None if user is None else database.get_one(AccountRow, user.account_id)
            if user is not None and account is not None and may_log_in(user, account):
                return let_in(identity, user.id, own_path(request.form.get("next")))
        _log.warning("passkey_refused", address=address())
        flash(_("The passkey was not taken. Try again, or use your password."), "bad")
        return redirect(url_for("log_in.show"), 303)

    @made.route("/me/passkeys", methods=["GET", "POST"], endpoint="listed")
    @for_users
    @grave
    def listed() -> Redirect | str:
        user = own_row(front)
        form = PasskeyForm()
        if form.validate_on_submit():
            with refusals(form) as refused:
                _add(front, user, form)
            if not refused:
                flash(_("The passkey is added."))
                return redirect(url_for("passkeys.listed"), 303)
        with front.reading() as database:
            known = keys.passkeys_of(database, user.id)
        return render_template("me/passkeys.html", form=form, known=known)

    @made.get("/me/passkeys/options")
    @for_users
    @grave
    def options() -> Response:
        with front.reading() as database:
            user = database.get_one(UserRow, front.actor.user_id)
            name = database.get_one(AccountRow, user.account_id).name
            text, challenge = keys.offer_to_add(database, _site(front), user, name)
        _keep(front, challenge, "add")
        return Response(text, mimetype="application/json")

    @made.route("/me/passkeys/<int:id>/remove", methods=["GET", "POST"])
    @for_users
    @grave
    def remove(id: int) -> Redirect | str:
        form = PanelForm()
        with front.reading() as database:
            name = _own_passkey(database, front, id).name
        if not form.validate_on_submit():
            return render_template("me/passkey_remove.html", form=form, name=name)
        with front.changing("user.passkey-remove", front.actor.name) as change:
            change.session.delete(_own_passkey(change.session, front, id))
        flash(_("The passkey is removed."))
        return redirect(url_for("passkeys.listed"), 303)

    return made


def _own_passkey(database: Session, front: Front, id: int) -> PasskeyRow:
    row = database.get(PasskeyRow, id)
    if row is None or row.user_id != front.actor.user_id:
        abort(404)
    return row


def _add(front: Front, user: UserRow, form: PasskeyForm) -> None:
    challenge = _kept(front, "add")
    if challenge is None or not form.answer.data:
        raise InputRefused(
            str(_("your browser made no passkey; it needs JavaScript and a device with a lock"))
        )
    with front.changing("user.passkey-add", user.login) as change:
        made = keys.Made(str(form.answer.data), challenge, str(form.name.data))
        keys.add(
            change.session,
            _site(front),
            change.session.get_one(UserRow, user.id),
            made,
            change.now_us,
        )


def _site(front: Front) -> Site:
    url = front.desks.public_url or request.host_url
    scheme, _, rest = url.partition("://")
    return Site(f"{scheme}://{rest.split('/', maxsplit=1)[0]}")


def _keep(front: Front, challenge: bytes, purpose: str) -> None:
    session[CHALLENGE] = [purpose, base64.b64encode(challenge).decode(), front.clock.now_us()]


def _kept(front: Front, purpose: str) -> bytes | None:
    """The challenge, once."""
    kept = session.pop(CHALLENGE, None)
    if not isinstance(kept, list) or kept[0] != purpose:
        return None
    if not 0 <= front.clock.now_us() - int(kept[2]) < CHALLENGE_US:
        return None
    return base64.b64decode(kept[1])
