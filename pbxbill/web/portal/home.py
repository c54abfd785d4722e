"""/my: the account at a glance. What is left, what is to be paid, who was called last, what was said."""

from typing import Any, NamedTuple

from flask import Blueprint, render_template
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.standing import ASKING, UNSETTLED
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.listing.listing import Asked, page_of
from pbxbill.listing.own import OWN_CALLS, OWN_MESSAGES
from pbxbill.store.dunning_models import LifeCycleRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.payment_models import AutoTopUpRow
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_account, own_wallets

SHOWN = 6


class Due(NamedTuple):
    """What is to be paid in one currency."""

    unit: str
    open: int
    invoices: int
    first_us: int | None
    """When the first is, or was, due."""
    only_id: int


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
                "stopped": [
                    x.unit
                    for x in own_wallets(front, session)
                    if (row := session.get(AutoTopUpRow, x.id)) is not None and row.state == "stopped"
                ],
            }
        balance = front.desks.live.balance(scope, scope.account_id)
        now_us = front.clock.now_us()
        return render_template("portal/home/show.html", balance=balance, now_us=now_us, **shown)

    return section


def due_of(session: Session, account_id: int) -> list[Due]:
    """What an account is to pay, by currency; what it contests is left out."""
    asked = InvoiceRow.open - InvoiceRow.disputed
    query = (
        select(
            InvoiceRow.unit,
            func.sum(asked),
            func.count(),
            func.min(InvoiceRow.due_us),
            func.min(InvoiceRow.id),
        )
        .where(
            InvoiceRow.account_id == account_id,
            InvoiceRow.kind.in_(ASKING),
            InvoiceRow.state.in_(UNSETTLED),
            asked > 0,
        )
        .group_by(InvoiceRow.unit)
        .order_by(InvoiceRow.unit)
    )
    return [Due(x[0], int(x[1]), x[2], x[3], x[4]) for x in session.execute(query)]
