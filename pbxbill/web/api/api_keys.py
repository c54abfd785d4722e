"""Keys of the API: made by a key that may, never with more than it may itself; revoked."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.api_keys import (
    DEFAULT_PER_MINUTE,
    MAX_PER_MINUTE,
    NewKey,
    make_key,
    of_portal,
    revoke,
    scopes_of,
)
from pbxbill.access.permissions import OWN, Permission
from pbxbill.listing.users import ACCOUNT_API_KEYS, API_KEYS, OWN_API_KEYS, told_maker
from pbxbill.store.access_models import ApiKeyRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment, moment_or_none
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentMoment, at_us, field, found, wrong
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "API keys"


class KeyPath(Sent):
    """A key, by its id."""

    key_id: Id


class NewKeyBody(Sent):
    """A key to be made."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = Field(
        description="What uses it.", examples=["web shop"]
    )
    scopes: Annotated[
        list[Literal[tuple(Permission)]],  # type: ignore[valid-type]  # made of what there is
        Field(min_length=1, max_length=100),
    ] = Field(description="What it may; no more than the key that makes it.")
    ends: SentMoment = left_out("Default: when the key ends that makes it.")
    per_minute: Annotated[int, Field(ge=1, le=MAX_PER_MINUTE)] = left_out(
        f"No more than the key that makes it. Default: {DEFAULT_PER_MINUTE}, or as often as that one."
    )


class NewOwnKeyBody(NewKeyBody):
    """A key to be made for one's own programs."""

    scopes: Annotated[
        list[Literal[tuple(sorted(OWN))]],  # type: ignore[valid-type]  # the same
        Field(min_length=1, max_length=100),
    ] = Field(description="What it may; no more than the key that makes it.")


class Key(BaseModel):
    """A key; its text is shown when it is made."""

    id: int
    name: str
    prefix: str = Field(description="What it begins with, after pbx_.")
    scopes: list[str]
    per_minute: int
    by: str
    created: Moment
    used: Moment | None = Field(description="Lately, to a minute.")
    ends: Moment | None
    revoked: Moment | None


class MadeKey(Key):
    """A key with its text."""

    key: str = Field(description="Shown this once.")


def api_keys(api: Api) -> None:
    """Keys of the key's own account."""
    front = api.front
    declare_list(api, "/api-keys", API_KEYS, TAG)

    def seen(session: Session, id: int) -> ApiKeyRow:
        return found(session, ApiKeyRow, id, front.scope.issued(ApiKeyRow.account_id))

    @api.get("/api-keys/<int:key_id>", Key, TAG, moving=("used",))
    @needs(Permission.USERS_READ)
    def get_api_key(path: KeyPath) -> Key:
        """One key, without its text."""
        with front.reading() as session:
            return Key(**_facts(seen(session, path.key_id)))

    @api.post("/api-keys", MadeKey, TAG)
    @needs(Permission.USERS_WRITE)
    def make_api_key(body: NewKeyBody) -> Answer:
        """Make a key. It may no more than the key that makes it, and ends with it at the latest.

        When that one is revoked, so is what it made.
        """
        return _made(api, body)

    @api.delete("/api-keys/<int:key_id>", TAG)
    @needs(Permission.USERS_WRITE)
    def revoke_api_key(path: KeyPath) -> Answer:
        """End a key now, with those that it made; also that which asks."""
        return _revoked(api, lambda session: seen(session, path.key_id))


