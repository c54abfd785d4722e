"""/me/second-factor, /me/recovery-codes: what is asked for besides the password."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from werkzeug.wrappers import Response as Redirect
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length

from pbxbill.access import second_factor
from pbxbill.access.login_sessions import end_all
from pbxbill.errors import ConfigurationError
from pbxbill.store.access_models import UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm
from pbxbill.web.front import Front, for_users, grave
from pbxbill.web.own.me import own_row


class TurnOnForm(PanelForm):
    """The first code; it proves that the authenticator took the secret."""

    sealed = HiddenField(validators=[DataRequired(), Length(max=500)])
    code = StringField(
        lazy_gettext("Code"),
        [DataRequired(lazy_gettext("Enter the code.")), Length(max=10)],
        description=lazy_gettext("The six digits that the authenticator shows now."),
        render_kw={"autocomplete": "one-time-code", "inputmode": "numeric"},
    )


def own_factors(front: Front) -> Blueprint:
    """These pages."""
    made = Blueprint("factors", __name__, url_prefix="/me")

    @made.route("/second-factor", methods=["GET", "POST"], endpoint="show")
    @for_users
    @grave
    def show() -> Redirect | str:
        user = own_row(front)
        if user.totp:
            with front.reading() as session:
                left = second_factor.recovery_codes_left(session, user.id)
            return render_template("me/second_factor_on.html", left=left)
        form, secret = _form_of(front, user.id)
        if form.validate_on_submit():
            step = second_factor.step_of(secret, str(form.code.data), front.clock.now_us())
            if step is not None:
                with front.changing("user.second-factor-on", user.login) as change:
                    row = change.session.get_one(UserRow, user.id)
                    codes = second_factor.turn_on(change.session, front.rules.sealer, row, secret, step)
                    end_all(change.session, user.id, but=front.login.token_hash)
                return render_template("me/recovery_codes.html", codes=codes)
            form.code.errors = [_("This code is wrong. Is the clock of your telephone right?")]
        with front.reading() as session:
            issuer = _issuer_of(session.get_one(AccountRow, user.account_id))
        uri = second_factor.provisioning_uri(secret, user.login, issuer)
        return render_template(
            "me/second_factor.html", form=form, secret=secret, qr=second_factor.qr_data_uri(uri)
        )

    @made.route("/second-factor/off", methods=["GET", "POST"], endpoint="off")
    @for_users
    @grave
    def off() -> Redirect | str:
        form = PanelForm()
        if not form.validate_on_submit():
            return render_template("me/second_factor_off.html", form=form)
        user = own_row(front)
        with front.changing("user.second-factor-off", user.login) as change:
            second_factor.turn_off(change.session, change.session.get_one(UserRow, user.id))
            end_all(change.session, user.id, but=front.login.token_hash)
        flash(_("From now on the password alone is asked for."), "warn")
        return redirect(url_for("me.show"), 303)

    @made.route("/recovery-codes", methods=["GET", "POST"])
    @for_users
    @grave
    def recovery_codes() -> Redirect | str:
        user = own_row(front)
        if not user.totp:
            return redirect(url_for("factors.show"), 303)
        form = PanelForm()
        if not form.validate_on_submit():
            return render_template("me/recovery_codes_new.html", form=form)
        with front.changing("user.recovery-codes", user.login) as change:
            row = change.session.get_one(UserRow, user.id)
            codes = second_factor.new_recovery_codes(change.session, row)
        return render_template("me/recovery_codes.html", codes=codes)

    return made


def _form_of(front: Front, user_id: int) -> tuple[TurnOnForm, str]:
    """The form, and the secret that it carries sealed from one request to the next."""
    form = TurnOnForm()
    # Its page shows what was sealed: only what was sealed for this page and this user is opened here.
    mark = f"second factor offered to {user_id}: "
    try:
        opened = front.rules.sealer.open(str(form.sealed.data)) if form.sealed.data else ""
    except ConfigurationError:  # somebody changed it
        opened = ""
    if opened.startswith(mark):
        return form, opened.removeprefix(mark)
    secret = second_factor.new_secret()
    form.sealed.data = front.rules.sealer.seal(mark + secret)
    return form, secret


def _issuer_of(account: AccountRow) -> str:
    # Authenticators take it apart at a colon.
    return account.name.replace(":", " ")[:64]
