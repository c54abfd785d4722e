"""doctor: tries out what a working installation needs and says what to do about each thing that is amiss."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from pbxbill.access.key_file import KeyFile
from pbxbill.app import Application, open_application
from pbxbill.cli.billing_checks import check_billing
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.finding import Finding, Verdict
from pbxbill.cli.output import json_option, print_json
from pbxbill.cli.switch_checks import check_asterisk, check_freeswitch
from pbxbill.errors import ConfigurationError, PbxbillError
from pbxbill.sections import AsteriskSection
from pbxbill.settings import Settings
from pbxbill.store.engine import reading, transaction
from pbxbill.store.sealed import count_sealed


@click.command()
@json_option
@pass_context
def doctor(context: Context, as_json: bool) -> None:
    """Check configuration, database, mail, gateways, jobs, Redis, switches; exit 1 if one must be mended."""
    found = list(findings(context))
    if as_json:
        print_json(
            [{"check": x.check, "verdict": x.verdict, "detail": x.detail, "remedy": x.remedy} for x in found]
        )
    else:
        for finding in found:
            click.echo(f"{finding.verdict.upper():<5} {finding.check}: {finding.detail}")
            if finding.remedy:
                click.echo(f"      -> {finding.remedy}")
    if any(finding.verdict is Verdict.FAIL for finding in found):
        sys.exit(1)


def findings(context: Context) -> Iterator[Finding]:
    """All that is checked, one after the other."""
    path = context.config_path
    settings = context.settings  # a configuration that cannot be read ends here, with its own message
    yield Finding("configuration", Verdict.OK, f"{path or 'the environment alone'} is sound")
    if path is not None and path.stat().st_mode & 0o077 and _holds_secrets(settings):
        yield Finding(
            "configuration", Verdict.WARN, f"{path} holds secrets and others may read it", f"chmod 600 {path}"
        )
    yield from _database(context, settings)
    yield _key_file(settings.web.key_file)
    if settings.redis_url is not None:
        yield _redis(settings.redis_url)
    if not settings.switch:
        yield Finding("switches", Verdict.WARN, "none is configured", "add a [[switch]] table")
    for section in settings.switch:
        try:
            if isinstance(section, AsteriskSection):
                yield from check_asterisk(section, context.clock)
            else:
                yield from check_freeswitch(section, context.clock)
        except PbxbillError as error:
            yield Finding(section.name, Verdict.FAIL, str(error))


def _holds_secrets(settings: Settings) -> bool:
    secrets = [x.secret if isinstance(x, AsteriskSection) else x.password for x in settings.switch]
    return any(x.get_secret_value() for x in secrets) or "@" in settings.database_url


def _database(context: Context, settings: Settings) -> Iterator[Finding]:
    shown = make_url(settings.database_url).render_as_string(hide_password=True)
    try:
        keeper = KeyFile(settings.web.key_file)
        with open_application(
            settings.database_url, settings.redis_url, context.clock, keeper=keeper
        ) as application:
            yield Finding("database", Verdict.OK, f"{shown} is reachable and its schema is up to date")
            yield from _durability(application)
            with transaction(reading(application.database)) as session:
                yield from list(check_billing(session, settings, context.clock.now_us()))
                yield from list(_secrets(session))
    except PbxbillError as error:
        yield Finding(
            "database", Verdict.FAIL, str(error), "see the message; `pbxbill init` sets the database up"
        )


def _durability(application: Application) -> Iterator[Finding]:
    with application.database.connect() as connection:
        if application.database.dialect.name == "sqlite":
            journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
            synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
            durable = (journal, synchronous) == ("wal", 2)
            detail = f"journal_mode={journal}, synchronous={synchronous}"
            remedy = "put the database file on a local disk: WAL does not work on network file systems"
        else:
            names = ("fsync", "synchronous_commit", "full_page_writes")
            values = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in names}
            durable = values["fsync"] == "on" and values["synchronous_commit"] != "off"
            detail = ", ".join(f"{name}={value}" for name, value in values.items())
            remedy = (
                "set fsync = on and synchronous_commit = on in postgresql.conf: a crash would lose charges"
            )
    verdict = Verdict.OK if durable else Verdict.FAIL
    yield Finding("durability", verdict, detail, "" if durable else remedy)


def _key_file(path: Path) -> Finding:
    from pbxbill.access.sealing import read_key_file

    try:
        read_key_file(path)
    except ConfigurationError as error:
        return Finding("key file", Verdict.FAIL, str(error), "see the message; `pbxbill init` makes one")
    if path.stat().st_mode & 0o077:
        return Finding("key file", Verdict.WARN, f"others may read {path}", f"chmod 600 {path}")
    return Finding("key file", Verdict.OK, f"{path} can be read; is there a copy elsewhere?")


def _secrets(session: Session) -> Iterator[Finding]:
    plain = count_sealed(session, plain=True)
    if plain:
        told = f"{plain} secrets in the database are not sealed"
        yield Finding("secrets", Verdict.WARN, told, "`pbxbill init` seals them, and changes nothing else")


def _redis(url: str) -> Finding:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(
            url, socket_timeout=3, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0)
        )
        with client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return Finding(
            "redis", Verdict.WARN, str(error), "start Redis or mend redis.url; news is slower meanwhile"
        )
    return Finding("redis", Verdict.OK, "answers")


COMMANDS = (doctor,)
