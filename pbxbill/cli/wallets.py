"""topup, reverse-topup, transfer and adjust: money of wallets moved by hand; live calls follow at once."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import billing
from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.billing.payments.adjustments import AdjustmentRefused, NewAdjustment, adjusted_wallet
from pbxbill.billing.payments.top_ups import NewTopUp, reverse_top_up, top_up
from pbxbill.billing.payments.transfers import NewTransfer, transfer_funds
from pbxbill.charging.events import Moved
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option, reason_option
from pbxbill.cli.output import json_option, print_json
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.points_units import is_points_unit, refuse_points

unit_option = click.option("--unit", "unit_code", help="Which wallet, if the account has several.")
key_option = click.option(
    "--key",
    help="Idempotency key, e.g. a payment's number: the same key moves money once, however often it comes.",
)


@click.command(context_settings={"ignore_unknown_options": True})  # -5 is an amount, to be refused as one
@click.argument("code")
@click.argument("amount")
@unit_option
@key_option
@click.option("--method", default="", help="How it was paid: cash, cheque, bank ...")
@click.option("--reference", "--memo", "reference", default="", help="Kept with the journal entry.")
@click.option("--receipt", is_flag=True, help="Make the receipt at once (`payments receipt` does it later).")
@by_option
@json_option
@pass_context
def topup(context: Context, /, code: str, amount: str, *, as_json: bool, **named: Any) -> None:
    """Add received funds to an account's wallet; its live calls may last longer within a second."""
    with context.application() as application, billing(application) as (session, books):
        account = account_by_code(session, code)
        unit = unit_of_account(session, account, named["unit_code"])
        added = parse_amount(amount, unit)
        if added <= 0:
            raise InputRefused("a top-up must be more than zero; `pbxbill adjust` takes money out")
        new = NewTopUp(
            added,
            unit.code,
            named["method"],
            _key(named["key"]),
            named["reference"],
            named["by"],
            receipt=named["receipt"],
        )
        done = top_up(session, books, account, new, context.clock.now_us())
        wallet_id = locked_wallet(session, account.id, unit.code).id
    moved = Moved(done.entry_id, wallet_id, done.balance, done.available)
    receipt = None if done.receipt is None else done.receipt.number
    shown_moved(moved, unit, code, as_json=as_json, receipt=receipt)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("code")
@click.argument("amount")
@click.option("--memo", required=True, help="Why; kept with the journal entry.")
@unit_option
@key_option
@by_option
@json_option
@pass_context
def adjust(context: Context, /, code: str, amount: str, *, as_json: bool, **named: Any) -> None:
    """Put money into a wallet or, with a negative amount, take it out; live calls follow."""
    with context.application() as application, billing(application) as (session, books):
        account = account_by_code(session, code)
        unit = unit_of_account(session, account, named["unit_code"])
        key, memo = _key(named["key"]), named["memo"][:200]
        new = NewAdjustment(parse_amount(amount, unit), unit.code, key, memo, named["by"])
        try:
            moved = adjusted_wallet(session, books, account, new, context.clock.now_us())
        except AdjustmentRefused as refused:
            most = refused.most
            limit = "" if most is None else f"; at most {format_amount(most, unit)} {unit.code} now"
            raise InputRefused(f"{refused}{limit}") from None
    shown_moved(moved, unit, code, as_json=as_json)


@click.command("reverse-topup")
@click.argument("entry")
@reason_option
@click.option("--owed", is_flag=True, help="Take back also what is spent already; the account owes it then.")
@by_option
@json_option
@pass_context
def reverse_topup(context: Context, /, entry: str, *, as_json: bool, **named: Any) -> None:
    """Take back a top-up that was wrong: ENTRY as `topup --json` names it. Live calls are shortened for it.

    What came through a gateway is given back by `pbxbill payments refund`.
    """
    now_us = context.clock.now_us()
    with context.application() as application, billing(application) as (session, books):
        taken = reverse_top_up(
            session, books, entry, reason=named["reason"], now_us=now_us, owed=named["owed"], by=named["by"]
        )
        unit = unit_of(session, taken.unit)
        code = session.get_one(AccountRow, taken.account_id).code
    shown_moved(taken.moved, unit, code, as_json=as_json)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("from_code", metavar="FROM")
@click.argument("to_code", metavar="TO")
@click.argument("amount")
@unit_option
@key_option
@reason_option
@by_option
@json_option
@pass_context
def transfer(context: Context, /, from_code: str, to_code: str, amount: str, **named: Any) -> None:
    """Move funds FROM one account's wallet TO another's, both customers of the same issuer.

    Only funds that are there and that no live call holds: credit does not travel.
    """
    with context.application() as application, billing(application) as (session, books):
        giver, taker = account_by_code(session, from_code), account_by_code(session, to_code)
        unit = unit_of_account(session, giver, named["unit_code"])
        new = NewTransfer(
            parse_amount(amount, unit), unit.code, _key(named["key"]), named["reason"], named["by"]
        )
        done = transfer_funds(session, books, giver, taker, new, context.clock.now_us())
        left, got = (format_amount(x, unit) for x in (done.giver_balance, done.taker_balance))
    if named["as_json"]:
        print_json(
            {
                "from": from_code,
                "to": to_code,
                "unit": unit.code,
                "entries": list(done.entry_ids),
                "repeated": done.repeated,
                "from_balance": left,
                "to_balance": got,
            }
        )
        return
    again = ", as before" if done.repeated else ""
    click.echo(f"{from_code}: balance {left} {unit.code}; {to_code}: balance {got} {unit.code}{again}")


def unit_of_account(session: Session, account: AccountRow, code: str | None) -> Unit:
    """The unit of the wallet that a command is about; never points, which have commands of their own."""
    owned = session.scalars(
        select(WalletRow.unit).where(WalletRow.account_id == account.id).order_by(WalletRow.unit)
    ).all()
    if code is not None:
        refuse_points(session, code.upper())
    elif len(owned) > 1:
        owned = [unit for unit in owned if not is_points_unit(session, unit)]
    if code is None and len(owned) == 1:
        return unit_of(session, owned[0])
    if code is None or code.upper() not in owned:
        raise InputRefused(
            f"account {account.code} has these wallets: {', '.join(owned) or 'none'}; choose by --unit"
        )
    return unit_of(session, code.upper())


def shown_moved(outcome: Moved, unit: Unit, code: str, *, as_json: bool, receipt: str | None = None) -> None:
    """Print what a wallet holds now, and the number of the receipt that was made."""
    balance, available = format_amount(outcome.balance, unit), format_amount(outcome.available, unit)
    if as_json:
        print_json(
            {
                "account": code,
                "unit": unit.code,
                "entry": outcome.entry_id or None,
                "balance": balance,
                "available": available,
                "shortened": list(outcome.shortened),
                "receipt": receipt,
            }
        )
        return
    click.echo(f"{code}: balance {balance} {unit.code}, available {available} {unit.code}")
    if receipt is not None:
        click.echo(f"receipt {receipt}")
    if outcome.shortened:
        click.echo(f"live calls shortened: {', '.join(outcome.shortened)}")


def _key(key: str | None) -> str:
    if key is None:
        return f"cli:{new_id()}"
    if not (key.isprintable() and 0 < len(key) <= 200):
        raise InputRefused("a key has 1 to 200 printable characters")
    return key


COMMANDS = (topup, reverse_topup, transfer, adjust)
