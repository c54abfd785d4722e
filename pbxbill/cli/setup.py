"""init, config and version: from nothing to a database that accounts can be opened in."""

from pathlib import Path

import click
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from pbxbill import __version__
from pbxbill.access.key_file import KeyFile
from pbxbill.access.one_time_links import Purpose, make_link
from pbxbill.access.permissions import Role
from pbxbill.access.sealing import make_key_file
from pbxbill.access.users import NewUser, add_user, find_user, has_admin
from pbxbill.cli.configuration_reference import reference
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import print_json
from pbxbill.cli.users import link_of
from pbxbill.errors import ConfigurationError
from pbxbill.settings import CONFIG_VARIABLE, LOCAL_CONFIG, SYSTEM_CONFIG, load_settings
from pbxbill.store import notice_models  # noqa: F401  its columns are among those that are sealed
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import ensure_unit, open_operator
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.models import AccountRow, UnitRow
from pbxbill.store.sealed import count_sealed, seal_plain, seal_with
from pbxbill.store.units import checked_unit

FIRST_LOGIN = "admin"
SYSTEM_DATABASE = "/var/lib/pbxbill/pbxbill.db"
SAMPLE = """\
# pbxbill's configuration. `pbxbill config --reference` explains every option.

[database]
url = "sqlite:///pbxbill.db"            # or postgresql://USER:PASSWORD@HOST/NAME

# [redis]                               # news between processes, faster; optional
# url = "redis://127.0.0.1:6379/0"

[web]
enabled = true                          # the panel and the portals, at http://127.0.0.1:8440

# One table for each switch.
# [[switch]]
# type = "asterisk"
# name = "pbx1"
# secret = "the manager user's secret"
# cdr_file = "/var/log/asterisk/cdr-custom/pbxbill.csv"

# [[switch]]
# type = "freeswitch"
# name = "fs1"
# password = "the event socket's password"
# cdr_dir = "/var/log/freeswitch/json_cdr"
# sounds_dir = "/usr/share/freeswitch/sounds"
"""


@click.command()
@click.option("--unit", "unit_code", default="EUR", show_default=True, help="The currency to start with.")
@click.option("--scale", default=6, show_default=True, help="Digits that amounts keep.")
@click.option("--digits", default=2, show_default=True, help="Digits that people are shown and told.")
@click.option("--operator", default="Operator", show_default=True, help="Your company's name.")
@pass_context
def init(context: Context, unit_code: str, scale: int, digits: int, operator: str) -> None:
    """Set up configuration, database and operator; what is there already stays as it is."""
    path = context.wanted_config or context.config_path or LOCAL_CONFIG
    if not path.exists():
        _write_sample(path)
        click.echo(f"wrote {path}")
    settings = load_settings(path)
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        _make_database_file(Path(str(url.database)))
    migrate(settings.database_url)
    database = open_engine(settings.database_url)
    seal_with(database, KeyFile(settings.web.key_file))
    try:
        with transaction(database) as session:
            has_key = _make_key(session, settings.web.key_file)
            known = session.get(UnitRow, unit_code)
            if known is None:
                ensure_unit(session, checked_unit(unit_code, scale, digits))
            root = open_operator(session, operator, context.clock.now_us())
            token = _first_link(session, root, context.clock.now_us())
            sealed = seal_plain(session)
    finally:
        database.dispose()
    click.echo(f"database {url.render_as_string(hide_password=True)} is ready")
    if has_key:
        click.echo(f"wrote {settings.web.key_file}: keep a copy, not beside the database's")
    if sealed:
        click.echo(f"sealed {sealed} secrets that stood in the database as they are")
    if token:
        click.echo(f"the first administrator, {FIRST_LOGIN}, chooses a password here, once, within 24 h:")
        click.echo(link_of(settings, token))
    if not settings.switch:
        click.echo(
            f"next: `pbxbill run` serves the panel; put your switch into {path}, then `pbxbill doctor`"
        )


def _make_key(session: Session, path: Path) -> bool:
    """Make the key file, unless there is one, or was: another key would open nothing of what it sealed."""
    of_users = select(func.count()).select_from(UserRow).where(UserRow.totp != "")
    if not path.exists() and (session.scalar(of_users) or count_sealed(session, plain=False)):
        raise ConfigurationError(
            f"the key file {path} (web.key_file) is missing, and secrets in the database are sealed "
            "with it: bring back your copy"
        )
    return make_key_file(path)


def _first_link(session: Session, operator: AccountRow, now_us: int) -> str:
    """A link for the first administrator, while there is none who has chosen a password."""
    if has_admin(session):
        return ""
    user = find_user(session, FIRST_LOGIN)
    if user is None:
        user = add_user(session, operator, NewUser(FIRST_LOGIN, "Administrator", Role.ADMIN), now_us)
    if user.role != Role.ADMIN or user.state != "active":
        return ""  # somebody else's; `pbxbill users` knows the way
    return make_link(session, user, Purpose.FIRST, now_us)


def _write_sample(path: Path) -> None:
    _make_folder(path.parent)
    try:
        path.touch(mode=0o600)  # it will hold secrets
        content = SAMPLE
        if path.absolute() == SYSTEM_CONFIG:
            # Data does not belong into /etc, and our systemd units cannot write there.
            content = SAMPLE.replace("sqlite:///pbxbill.db", f"sqlite:///{SYSTEM_DATABASE}")
        path.write_text(content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _make_database_file(path: Path) -> None:
    """Make an empty file that its owner alone can read, before SQLite makes one that others can."""
    _make_folder(path.parent)
    try:
        # SQLite gives the same mode to the files that it puts beside it.
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigurationError(f"database {path} cannot be made: {error.strerror}") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"folder {folder} cannot be made: {error.strerror}") from None


@click.command()
@click.option("--reference", "as_reference", is_flag=True, help="Explain every option instead (Markdown).")
@pass_context
def config(context: Context, as_reference: bool) -> None:
    """Show the configuration in force, without secrets."""
    if as_reference:
        click.echo(reference(), nl=False)
        return
    path = context.config_path
    click.echo(
        f"# file: {path or 'none'} (--config, ${CONFIG_VARIABLE}, ./pbxbill.toml, /etc/pbxbill/)", err=True
    )
    shown = context.settings.model_dump(mode="json")
    shown["database"]["url"] = make_url(context.settings.database_url).render_as_string(hide_password=True)
    print_json(shown)


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"pbxbill {__version__}")


COMMANDS = (init, config, version)
