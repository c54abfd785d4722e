"""webhooks: where notices are posted to, and what became of each delivery."""

from typing import Any

import click
from sqlalchemy import select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.notices import kind_of
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow

STATES = ("waiting", "sending", "sent", "failed")


@click.group()
def webhooks() -> None:
    """Webhooks: notices for programs, in the form of Standard Webhooks."""


@webhooks.command()
@click.argument("code")
@click.argument("url")
@click.option("--kind", "kinds", multiple=True, help="Only these kinds of notices; default: all.")
@click.option("--secret", default="", help="whsec_...; default: a new one is made.")
@pass_context
def add(context: Context, /, code: str, url: str, *, kinds: tuple[str, ...], secret: str) -> None:
    """Post notices about an account and all below it to an address; prints the secret to verify them by."""
    from pbxbill.billing.notices.webhook_endpoints import add_endpoint

    private = context.settings.webhooks.private_addresses
    wanted = [kind_of(kind) for kind in kinds]
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        row = add_endpoint(
            session,
            account,
            url,
            kinds=wanted,
            secret=secret,
            private=private,
            now_us=context.clock.now_us(),
        )
    click.echo(f"endpoint {row.id} of {code}\nsecret {row.secret}")


@webhooks.command("list")
@click.option("--account", "code", help="Only those of this account.")
@json_option
@pass_context
def list_endpoints(context: Context, /, *, code: str | None, as_json: bool) -> None:
    """List endpoints; their secrets are not shown."""
    query = (
        select(AccountRow.code, WebhookEndpointRow)
        .join(WebhookEndpointRow, WebhookEndpointRow.account_id == AccountRow.id)
        .order_by(WebhookEndpointRow.id)
    )
    with context.application() as application, transaction(reading(application.database)) as session:
        if code is not None:
            query = query.where(AccountRow.id == account_by_code(session, code).id)
        listed: list[dict[str, Any]] = [
            {
                "id": row.id,
                "account": account,
                "url": row.url,
                "kinds": row.kinds.split(),
                "state": row.state,
                "rotating": bool(row.old_secret),
                "failures": row.failures,
                "failing_since": moment(row.failing_since_us),
                "next": moment(row.next_us),
                "error": row.error,
            }
            for account, row in session.execute(query)
        ]
    if as_json:
        print_json(listed)
        return
    columns = (">Id", "Account", "URL", "Kinds", "State", ">Failures", "Failing since", "Error")
    keys = ("id", "account", "url", "kinds", "state", "failures", "failing_since", "error")
    shown = ({**row, "kinds": " ".join(row["kinds"]) or "all"} for row in listed)
    print_table("", columns, ([row[key] for key in keys] for row in shown))


@webhooks.command()
@click.argument("id", type=int)
@click.option("--finish", is_flag=True, help="The receiver knows the new secret: the old one is forgotten.")
@pass_context
def rotate(context: Context, /, id: int, *, finish: bool) -> None:
    """Give an endpoint a new secret; until --finish, deliveries are signed with both."""
    from pbxbill.billing.notices.webhook_endpoints import end_rotation
    from pbxbill.billing.notices.webhook_endpoints import rotate as rotated

    with context.application() as application, transaction(application.database) as session:
        row = end_rotation(session, id) if finish else rotated(session, id)
        secret = row.secret
    if finish:
        click.echo(f"endpoint {id}: signed with the new secret alone")
    else:
        click.echo(
            f"endpoint {id}: signed with the old secret as well, until `webhooks rotate {id} --finish`"
        )
        click.echo(f"secret {secret}")


