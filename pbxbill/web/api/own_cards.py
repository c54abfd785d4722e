"""Calling cards of the key's own account: what they are, and the end of one that was lost."""

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes.calling_cards import block
from pbxbill.listing.own import OWN_CARDS
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Moment, moment_or_none
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import found
from pbxbill.web.api.points import CARD, CardPath
from pbxbill.web.front import needs


class OwnCard(BaseModel):
    """A calling card; its PIN is never shown again."""

    id: int
    name: str
    state: str = Field(description="active, locked or blocked.")
    expires: Moment | None
    last_used: Moment | None
    callers: list[str] = Field(description="Numbers that need no PIN.")


def own_cards(api: Api) -> None:
    """Calling cards."""
    front = api.front
    declare_list(api, "/own/cards", OWN_CARDS, CARD, name="list_own_cards")

    def seen(session: Session, id: int) -> CallingCardRow:
        return found(session, CallingCardRow, id, front.scope.among(CallingCardRow.account_id))

    @api.get("/own/cards/<int:card_id>", OwnCard, CARD)
    @needs(Permission.OWN_READ)
    def get_own_card(path: CardPath) -> OwnCard:
        """One calling card of the key's own account."""
        with front.reading() as session:
            return _shown(session, seen(session, path.card_id))

    @api.post("/own/cards/<int:card_id>/block", OwnCard, CARD)
    @needs(Permission.OWN_WRITE)
    def block_own_card(path: CardPath) -> Answer:
        """Block a card that was lost: no call begins by it any more, one that is up goes on.

        Only who sells to the account lets it be used again.
        """
        with front.reading() as session:
            row = seen(session, path.card_id)
        with api.writing("card.block", str(row.id), account_id=row.account_id) as change:
            card = seen(change.session, path.card_id)
            block(change.session, card)
            return change.done(_shown(change.session, card), 201)


def _shown(session: Session, row: CallingCardRow) -> OwnCard:
    callers = select(KnownCallerRow.number).where(KnownCallerRow.card_id == row.id)
    return OwnCard(
        id=row.id,
        name=row.name,
        state=row.state,
        expires=moment_or_none(row.expires_us),
        last_used=moment_or_none(row.last_used_us),
        callers=list(session.scalars(callers.order_by(KnownCallerRow.number))),
    )
