"""/my/numbers: the numbers at which the account is called, and its calling cards."""

from typing import Any

from flask import Blueprint
from sqlalchemy import select

from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_NUMBERS
from pbxbill.store.payment_models import CallingCardRow
from pbxbill.web.front import Front
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.calling_cards import add_calling_cards


def numbers(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_numbers", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_NUMBERS,
            "/numbers",
            template="portal/calling_cards/numbers.html",
            more=lambda: _with_cards(front),
            empty=(
                N_("You have no number of your own"),
                N_("Ask your provider for one, so that others can call you."),
            ),
        ),
    )
    add_calling_cards(section, front)
    return section


def _with_cards(front: Front) -> dict[str, Any]:
    own = select(CallingCardRow.id).where(CallingCardRow.account_id == front.scope.account_id).limit(1)
    with front.reading() as session:
        return {"has_cards": session.scalar(own) is not None}
