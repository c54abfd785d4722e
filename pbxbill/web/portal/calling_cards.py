"""/my/calling-cards: cards of the account for calls from anywhere; one that was lost is blocked."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext
from sqlalchemy import select
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes.calling_cards import block
from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_CARDS
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.own import own_row


def add_calling_cards(section: Blueprint, front: Front) -> None:
    """The list, a card, and the end of one."""
    add_list(
        section,
        front,
        ListPage(
            OWN_CARDS,
            "/calling-cards",
            link="my_numbers.card",
            endpoint="cards",
            empty=(
                N_("You have no calling card"),
                N_("Ask your provider for one to call from any telephone at your expense."),
            ),
        ),
    )

    @section.get("/calling-cards/<int:id>")
    @needs(Permission.OWN_READ)
    def card(id: int) -> str:
        with front.reading() as session:
            row = own_row(front, session, CallingCardRow, id)
            callers = select(KnownCallerRow.number).where(KnownCallerRow.card_id == id)
            numbers = session.scalars(callers.order_by(KnownCallerRow.number)).all()
        return render_template("portal/calling_cards/show.html", row=row, numbers=numbers)

    @section.route("/calling-cards/<int:id>/block", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def block_card(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = own_row(front, session, CallingCardRow, id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("card.block", str(id), account_id=row.account_id) as change,
            ):
                block(change.session, own_row(front, change.session, CallingCardRow, id))
            if not refused:
                flash(gettext("The card is blocked."))
                return redirect(url_for("my_numbers.card", id=id), 303)
        return render_template("portal/calling_cards/block.html", form=form, row=row)
