"""Browsers that are logged in. A cookie holds a random token; the database keeps its hash, and when it ends.

A token is made anew at every log-in. All sessions of a user end when his password or role changes, or when
he is disabled: `end_all`.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.permissions import PERMISSIONS_OF, ROLES_OF_KIND, Role
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import LoginSessionRow, UserRow
from pbxbill.store.models import AccountRow

SEEN_EVERY_US = 60 * SECOND_US
"""A session's last use is noted no more often: a request need not write."""
PROVEN_US = 15 * 60 * SECOND_US
"""For so long after a password was entered, what is grave does not ask for it again."""
MAX_TOKEN_LENGTH = 64


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """When somebody has to log in again."""

    idle_us: int = 30 * 60 * SECOND_US
    longest_us: int = 12 * 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session that is alive, and whose it is."""

    actor: Actor
    token_hash: str
    theme: str
    proven_us: int
    seen_us: int

    def is_proven(self, now_us: int, patience: int = 1) -> bool:
        """Whether the password was entered lately, or so many times as long ago."""
        return now_us - self.proven_us < PROVEN_US * patience


def begin(session: Session, user: UserRow, now_us: int, limits: SessionLimits, came: tuple[str, str]) -> str:
    """Log a user in, from came: his address and browser. Returns the cookie's token, which nobody keeps."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(LoginSessionRow).where(LoginSessionRow.ends_us <= now_us))
    session.add(
        LoginSessionRow(
            token_hash=token_hash(token),
            user_id=user.id,
            created_us=now_us,
            seen_us=now_us,
            ends_us=now_us + limits.longest_us,
            proven_us=now_us,
            address=came[0][:64],
            agent=came[1][:200],
        )
    )
    user.last_login_us = now_us
    session.flush()
    return token


def find(session: Session, token: str, now_us: int, limits: SessionLimits, address: str) -> LoggedIn | None:
    """Who comes with a token; None where it is forged, over, or its user may no longer. Only reads."""
    if not token or len(token) > MAX_TOKEN_LENGTH:
        return None
    query = (
        select(LoginSessionRow, UserRow, AccountRow)
        .join(UserRow, UserRow.id == LoginSessionRow.user_id)
        .join(AccountRow, AccountRow.id == UserRow.account_id)
        .where(LoginSessionRow.token_hash == token_hash(token))
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, user, account = found
    if now_us >= row.ends_us or now_us - row.seen_us >= limits.idle_us or not may_log_in(user, account):
        return None
    return LoggedIn(actor_of(user, account, address), row.token_hash, user.theme, row.proven_us, row.seen_us)


def note_seen(session: Session, token_hash: str, now_us: int) -> None:
    """Say that a session was used; at most once in SEEN_EVERY_US."""
    session.execute(
        update(LoginSessionRow)
        .where(LoginSessionRow.token_hash == token_hash, LoginSessionRow.seen_us < now_us)
        .values(seen_us=now_us)
    )


def prove(session: Session, token_hash: str, now_us: int) -> None:
    """Say that the user of a session has just entered his password."""
    session.execute(
        update(LoginSessionRow).where(LoginSessionRow.token_hash == token_hash).values(proven_us=now_us)
    )


def end(session: Session, user_id: int, token_hash: str) -> None:
    """End one session of a user."""
    session.execute(
        delete(LoginSessionRow).where(
            LoginSessionRow.user_id == user_id, LoginSessionRow.token_hash == token_hash
        )
    )


def end_all(session: Session, user_id: int, *, but: str = "") -> None:
    """End all sessions of a user; but: except the one with this hash."""
    session.execute(
        delete(LoginSessionRow).where(LoginSessionRow.user_id == user_id, LoginSessionRow.token_hash != but)
    )


def sessions_of(session: Session, user_id: int, now_us: int, limits: SessionLimits) -> list[LoginSessionRow]:
    """Those of a user that are alive, the last used first."""
    return list(
        session.scalars(
            select(LoginSessionRow)
            .where(
                LoginSessionRow.user_id == user_id,
                LoginSessionRow.ends_us > now_us,
                LoginSessionRow.seen_us > now_us - limits.idle_us,
            )
            .order_by(LoginSessionRow.seen_us.desc())
        )
    )


def may_log_in(user: UserRow, account: AccountRow) -> bool:
    """Whether a user is let in at all. Who is suspended is: he must be able to pay."""
    return (
        user.state == "active"
        and account.status != AccountStatus.TERMINATED
        and user.role in ROLES_OF_KIND[account.kind]
    )


def actor_of(user: UserRow, account: AccountRow, address: str = "") -> Actor:
    """As whom a user acts."""
    role = Role(user.role)
    return Actor(
        name=user.login,
        scope=Scope(account.id, account.path, own=role is Role.CUSTOMER),
        permissions=PERMISSIONS_OF[role],
        user_id=user.id,
        language=user.language,
        zone=user.zone,
        address=address,
    )


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return sha256(token.encode()).hexdigest()
