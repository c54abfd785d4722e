"""The account's own balance as it runs while somebody talks, and its own live calls.

The overview includes portal/live_balance/_watched.html, and loads js/live.js in its block scripts.
"""

from flask import Blueprint, render_template

from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import Asked
from pbxbill.web.front import Front, background, needs

SHOWN = 20
"""Calls; who has more asks for the list of his calls."""


def live_balance(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_balance", __name__)

    def shown() -> str:
        board, scope = front.desks.live, front.scope
        return render_template(
            "portal/live_balance/show.html",
            balance=board.balance(scope, scope.account_id),
            calls=board.page(scope, Asked(size=SHOWN)),
        )

    @section.get("/balance")
    @needs(Permission.OWN_READ)
    def show() -> str:
        return shown()

    @section.get("/balance/now")
    @background
    @needs(Permission.OWN_READ)
    def now() -> str:
        """The same, for pages that are open."""
        return shown()

    return section
