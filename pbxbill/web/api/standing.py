"""Whether the API answers, and who asks."""

from pydantic import BaseModel
from sqlalchemy import text

from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Api
from pbxbill.web.front import for_users, open_to_all

TAG = "The API itself"


class Health(BaseModel):
    """It answers."""

    status: str


class Me(BaseModel):
    """The key that asks, and for whom."""

    key: str
    account: str
    account_id: int
    own_only: bool
    """It sees its account alone, not those below it."""
    scopes: list[str]
    per_minute: int


def standing(api: Api) -> None:
    """health, me."""
    front = api.front

    @api.get("/health", Health, TAG)
    @open_to_all
    def health() -> Health:
        """Whether the API and its database answer. Needs no key."""
        with front.reading() as session:
            session.execute(text("SELECT 1"))
        return Health(status="ok")

    @api.get("/me", Me, TAG)
    @for_users
    def me() -> Me:
        """Which key this is, for which account, and what it may."""
        actor = front.actor
        with front.reading() as session:
            account = session.get_one(AccountRow, actor.scope.account_id)
        return Me(
            key=actor.name.removeprefix("key:"),
            account=account.code,
            account_id=account.id,
            own_only=actor.scope.own,
            scopes=sorted(actor.permissions),
            per_minute=actor.per_minute,
        )
