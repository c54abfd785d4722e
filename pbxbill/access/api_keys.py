"""API keys: pbx_PREFIX_SECRET. The prefix finds a key and may be shown; the secret is kept as a hash.

A key belongs to an account. It may what it was made for, and never more than users of that account can. Who
sells to an account makes it keys as well, for what its portal shows. What a key makes may no more than
itself, asks no oftener, and ends with it: by its end, or when it is revoked. Who made a key may leave: it
goes on, unless whoever lets him in no more revokes it, too.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.permissions import OWN, Permission, permissions_of_kind
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.store.access_models import ApiKeyRow, UserRow
from pbxbill.store.models import AccountRow

DEFAULT_PER_MINUTE, MAX_PER_MINUTE = 300, 60_000
MAX_NAME_LENGTH = 64
MAX_KEYS = 100
"""Of one account that still open something."""
NOTE_USE_EVERY_US = 60 * SECOND_US
_FORM = re.compile(r"pbx_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")
BY_KEY = "key:"
"""What `by` begins with where it was a program."""
_OF_PORTAL = tuple(
    "\n".join(some) for count in range(1, len(OWN) + 1) for some in combinations(sorted(OWN), count)
)
_PREFIX_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is made with."""

    name: str
    scopes: frozenset[Permission]
    ends_us: int | None = None
    """None: it never ends by itself."""
    per_minute: int = DEFAULT_PER_MINUTE


def make_key(
    session: Session, actor: Actor, new: NewKey, now_us: int, account: AccountRow | None = None
) -> tuple[ApiKeyRow, str]:
    """A key, and the text that is shown this once, or InputRefused. Without an account: for the actor's."""
    account = account or session.get_one(AccountRow, actor.scope.account_id)
    _check(session, actor, account, new, now_us)
    maker = _key_of(session, actor)
    if maker is not None:
        _check_maker(maker, new)
    prefix = "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    row = ApiKeyRow(
        account_id=account.id,
        name=new.name.strip(),
        prefix=prefix,
        secret_hash=_hash(secret),
        scopes="\n".join(sorted(new.scopes)),
        per_minute=new.per_minute,
        created_us=now_us,
        ends_us=new.ends_us,
        by=actor.name if maker is None else _made_by(maker),
    )
    session.add(row)
    session.flush()
    return row, f"pbx_{prefix}_{secret}"


def givable(actor: Actor, account: AccountRow) -> frozenset[Permission]:
    """What somebody may give a key: of his own account what he may himself, of one below its portal."""
    if account.id == actor.scope.account_id:
        return actor.permissions & OWN if actor.scope.own else actor.permissions
    return OWN if actor.may(Permission.USERS_WRITE) and actor.scope.covers(account) else frozenset()


def is_of_portal(row: ApiKeyRow) -> bool:
    """Whether a key opens nothing but what an account sees and does of its own."""
    return row.scopes in _OF_PORTAL


def of_portal() -> ColumnElement[bool]:
    """The same as a condition on keys."""
    return ApiKeyRow.scopes.in_(_OF_PORTAL)


def find_key(session: Session, presented: str, now_us: int) -> ApiKeyRow | None:
    """The key that a program presents, if it still opens something. Only reads."""
    form = _FORM.fullmatch(presented)
    if form is None:
        return None
    row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.prefix == form[1]))
    if row is None or not hmac.compare_digest(row.secret_hash, _hash(form[2])):
        return None
    return row if opens(row, now_us) else None


def actor_of_key(session: Session, presented: str, now_us: int, address: str) -> Actor | None:
    """Who calls with a key; None for one that is wrong, revoked or over, or whose account is. Only reads."""
    row = find_key(session, presented, now_us)
    if row is None:
        return None
    account = session.get_one(AccountRow, row.account_id)
    if account.status == AccountStatus.TERMINATED:
        return None
    permissions = scopes_of(row) & permissions_of_kind(account.kind)
    return Actor(
        name=f"{BY_KEY}{row.name}",
        scope=Scope(account.id, account.path, own=account.kind == "customer" or permissions <= OWN),
        permissions=permissions,
        api_key_id=row.id,
        language=account.language,
        address=address,
        per_minute=row.per_minute,
        ends_us=row.ends_us,
    )