@webhooks.command()
@click.argument("id", type=int)
@pass_context
def test(context: Context, /, id: int) -> None:
    """Post a test to an endpoint, now, and say what it answered."""
    from pbxbill.billing.notices.webhook_endpoints import endpoint, try_endpoint
    from pbxbill.notify.webhook import Accepted

    with context.application() as application:
        with transaction(application.database) as session:
            row = endpoint(session, id)
            account = session.get_one(AccountRow, row.account_id)
        private = context.settings.webhooks.private_addresses
        answer = try_endpoint(row, account, context.clock.now_us(), private=private)
    if not isinstance(answer, Accepted):
        raise InputRefused(f"not delivered: {answer.why}")
    click.echo(f"{row.url} took it")


def _switched(context: Context, id: int, *, on: bool) -> None:
    from pbxbill.billing.notices.webhook_endpoints import switch

    with context.application() as application, transaction(application.database) as session:
        switch(session, id, on=on)
    click.echo(f"endpoint {id} is {'active' if on else 'off'}")


@webhooks.command()
@click.argument("id", type=int)
@pass_context
def on(context: Context, /, id: int) -> None:
    """Post to an endpoint again; `webhooks retry` sends what it missed when it was given up."""
    _switched(context, id, on=True)


@webhooks.command()
@click.argument("id", type=int)
@pass_context
def off(context: Context, /, id: int) -> None:
    """Post nothing to an endpoint; what happens meanwhile is not posted later."""
    _switched(context, id, on=False)


@webhooks.command()
@click.argument("id", type=int)
@pass_context
def remove(context: Context, /, id: int) -> None:
    """Forget an endpoint."""
    from pbxbill.billing.notices.webhook_endpoints import remove as removed

    with context.application() as application, transaction(application.database) as session:
        removed(session, id)
    click.echo(f"endpoint {id} is gone")


@webhooks.command()
@click.option("--endpoint", "id", type=int, help="Only those to this endpoint.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--limit", "most", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--body", is_flag=True, help="With what is posted, as JSON.")
@json_option
@pass_context
def deliveries(
    context: Context, /, *, id: int | None, state: str | None, most: int, body: bool, as_json: bool
) -> None:
    """List deliveries, the newest first."""
    query = select(MessageRow).where(MessageRow.channel == "webhook").order_by(MessageRow.id.desc())
    if id is not None:
        query = query.where(MessageRow.endpoint_id == id)
    if state is not None:
        query = query.where(MessageRow.state == state)
    with context.application() as application, transaction(reading(application.database)) as session:
        listed: list[dict[str, Any]] = [
            {
                "id": row.id,
                "endpoint": row.endpoint_id,
                "type": row.kind,
                "webhook_id": row.message_id,
                "state": row.state,
                "attempts": row.attempts,
                "created": moment(row.created_us),
                "next_try": moment(row.next_us),
                "sent": moment(row.sent_us),
                "error": row.error,
                **({"body": row.text} if body else {}),
            }
            for row in session.scalars(query.limit(most))
        ]
    if as_json or body:
        print_json(listed)
        return
    columns = (">Id", ">Endpoint", "Type", "State", ">Attempts", "Created", "Next", "Sent", "Error")
    keys = ("id", "endpoint", "type", "state", "attempts", "created", "next_try", "sent", "error")
    print_table("", columns, ([row[key] for key in keys] for row in listed))


@webhooks.command("send")
@pass_context
def send(context: Context, /) -> None:
    """Post what waits, now; the job `webhooks` does it by itself."""
    from pbxbill.notify.posting import post_waiting

    private = context.settings.webhooks.private_addresses
    with context.application() as application:
        sent = post_waiting(application.database, context.clock, private=private)
    click.echo(f"{sent.sent} sent, {sent.waiting} tried again later, {sent.failed} given up")


@webhooks.command("retry")
@click.argument("id", type=int)
@pass_context
def retry_deliveries(context: Context, /, id: int) -> None:
    """Send deliveries to an endpoint again that were given up."""
    from pbxbill.billing.notices.webhook_endpoints import retry_given_up

    with context.application() as application, transaction(application.database) as session:
        found = retry_given_up(session, id, context.clock.now_us())
    click.echo(f"{found} wait again")


COMMANDS = (webhooks,)
