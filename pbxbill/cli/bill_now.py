"""bill now: an invoice up to this moment, in the middle of a period."""

import click

from pbxbill.app import billing
from pbxbill.billing.invoices.interim import bill_to_now
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code, unit_of


@click.command("now")
@click.argument("account")
@json_option
@pass_context
def now(context: Context, account: str, *, as_json: bool) -> None:
    """Bill ACCOUNT up to this moment: a last invoice, or one in between.

    Its next period begins here, and ends when this one would have ended.
    """
    with context.application() as application, billing(application) as (session, books):
        account_id = account_by_code(session, account).id
        billed = bill_to_now(session, books, account_id, context.clock.now_us())
        shown = [
            {
                "invoice": x.invoice_id,
                "unit": x.unit,
                "total": format_amount(x.total, unit_of(session, x.unit)),
                "state": "issued" if x.issued else "draft",
            }
            for x in billed.invoices
        ]
    if as_json:
        print_json({"invoices": shown, "nothing": list(billed.nothing)})
        return
    for row in shown:
        click.echo(f"{row['state']} {row['invoice']}: {row['total']} {row['unit']}")
    for reason in billed.nothing:
        click.echo(reason)
