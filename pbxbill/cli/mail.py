"""mail: the outbox, sent and looked at; mail servers of issuers; what comes back."""

import sys
import time
from dataclasses import asdict, replace
from typing import Any

import click
from sqlalchemy import select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table, warn
from pbxbill.errors import InputRefused
from pbxbill.notify.bounces import MAX_BYTES, NoBounce, read_bounce
from pbxbill.notify.outbox import counts, mark_bounced, retry, server_up
from pbxbill.notify.sending import Sent, send_test, send_waiting
from pbxbill.notify.sending import mail_settings as settings_of_issuer
from pbxbill.notify.smtp import (
    SECURITIES,
    Delivered,
    checked,
    settings_from_json,
    settings_to_json,
)
from pbxbill.settings import mail_settings
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import IssuerRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import MailOutageRow

WATCH_S = 10
STATES = ("waiting", "sending", "sent", "failed", "bounced", "gathered", "digested")


@click.group()
def mail() -> None:
    """Messages to customers: the outbox and the mail servers that it is sent by."""


@mail.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--account", "code", help="Only those to this account.")
@click.option("--limit", "most", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
@pass_context
def list_messages(
    context: Context, /, state: str | None, code: str | None, *, most: int, as_json: bool
) -> None:
    """List messages, the newest first."""
    query = select(MessageRow).where(MessageRow.channel == "mail").order_by(MessageRow.id.desc())
    query = query.limit(most)
    if state is not None:
        query = query.where(MessageRow.state == state)
    with context.application() as application, transaction(reading(application.database)) as session:
        if code is not None:
            query = query.where(MessageRow.account_id == account_by_code(session, code).id)
        shown = [_shown(row) for row in session.scalars(query)]
        tally = counts(session)
        outages = session.execute(
            select(AccountRow.code, MailOutageRow).join(
                MailOutageRow, MailOutageRow.issuer_id == AccountRow.id
            )
        ).all()
    if as_json:
        print_json(shown)
        return
    titles = (">Id", "State", "Recipient", "Subject", ">Attempts", "Next", "Sent", "Error")
    keys = ("id", "state", "recipient", "subject", "attempts", "next_try", "sent", "error")
    print_table("", titles, ([row[key] for key in keys] for row in shown))
    click.echo(
        ", ".join(f"{tally[state]} {state}" for state in STATES if state in tally) or "no messages yet"
    )
    for issuer, outage in outages:
        warn(
            f"the mail server of {issuer} cannot be reached since {moment(outage.since_us)}: {outage.why}; "
            f"next try {moment(outage.next_us)}"
        )


@mail.command()
@click.option("--watch", is_flag=True, help=f"Go on: look again every {WATCH_S} seconds, until stopped.")
@click.option("--limit", "most", type=click.IntRange(1), default=10_000, show_default=True)
@pass_context
def send(context: Context, /, *, watch: bool, most: int) -> None:
    """Send what waits. What is not taken is tried again later, for three days."""
    default = mail_settings(context.settings.mail)
    with context.application() as application:
        while True:
            sent = send_waiting(application.database, context.clock, default, most=most, progress=_tell)
            if not watch or sent != Sent():
                click.echo(f"{sent.sent} sent, {sent.waiting} tried again later, {sent.failed} given up")
            if not watch:
                break
            time.sleep(WATCH_S)


@mail.command("retry")
@click.argument("ids", type=int, nargs=-1)
@click.option("--failed", is_flag=True, help="All that were given up, instead of those named.")
@pass_context
def retry_messages(context: Context, /, ids: tuple[int, ...], *, failed: bool) -> None:
    """Send messages again that were given up or came back; their addresses may have been mended."""
    if bool(ids) == failed:
        raise InputRefused("name messages (`pbxbill mail list --state failed` lists them), or say --failed")
    with context.application() as application, transaction(application.database) as session:
        if failed:
            given_up = (MessageRow.channel == "mail", MessageRow.state == "failed")
            ids = tuple(session.scalars(select(MessageRow.id).where(*given_up)))
        found = retry(session, ids, context.clock.now_us())
    click.echo(f"{found} of {len(ids)} wait again")


@mail.command()
@pass_context
def bounce(context: Context, /) -> None:
    """Read a returned message from standard input: a mail system's alias pipes it here."""
    read = read_bounce(sys.stdin.buffer.read(MAX_BYTES))
    if isinstance(read, NoBounce):
        click.echo(f"not recorded: {read.why}")
        return
    with context.application() as application, transaction(application.database) as session:
        row = mark_bounced(session, read.message_id, read.why)
    click.echo(f"message {row.id} bounced" if row is not None else "not recorded: it is none of ours")


@mail.command("set")
@click.argument("code")
@click.option("--host", help="The mail server; empty: that of whoever is above, or of pbxbill.toml.")
@click.option("--port", type=click.IntRange(1, 65535))
@click.option("--security", type=click.Choice(SECURITIES))
@click.option("--user")
@click.option("--password-file", help="File with the password, or $NAME of an environment variable.")
@click.option("--sender", help="Address that messages come from.")
@click.option("--sender-name")
@click.option("--reply-to")
@click.option("--per-minute", type=click.IntRange(0), help="Most messages in a minute; 0: any number.")
@pass_context
def set_server(context: Context, /, code: str, **options: Any) -> None:
    """Say how an issuer, the operator or a reseller, sends: his server and his address."""
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        raise InputRefused(
            "say what to set, e.g. --sender billing@example.com; `pbxbill mail set -h` lists all"
        )
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        if account.kind == "customer":
            raise InputRefused(f"account {code} is a customer and issues no invoices")
        row = session.get(IssuerRow, account.id)
        if row is None:
            row = IssuerRow(account_id=account.id, mail="{}")
            session.add(row)
        settings = checked(replace(settings_from_json(row.mail), **given))
        row.mail = settings_to_json(settings)
        server_up(session, account.id)
    click.echo(
        f"{code} sends as {settings.sender or 'the operator'} by {settings.host or 'the default server'}"
    )


@mail.command("show")
@click.argument("code")
@json_option
@pass_context
def show_server(context: Context, /, code: str, *, as_json: bool) -> None:
    """Show how an issuer's messages are sent."""
    default = mail_settings(context.settings.mail)
    with context.application() as application, transaction(reading(application.database)) as session:
        settings = settings_of_issuer(session, account_by_code(session, code).id, default)
    if as_json:
        print_json(asdict(settings))
        return
    print_table("", ("Setting", "Value"), asdict(settings).items())


@mail.command("test")
@click.argument("code")
@click.argument("address")
@pass_context
def try_server(context: Context, /, code: str, address: str) -> None:
    """Send a test message to an address in an issuer's name, now, and say what the server answered."""
    default = mail_settings(context.settings.mail)
    with context.application() as application, transaction(reading(application.database)) as session:
        settings = settings_of_issuer(session, account_by_code(session, code).id, default)
    outcome = send_test(settings, address, context.clock.now_us())
    if not isinstance(outcome, Delivered):
        raise InputRefused(f"not sent: {outcome.why}")
    click.echo(f"{settings.host}:{settings.port} took it for {address}")


def _tell(sent: Sent) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{sent.sent} sent, {sent.waiting} later, {sent.failed} failed ", err=True, nl=False)


def _shown(row: MessageRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "recipient": row.recipient,
        "subject": row.subject,
        "attempts": row.attempts,
        "next_try": moment(row.next_us),
        "created": moment(row.created_us),
        "sent": moment(row.sent_us),
        "message_id": row.message_id,
        "error": row.error,
    }


COMMANDS = (mail,)
