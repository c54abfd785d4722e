"""Users of the key's account and of those below it: let in, given another role, let in no more."""

from dataclasses import fields, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.api_keys import keys_of_user, revoke
from pbxbill.access.one_time_links import Purpose, make_link
from pbxbill.access.permissions import Permission, Role
from pbxbill.access.users import (
    LANGUAGES,
    NewUser,
    add_user,
    change_facts,
    checked_name,
    checked_zone,
    disable,
    enable,
    facts_of,
    find_user,
    may_let_in,
    may_manage,
    reset_factors,
    set_role,
)
from pbxbill.listing.audit_log import AUDIT_LOG
from pbxbill.listing.users import USERS
from pbxbill.store.access_models import UserRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Code, Id, Line, Sent, left_out
from pbxbill.web.api.listed import ListedAs, declare_file, declare_item, declare_list
from pbxbill.web.api.objects import account_named, conflicts, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs
from pbxbill.web.own.links import link_url, mail_link, mail_moved

TAG, AUDIT = "Users", "Audit log"


Name = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
Email = Annotated[str, StringConstraints(min_length=3, max_length=200)]
Language = Literal[LANGUAGES]  # type: ignore[valid-type]  # made of what there is
Zone = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class UserPath(Sent):
    """A user, by his id."""

    user_id: Id


class NewUserBody(Sent):
    """Somebody to be let in."""

    login: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9._@+-]{1,199}$")] = Field(
        examples=["dora@example.com"]
    )
    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)]
    role: Literal[tuple(Role)]  # type: ignore[valid-type]  # made of what there is
    account: Code = left_out("Its code. Default: the key's own account.")
    email: Annotated[str, StringConstraints(min_length=3, max_length=200)] = left_out(
        "Default: the log-in, where it is an address."
    )
    language: Language = "en"
    zone: Zone = "UTC"


class UserChange(Sent):
    """What to change of a user; what is left out stays."""

    name: Name = left_out()
    email: Email = left_out(
        "Links for another password go there. The address before is told that there is another."
    )
    language: Language = left_out()
    zone: Zone = left_out()
    role: Literal[tuple(Role)] = left_out()  # type: ignore[valid-type]  # the same
    active: bool = left_out("Whether he is let in.")
    revoke_keys: bool = Field(
        default=False,
        description="With active = false: his API keys are revoked as well, and what they made. "
        "`/api-keys?by=LOGIN` lists them; else they go on, for they are the account's.",
    )


class Link(BaseModel):
    """A link by which a user chooses a password, once."""

    user_id: int
    url: str = Field(description="Shown this once.")
    mailed: bool = Field(description="It went to his address as well.")


def users(api: Api) -> None:
    """Users."""
    front = api.front
    types = declare_list(api, "/users", USERS, TAG)
    declare_item(api, "/users/<int:user_id>", types, TAG, "get_user", "One user.", moving=("last_login",))

    @api.post("/users", Link, TAG)
    @needs(Permission.USERS_WRITE)
    def let_in(body: NewUserBody) -> Answer:
        """Let somebody in. He chooses a password by the link. 409: the log-in is taken.

        A key that ends lets nobody in: users have no end.
        """
        refuse_ending_key(front)
        with front.reading() as session:
            code: str | None = body.account
            if code is None:
                account = session.get_one(AccountRow, front.scope.account_id)
            else:
                account = account_named(session, front.scope, code)
            if find_user(session, body.login) is not None:
                raise Refused(409, "There is a user of this log-in.")
        role = Role(body.role)
        if not may_manage(front.actor, account, role):
            raise Refused(403, "The role may more than the key.")
        email: Any = body.email
        new = NewUser(
            body.login,
            body.name,
            role,
            email or (body.login if "@" in body.login else ""),
            body.language,
            body.zone,
        )
        with api.writing("user.add", body.login, account_id=account.id) as change:
            now = change.session.get_one(AccountRow, account.id)
            user = add_user(change.session, now, new, change.now_us)
            return change.done(link_of(front, change.session, user, Purpose.INVITATION, change.now_us), 201)

    _declare_changes(api, types)


