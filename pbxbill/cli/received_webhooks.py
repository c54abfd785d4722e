"""payments webhooks: what gateways sent."""

from typing import Any

import click
from sqlalchemy import select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table, visible
from pbxbill.errors import InputRefused
from pbxbill.store.engine import reading, transaction
from pbxbill.store.payment_models import PaymentGatewayRow, ReceivedWebhookRow


@click.group("webhooks")
def received() -> None:
    """What gateways sent, as it came, and what became of it."""


@received.command("list")
@click.option("--gateway", help="Of this one.")
@click.option("--outcome", help="handled, nothing, held or refused.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", type=int, help="The next page: the last number of the page before.")
@json_option
@pass_context
def list_received(context: Context, /, *, as_json: bool, **named: Any) -> None:
    """List webhooks, newest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        query = (
            select(ReceivedWebhookRow, PaymentGatewayRow.name)
            .join(PaymentGatewayRow, PaymentGatewayRow.id == ReceivedWebhookRow.gateway_id)
            .order_by(ReceivedWebhookRow.id.desc())
            .limit(named["limit"])
        )
        if named["gateway"] is not None:
            query = query.where(PaymentGatewayRow.name == named["gateway"])
        if named["outcome"] is not None:
            query = query.where(ReceivedWebhookRow.outcome == named["outcome"])
        if named["before"] is not None:
            query = query.where(ReceivedWebhookRow.id < named["before"])
        shown = [
            {
                "webhook": row.id,
                "at": moment(row.received_us),
                "gateway": name,
                "kind": row.kind,
                "outcome": row.outcome,
                "payment": row.payment_id,
                "times": row.times,
                "detail": row.detail,
            }
            for row, name in session.execute(query)
        ]
    if as_json:
        print_json(shown)
        return
    columns = ("Webhook", "At", "Gateway", "Kind", "Outcome", "Payment", ">Times", "Detail")
    print_table("", columns, (tuple(x.values()) for x in shown))


@received.command("show")
@click.argument("webhook", type=int)
@pass_context
def show_received(context: Context, webhook: int) -> None:
    """Print WEBHOOK as it came: its headers, then its body."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = session.get(ReceivedWebhookRow, webhook)
        if row is None:
            raise InputRefused(f"there is no webhook {webhook}; `payments webhooks list` shows them")
        print_json(
            {
                "webhook": row.id,
                "event": row.event_ref,
                "at": moment(row.received_us),
                "kind": row.kind,
                "outcome": row.outcome,
                "detail": row.detail,
                "times": row.times,
                "headers": row.headers,
                "body": visible(bytes(row.body).decode("utf-8", "replace")),
            }
        )
