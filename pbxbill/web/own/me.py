"""/me: what everybody sets for himself. Name, language, zone, theme, password, sessions.

/me/prove asks for the password again before what is grave; identity.py sends there.
"""

from dataclasses import asdict

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from werkzeug.wrappers import Response as Redirect
from wtforms import EmailField, PasswordField, SelectField
from wtforms.validators import DataRequired, Length, Optional

from pbxbill.access import attempts, login_sessions
from pbxbill.access.passwords import matches
from pbxbill.access.users import UserFacts, change_facts, facts_of, new_hash, set_password
from pbxbill.store.access_models import UserRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LanguageField, LineField, PanelForm, ZoneField, at_most, refusals, required
from pbxbill.web.front import Front, for_users
from pbxbill.web.identity import Identity, own_path
from pbxbill.web.own.links import PasswordForm


class MeForm(PanelForm):
    """What a user sets for himself."""

    name = LineField(lazy_gettext("Name"), [required(), at_most()], render_kw={"autocomplete": "name"})
    email = EmailField(
        lazy_gettext("E-mail"),
        [Optional(), at_most()],
        description=lazy_gettext("A link for a forgotten password goes there."),
        render_kw={"autocomplete": "email"},
    )
    language = LanguageField(lazy_gettext("Language"))
    zone = ZoneField(lazy_gettext("Time zone"))
    theme = SelectField(
        lazy_gettext("Appearance"),
        choices=[
            ("auto", lazy_gettext("As the system")),
            ("light", lazy_gettext("Light")),
            ("dark", lazy_gettext("Dark")),
        ],
    )
    edition = EditionField()


class ProveForm(PanelForm):
    """The password once more."""

    password = PasswordField(
        lazy_gettext("Password"),
        [DataRequired(lazy_gettext("Enter your password.")), Length(max=200)],
        render_kw={"autocomplete": "current-password", "autofocus": True},
    )


class ChangePasswordForm(PasswordForm):
    """The old password and a new one."""

    old = PasswordField(
        lazy_gettext("Present password"),
        [DataRequired(lazy_gettext("Enter your password.")), Length(max=200)],
        render_kw={"autocomplete": "current-password"},
    )


def me(front: Front, identity: Identity) -> Blueprint:
    """These pages."""
    made = Blueprint("me", __name__)

    @made.route("/me", methods=["GET", "POST"], endpoint="show")
    @for_users
    def show() -> Redirect | str:
        user = own_row(front)
        form = MeForm(obj=user)
        if request.method == "GET":
            form.edition.data = edition_of(_facts(user))
        if form.validate_on_submit():
            # Who gets the mail of a forgotten password gets in: a browser left open must not change who.
            asked = identity.ask_for_proof() if (form.email.data or "").strip() != user.email else None
            if asked is not None:
                told = _("Your e-mail address is not changed yet: enter your password, then save it again.")
                flash(told, "warn")
                return asked
            with refusals(form) as refused:
                _take_settings(front, form)
            if not refused:
                answer = redirect(url_for("me.show"), 303)
                answer.delete_cookie("theme")  # what this browser was told before
                flash(_("Your settings are saved."))
                return answer
        with front.reading() as session:
            now_us = front.clock.now_us()
            sessions = login_sessions.sessions_of(session, user.id, now_us, front.rules.limits)
        return render_template(
            "me/me.html", form=form, user=user, sessions=sessions, here=front.login.token_hash
        )

    @made.route("/me/password", methods=["GET", "POST"], endpoint="password")
    @for_users
    def password() -> Redirect | str | tuple[str, int]:
        form = ChangePasswordForm()
        if not form.validate_on_submit():
            return render_template("me/password.html", form=form)
        user = own_row(front)
        told = _try_own_password(front, user, str(form.old.data))
        if told:
            form.old.errors = [told]
            return render_template("me/password.html", form=form), 401
        fresh = ""
        with refusals(form, "password"):
            fresh = new_hash(user, str(form.password.data))
        if not fresh:
            return render_template("me/password.html", form=form)
        with front.changing("user.password", user.login) as change:
            set_password(change.session, change.session.get_one(UserRow, user.id), fresh)
        flash(_("Your password is changed. Everywhere else you are logged out."))
        return identity.answer_with(redirect(url_for("me.show"), 303), identity.let_in(user.id))

    _add_proof(made, front)
    _add_sessions(made, front)
    return made


def _add_proof(made: Blueprint, front: Front) -> None:
    @made.route("/me/prove", methods=["GET", "POST"], endpoint="prove")
    @for_users
    def prove() -> Redirect | str | tuple[str, int]:
        form = ProveForm()
        if not form.validate_on_submit():
            return render_template("me/prove.html", form=form)
        user = own_row(front)
        told = _try_own_password(front, user, str(form.password.data))
        if told:
            form.password.errors = [told]
            return render_template("me/prove.html", form=form), 401
        with front.writing() as session:
            login_sessions.prove(session, front.login.token_hash, front.clock.now_us())
        return redirect(own_path(request.args.get("next")) or url_for("me.show"), 303)


def _add_sessions(made: Blueprint, front: Front) -> None:
    @made.post("/me/sessions/<token_hash>/end")
    @for_users
    def end_session(token_hash: str) -> Redirect:
        user = own_row(front)
        with front.changing("user.session-end", user.login) as change:
            login_sessions.end(change.session, user.id, token_hash)
        flash(_("That session is ended."))
        return redirect(url_for("me.show"), 303)

    @made.post("/me/sessions/end")
    @for_users
    def end_others() -> Redirect:
        user = own_row(front)
        with front.changing("user.session-end", user.login) as change:
            login_sessions.end_all(change.session, user.id, but=front.login.token_hash)
        flash(_("Everywhere else you are logged out."))
        return redirect(url_for("me.show"), 303)


def own_row(front: Front) -> UserRow:
    """Whoever asks, as the database knows him."""
    with front.reading() as session:
        return session.get_one(UserRow, front.actor.user_id)


def _take_settings(front: Front, form: MeForm) -> None:
    email = (form.email.data or "").strip()
    facts = UserFacts(str(form.name.data), email, str(form.language.data), str(form.zone.data))
    with front.changing("user.settings", front.actor.name) as change:
        user = change.session.get_one(UserRow, front.actor.user_id)
        check_edition(form, _facts(user))
        change_facts(change.session, user, facts)
        user.theme = str(form.theme.data)


def _facts(user: UserRow) -> dict[str, str]:
    return asdict(facts_of(user)) | {"theme": user.theme}


def _try_own_password(front: Front, user: UserRow, password: str) -> str:
    """What is wrong with it; empty: nothing."""
    with front.writing() as session:
        locked = attempts.attempt_code(session, user.id, front.clock.now_us())
    if locked is not None:
        return str(_("Too many attempts. Try again later."))
    if not matches(user.password_hash, password):
        return str(_("This is not your password."))
    with front.writing() as session:
        attempts.forget_code(session, user.id)
    return ""
