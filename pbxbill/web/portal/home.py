"""/my: the account at a glance. What is left, what is to be paid, who was called last, what was said."""

from typing import Any

from flask import Blueprint, render_template

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.billing.payments.auto_top_ups import stopped_units
from pbxbill.listing.dues import due_of
from pbxbill.listing.listing import Asked, page_of
from pbxbill.listing.own import OWN_CALLS, OWN_MESSAGES
from pbxbill.store.dunning_models import LifeCycleRow
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_account

SHOWN = 6


def home(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_home", __name__)

    @section.get("/")
    @needs(Permission.OWN_READ)
    def show() -> str:
        scope = front.scope
        with front.reading() as session:
            account = own_account(front, session)
            life = session.get(LifeCycleRow, account.id)
            shown: dict[str, Any] = {
                "account": account,
                "due": due_of(session, account.id),
                "calls": page_of(session, OWN_CALLS, scope, Asked(size=SHOWN)).rows,
                "messages": page_of(session, OWN_MESSAGES, scope, Asked(size=SHOWN)).rows,
                "barred": all_in_force(session, account.id),
                "valid_to_us": None if life is None else life.valid_to_us,
                "stopped": stopped_units(session, account.id),
            }
        balance = front.desks.live.balance(scope, scope.account_id)
        now_us = front.clock.now_us()
        return render_template("portal/home/show.html", balance=balance, now_us=now_us, **shown)

    return section