def still_opens(session: Session, api_key_id: int, now_us: int) -> bool:
    """Whether a key that opened something would do so again."""
    row = session.get_one(ApiKeyRow, api_key_id)
    account = session.get_one(AccountRow, row.account_id)
    return opens(row, now_us) and account.status != AccountStatus.TERMINATED


def note_use(session: Session, api_key_id: int, now_us: int) -> None:
    """Say when a key was last used. It writes: once in NOTE_USE_EVERY_US is enough."""
    session.execute(update(ApiKeyRow).where(ApiKeyRow.id == api_key_id).values(used_us=now_us))


def revoke(session: Session, row: ApiKeyRow, now_us: int) -> None:
    """End a key now, and what it made, and what that made; twice is once."""
    ended = [row]
    while ended:
        key = ended.pop()
        if key.revoked_us is None:
            key.revoked_us = now_us
        made = select(ApiKeyRow).where(
            ApiKeyRow.by == _made_by(key),
            ApiKeyRow.revoked_us.is_(None),
        )
        ended += session.scalars(made)


def keys_of_user(session: Session, user: UserRow, now_us: int) -> list[ApiKeyRow]:
    """Those that a user made, for whatever account, and that still open something.

    What they made ends with them.
    """
    made = select(ApiKeyRow).where(ApiKeyRow.by == user.login)
    return [row for row in session.scalars(made.order_by(ApiKeyRow.name, ApiKeyRow.id)) if opens(row, now_us)]


def maker_named(session: Session, actor: Actor) -> str:
    """As `by` says who made something that ends with a key where one made it."""
    key = _key_of(session, actor)
    return actor.name if key is None else _made_by(key)


def key_named(session: Session, by: str) -> ApiKeyRow | None:
    """The key that `by` says made something; None: nobody's, or it is not there any more."""
    name, _, prefix = by.rpartition(" pbx_")
    return session.scalar(select(ApiKeyRow).where(ApiKeyRow.prefix == prefix)) if name else None


def opens(row: ApiKeyRow, now_us: int) -> bool:
    """Whether a key is neither revoked nor over."""
    return row.revoked_us is None and (row.ends_us is None or now_us < row.ends_us)


def scopes_of(row: ApiKeyRow) -> frozenset[Permission]:
    """What a key was made for; a permission that a later release no longer knows opens nothing."""
    known = {x.value for x in Permission}
    return frozenset(Permission(x) for x in row.scopes.split("\n") if x in known)


def _check(session: Session, actor: Actor, account: AccountRow, new: NewKey, now_us: int) -> None:
    if not (new.name.strip() and new.name.isprintable() and len(new.name.strip()) <= MAX_NAME_LENGTH):
        raise InputRefused(f"a key's name has 1 to {MAX_NAME_LENGTH} printable characters")
    if not new.scopes:
        raise InputRefused("a key needs at least one scope")
    more = new.scopes - givable(actor, account)
    if more:
        raise InputRefused(f"you cannot give what you may not do yourself: {', '.join(sorted(more))}")
    if new.ends_us is not None and new.ends_us <= now_us:
        raise InputRefused("a key's end lies in the future")
    if not 1 <= new.per_minute <= MAX_PER_MINUTE:
        raise InputRefused(f"a key may ask 1 to {MAX_PER_MINUTE} times a minute")
    rows = session.scalars(select(ApiKeyRow).where(ApiKeyRow.account_id == account.id))
    if sum(opens(row, now_us) for row in rows) >= MAX_KEYS:
        raise InputRefused(f"an account has up to {MAX_KEYS} keys: revoke one first")


def _check_maker(maker: ApiKeyRow, new: NewKey) -> None:
    """What one key gives another: those who hold it were not asked for a password."""
    if maker.ends_us is not None and (new.ends_us is None or new.ends_us > maker.ends_us):
        raise InputRefused("a key ends no later than the key that makes it")
    if new.per_minute > maker.per_minute:
        raise InputRefused(f"a key asks no oftener than the key that makes it: {maker.per_minute} a minute")


def _key_of(session: Session, actor: Actor) -> ApiKeyRow | None:
    return None if actor.api_key_id is None else session.get_one(ApiKeyRow, actor.api_key_id)


def _made_by(maker: ApiKeyRow) -> str:
    """As `by` says which key made another: names may be the same, prefixes are not."""
    return f"{BY_KEY}{maker.name} pbx_{maker.prefix}"


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
