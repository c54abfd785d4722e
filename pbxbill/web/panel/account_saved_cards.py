"""Cards that payment services keep for an account, and its wallets that fill themselves from them.

Who may correct payments removes a card, or changes when one is charged; the account agreed to that.
"""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import wallets_of
from pbxbill.billing.payments.auto_top_ups import resume, turn_off
from pbxbill.billing.payments.saved_methods import methods_of, prefer_method
from pbxbill.store.models import WalletRow
from pbxbill.store.payment_models import AutoTopUpRow, SavedMethodRow
from pbxbill.store.points_units import is_points_unit
from pbxbill.web.fields import PanelForm
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_parts import account_part
from pbxbill.web.panel.asking import done_at_once
from pbxbill.web.saved_cards import AutoTopUpForm, card_text, fill_top_up, is_filling, remove_card, set_top_up


def add_saved_cards(section: Blueprint, front: Front) -> None:
    """The pages."""
    _add_cards(section, front)
    _add_top_ups(section, front)


def _add_cards(section: Blueprint, front: Front) -> None:
    @section.get("/accounts/<int:id>/saved-cards")
    @needs(Permission.PAYMENTS_READ)
    def saved_cards(id: int) -> str:
        with front.reading() as session:
            account = front.account(session, id)
            wallets = [x for x in wallets_of(session, id) if not is_points_unit(session, x.unit)]
            filled = [(x, session.get(AutoTopUpRow, x.id)) for x in wallets]
            known = methods_of(session, id, removed=True)
        return account_part(
            "saved_cards",
            front,
            account,
            cards=[x for x in known if x.state == "active"],
            known={x.id: x for x in known},
            filled=filled,
            card_text=card_text,
        )

    @section.post("/accounts/<int:id>/saved-cards/<int:method_id>/prefer")
    @needs(Permission.PAYMENTS_CORRECT)
    def prefer_card(id: int, method_id: int) -> Response:
        with front.reading() as session:
            front.billed(session, id)
            card = _card(session, id, method_id)
        return done_at_once(
            front,
            "card.prefer",
            card_text(card),
            lambda change: prefer_method(change.session, _card(change.session, id, method_id).id),
            gettext("%(card)s is charged first from now on.", card=card_text(card)),
            url_for("accounts.saved_cards", id=id),
            id,
        )

    @section.route("/accounts/<int:id>/saved-cards/<int:method_id>/remove", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def remove_saved_card(id: int, method_id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            account = front.billed(session, id)
            card = _card(session, id, method_id)
            fills = is_filling(session, id, method_id)
        if form.validate_on_submit():
            is_gone = remove_card(front, form, card)
            if is_gone is not None:
                flash(gettext("%(card)s is not charged any more.", card=card_text(card)))
                if not is_gone:
                    flash(gettext("The payment service could not be told yet that it is gone."), "warn")
                return redirect(url_for("accounts.saved_cards", id=id), 303)
        return render_template(
            "panel/accounts/remove_card.html", form=form, account=account, named=card_text(card), fills=fills
        )


def _add_top_ups(section: Blueprint, front: Front) -> None:
    @section.route("/accounts/<int:id>/wallets/<unit>/auto-top-up", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def auto_top_up(id: int, unit: str) -> str | Response:
        form = AutoTopUpForm()
        with front.reading() as session:
            account = front.billed(session, id)
            wallet = _wallet(session, id, unit)
            cards = fill_top_up(session, form, account, wallet, is_new=request.method == "GET")
        if cards and form.validate_on_submit() and set_top_up(front, form, account, wallet):
            flash(gettext("The %(unit)s wallet fills itself from now on.", unit=unit))
            return redirect(url_for("accounts.saved_cards", id=id), 303)
        return render_template(
            "panel/accounts/auto_top_up.html", form=form, account=account, unit=unit, cards=cards
        )

    @section.post("/accounts/<int:id>/wallets/<unit>/auto-top-up/<any(off, resume):what>")
    @needs(Permission.PAYMENTS_CORRECT)
    def auto_top_up_turn(id: int, unit: str, what: str) -> Response:
        with front.reading() as session:
            account = front.billed(session, id)
            _wallet(session, id, unit)
        turned = turn_off if what == "off" else resume
        told = (
            gettext("The %(unit)s wallet does not fill itself any more.", unit=unit)
            if what == "off"
            else gettext("The %(unit)s wallet fills itself again.", unit=unit)
        )
        return done_at_once(
            front,
            f"auto-top-up.{what}",
            account.code,
            lambda change: turned(change.session, front.billed(change.session, id), unit, change.now_us),
            told,
            url_for("accounts.saved_cards", id=id),
            id,
        )


def _card(session: Session, account_id: int, method_id: int) -> SavedMethodRow:
    row = session.get(SavedMethodRow, method_id)
    if row is None or row.account_id != account_id or row.state != "active":
        abort(404)
    return row


def _wallet(session: Session, account_id: int, unit: str) -> WalletRow:
    return Front.one(
        session, select(WalletRow).where(WalletRow.account_id == account_id, WalletRow.unit == unit)
    )