def audit_log(api: Api) -> None:
    """What everybody did."""
    entries = declare_list(api, "/audit-log", AUDIT_LOG, AUDIT)
    declare_file(api, "/audit-log.csv", AUDIT_LOG, AUDIT)
    declare_item(api, "/audit-log/<int:entry_id>", entries, AUDIT, "get_audit_entry", "One entry of it.")


def _declare_changes(api: Api, types: ListedAs) -> None:
    front = api.front

    @api.post("/users/<int:user_id>/link", Link, TAG)
    @needs(Permission.USERS_WRITE)
    def make_user_link(path: UserPath) -> Answer:
        """A link by which a user chooses another password."""
        with front.reading() as session:
            user = managed_user(front, session, path.user_id)
        refuse_ending_key(front)
        with api.writing("user.link", user.login, account_id=user.account_id) as change:
            row = managed_user(front, change.session, path.user_id)
            return change.done(link_of(front, change.session, row, Purpose.RESET, change.now_us), 201)

    @api.patch("/users/<int:user_id>", types.item, TAG)
    @needs(Permission.USERS_WRITE)
    def change_user(path: UserPath, body: UserChange) -> Answer:
        """Change who a user is or what he may, let him in no more, or again.

        409: he is the only administrator.
        """
        sent: Any = body
        with front.reading() as session:
            user = managed_user(front, session, path.user_id)
            account = session.get_one(AccountRow, user.account_id)
        if sent.role is not None or sent.active or sent.email is not None:
            refuse_ending_key(front)
        if sent.role is not None and not may_manage(front.actor, account, Role(sent.role)):
            raise Refused(403, "The role may more than the key.")
        with api.writing("user.change", user.login, account_id=user.account_id) as change:
            row = managed_user(front, change.session, path.user_id)
            change_person(front, change.session, row, body)
            with conflicts():
                if sent.role is not None:
                    set_role(change.session, row, Role(sent.role))
                if sent.active is False:
                    disable(change.session, row)
                    for key in keys_of_user(change.session, row, change.now_us) if sent.revoke_keys else ():
                        revoke(change.session, key, change.now_us)
                elif sent.active:
                    enable(row)
            return change.done(types.shown(change.session, front.scope, path.user_id))

    @api.delete("/users/<int:user_id>/factors", TAG)
    @needs(Permission.USERS_WRITE)
    def reset_user_factors(path: UserPath) -> Answer:
        """Forget a user's second factor and passkeys: he lost them. He logs in again."""
        with front.reading() as session:
            user = managed_user(front, session, path.user_id)
        refuse_ending_key(front)
        with api.writing("user.reset-factors", user.login, account_id=user.account_id) as change:
            reset_factors(change.session, managed_user(front, change.session, path.user_id))
            return change.done(None)


def change_person(front: Front, session: Session, user: UserRow, sent: BaseModel) -> None:
    """Change a user's name, address, language and zone, as far as they are sent."""
    before, old = facts_of(user), user.email
    wanted = replace(before, **sent.model_dump(include={x.name for x in fields(before)}, exclude_none=True))
    if wanted == before:
        return
    with field("name"):
        checked_name(wanted.name)
    with field("zone"):
        checked_zone(wanted.zone)
    with field("email"):
        change_facts(session, user, wanted)
    if user.email != old:
        mail_moved(session, front, user, old)


def refuse_ending_key(front: Front) -> None:
    """What lets somebody in would outlive a key that ends."""
    if not may_let_in(front.actor):
        raise Refused(403, "A key that ends lets nobody in: users have no end.")


def managed_user(front: Front, session: Session, id: int) -> UserRow:
    """A user whom the key may change; 404 for one that it does not see, 403 for one who may more."""
    user = session.get(UserRow, id)
    account = None if user is None else session.get_one(AccountRow, user.account_id)
    if user is None or account is None:
        raise Refused(404)
    if account.id != front.scope.account_id and not front.scope.covers(account):
        raise Refused(404)
    if not may_manage(front.actor, account, Role(user.role)):
        raise Refused(403, "The user may more than the key.")
    return user


def link_of(front: Front, session: Session, user: UserRow, purpose: Purpose, now_us: int) -> Link:
    """A link for a user, mailed where that can be."""
    url = link_url(front, make_link(session, user, purpose, now_us))
    return Link(user_id=user.id, url=url, mailed=mail_link(session, front, user, url, purpose))
