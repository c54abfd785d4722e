"""payments receipt: receipts for top-ups and payments; `invoices render` and `invoices send` take them."""

from typing import Any

import click

from pbxbill.billing.invoices.receipts import Receipt, issue_receipt, unreceipted
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import json_option, print_json
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import InvoiceRow


@click.command("receipt")
@click.argument("entry", required=False)
@click.option("--account", help="For the last top-up or payment of this account instead.")
@click.option("--all", "is_all", is_flag=True, help="With --account: for each that has no receipt yet.")
@click.option("--unit", "unit_code", help="Which currency, if the account has several.")
@by_option
@json_option
@pass_context
def receipt(context: Context, /, entry: str | None, *, as_json: bool, **named: Any) -> None:
    """Make the receipt for a top-up or payment, once: ENTRY as `topup` and `payments list` name it.

    `pbxbill invoices render` and `pbxbill invoices send` take its number.
    """
    account = named["account"]
    if (entry is None) == (account is None) or (named["is_all"] and account is None):
        raise InputRefused("name an ENTRY, or an --account, with --all for each of its top-ups and payments")
    with context.application() as application, transaction(application.database) as session:
        entries = [entry] if entry is not None else []
        if account is not None:
            row = account_by_code(session, account)
            unit = unit_of_account(session, row, named["unit_code"])
            entries = unreceipted(session, row.id, unit.code, only_last=not named["is_all"])
            if not entries and not named["is_all"]:
                raise InputRefused(f"account {account} has had no top-up or payment in {unit.code}")
        made = [issue_receipt(session, x, context.clock.now_us(), named["by"]) for x in entries]
        shown = []
        for x in made:
            unit = unit_of(session, session.get_one(InvoiceRow, x.invoice_id).unit)
            shown.append(_shown(x, format_amount(x.total, unit), unit.code))
    if as_json:
        print_json(shown)
        return
    for line in shown:
        click.echo(f"{line['number']}: {line['total']} {line['unit']}" + ", made before" * line["repeated"])
    if not shown:
        click.echo("each top-up and payment has its receipt")


def _shown(made: Receipt, total: str, unit: str) -> dict[str, Any]:
    return {
        "id": made.invoice_id,
        "number": made.number,
        "total": total,
        "unit": unit,
        "repeated": made.repeated,
    }


ON_PAYMENTS = (receipt,)
