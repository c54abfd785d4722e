"""What pages of one number and of several share: whose they are, and what can be chosen for them."""

from typing import Any

from flask import abort
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import TermRefused
from pbxbill.listing.dids import visible_dids
from pbxbill.store.billing_models import DidRow, PlanRow
from pbxbill.store.models import AccountRow
from pbxbill.web.front import Front


def seen_did(session: Session, front: Front, id: int, *, lock: bool = False) -> DidRow:
    """A number that may be seen; 404 for any other."""
    query = select(DidRow).where(DidRow.id == id, visible_dids(front.scope))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return front.one(session, query)


def own_did(session: Session, front: Front, id: int, *, lock: bool = False) -> DidRow:
    """One of the actor's own inventory."""
    row = seen_did(session, front, id, lock=lock)
    if row.issuer_id != front.scope.account_id:
        abort(404)
    return row


def seller_of_actor(session: Session, front: Front) -> AccountRow:
    """Whose inventory new numbers are in."""
    return session.get_one(AccountRow, front.scope.account_id)


def account_named(session: Session, front: Front, code: str) -> AccountRow:
    """An account of the scope; TermRefused for any other."""
    account = session.scalar(
        select(AccountRow).where(AccountRow.code == code, front.scope.among(AccountRow.id))
    )
    if account is None:
        raise TermRefused(gettext("there is no account of this code"), "account")
    return account


def plans_for(session: Session, row: DidRow) -> list[tuple[str, str]]:
    """Plans by which a number can be charged."""
    names = session.scalars(
        select(PlanRow.name)
        .where(PlanRow.issuer_id == row.issuer_id, PlanRow.kind == "did", PlanRow.retired_us.is_(None))
        .order_by(PlanRow.name)
    )
    return [(x, x) for x in names]


def inventories_for(session: Session, front: Front, row: DidRow) -> list[tuple[str, str]]:
    """A reseller directly below its owner, or back to who is above, as far as the actor sees."""
    owner = session.get_one(AccountRow, row.issuer_id)
    below = session.scalars(
        select(AccountRow)
        .where(AccountRow.parent_id == owner.id, AccountRow.kind == "reseller")
        .order_by(AccountRow.code)
    )
    found: list[Any] = list(below)
    above = None if owner.parent_id is None else session.get(AccountRow, owner.parent_id)
    if above is not None and (above.id == front.scope.account_id or front.scope.covers(above)):
        found.append(above)
    return [(str(x.id), f"{x.code} – {x.name}") for x in found]
