"""Users: who is let in for an account, by whom, and what ends their sessions."""

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Actor
from pbxbill.access.login_sessions import end_all
from pbxbill.access.one_time_links import drop_links
from pbxbill.access.passwords import checked_password, hashed
from pbxbill.access.permissions import OWN, PERMISSIONS_OF, ROLES_OF_KIND, Permission, Role
from pbxbill.access.second_factor import turn_off
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.notify.smtp import check_address
from pbxbill.store.access_models import PasskeyRow, UserRow
from pbxbill.store.models import AccountRow

LANGUAGES = ("en", "fr", "es")
THEMES = ("auto", "light", "dark")
MAX_USERS = 1_000
"""Of one account."""
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,199}")


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a user is let in with."""

    login: str
    name: str
    role: Role
    email: str = ""
    language: str = "en"
    zone: str = "UTC"


def add_user(session: Session, account: AccountRow, new: NewUser, now_us: int) -> UserRow:
    """A user without a password: a one-time link lets him choose one. InputRefused says what is wrong."""
    login = clean_login(new.login)
    if find_user(session, login) is not None:
        raise TermRefused(f"there is a user {login!r} already", "login")
    count = session.scalar(select(func.count()).where(UserRow.account_id == account.id)) or 0
    if count >= MAX_USERS:
        raise InputRefused(f"an account has up to {MAX_USERS:,} users")
    _check_role(account, new.role)
    user = UserRow(
        account_id=account.id,
        login=login,
        name=checked_name(new.name),
        email=check_address(new.email) if new.email else "",
        role=new.role.value,
        language=checked_language(new.language),
        zone=checked_zone(new.zone),
        created_us=now_us,
    )
    session.add(user)
    session.flush()
    return user


@dataclass(frozen=True, slots=True)
class UserFacts:
    """Who a user is, beside what he may."""

    name: str
    email: str
    language: str
    zone: str


def facts_of(user: UserRow) -> UserFacts:
    """As they are kept."""
    return UserFacts(user.name, user.email, user.language, user.zone)


def change_facts(session: Session, user: UserRow, facts: UserFacts) -> None:
    """Take others; InputRefused says what is wrong. Links that went to another address open nothing more."""
    email = check_address(facts.email) if facts.email else ""
    user.name = checked_name(facts.name)
    user.language, user.zone = checked_language(facts.language), checked_zone(facts.zone)
    if email != user.email:
        user.email = email
        drop_links(session, user.id)


def roles_known_to(account: AccountRow) -> tuple[Role, ...]:
    """Roles that are told to who acts for an account: to the operator all, to others those of their own."""
    return tuple(Role) if account.kind == "operator" else ROLES_OF_KIND[account.kind]


def may_manage(actor: Actor, account: AccountRow, role: Role) -> bool:
    """Whether somebody may let in, change or send links to a user of this role of an account.

    Never one who may more than himself: he would only have to send himself that user's link. What users of
    the accounts below do in their portals is theirs.
    """
    needed = Permission.OWN_WRITE if actor.scope.own else Permission.USERS_WRITE
    is_own = account.id == actor.scope.account_id
    given = PERMISSIONS_OF[role] if is_own else PERMISSIONS_OF[role] - OWN
    return (is_own or actor.scope.covers(account)) and actor.may(needed) and given <= actor.permissions


def may_let_in(actor: Actor) -> bool:
    """Whether what he opens to others may stay open: a key that ends opens nothing: users do not end."""
    return actor.ends_us is None


def set_password(session: Session, user: UserRow, password_hash: str, *, keep: str = "") -> None:
    """Take a new password, hashed by new_hash(); links and sessions end, but for the session of this hash."""
    user.password_hash = password_hash
    drop_links(session, user.id)
    end_all(session, user.id, but=keep)


def new_hash(user: UserRow, password: str) -> str:
    """What is kept of a password that a user chose; InputRefused says what is wrong with it.

    It takes a while: do it outside of the transaction.
    """
    return hashed(checked_password(password, login=user.login, name=user.name))


def set_role(session: Session, user: UserRow, role: Role) -> None:
    """Give a user another role of his account; he logs in again."""
    _check_role(session.get_one(AccountRow, user.account_id), role)
    if role.value == user.role:
        return
    _keep_an_admin(session, user)
    user.role = role.value
    end_all(session, user.id)


def disable(session: Session, user: UserRow) -> None:
    """Let a user in no more."""
    if user.state == "active":
        _keep_an_admin(session, user)
        user.state = "disabled"
    drop_links(session, user.id)
    end_all(session, user.id)


def enable(user: UserRow) -> None:
    """Let a user in again."""
    user.state = "active"


def reset_factors(session: Session, user: UserRow) -> None:
    """Take away second factor and passkeys of somebody who lost them; he logs in again."""
    turn_off(session, user)
    for passkey in session.scalars(select(PasskeyRow).where(PasskeyRow.user_id == user.id)):
        session.delete(passkey)
    end_all(session, user.id)


def find_user(session: Session, login: str) -> UserRow | None:
    """The user of a log-in, in whatever case it is written."""
    return session.scalar(select(UserRow).where(UserRow.login == login.strip().lower()))


def has_admin(session: Session) -> bool:
    """Whether anybody administers the installation who has chosen a password."""
    query = select(UserRow.id).where(
        UserRow.role == Role.ADMIN, UserRow.state == "active", UserRow.password_hash != ""
    )
    return session.scalar(query.limit(1)) is not None


def clean_login(text: str) -> str:
    """A log-in as it is kept."""
    login = text.strip().lower()
    if _LOGIN.fullmatch(login) is None:
        raise TermRefused("a log-in has 2 to 200 of the letters a-z, digits and . _ @ + -", "login")
    return login


def checked_name(text: str) -> str:
    """A person's name."""
    name = text.strip()
    if not (name and name.isprintable() and len(name) <= 200):
        raise TermRefused("a name has 1 to 200 printable characters", "name")
    return name


def checked_language(code: str) -> str:
    """A language of the panel."""
    if code not in LANGUAGES:
        raise InputRefused(f"known languages are: {', '.join(LANGUAGES)}")
    return code


def checked_zone(name: str) -> str:
    """A time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise InputRefused(f"no time zone {name[:64]!r}; write it as Europe/Paris") from None
    return name


def _check_role(account: AccountRow, role: Role) -> None:
    known = ROLES_OF_KIND[account.kind]
    if role not in known:
        raise InputRefused(f"users of a {account.kind} are: {', '.join(known)}")


def _keep_an_admin(session: Session, user: UserRow) -> None:
    if user.role != Role.ADMIN or user.state != "active":
        return
    # Two admins who take each other's role at once must not both succeed.
    others = session.scalars(
        select(UserRow)
        .where(UserRow.role == Role.ADMIN, UserRow.state == "active", UserRow.password_hash != "")
        .order_by(UserRow.id)
        .with_for_update()
    ).all()
    if all(x.id == user.id for x in others):
        raise InputRefused("this is the only administrator: let another one in first")
