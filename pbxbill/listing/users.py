"""Lists of who has access: users and API keys."""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, case, or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.api_keys import BY_KEY, of_portal
from pbxbill.access.permissions import Permission, Role
from pbxbill.listing.listing import (
    N_,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Listing,
    Order,
    Rows,
    contains,
    equals,
)
from pbxbill.store.access_models import ApiKeyRow, UserRow
from pbxbill.store.models import AccountRow


def within(scope: Scope, account_id: Any) -> ColumnElement[bool]:
    """Of the account for which somebody acts itself, or of those below it."""
    return or_(scope.issued(account_id), scope.among(account_id))


def _users(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            UserRow.id.label("id"),
            UserRow.login.label("login"),
            UserRow.name.label("name"),
            UserRow.email.label("email"),
            AccountRow.code.label("account"),
            UserRow.role.label("role"),
            case(
                ((UserRow.state == "active") & (UserRow.password_hash == ""), "invited"), else_=UserRow.state
            ).label("state"),
            case((UserRow.totp != "", True), else_=False).label("second_factor"),
            UserRow.language.label("language"),
            UserRow.zone.label("zone"),
            UserRow.last_login_us.label("last_login_us"),
        )
        .join(AccountRow, AccountRow.id == UserRow.account_id)
        .where(within(scope, UserRow.account_id))
    )


USERS = Listing(
    name="users",
    title=N_("Users"),
    permission=Permission.USERS_READ,
    columns=(
        Column("login", N_("Log-in"), ColumnKind.CODE),
        Column("name", N_("Name")),
        Column("email", N_("E-mail"), wide=True),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("role", N_("Role"), ColumnKind.STATE),
        Column("state", N_("Status"), ColumnKind.STATE),
        Column("second_factor", N_("Second factor"), ColumnKind.YES_NO, wide=True),
        Column("language", N_("Language"), ColumnKind.CODE, only_in_files=True),
        Column("zone", N_("Time zone"), ColumnKind.CODE, only_in_files=True),
        Column("last_login_us", N_("Last log-in"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_users,
    orders=(
        Order("login", N_("Log-in"), UserRow.login, UserRow.id),
        Order("newest", N_("Newest first"), UserRow.created_us, UserRow.id, descending=True),
    ),
    filters=(
        Filter("q", N_("Log-in or name"), contains(UserRow.login, UserRow.name)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
        Filter(
            "role",
            N_("Role"),
            equals(UserRow.role),
            FilterKind.CHOICE,
            tuple((x.value, x.value.capitalize()) for x in Role),
        ),
        Filter(
            "state",
            N_("Status"),
            equals(UserRow.state),
            FilterKind.CHOICE,
            (("active", N_("Active")), ("disabled", N_("Disabled"))),
        ),
    ),
)


def _keys(_session: Session, scope: Scope) -> Rows:
    # Keys of accounts below are those accounts' own business.
    return _key_columns(ApiKeyRow.by).where(scope.issued(ApiKeyRow.account_id))


def _key_columns(by: Any) -> Rows:
    return select(
        ApiKeyRow.id.label("id"),
        ApiKeyRow.name.label("name"),
        ApiKeyRow.prefix.label("prefix"),
        by.label("by"),
        ApiKeyRow.created_us.label("created_us"),
        ApiKeyRow.used_us.label("used_us"),
        ApiKeyRow.ends_us.label("ends_us"),
        case((ApiKeyRow.revoked_us.is_not(None), "revoked"), else_="active").label("state"),
    )


API_KEYS = Listing(
    name="api-keys",
    title=N_("API keys"),
    permission=Permission.USERS_READ,
    columns=(
        Column("name", N_("Name")),
        Column("prefix", N_("Begins with"), ColumnKind.CODE),
        Column("state", N_("Status"), ColumnKind.STATE),
        Column("by", N_("Made by"), wide=True),
        Column("created_us", N_("Made"), ColumnKind.DAY, wide=True),
        Column("used_us", N_("Last used"), ColumnKind.MOMENT),
        Column("ends_us", N_("Ends"), ColumnKind.MOMENT, wide=True),
    ),
    rows=_keys,
    orders=(
        Order("newest", N_("Newest first"), ApiKeyRow.created_us, ApiKeyRow.id, descending=True),
        Order("name", N_("Name"), ApiKeyRow.name, ApiKeyRow.id),
    ),
    filters=(
        Filter("q", N_("Name"), contains(ApiKeyRow.name)),
        Filter("by", N_("Made by"), equals(ApiKeyRow.by)),
    ),
)


def _keys_of_portals(_session: Session, scope: Scope) -> Rows:
    return _key_columns(_told_by(scope)).where(scope.among(ApiKeyRow.account_id), of_portal())


def told_person(session: Session, scope: Scope, by: str) -> str:
    """Who did something, as somebody may know it: people of who sells are not named to whom he sells."""
    if scope.is_everything:
        return by
    query = select(UserRow.id).where(UserRow.login == by, scope.among(UserRow.account_id))
    if by.startswith(BY_KEY):
        name = by.removeprefix(BY_KEY)
        query = select(ApiKeyRow.id).where(ApiKeyRow.name == name, scope.among(ApiKeyRow.account_id))
    return by if session.scalar(query.limit(1)) is not None else ""


def told_maker(session: Session, scope: Scope, key: ApiKeyRow) -> str:
    """Who made a key, as somebody may know it."""
    return session.scalar(select(_told_by(scope)).where(ApiKeyRow.id == key.id)) or ""


def _told_by(scope: Scope) -> ColumnElement[str]:
    # People of who sells are not named to whom he sells.
    if scope.is_everything:
        return ApiKeyRow.by.expression
    known = select(UserRow.login).where(UserRow.account_id.in_([ApiKeyRow.account_id, scope.account_id]))
    return case((or_(ApiKeyRow.by.startswith(BY_KEY), ApiKeyRow.by.in_(known)), ApiKeyRow.by), else_="")


OWN_API_KEYS = replace(
    API_KEYS,
    name="my-api-keys",
    permission=Permission.OWN_WRITE,
    rows=_keys_of_portals,
    filters=tuple(x for x in API_KEYS.filters if x.key != "by"),
)
"""What programs of an account open with: its portal, and nothing else."""
ACCOUNT_API_KEYS = replace(
    API_KEYS,
    name="account-api-keys",
    rows=_keys_of_portals,
    filters=(
        *OWN_API_KEYS.filters,
        Filter("account_id", N_("Account"), equals(ApiKeyRow.account_id), FilterKind.NUMBER),
    ),
)
"""The same, as who sells to the account sees it."""
