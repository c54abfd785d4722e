"""/my/cards: cards that payment services keep for the account. Their numbers are never with us."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.saved_methods import active_method, forget_method, methods_of, prefer_method
from pbxbill.store.payment_models import AutoTopUpRow, SavedMethodRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_account, own_row, own_wallets
from pbxbill.web.portal.paying import card_text


def add_cards(section: Blueprint, front: Front) -> None:
    """The pages."""

    @section.get("/saved-cards")
    @needs(Permission.OWN_PAY)
    def cards() -> str:
        with front.reading() as session:
            found = methods_of(session, front.scope.account_id)
        return render_template("portal/payments/cards.html", cards=found, card_text=card_text)

    @section.post("/saved-cards/<int:method_id>/prefer")
    @needs(Permission.OWN_PAY)
    def prefer(method_id: int) -> Response:
        with front.reading() as session:
            card = own_row(front, session, SavedMethodRow, method_id)
            account = own_account(front, session)
        form = PanelForm()
        with (
            refusals(form) as refused,
            front.changing("card.prefer", card_text(card), account_id=account.id) as change,
        ):
            prefer_method(change.session, method_id)
        if refused:
            flash(refused.messages[0], "bad")
        else:
            flash(gettext("%(card)s is charged first from now on.", card=card_text(card)))
        return redirect(url_for("my_payments.cards"), 303)

    @section.route("/saved-cards/<int:method_id>/remove", methods=["GET", "POST"])
    @needs(Permission.OWN_PAY)
    def remove(method_id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            card = own_row(front, session, SavedMethodRow, method_id)
            rows = [session.get(AutoTopUpRow, x.id) for x in own_wallets(front, session)]
            fills = any(x is not None and x.method_id == method_id and x.state == "on" for x in rows)
        if form.validate_on_submit():
            named = card_text(card)
            with (
                refusals(form) as refused,
                front.changing("card.remove", named, account_id=front.scope.account_id) as change,
            ):
                forget_method(change.session, active_method(change.session, method_id))
            if not refused:
                with front.desks.desk() as desk:
                    is_gone = desk.tell_removed(method_id)
                flash(gettext("%(card)s is not charged any more.", card=named))
                if not is_gone:
                    flash(gettext("The payment service could not be told yet that it is gone."), "warn")
                return redirect(url_for("my_payments.cards"), 303)
        return render_template(
            "portal/payments/remove_card.html", form=form, card=card, named=card_text(card), fills=fills
        )
