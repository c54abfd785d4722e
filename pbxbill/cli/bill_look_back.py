"""bill look-back: what invoices passed over is on the next ones."""

import click
from sqlalchemy import true

from pbxbill.billing.invoices.looking_back import look_back_at, passed_over
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json
from pbxbill.money import format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction


@click.command("look-back")
@json_option
@pass_context
def look_back_command(context: Context, *, as_json: bool) -> None:
    """Have the next invoices take what was passed over.

    After the server's clock was put back by days, an invoice may look only at what is newer than what was
    charged since. `pbxbill verify` says so. This reads all that wallets ever gave for.
    """
    shown = []
    with context.application() as application:
        after: int | None = 0
        while after is not None:
            with transaction(reading(application.database)) as session:
                places = passed_over(session, lambda _column: true(), context.clock, after)
            with transaction(application.database) as session:
                shown += [
                    {
                        "account": account.code,
                        "unit": found.unit,
                        "entries": found.entries,
                        "amount": format_amount(found.gross, unit_of(session, found.unit)),
                    }
                    for account, found in look_back_at(session, places)
                ]
            after = places.after
    if as_json:
        print_json(shown)
        return
    for row in shown:
        click.echo(
            f"{row['account']}: {row['entries']} entries over {row['amount']} {row['unit']} "
            "are on its next invoice"
        )
    if not shown:
        click.echo("nothing was passed over")
