"""users: who may log in to panel and portal. A one-time link lets each choose his password; none is given."""

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.api_keys import keys_of_user, revoke
from pbxbill.access.one_time_links import VALID_US, Purpose, make_link
from pbxbill.access.permissions import Role
from pbxbill.access.users import NewUser, add_user, disable, enable, find_user, reset_factors, set_role
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.settings import Settings
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

OPERATOR = "operator"


@click.group()
def users() -> None:
    """Who may log in to the panel and the portals."""


@users.command("list")
@click.option("--account", "code", help="Only those of this account.")
@json_option
@pass_context
def list_users(context: Context, /, code: str | None, *, as_json: bool) -> None:
    """List users."""
    query = select(UserRow, AccountRow.code).join(AccountRow, AccountRow.id == UserRow.account_id)
    with context.application() as application, transaction(reading(application.database)) as session:
        if code is not None:
            query = query.where(AccountRow.id == account_by_code(session, code).id)
        shown = [
            {
                "login": user.login,
                "name": user.name,
                "account": account,
                "role": user.role,
                "state": user.state if user.password_hash or user.state != "active" else "invited",
                "second_factor": bool(user.totp),
                "last_login": moment(user.last_login_us) if user.last_login_us else None,
            }
            for user, account in session.execute(query.order_by(AccountRow.id, UserRow.login))
        ]
    if as_json:
        print_json(shown)
        return
    titles = ("Log-in", "Name", "Account", "Role", "State", "Second factor", "Last log-in")
    print_table("", titles, ([_cell(x) for x in row.values()] for row in shown))


@users.command("add")
@click.argument("login")
@click.option("--account", "code", default=OPERATOR, show_default=True, help="For whom he acts.")
@click.option("--role", type=click.Choice([x.value for x in Role]), required=True)
@click.option("--name", help="His name; else the log-in.")
@click.option(
    "--email", default="", help="Where links for a forgotten password go; a log-in with @ is taken."
)
@click.option("--language", default="en", show_default=True)
@click.option("--zone", default="UTC", show_default=True)
@pass_context
def add(context: Context, /, login: str, code: str, **told: str) -> None:
    """Let somebody in; prints the link by which he chooses his password."""
    now_us = context.clock.now_us()
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        new = NewUser(
            login,
            told["name"] or login,
            Role(told["role"]),
            told["email"] or (login if "@" in login else ""),
            told["language"],
            told["zone"],
        )
        user = add_user(session, account, new, now_us)
        token = make_link(session, user, Purpose.INVITATION, now_us)
    _print_link(context.settings, user.login, token, Purpose.INVITATION)


@users.command("link")
@click.argument("login")
@click.option("--reset-factors", "lost", is_flag=True, help="Take away his second factor and passkeys too.")
@pass_context
def link(context: Context, /, login: str, *, lost: bool) -> None:
    """Make a link by which a user chooses a new password; the old one is good until then."""
    now_us = context.clock.now_us()
    with context.application() as application, transaction(application.database) as session:
        user = _known(session, login)
        if lost:
            reset_factors(session, user)
        token = make_link(session, user, Purpose.RESET, now_us)
    _print_link(context.settings, user.login, token, Purpose.RESET)


@users.command("disable")
@click.argument("login")
@click.option("--revoke-keys", "revokes", is_flag=True, help="End the API keys that he made as well.")
@pass_context
def disable_user(context: Context, /, login: str, *, revokes: bool) -> None:
    """Let a user in no more; he is logged out everywhere. API keys that he made go on, unless told not to."""
    with context.application() as application, transaction(application.database) as session:
        user, now_us = _known(session, login), context.clock.now_us()
        disable(session, user)
        keys = [(x.name, x.prefix) for x in keys_of_user(session, user, now_us)]
        for key in keys_of_user(session, user, now_us) if revokes else ():
            revoke(session, key, now_us)
    click.echo(f"{user.login} is disabled")
    for name, prefix in keys:
        click.echo(f"API key {name} (pbx_{prefix}) {'is revoked' if revokes else 'still opens what it did'}")


@users.command("enable")
@click.argument("login")
@pass_context
def enable_user(context: Context, /, login: str) -> None:
    """Let a user in again, with the password that he had."""
    with context.application() as application, transaction(application.database) as session:
        user = _known(session, login)
        enable(user)
    click.echo(f"{user.login} is enabled")


@users.command("set-role")
@click.argument("login")
@click.argument("role", type=click.Choice([x.value for x in Role]))
@pass_context
def set_user_role(context: Context, /, login: str, role: str) -> None:
    """Give a user another role of his account; he logs in again."""
    with context.application() as application, transaction(application.database) as session:
        user = _known(session, login)
        set_role(session, user, Role(role))
    click.echo(f"{user.login} is {role}")


def link_of(settings: Settings, token: str) -> str:
    """A link as somebody opens it in a browser."""
    web = settings.web
    return f"{web.public_url.rstrip('/') or f'http://{web.host}:{web.port}'}/link/{token}"


def _known(session: Session, login: str) -> UserRow:
    user = find_user(session, login)
    if user is None:
        raise InputRefused(f"no user {login!r}; `pbxbill users list` shows them")
    return user


def _print_link(settings: Settings, login: str, token: str, purpose: Purpose) -> None:
    hours = VALID_US[purpose] // (3600 * SECOND_US)
    click.echo(f"{login} chooses a password here, once, within {hours} h:\n{link_of(settings, token)}")


def _cell(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return ""
        case _:
            return str(value)


COMMANDS = (users,)
