"""topup and adjust: money moved by hand, through the charging engine, so that live calls follow at once."""

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import Application, open_charging
from pbxbill.charging.events import Adjust, Moved, Refused, SetCreditLimit, TopUp
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json
from pbxbill.errors import InputRefused, check
from pbxbill.ids import new_id
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, TariffVersionRow, WalletRow

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
@click.option("--memo", default="", help="Kept with the journal entry.")
@json_option
@pass_context
def topup(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    code: str,
    amount: str,
    *,
    unit_code: str | None,
    key: str | None,
    memo: str,
    as_json: bool,
) -> None:
    """Add received funds to an account's wallet; its live calls may last longer within a second."""
    with context.application() as application:
        account, unit = _wallet(application, code, unit_code)
        now_us = context.clock.now_us()
        added = parse_amount(amount, unit)
        if added <= 0:
            raise InputRefused("a top-up must be more than zero; `pbxbill adjust` takes money out")
        command = TopUp(_key(key), account.id, unit.code, added, now_us, memo[:200])
        outcome = change_wallet(application, command)
    _tell(outcome, unit, code, as_json=as_json)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("code")
@click.argument("amount")
@click.option("--memo", required=True, help="Why; kept with the journal entry.")
@unit_option
@key_option
@json_option
@pass_context
def adjust(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    code: str,
    amount: str,
    *,
    memo: str,
    unit_code: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Put money into a wallet or, with a negative amount, take it out; live calls follow."""
    with context.application() as application:
        account, unit = _wallet(application, code, unit_code)
        now_us = context.clock.now_us()
        command = Adjust(_key(key), account.id, unit.code, parse_amount(amount, unit), now_us, memo[:200])
        outcome = change_wallet(application, command)
    _tell(outcome, unit, code, as_json=as_json)


def change_wallet(application: Application, command: TopUp | Adjust | SetCreditLimit) -> Moved | Refused:
    """Have the charging engine move money, and tell the other processes."""
    with open_charging(application) as charging:
        outcome = charging.engine.execute(command)
    check(isinstance(outcome, Moved | Refused), f"{type(command).__name__} was answered by {outcome}")
    assert isinstance(outcome, Moved | Refused)
    return outcome


def unit_of_account(session: Session, account: AccountRow, code: str | None) -> Unit:
    """The unit of the wallet that a command is about."""
    owned = session.scalars(
        select(WalletRow.unit).where(WalletRow.account_id == account.id).order_by(WalletRow.unit)
    ).all()
    if code is None and len(owned) == 1:
        return unit_of(session, owned[0])
    if code is None or code.upper() not in owned:
        raise InputRefused(
            f"account {account.code} has these wallets: {', '.join(owned) or 'none'}; choose by --unit"
        )
    return unit_of(session, code.upper())


def unit_of_tariff(session: Session, tariff_id: int | None) -> str | None:
    """What the newest version of a tariff charges in; None without a tariff."""
    return session.scalar(
        select(TariffVersionRow.unit)
        .where(TariffVersionRow.tariff_id == tariff_id)
        .order_by(TariffVersionRow.number.desc())
        .limit(1)
    )


def shown_moved(outcome: Moved, unit: Unit, code: str, *, as_json: bool) -> None:
    """Print what a wallet holds now."""
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
            }
        )
        return
    click.echo(f"{code}: balance {balance} {unit.code}, available {available} {unit.code}")
    if outcome.shortened:
        click.echo(f"live calls shortened: {', '.join(outcome.shortened)}")


def _tell(outcome: Moved | Refused, unit: Unit, code: str, *, as_json: bool) -> None:
    match outcome:
        case Moved():
            shown_moved(outcome, unit, code, as_json=as_json)
        case Refused(reason, most):
            limit = "" if most is None else f"; at most {format_amount(most, unit)} {unit.code} now"
            raise InputRefused(f"{reason}{limit}")


def _wallet(application: Application, code: str, unit_code: str | None) -> tuple[AccountRow, Unit]:
    with transaction(reading(application.database)) as session:
        account = account_by_code(session, code)
        return account, unit_of_account(session, account, unit_code)


def _key(key: str | None) -> str:
    if key is None:
        return f"cli:{new_id()}"
    if not (key.isprintable() and 0 < len(key) <= 200):
        raise InputRefused("a key has 1 to 200 printable characters")
    return key


COMMANDS = (topup, adjust)
