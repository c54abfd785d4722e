"""Links by which somebody chooses his password, once: the first user, who is let in, who forgot his."""

import secrets
from enum import StrEnum

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pbxbill.access.login_sessions import token_hash
from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import OneTimeLinkRow, UserRow


class Purpose(StrEnum):
    """Why a link was made."""

    FIRST = "first"
    INVITATION = "invitation"
    RESET = "reset"


VALID_US = {
    Purpose.FIRST: 24 * 3600 * SECOND_US,
    Purpose.INVITATION: 24 * 3600 * SECOND_US,
    Purpose.RESET: 3600 * SECOND_US,
}


def make_link(session: Session, user: UserRow, purpose: Purpose, now_us: int) -> str:
    """The token of a fresh link, kept nowhere; older ones of the user end."""
    drop_links(session, user.id)
    session.execute(delete(OneTimeLinkRow).where(OneTimeLinkRow.ends_us <= now_us))
    token = secrets.token_urlsafe(32)
    session.add(
        OneTimeLinkRow(
            token_hash=token_hash(token),
            user_id=user.id,
            purpose=purpose.value,
            created_us=now_us,
            ends_us=now_us + VALID_US[purpose],
        )
    )
    session.flush()
    return token


def user_of_link(session: Session, token: str, now_us: int) -> UserRow | None:
    """Whose link it is; None for one that is wrong, used or over, or of somebody who is disabled."""
    return session.scalar(
        select(UserRow)
        .join(OneTimeLinkRow, OneTimeLinkRow.user_id == UserRow.id)
        .where(
            OneTimeLinkRow.token_hash == token_hash(token),
            OneTimeLinkRow.used_us.is_(None),
            OneTimeLinkRow.ends_us > now_us,
            UserRow.state == "active",
        )
    )


def use_link(session: Session, token: str, now_us: int) -> UserRow | None:
    """The same, and from now on it opens nothing."""
    user = user_of_link(session, token, now_us)
    if user is None:
        return None
    used = (
        update(OneTimeLinkRow)
        .where(OneTimeLinkRow.token_hash == token_hash(token), OneTimeLinkRow.used_us.is_(None))
        .values(used_us=now_us)
    )
    return user if session.scalar(used.returning(OneTimeLinkRow.user_id)) is not None else None


def drop_links(session: Session, user_id: int) -> None:
    """End the links of a user."""
    session.execute(delete(OneTimeLinkRow).where(OneTimeLinkRow.user_id == user_id))


def was_made_since(session: Session, user_id: int, since_us: int) -> bool:
    """Whether the user got a link lately that still opens."""
    query = select(OneTimeLinkRow.token_hash).where(
        OneTimeLinkRow.user_id == user_id,
        OneTimeLinkRow.created_us > since_us,
        OneTimeLinkRow.used_us.is_(None),
    )
    return session.scalar(query.limit(1)) is not None
