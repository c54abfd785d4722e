"""/my/auto-top-up: a balance that fills itself from a saved card before it is empty, within caps."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.auto_top_ups import resume, turn_off
from pbxbill.billing.payments.saved_methods import methods_of
from pbxbill.store.payment_models import AutoTopUpRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_account, own_wallet, own_wallets
from pbxbill.web.saved_cards import AutoTopUpForm, card_text, fill_top_up, set_top_up


def add_auto_top_ups(section: Blueprint, front: Front) -> None:
    """The pages."""

    @section.get("/auto-top-up")
    @needs(Permission.OWN_PAY)
    def auto_top_ups() -> str:
        with front.reading() as session:
            found = [(x, session.get(AutoTopUpRow, x.id)) for x in own_wallets(front, session)]
            cards = {x.id: x for x in methods_of(session, front.scope.account_id, removed=True)}
        return render_template(
            "portal/payments/auto_top_ups.html", found=found, cards=cards, card_text=card_text
        )

    @section.route("/auto-top-up/<unit>", methods=["GET", "POST"])
    @needs(Permission.OWN_PAY)
    def auto_top_up(unit: str) -> str | Response:
        form = AutoTopUpForm()
        with front.reading() as session:
            account = own_account(front, session)
            wallet = own_wallet(front, session, unit)
            row = session.get(AutoTopUpRow, wallet.id)
            cards = fill_top_up(session, form, account, wallet, is_new=request.method == "GET")
        if cards and form.validate_on_submit() and set_top_up(front, form, account, wallet):
            flash(gettext("Your %(unit)s balance fills itself from now on.", unit=unit))
            return redirect(url_for("my_payments.auto_top_ups"), 303)
        return render_template("portal/payments/auto_top_up.html", form=form, unit=unit, cards=cards, row=row)

    @section.post("/auto-top-up/<unit>/<any(off, resume):what>")
    @needs(Permission.OWN_PAY)
    def auto_top_up_turn(unit: str, what: str) -> Response:
        with front.reading() as session:
            account = own_account(front, session)
            own_wallet(front, session, unit)
        turned = turn_off if what == "off" else resume
        with (
            refusals(PanelForm()) as refused,
            front.changing(f"auto-top-up.{what}", account.code, account_id=account.id) as change,
        ):
            turned(change.session, account, unit, change.now_us)
        if refused:
            flash(refused.messages[0], "bad")
        elif what == "off":
            flash(gettext("Your %(unit)s balance does not fill itself any more.", unit=unit))
        else:
            flash(gettext("Your %(unit)s balance fills itself again.", unit=unit))
        return redirect(url_for("my_payments.auto_top_ups"), 303)
