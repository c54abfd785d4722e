"""What bars an account, from its page: suspend, resume, close for good."""

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.suspending import HAND, cut_calls, lift, suspend
from pbxbill.billing.life_cycle.terminating import terminate
from pbxbill.charging.status import AccountStatus
from pbxbill.errors import InputRefused
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_forms import SuspendForm, TerminateForm


def add_barring(section: Blueprint, front: Front) -> None:
    """Add the routes."""
    _add_suspending(section, front)
    _add_terminating(section, front)


def _add_suspending(section: Blueprint, front: Front) -> None:
    @section.route("/accounts/<int:id>/suspend", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def suspend_account(id: int) -> str | AnyResponse:
        form = SuspendForm()
        with front.reading() as session:
            account = front.account(session, id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("account.suspend", account.code, account_id=id) as change,
            ):
                front.account(change.session, id)
                suspend(
                    change.session,
                    id,
                    AccountStatus(form.status.data),
                    cause=HAND,
                    reason=form.reason.data or "",
                    now_us=change.now_us,
                    by=front.actor.name,
                    cut=form.cut.data,
                )
            if not refused:
                if form.cut.data:  # a call that was being granted in that moment is cut as well
                    _cut(front, id, account.code)
                flash(gettext("Account %(code)s is barred.", code=account.code))
                return redirect(url_for("accounts.show", id=id), 303)
        return render_template("panel/accounts/suspend.html", form=form, account=account)

    @section.post("/accounts/<int:id>/resume")
    @needs(Permission.ACCOUNTS_WRITE)
    def resume(id: int) -> AnyResponse:
        with front.reading() as session:
            code = front.account(session, id).code
        with front.changing("account.resume", code, account_id=id) as change:
            account = front.account(change.session, id)
            was_barred = lift(change.session, id, cause=HAND, now_us=change.now_us, by=front.actor.name)
        if not was_barred:
            flash(gettext("Nothing was barred by hand."), "warn")
        elif account.status == AccountStatus.ACTIVE:
            flash(gettext("Account %(code)s is active again.", code=code))
        else:
            flash(gettext("That is lifted. Something else still bars %(code)s.", code=code), "warn")
        return redirect(url_for("accounts.show", id=id), 303)


def _add_terminating(section: Blueprint, front: Front) -> None:
    @section.route("/accounts/<int:id>/terminate", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def terminate_account(id: int) -> str | AnyResponse:
        form = TerminateForm()
        with front.reading() as session:
            account = front.billed(session, id)  # what it still owes is charged
        if account.status == AccountStatus.TERMINATED:
            abort(404)
        if form.validate_on_submit():
            with refusals(form, "code"):
                if form.code.data != account.code:
                    raise InputRefused(gettext("This is not the code of this account."))
            if not form.errors:
                with (
                    refusals(form) as refused,
                    front.changing("account.terminate", account.code, account_id=id) as change,
                ):
                    front.billed(change.session, id)
                    terminate(
                        change.session,
                        change.books,
                        id,
                        cause=HAND,
                        reason=form.reason.data or "",
                        now_us=change.now_us,
                        by=front.actor.name,
                    )
                if not refused:
                    _cut(front, id, account.code)
                    flash(gettext("Account %(code)s is closed.", code=account.code))
                    return redirect(url_for("accounts.show", id=id), 303)
        return render_template("panel/accounts/terminate.html", form=form, account=account)


def _cut(front: Front, id: int, code: str) -> None:
    with front.changing("account.cut_calls", code, account_id=id) as after:
        cut_calls(after.session, id, after.now_us)
