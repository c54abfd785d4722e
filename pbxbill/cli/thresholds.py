"""thresholds: below which funds accounts are told."""

from typing import Any

import click
from sqlalchemy import select

from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.billing.payments.balance_thresholds import set_defaults, set_thresholds, thresholds_of
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.cli.wallets import unit_of_account, unit_option
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.thresholds import NOTICE, defaults_of


@click.group()
def thresholds() -> None:
    """Below which funds accounts are told: their own thresholds, or those of who bills them."""


@thresholds.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("account")
@click.argument("amounts", nargs=-1)
@unit_option
@json_option
@pass_context
def set_(context: Context, /, account: str, amounts: tuple[str, ...], **named: Any) -> None:
    """Tell ACCOUNT when less than each of AMOUNTS is left; 0: nothing. Without any: as its issuer says."""
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, named["unit_code"])
        wallet = locked_wallet(session, row.id, unit.code)
        chosen = [parse_amount(x, unit) for x in amounts]
        set_thresholds(session, wallet, NOTICE, chosen, context.clock.now_us())
    _show(context, account, unit.code, as_json=named["as_json"])


@thresholds.command("list")
@click.argument("account")
@unit_option
@json_option
@pass_context
def list_(context: Context, /, account: str, *, unit_code: str | None, as_json: bool) -> None:
    """Show the thresholds of ACCOUNT, and which of them its wallet is below."""
    _show(context, account, unit_code, as_json=as_json)


@thresholds.command("defaults", context_settings={"ignore_unknown_options": True})
@click.argument("unit_code", metavar="UNIT")
@click.argument("amounts", nargs=-1)
@click.option("--issuer", help="Code of the reseller whose customers they are for; default: the operator.")
@click.option("--none", "is_none", is_flag=True, help="Tell nobody who has no thresholds of his own.")
@json_option
@pass_context
def defaults(
    context: Context, /, unit_code: str, amounts: tuple[str, ...], *, is_none: bool, **named: Any
) -> None:
    """Show or change the thresholds of an issuer's customers who have none of their own, new ones too."""
    if is_none and amounts:
        raise InputRefused("name AMOUNTS, or --none")
    with context.application() as application:
        with transaction(reading(application.database)) as session:
            unit = unit_of(session, unit_code.upper())
            if named["issuer"] is None:
                issuer = session.scalars(select(AccountRow).where(AccountRow.parent_id.is_(None))).one()
            else:
                issuer = account_by_code(session, named["issuer"])
            if issuer.kind == "customer":
                raise InputRefused(f"account {issuer.code} is a customer: it bills nobody")
            issuer_id, code = issuer.id, issuer.code
        wallets = None
        if amounts or is_none:
            chosen = [parse_amount(x, unit) for x in amounts]
            now_us = context.clock.now_us()
            wallets = set_defaults(application.database, issuer_id, unit.code, chosen, now_us)
        with transaction(reading(application.database)) as session:
            found = [format_amount(x, unit) for x in defaults_of(session, issuer_id, unit.code)]
    if named["as_json"]:
        print_json({"issuer": code, "unit": unit.code, "below": found, "wallets": wallets})
        return
    changed = "" if wallets is None else f", of {wallets} wallets"
    click.echo(f"{code}: {', '.join(found) or 'none'} {unit.code if found else ''}".rstrip() + changed)


def _show(context: Context, account: str, unit_code: str | None, *, as_json: bool) -> None:
    with context.application() as application, transaction(reading(application.database)) as session:
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, unit_code)
        own = select(WalletRow.id).where(WalletRow.account_id == row.id, WalletRow.unit == unit.code)
        found = thresholds_of(session, session.scalars(own).one())
    shown = [
        {
            "below": format_amount(x.below, unit),
            "unit": unit.code,
            "purpose": x.purpose,
            "reached": None if x.reached_us is None else moment(x.reached_us),
        }
        for x in found
    ]
    if as_json:
        print_json(shown)
        return
    words = {"notice": "tells the account", "default": "tells the account, its issuer's"}
    print_table(
        "",
        (">Below", "What follows", "Since"),
        [
            (f"{x['below']} {x['unit']}", words.get(str(x["purpose"]), "tops up"), x["reached"] or "")
            for x in shown
        ],
    )


COMMANDS = (thresholds,)
