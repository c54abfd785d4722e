"""/link/TOKEN: choose a password by a one-time link. /log-in/forgotten: have one sent.

Looking at a link does not use it up: mail programs do so before people.
"""

from flask import Blueprint, Flask, current_app, flash, g, redirect, render_template, url_for
from flask_babel import force_locale, lazy_gettext
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Redirect
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, EqualTo, Length

from pbxbill.access.login_sessions import actor_of, may_log_in
from pbxbill.access.one_time_links import VALID_US, Purpose, make_link, use_link, user_of_link, was_made_since
from pbxbill.access.passwords import MIN_LENGTH
from pbxbill.access.users import find_user, new_hash, set_password
from pbxbill.clock import SECOND_US
from pbxbill.ids import new_id
from pbxbill.notify.outbox import ONE_TIME_LINK, NewMessage, enqueue
from pbxbill.notify.sending import mail_settings
from pbxbill.store.access_models import UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, open_to_all
from pbxbill.web.identity import Identity, address
from pbxbill.web.own.log_in import let_in

MAX_TOKEN_LENGTH = 64
MAIL_KIND = ONE_TIME_LINK
RESET_EVERY_US = 5 * 60 * SECOND_US
"""Nobody is written to more often, whoever asks for it."""


class PasswordForm(PanelForm):
    """A new password, twice."""

    password = PasswordField(
        lazy_gettext("New password"),
        [DataRequired(lazy_gettext("Choose a password.")), Length(max=200)],
        description=lazy_gettext(
            "At least %(length)s characters. Some words in a row are good and easy to remember.",
            length=MIN_LENGTH,
        ),
        render_kw={"autocomplete": "new-password"},
    )
    again = PasswordField(
        lazy_gettext("The same once more"),
        [
            DataRequired(lazy_gettext("Enter it once more.")),
            EqualTo("password", lazy_gettext("The two are not the same.")),
        ],
        render_kw={"autocomplete": "new-password"},
    )


class ForgottenForm(PanelForm):
    """Whose password it was."""

    login = StringField(
        lazy_gettext("Log-in"),
        [DataRequired(lazy_gettext("Enter your log-in.")), Length(max=200)],
        render_kw={"autocomplete": "username", "autocapitalize": "none"},
    )


def links(front: Front, identity: Identity) -> Blueprint:
    """These pages."""
    made = Blueprint("links", __name__)

    @made.route("/link/<token>", methods=["GET", "POST"], endpoint="choose")
    @open_to_all
    def choose(token: str) -> Redirect | str | tuple[str, int]:
        now_us = front.clock.now_us()
        with front.reading() as session:
            user = user_of_link(session, token, now_us) if len(token) <= MAX_TOKEN_LENGTH else None
            account = None if user is None else session.get_one(AccountRow, user.account_id)
        if user is None or account is None or not may_log_in(user, account):
            return render_template("log_in/link_over.html"), 404
        form = PasswordForm()
        if not form.validate_on_submit():
            return render_template("log_in/choose_password.html", form=form, user=user)
        fresh = ""
        with refusals(form, "password"):
            fresh = new_hash(user, str(form.password.data))
        if not fresh:
            return render_template("log_in/choose_password.html", form=form, user=user)
        g.actor = actor_of(user, account, address())
        with front.changing("user.password", user.login) as change:
            used = use_link(change.session, token, now_us)
            if used is not None:
                set_password(change.session, used, fresh)
        g.pop("actor")
        if used is None:
            return render_template("log_in/link_over.html"), 404
        if used.totp:
            flash(_("Your password is set. Log in with it."))
            return redirect(url_for("log_in.show"), 303)
        return let_in(identity, used.id)

    @made.route("/log-in/forgotten", methods=["GET", "POST"], endpoint="forgotten")
    @open_to_all
    def forgotten() -> Redirect | str:
        form = ForgottenForm()
        if not form.validate_on_submit():
            return render_template("log_in/forgotten.html", form=form)
        name = str(form.login.data).strip().lower()
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy's
        # The same for a log-in that nobody has, and as fast: whether there is one is looked up afterwards.
        front.desks.later.do(lambda: _send_reset(app, front, name))
        flash(_("If this log-in is known here and has an e-mail address, a link is on its way to it."))
        return redirect(url_for("log_in.show"), 303)

    return made


def link_url(front: Front, token: str) -> str:
    """The address of a link, as it is given to people."""
    base = front.desks.public_url
    return f"{base}/link/{token}" if base else str(url_for("links.choose", token=token, _external=True))


def mail_link(session: Session, front: Front, user: UserRow, url: str, purpose: Purpose) -> bool:
    """Put the mail with a link into the outbox; False where nobody can be written to."""
    account = session.get_one(AccountRow, user.account_id)
    issuer_id = account.parent_id or account.id
    if not user.email or not mail_settings(session, issuer_id, front.rules.mail).host:
        return False
    hours = VALID_US[purpose] // (3600 * SECOND_US)
    with force_locale(user.language):
        name = session.get_one(AccountRow, issuer_id).name
        subject = _("Your access to %(name)s", name=name)
        text = _(
            "Hello %(user)s,\n\nchoose a password for your log-in %(login)s here:\n\n%(url)s\n\n"
            "The link opens once, within %(hours)s h. If you did not expect it, do nothing.\n",
            user=user.name, login=user.login, url=url, hours=hours,
        )  # fmt: skip
    message = NewMessage(
        f"{MAIL_KIND}:{user.id}:{new_id()}", issuer_id, account.id, MAIL_KIND, user.email, subject, text
    )
    return enqueue(session, message, front.clock.now_us())


def mail_moved(session: Session, front: Front, user: UserRow, old: str) -> bool:
    """Tell the address that a user had that his mail goes elsewhere; False where it cannot be written to."""
    account = session.get_one(AccountRow, user.account_id)
    issuer_id = account.parent_id or account.id
    if not old or not mail_settings(session, issuer_id, front.rules.mail).host:
        return False
    with force_locale(user.language):
        name = session.get_one(AccountRow, issuer_id).name
        subject = _("Your access to %(name)s", name=name)
        text = _(
            "Hello %(user)s,\n\nfrom now on, mail about your log-in %(login)s goes to another address than "
            "this one. If you did not expect it, tell who gave you the log-in.\n",
            user=user.name, login=user.login,
        )  # fmt: skip
    message = NewMessage(
        f"user_moved:{user.id}:{new_id()}", issuer_id, account.id, "user_moved", old, subject, text
    )
    return enqueue(session, message, front.clock.now_us())


def _send_reset(app: Flask, front: Front, login: str) -> None:
    now_us = front.clock.now_us()
    if "\x00" in login:
        return
    with app.app_context(), front.writing() as session:
        user = find_user(session, login)
        if user is None or not may_log_in(user, session.get_one(AccountRow, user.account_id)):
            return
        issuer_id = session.get_one(AccountRow, user.account_id).parent_id or user.account_id
        # Whoever asks names the host that he asks: it may be his own, and must not stand in another's mail.
        is_ours = bool(front.desks.public_url)
        is_mute = (
            not is_ours or not user.email or not mail_settings(session, issuer_id, front.rules.mail).host
        )
        if is_mute or was_made_since(session, user.id, now_us - RESET_EVERY_US):
            return  # it would only end the link that he may have
        url = link_url(front, make_link(session, user, Purpose.RESET, now_us))
        mail_link(session, front, user, url, Purpose.RESET)
