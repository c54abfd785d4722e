"""/my/numbers: the numbers at which the account is called."""

from flask import Blueprint

from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_NUMBERS
from pbxbill.web.front import Front
from pbxbill.web.panel.lists import ListPage, add_list


def numbers(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_numbers", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_NUMBERS,
            "/numbers",
            empty=(
                N_("You have no number of your own"),
                N_("Ask your provider for one, so that others can call you."),
            ),
        ),
    )
    return section
