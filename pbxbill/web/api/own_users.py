"""Users of the key's own account, as the account itself lets them in: to its portal."""

from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from pbxbill.access.one_time_links import Purpose
from pbxbill.access.permissions import Permission, Role
from pbxbill.access.users import (
    NewUser,
    add_user,
    disable,
    enable,
    find_user,
    may_manage,
    reset_factors,
)
from pbxbill.listing.users import USERS
from pbxbill.store.access_models import UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Sent, left_out
from pbxbill.web.api.listed import ListedAs, declare_list
from pbxbill.web.api.objects import conflicts
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.users import (
    TAG,
    Email,
    Language,
    Link,
    Name,
    UserPath,
    Zone,
    change_person,
    link_of,
    managed_user,
    refuse_ending_key,
)
from pbxbill.web.front import Front, needs


class NewOwnUser(Sent):
    """Somebody to be let in to the portal."""

    login: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9._@+-]{1,199}$")]
    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)]
    email: Annotated[str, StringConstraints(min_length=3, max_length=200)] = left_out(
        "Default: the log-in, where it is an address."
    )
    language: Language = "en"
    zone: Zone = "UTC"


class OwnUserChange(Sent):
    """What to change of a user; what is left out stays."""

    name: Name = left_out()
    email: Email = left_out(
        "Links for another password go there. The address before is told that there is another."
    )
    language: Language = left_out()
    zone: Zone = left_out()
    active: bool = left_out("Whether he is let in.")


def own_users(api: Api) -> None:
    """Users of the key's own account."""
    front = api.front
    types = declare_list(
        api, "/own/users", USERS, TAG, permission=Permission.OWN_WRITE, name="list_own_users"
    )

    @api.get("/own/users/<int:user_id>", types.item, TAG, moving=("last_login",))
    @needs(Permission.OWN_WRITE)
    def get_own_user(path: UserPath) -> BaseModel:
        """One user of the key's own account."""
        with front.reading() as session:
            return types.shown(session, front.scope, path.user_id)

    @api.post("/own/users", Link, TAG)
    @needs(Permission.OWN_WRITE)
    def let_in_to_own(body: NewOwnUser) -> Answer:
        """Let somebody in to the portal of the key's own account. He chooses a password by the link.

        The key needs all scopes of the portal (own:...). 409: the log-in is taken.
        """
        refuse_ending_key(front)
        with front.reading() as session:
            account = session.get_one(AccountRow, front.scope.account_id)
            if find_user(session, body.login) is not None:
                raise Refused(409, "There is a user of this log-in.")
        if not may_manage(front.actor, account, Role.CUSTOMER):
            raise Refused(403, "Who is let in may all of the portal, which is more than the key.")
        email: Any = body.email
        address = email or (body.login if "@" in body.login else "")
        new = NewUser(body.login, body.name, Role.CUSTOMER, address, body.language, body.zone)
        with api.writing("user.add", body.login, account_id=account.id) as change:
            now = change.session.get_one(AccountRow, account.id)
            user = add_user(change.session, now, new, change.now_us)
            return change.done(link_of(front, change.session, user, Purpose.INVITATION, change.now_us), 201)

    _declare_changes(api, types)


def _declare_changes(api: Api, types: ListedAs) -> None:
    front = api.front

    @api.post("/own/users/<int:user_id>/link", Link, TAG)
    @needs(Permission.OWN_WRITE)
    def make_own_user_link(path: UserPath) -> Answer:
        """A link by which a user of the key's own account chooses another password."""
        user = _seen(front, path.user_id)
        refuse_ending_key(front)
        with api.writing("user.link", user.login, account_id=user.account_id) as change:
            row = managed_user(front, change.session, path.user_id)
            return change.done(link_of(front, change.session, row, Purpose.RESET, change.now_us), 201)

    @api.patch("/own/users/<int:user_id>", types.item, TAG)
    @needs(Permission.OWN_WRITE)
    def change_own_user(path: UserPath, body: OwnUserChange) -> Answer:
        """Change who a user of the key's own account is; let him in no more, or again."""
        sent: Any = body
        user = _seen(front, path.user_id)
        if sent.active or sent.email is not None:
            refuse_ending_key(front)
        with api.writing("user.change", user.login, account_id=user.account_id) as change:
            row = managed_user(front, change.session, path.user_id)
            change_person(front, change.session, row, body)
            with conflicts():
                if sent.active:
                    enable(row)
                elif sent.active is False:
                    disable(change.session, row)
            return change.done(types.shown(change.session, front.scope, path.user_id))

    @api.delete("/own/users/<int:user_id>/factors", TAG)
    @needs(Permission.OWN_WRITE)
    def reset_own_user_factors(path: UserPath) -> Answer:
        """Forget the second factor and the passkeys of a user of the key's own account: he lost them."""
        user = _seen(front, path.user_id)
        refuse_ending_key(front)
        with api.writing("user.reset-factors", user.login, account_id=user.account_id) as change:
            reset_factors(change.session, managed_user(front, change.session, path.user_id))
            return change.done(None)


def _seen(front: Front, id: int) -> UserRow:
    with front.reading() as session:
        return managed_user(front, session, id)
