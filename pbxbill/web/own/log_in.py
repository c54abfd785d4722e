"""/log-in, /second-factor, /log-out: how somebody gets in, and out.

What is wrong is never said of a log-in or a password alone, nor does it take longer for one that is known.
Between password and second factor the browser holds a signed note for five minutes, which lets nobody in.
"""

from dataclasses import dataclass
from typing import Any

import structlog
from flask import Blueprint, Response, flash, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from werkzeug.wrappers import Response as Redirect
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired, Length

from pbxbill.access import attempts
from pbxbill.access.login_sessions import may_log_in, token_hash
from pbxbill.access.passwords import hashed, is_outdated, matches
from pbxbill.access.second_factor import take_code
from pbxbill.access.users import find_user
from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm
from pbxbill.web.front import Front, for_users, open_to_all
from pbxbill.web.identity import Identity, address, own_path

HALF = "half"
HALF_US = 5 * 60 * SECOND_US
Answer = Response | Redirect | str | tuple[str, int]
_log = structlog.get_logger()


class LogInForm(PanelForm):
    """Who, and his password."""

    login = StringField(
        lazy_gettext("Log-in"),
        [DataRequired(lazy_gettext("Enter your log-in.")), Length(max=200)],
        render_kw={"autocomplete": "username webauthn", "autocapitalize": "none", "autofocus": True},
    )
    password = PasswordField(
        lazy_gettext("Password"),
        [DataRequired(lazy_gettext("Enter your password.")), Length(max=200)],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField(validators=[Length(max=2000)])


class CodeForm(PanelForm):
    """A code of the authenticator, or a recovery code."""

    code = StringField(
        lazy_gettext("Code"),
        [DataRequired(lazy_gettext("Enter the code.")), Length(max=40)],
        description=lazy_gettext(
            "The six digits that your authenticator shows now. Without it, one of your recovery codes."
        ),
        render_kw={"autocomplete": "one-time-code", "autofocus": True},
    )


@dataclass(frozen=True, slots=True)
class _Half:
    """Somebody whose password was right."""

    user_id: int
    next: str


def log_in(front: Front, identity: Identity) -> Blueprint:
    """These pages."""
    made = Blueprint("log_in", __name__)

    @made.route("/log-in", methods=["GET", "POST"], endpoint="show")
    @open_to_all
    def show() -> Answer:
        form = LogInForm(data={"next": own_path(request.args.get("next"))})
        if identity.of_page() is not None:
            return redirect(own_path(form.next.data) or url_for("home"), 303)
        if not form.validate_on_submit():
            return render_template("log_in/log_in.html", form=form)
        tried = _try_password(front, str(form.login.data), str(form.password.data))
        if isinstance(tried, attempts.Locked):
            return _locked(front, form, tried, "log_in/log_in.html")
        if tried is None:
            form.form_errors.append(_("Log-in or password is wrong."))
            return render_template("log_in/log_in.html", form=form), 401
        after = own_path(form.next.data)
        if tried.totp:
            session.clear()
            # A note from before a new password is worth nothing after it.
            mark = token_hash(tried.password_hash)[:16]
            now_us = front.clock.now_us()
            session[HALF] = {"user": tried.id, "mark": mark, "at_us": now_us, "next": after}
            return redirect(url_for("log_in.second_factor"), 303)
        return let_in(identity, tried.id, after)

    _add_second_factor(made, front, identity)

    @made.post("/log-out")
    @for_users
    def log_out() -> Redirect:
        answer = identity.let_out(redirect(url_for("log_in.show"), 303))
        flash(_("You are logged out."))
        return answer

    @made.app_context_processor
    def way_out() -> dict[str, Any]:
        return {"log_out_url": url_for("log_in.log_out")}

    return made


def _add_second_factor(made: Blueprint, front: Front, identity: Identity) -> None:
    @made.route("/second-factor", methods=["GET", "POST"], endpoint="second_factor")
    @open_to_all
    def second_factor() -> Answer:
        half = _half(front)
        if half is None:
            flash(_("Log in again."), "warn")
            return redirect(url_for("log_in.show"), 303)
        form = CodeForm()
        if not form.validate_on_submit():
            return render_template("log_in/second_factor.html", form=form)
        with front.writing() as database:
            now_us = front.clock.now_us()
            locked = attempts.attempt_code(database, half.user_id, now_us)
            user = database.get_one(UserRow, half.user_id)
            taken = locked is None and take_code(
                database, front.rules.sealer, user, str(form.code.data), now_us
            )
            if taken:
                attempts.forget_code(database, user.id)
        if locked is not None:
            return _locked(front, form, locked, "log_in/second_factor.html")
        if not taken:
            _log.warning("second_factor_refused", user=user.login, address=address())
            form.code.errors = [_("This code is wrong, or was used before.")]
            return render_template("log_in/second_factor.html", form=form), 401
        return let_in(identity, half.user_id, half.next)


def let_in(identity: Identity, user_id: int, after: str = "") -> Redirect:
    """The answer to somebody who has proven who he is."""
    token = identity.let_in(user_id)
    return identity.answer_with(redirect(after or url_for("home"), 303), token)


def _try_password(front: Front, login: str, password: str) -> UserRow | attempts.Locked | None:
    now_us = front.clock.now_us()
    name = login.strip().lower()
    with front.writing() as database:
        locked = attempts.attempt_log_in(database, name, address(), now_us)
    if locked is not None:
        return locked
    with front.reading() as database:
        user = find_user(database, name) if "\x00" not in name else None
        account = None if user is None else database.get_one(AccountRow, user.account_id)
    # Outside of the transaction: it takes as long as a hundred calls.
    is_right = matches("" if user is None else user.password_hash, password)
    if user is None or account is None or not is_right or not may_log_in(user, account):
        _log.warning("log_in_refused", login=name[:200], address=address())
        return None
    fresh = hashed(password) if is_outdated(user.password_hash) else ""
    with front.writing() as database:
        attempts.forget_log_in(database, name, address())
        if fresh:
            database.get_one(UserRow, user.id).password_hash = fresh
    return user


def _half(front: Front) -> _Half | None:
    note = session.get(HALF)
    if not isinstance(note, dict) or not 0 <= front.clock.now_us() - int(note.get("at_us", 0)) < HALF_US:
        return None
    with front.reading() as database:
        user = database.get(UserRow, int(note["user"]))
        account = None if user is None else database.get_one(AccountRow, user.account_id)
    if user is None or account is None or not may_log_in(user, account) or not user.totp:
        return None
    if token_hash(user.password_hash)[:16] != note.get("mark"):
        return None
    return _Half(user.id, str(note.get("next", "")))


def _locked(front: Front, form: PanelForm, locked: attempts.Locked, page: str) -> tuple[str, int]:
    wait_s = -(-(locked.until_us - front.clock.now_us()) // SECOND_US)
    minutes = -(-wait_s // 60)
    form.form_errors.append(_("Too many attempts. Try again in %(minutes)s min.", minutes=minutes))
    return render_template(page, form=form), 429
