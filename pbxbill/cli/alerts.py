"""alerts: what somebody should know of, the newest first."""

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table
from pbxbill.store.accounts import account_by_code
from pbxbill.store.alerts import list_alerts
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow


@click.command()
@click.option("--since", help="Only those from this moment on, UTC, e.g. 2026-01-31T08:00.")
@click.option("--kind", help="Only of this kind, e.g. spending_limit.")
@click.option("--account", "code", help="Only of this account.")
@click.option("--limit", "most", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
@pass_context
def alerts(  # one parameter per option
    context: Context, /, since: str | None, kind: str | None, code: str | None, *, most: int, as_json: bool
) -> None:
    """List alerts: limits that were hit, calls that were held, records that could not be rated."""
    since_us = 0 if since is None else parse_moment(since)
    with context.application() as application, transaction(reading(application.database)) as session:
        account_id = account_by_code(session, code).id if code is not None else None
        rows = list_alerts(session, since_us=since_us, kind=kind, account_id=account_id, most=most)
        owners = {row.account_id: session.get(AccountRow, row.account_id) for row in rows if row.account_id}
        shown = [
            {
                "at": moment(row.at_us),
                "kind": row.kind,
                "account": owner.code if (owner := owners.get(row.account_id or 0)) is not None else None,
                "subject": row.subject,
                "detail": row.detail,
            }
            for row in rows
        ]
    if as_json:
        print_json(shown)
        return
    titles = ("At", "Kind", "Account", "Subject", "Detail")
    print_table("", titles, (list(x.values()) for x in shown))


COMMANDS = (alerts,)
