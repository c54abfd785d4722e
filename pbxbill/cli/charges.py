"""charges: one-time charges, fees, discounts and credits by hand; all charges, with what they come from."""

import json
from typing import Any

import click

from pbxbill.app import billing
from pbxbill.billing.charge import QUANTITY_SCALE, Collection
from pbxbill.billing.subscriptions.charges_by_hand import (
    KINDS,
    HandCharge,
    add_charge,
    list_charges,
    withdraw_charge,
)
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import LOCAL_DAY, json_option, moment, print_json, print_table
from pbxbill.cli.subscriptions import moment_of
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.engine import reading, transaction

_QUANTITY = Unit("quantity", QUANTITY_SCALE, 0)


@click.group()
def charges() -> None:
    """Charges of accounts: those of their subscriptions, and what is charged or given back by hand."""


@charges.command(context_settings={"ignore_unknown_options": True})  # -5 is a price, to be refused as one
@click.argument("account")
@click.argument("description")
@click.argument("price")
@click.option("--quantity", default="1", show_default=True, help="May have up to six digits after the point.")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in KINDS]), default="one_time", show_default=True
)
@click.option(
    "--wallet", is_flag=True, help="Take it from the wallet now; default: the next invoice asks for it."
)
@click.option("--unit", "unit_code", help="Which currency, if the account has several wallets.")
@click.option("--product-class", default="service", show_default=True, help="What taxes it falls under.")
@click.option("--at", help=f"On the invoice of this moment; default: now. {LOCAL_DAY}")
@click.option("--reason", required=True, help="Kept with it.")
@click.option("--key", default="", help="The same key charges once.")
@by_option
@json_option
@pass_context
def add(
    context: Context, /, account: str, description: str, price: str, *, as_json: bool, **terms: Any
) -> None:
    """Charge ACCOUNT once, or give something back: --kind credit."""
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, terms["unit_code"])
        charge = HandCharge(
            description=description,
            unit=unit.code,
            unit_price=parse_amount(price, unit),
            reason=terms["reason"],
            kind=next(kind for kind in KINDS if kind.value == terms["kind"]),
            quantity=parse_amount(terms["quantity"], _QUANTITY),
            product_class=terms["product_class"],
            collection=Collection.WALLET if terms["wallet"] else Collection.INVOICE,
            at_us=moment_of(session, row, terms["at"]),
            key=terms["key"],
            by=terms["by"],
        )
        made = add_charge(session, books, row, charge, context.clock.now_us())
        facts = _facts(made, account, unit)
    if as_json:
        print_json(facts)
        return
    click.echo(f"charge {facts['id']}: {facts['net']} {unit.code} without tax, {facts['collection']}")


@charges.command("list")
@click.option("--account", help="Only those of this account.")
@click.option("--open", "open_only", is_flag=True, help="Only those that no invoice shows yet.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@json_option
@pass_context
def list_all(context: Context, account: str | None, open_only: bool, limit: int, as_json: bool) -> None:
    """List charges, the newest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        whose = None if account is None else account_by_code(session, account)
        listed = [
            _facts(row, code, unit_of(session, row.unit))
            for row, code in list_charges(session, whose, open_only=open_only, most=limit)
        ]
    if as_json:
        print_json(listed)
        return
    shown = (
        "id",
        "account",
        "kind",
        "description",
        "quantity",
        "net",
        "tax",
        "unit",
        "at",
        "collection",
        "invoice",
    )
    columns = (
        ">Id",
        "Account",
        "Kind",
        "Description",
        ">Quantity",
        ">Net",
        ">Tax",
        "",
        "At",
        "Paid by",
        ">Invoice",
    )
    print_table("", columns, ([x[name] for name in shown] for x in listed))


def _facts(row: ChargeRow, code: str, unit: Unit) -> dict[str, Any]:
    return {
        "id": row.id,
        "account": code,
        "subscription": row.subscription_id,
        "kind": row.kind,
        "description": row.description,
        "product_class": row.product_class,
        "quantity": format_amount(row.quantity, _QUANTITY),
        "unit_price": format_amount(row.unit_price, unit),
        "net": format_amount(row.net, unit),
        "tax": format_amount(row.tax, unit),
        "unit": row.unit,
        "at": moment(row.at_us),
        "from": moment(row.from_us),
        "to": moment(row.to_us),
        "collection": row.collection,
        "invoice": row.invoice_id,
        "entry": row.entry_id,
        "explanation": json.loads(row.explanation) if row.explanation else {},
    }


@charges.command()
@click.argument("charge", type=int)
@click.option("--reason", required=True, help="Kept with it.")
@by_option
@pass_context
def withdraw(context: Context, charge: int, reason: str, by: str) -> None:
    """Take back a charge that is on no invoice; what the wallet gave for it comes back."""
    if charge <= 0:
        raise InputRefused("a charge's number is above 0; `pbxbill charges list` shows it")
    with context.application() as application, billing(application) as (session, books):
        withdraw_charge(session, books, charge, reason, context.clock.now_us(), by)
    click.echo(f"charge {charge} is withdrawn")


COMMANDS = (charges,)
