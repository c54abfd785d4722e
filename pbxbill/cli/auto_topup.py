"""auto-topup: wallets that are filled from a saved card when their funds fall below a threshold."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, resume, set_auto_top_up, turn_off
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.cli.wallets import unit_of_account, unit_option
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import AutoTopUpRow, GatewayPaymentRow, SavedMethodRow


@click.group("auto-topup")
def auto_topup() -> None:
    """Wallets that are filled from a saved card when their funds fall below a threshold."""


@auto_topup.command("set")
@click.argument("account")
@click.option("--below", required=True, help="Once less than this is left, without what live calls hold.")
@click.option("--amount", required=True, help="What is charged each time.")
@click.option(
    "--method",
    "--saved",
    "method_id",
    type=int,
    help="Id of a saved card; default: the preferred one.",
)
@click.option("--daily-cap", help="The most in one of the account's local days.")
@click.option("--monthly-cap", help="The most in one of its local months.")
@unit_option
@json_option
@pass_context
def set_(context: Context, /, account: str, *, as_json: bool, **named: Any) -> None:
    """Fill the wallet of ACCOUNT by itself; funds that are low now are filled within seconds."""
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, named["unit_code"])
        caps = {
            name: None if named[name] is None else parse_amount(named[name], unit)
            for name in ("daily_cap", "monthly_cap")
        }
        terms = AutoTopUpTerms(
            parse_amount(named["below"], unit),
            parse_amount(named["amount"], unit),
            named["method_id"],
            **caps,
        )
        made = set_auto_top_up(session, row, unit.code, terms, context.clock.now_us())
        shown = _shown(session, made)
    _tell([shown], as_json=as_json)


@auto_topup.command("off")
@click.argument("account")
@unit_option
@json_option
@pass_context
def off(context: Context, /, account: str, *, unit_code: str | None, as_json: bool) -> None:
    """Fill the wallet of ACCOUNT no more."""
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, unit_code)
        shown = _shown(session, turn_off(session, row, unit.code, context.clock.now_us()))
    _tell([shown], as_json=as_json)


@auto_topup.command("resume")
@click.argument("account")
@unit_option
@json_option
@pass_context
def resume_(context: Context, /, account: str, *, unit_code: str | None, as_json: bool) -> None:
    """Go on after it stopped, was turned off, or waits after a decline."""
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, unit_code)
        shown = _shown(session, resume(session, row, unit.code, context.clock.now_us()))
    _tell([shown], as_json=as_json)


@auto_topup.command("list")
@click.argument("account", required=False)
@click.option("--stopped", is_flag=True, help="Only those that gave up.")
@json_option
@pass_context
def list_(context: Context, /, account: str | None, *, stopped: bool, as_json: bool) -> None:
    """Show what fills itself, of all accounts or of ACCOUNT."""
    query = select(AutoTopUpRow).join(WalletRow, WalletRow.id == AutoTopUpRow.wallet_id)
    with context.application() as application, transaction(reading(application.database)) as session:
        if account is not None:
            query = query.where(WalletRow.account_id == account_by_code(session, account).id)
        if stopped:
            query = query.where(AutoTopUpRow.state == "stopped")
        shown = [_shown(session, row) for row in session.scalars(query.order_by(AutoTopUpRow.wallet_id))]
    _tell(shown, as_json=as_json)


def _shown(session: Session, row: AutoTopUpRow) -> dict[str, Any]:
    wallet = session.get_one(WalletRow, row.wallet_id)
    unit = unit_of(session, wallet.unit)
    method = session.get_one(SavedMethodRow, row.method_id)
    payment = None if row.payment_id is None else session.get_one(GatewayPaymentRow, row.payment_id)
    return {
        "account": session.get_one(AccountRow, wallet.account_id).code,
        "unit": unit.code,
        "below": format_amount(row.below, unit),
        "amount": format_amount(row.amount, unit),
        "method": f"{method.id} {method.brand} {method.last4}".strip(),
        "daily_cap": _cap(row.daily_cap, unit),
        "monthly_cap": _cap(row.monthly_cap, unit),
        "state": row.state,
        "declines": row.declines,
        "next": None if row.next_us is None else moment(row.next_us),
        "payment": None if payment is None else f"{payment.id} {payment.state}",
    }


def _cap(amount: int | None, unit: Unit) -> str | None:
    return None if amount is None else format_amount(amount, unit)


def _tell(shown: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    titles = ("Account", ">Below", ">Amount", "Card", ">A day", ">A month", "State", "Next", "Payment")
    print_table(
        "",
        titles,
        [
            (
                x["account"],
                f"{x['below']} {x['unit']}",
                x["amount"],
                x["method"],
                x["daily_cap"] or "",
                x["monthly_cap"] or "",
                x["state"] + (f", {x['declines']} declined" if x["declines"] else ""),
                x["next"] or "",
                x["payment"] or "",
            )
            for x in shown
        ],
    )


COMMANDS = (auto_topup,)