def account_api_keys(api: Api) -> None:
    """Keys that open the portals of accounts below, made by who sells to them."""
    front = api.front
    declare_list(api, "/account-api-keys", ACCOUNT_API_KEYS, TAG)

    def seen(session: Session, id: int) -> ApiKeyRow:
        return found(session, ApiKeyRow, id, front.scope.among(ApiKeyRow.account_id) & of_portal())

    @api.get("/account-api-keys/<int:key_id>", Key, TAG, moving=("used",))
    @needs(Permission.USERS_READ)
    def get_account_api_key(path: KeyPath) -> Key:
        """One key of an account below, without its text."""
        with front.reading() as session:
            row = seen(session, path.key_id)
            return Key(**_facts(row) | {"by": told_maker(session, front.scope, row)})

    @api.post("/accounts/<int:account_id>/api-keys", MadeKey, TAG)
    @needs(Permission.USERS_WRITE)
    def make_account_api_key(path: AccountPath, body: NewOwnKeyBody) -> Answer:
        """Make a key for programs of an account below, a softphone or a web shop say.

        It opens the portal of that account, ends with the key that makes it, and is revoked with it.
        """
        with front.reading() as session:
            account_id = front.account(session, path.account_id).id
        return _made(api, body, account_id)

    @api.delete("/account-api-keys/<int:key_id>", TAG)
    @needs(Permission.USERS_WRITE)
    def revoke_account_api_key(path: KeyPath) -> Answer:
        """End a key of an account below now, with those that it made."""
        return _revoked(api, lambda session: seen(session, path.key_id))


def own_api_keys(api: Api) -> None:
    """What programs of an account open with: its portal, and nothing else."""
    front = api.front
    declare_list(api, "/own/api-keys", OWN_API_KEYS, TAG, name="list_own_api_keys")

    def seen(session: Session, id: int) -> ApiKeyRow:
        return found(session, ApiKeyRow, id, (ApiKeyRow.account_id == front.scope.account_id) & of_portal())

    @api.get("/own/api-keys/<int:key_id>", Key, TAG, moving=("used",))
    @needs(Permission.OWN_WRITE)
    def get_own_api_key(path: KeyPath) -> Key:
        """One key of the account's own programs, without its text."""
        with front.reading() as session:
            row = seen(session, path.key_id)
            return Key(**_facts(row) | {"by": told_maker(session, front.scope, row)})

    @api.post("/own/api-keys", MadeKey, TAG)
    @needs(Permission.OWN_WRITE)
    def make_own_api_key(body: NewOwnKeyBody) -> Answer:
        """Make a key for a program of the account's own, a softphone say.

        It may no more than the key that makes it, ends with it at the latest, and is revoked with it.
        """
        return _made(api, body)

    @api.delete("/own/api-keys/<int:key_id>", TAG)
    @needs(Permission.OWN_WRITE)
    def revoke_own_api_key(path: KeyPath) -> Answer:
        """End a key of the account's own programs now, with those that it made; also that which asks."""
        return _revoked(api, lambda session: seen(session, path.key_id))


def _made(api: Api, body: NewKeyBody, account_id: int | None = None) -> Answer:
    """For an account that may be seen; None: for the key's own."""
    front, mine = api.front, api.front.actor
    with api.writing("key.make", body.name, account_id=account_id or mine.scope.account_id) as change:
        account = None if account_id is None else front.account(change.session, account_id)
        ends_us = at_us(body.ends, mine.ends_us)
        if mine.ends_us is not None and (ends_us or 0) > mine.ends_us:
            raise wrong("ends", "is after the end of the key that makes it")
        per_minute = body.per_minute or min(mine.per_minute, DEFAULT_PER_MINUTE)
        if per_minute > mine.per_minute:
            raise wrong("per_minute", "is more than the key may ask that makes it")
        scopes = frozenset(Permission(x) for x in body.scopes)
        with field("scopes"):
            new = NewKey(body.name, scopes, ends_us, per_minute)
            row, text = make_key(change.session, mine, new, change.now_us, account)
        return change.done(MadeKey(**_facts(row), key=text), 201)


def _revoked(api: Api, seen: Callable[[Session], ApiKeyRow]) -> Answer:
    with api.front.reading() as session:
        row = seen(session)
    with api.writing("key.revoke", row.name, account_id=row.account_id) as change:
        revoke(change.session, seen(change.session), change.now_us)
        return change.done(None)


def _facts(row: ApiKeyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": sorted(scopes_of(row)),
        "per_minute": row.per_minute,
        "by": row.by,
        "created": moment(row.created_us),
        "used": moment_or_none(row.used_us),
        "ends": moment_or_none(row.ends_us),
        "revoked": moment_or_none(row.revoked_us),
    }
