"""/my/cards: cards that payment services keep for the account. Their numbers are never with us."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.saved_methods import methods_of, prefer_method
from pbxbill.store.payment_models import SavedMethodRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_account, own_row
from pbxbill.web.saved_cards import card_text, is_filling, remove_card


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
            fills = is_filling(session, front.scope.account_id, method_id)
        if form.validate_on_submit():
            is_gone = remove_card(front, form, card)
            if is_gone is not None:
                flash(gettext("%(card)s is not charged any more.", card=card_text(card)))
                if not is_gone:
                    flash(gettext("The payment service could not be told yet that it is gone."), "warn")
                return redirect(url_for("my_payments.cards"), 303)
        return render_template(
            "portal/payments/remove_card.html", form=form, card=card, named=card_text(card), fills=fills
        )
