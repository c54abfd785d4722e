"""invoices send: a document into the outbox, with its files."""

import click

from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.sending import NotQueued, Queued, send_invoice
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.errors import InputRefused
from pbxbill.store.engine import reading, transaction


@click.command()
@click.argument("invoice")
@click.option("--to", multiple=True, help="To this address instead, even if it was sent before; repeat it.")
@by_option
@pass_context
def send(context: Context, /, invoice: str, to: tuple[str, ...], *, by: str) -> None:
    """Put INVOICE, with its files, into the outbox; `pbxbill mail send` sends it."""
    with context.application() as application:
        with transaction(reading(application.database)) as session:
            invoice_id = find(session, invoice).id
        outcome = send_invoice(application.database, invoice_id, context.clock.now_us(), to=to, by=by)
    match outcome:
        case Queued(recipients):
            click.echo(f"{invoice} waits in the outbox for {', '.join(recipients)}")
        case NotQueued(reason):
            raise InputRefused(f"{invoice} is not sent: {reason}")


ON_INVOICES = (send,)
