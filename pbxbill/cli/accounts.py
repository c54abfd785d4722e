"""accounts: list, add, show, and change the accounts that pay for calls."""

from copy import copy
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from pbxbill.app import billing
from pbxbill.billing.account_terms import (
    OFFLINE_ALLOWANCE,
    Concerns,
    Opening,
    change_account,
    concerns_of,
    identify,
    identify_no_more,
    open_with_wallets,
    set_credit_limit,
)
from pbxbill.cli.account_options import (
    allowance_of,
    credit_limit_of,
    minimum_balance_of,
    opened_us,
    paying_unit,
    wanted_unit,
)
from pbxbill.cli.barring import (
    barred_by,
    history_command,
    resume_command,
    suspend_command,
    terminate_command,
)
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table, warn
from pbxbill.cli.wallets import shown_moved, unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount
from pbxbill.store.accounts import (
    ACCOUNT_KINDS,
    ACCOUNT_MODES,
    ENDPOINT_KINDS,
    NewAccount,
    account_by_code,
    default_failure_policy,
    dialling_rule_by_name,
    open_wallet,
    parse_wallet_order,
    tariff_of_issuer,
    unit_of,
)
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, EndpointRow, ReservationRow, TariffRow, UnitRow, WalletRow

LANGUAGES = ("en", "fr", "es")
YES_NO_TARIFF = ("yes", "no", "tariff")
_CHOSEN = {"yes": True, "no": False, "tariff": None}


@click.group()
def accounts() -> None:
    """Resellers and customers: open, show and change them."""


@accounts.command("list")
@click.option("--parent", help="Only the accounts below this reseller.")
@json_option
@pass_context
def list_accounts(context: Context, parent: str | None, as_json: bool) -> None:
    """List accounts with their wallets."""
    with context.application() as application, transaction(reading(application.database)) as session:
        upper = aliased(AccountRow)
        query = (
            select(AccountRow, upper.code, TariffRow.name)
            .outerjoin(upper, upper.id == AccountRow.parent_id)
            .outerjoin(TariffRow, TariffRow.id == AccountRow.tariff_id)
            .where(AccountRow.kind != "operator")
            .order_by(AccountRow.path)
        )
        if parent is not None:
            root = account_by_code(session, parent)
            query = query.where(AccountRow.path.startswith(root.path), AccountRow.id != root.id)
        rows = session.execute(query).all()
        wallets = _wallets(session)
    listed: list[dict[str, Any]] = [
        {
            "code": account.code,
            "name": account.name,
            "kind": account.kind,
            "mode": account.mode,
            "status": account.status,
            "parent": above if above != "operator" else None,
            "tariff": tariff,
            "wallets": wallets.get(account.id, []),
        }
        for account, above, tariff in rows
    ]
    if as_json:
        print_json(listed)
        return
    columns = ("Code", "Name", "Kind", "Mode", "Status", "Reseller", "Tariff", ">Balance", ">Available")
    print_table(
        "",
        columns,
        (
            (
                *(x[key] for key in ("code", "name", "kind", "mode", "status", "parent", "tariff")),
                "\n".join(f"{w['balance']} {w['unit']}" for w in x["wallets"]),
                "\n".join(f"{w['available']} {w['unit']}" for w in x["wallets"]),
            )
            for x in listed
        ),
    )


@accounts.command()
@click.argument("code")
@click.option("--name", help="Default: the code.")
@click.option("--kind", type=click.Choice(ACCOUNT_KINDS), default="customer", show_default=True)
@click.option("--mode", type=click.Choice(ACCOUNT_MODES), default="prepaid", show_default=True)
@click.option("--parent", help="Code of the reseller; default: your own company.")
@click.option("--tariff", help="What its calls are charged by.")
@click.option("--inbound-tariff", help="What calls to its DIDs are charged by; default: they are free.")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@click.option("--failure-policy", type=click.Choice(("closed", "open")), help="Default: open unless prepaid.")
@click.option(
    "--offline-allowance",
    help=f"Most that unauthorized calls may cost; default: {OFFLINE_ALLOWANCE} with failure policy open.",
)
@click.option(
    "--unit", "unit_code", help="The wallet's unit; default: the tariff's, or the only one there is."
)
@click.option("--limit", default="0", help="Credit limit: how far below zero the wallet may go.")
@click.option(
    "--wallet-order",
    help="Units that charges take from, first to last, e.g. points,EUR; a wallet is opened in each.",
)
@click.option("--dialling-rule", help="How it dials; default: as the account above.")
@click.option("--shadow", is_flag=True, help="Its calls are charged, and nobody is cut or denied.")
@click.option(
    "--opened", help="The day from which it is billed, where its issuer is; default: today. Not one to come."
)
@click.option("--sip", multiple=True, help="SIP account code that identifies it; may be repeated.")
@click.option("--did", multiple=True, help="DID that belongs to it; may be repeated.")
@pass_context
def add(context: Context, /, code: str, unit_code: str | None, limit: str, **options: Any) -> None:
    """Open an account with a wallet."""
    sip, did = options.pop("sip"), options.pop("did")
    policy = options["failure_policy"] or default_failure_policy(options["mode"])
    allowance = options.pop("offline_allowance") or str(OFFLINE_ALLOWANCE if policy == "open" else 0)
    name = options.pop("name") or code
    if not (code.isprintable() and 0 < len(code) <= 64 and " " not in code):
        raise InputRefused("an account code has 1 to 64 printable characters and no space")
    written_order, opened = options.pop("wallet_order"), options.pop("opened")
    with context.application() as application, transaction(application.database) as session:
        order = parse_wallet_order(session, written_order) if written_order else ()
        # What points and gifts leave is taken from the last wallet: it is the one with the credit limit.
        unit = wanted_unit(
            session, unit_code or (order[-1] if order else None), options["tariff"], options["parent"]
        )
        if order and unit.code not in order:
            raise InputRefused(f"--wallet-order must name {unit.code}, the wallet's unit, too")
        allowed = allowance_of(allowance, unit)
        new = NewAccount(code, name, offline_allowance=allowed, wallet_order=order, **options)
        now_us = context.clock.now_us()
        since_us = None if opened is None else opened_us(session, new, opened, now_us)
        endpoints = (*(("sip", x) for x in sip), *(("did", x) for x in did))
        opening = Opening(new, unit.code, credit_limit_of(limit, unit), endpoints)
        account = open_with_wallets(session, opening, now_us, since_us)
        concerns = concerns_of(session, account, now_us)
    wallets = f"{', '.join(order)} wallets" if len(order) > 1 else f"a {unit.code} wallet"
    click.echo(f"opened {new.mode} account {code} with {wallets}")
    if concerns.nobody_passes:
        _say_nobody_passes(code)
    _say_without_exchange(code, concerns)
    warn(concerns.tax)
    if concerns.without_credit:
        click.echo(
            f"it pays afterwards and cannot call yet, with a credit limit of zero: "
            f"`pbxbill accounts limit {code} AMOUNT`",
            err=True,
        )
    if concerns.without_tariff:
        click.echo(f"it cannot call yet: `pbxbill accounts set {code} --tariff NAME`", err=True)


@accounts.command()
@click.argument("code")
@json_option
@pass_context
def show(context: Context, code: str, as_json: bool) -> None:
    """Show an account."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code)
        parent = session.get(AccountRow, account.parent_id) if account.parent_id is not None else None
        endpoints = session.scalars(
            select(EndpointRow)
            .where(EndpointRow.account_id == account.id)
            .order_by(EndpointRow.kind, EndpointRow.value)
        ).all()
        live = session.scalar(
            select(func.count())
            .select_from(ReservationRow)
            .where(
                ReservationRow.account_id == account.id, ReservationRow.state.in_(("reserved", "answered"))
            )
        )
        wallets = _wallets(session, account.id).get(account.id, [])
        unit = unit_of(session, wallets[0]["unit"]) if len(wallets) == 1 else None
        shown = {
            "code": account.code,
            "name": account.name,
            "kind": account.kind,
            "mode": account.mode,
            "status": account.status,
            "barred_by": barred_by(session, account),
            "reseller": parent.code if parent is not None and parent.kind != "operator" else None,
            "tariff": _tariff_name(session, account.tariff_id),
            "inbound_tariff": _tariff_name(session, account.inbound_tariff_id),
            "language": account.language,
            "failure_policy": account.failure_policy,
            "offline_allowance": (
                format_amount(account.offline_allowance, unit) if unit else str(account.offline_allowance)
            ),
            "minimum_balance": _minimum_balance(session, account),
            "announce_balance": account.announce_balance,
            "announce_minutes": account.announce_minutes,
            "announce_warning": account.announce_warning,
            "announce_denial": account.announce_denial,
            "dialling_rule": _rule_name(session, account.dialling_rule_id),
            "wallet_order": account.wallet_order,
            "shadow": account.shadow,
            "opened": moment(account.created_us),
            "open_calls": live,
            "wallets": wallets,
            "endpoints": [
                {"kind": x.kind, "value": x.value, "tech_prefix": x.tech_prefix} for x in endpoints
            ],
        }
    if as_json:
        print_json(shown)
        return
    print_table("", ("", ""), ((key.replace("_", " "), _cell(value)) for key, value in shown.items()))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "\n".join(", ".join(f"{k} {v}" for k, v in item.items() if v != "") for item in value)
    return str(value)


@accounts.command()
@click.argument("code")
@click.argument("kind", type=click.Choice(ENDPOINT_KINDS))
@click.argument("value")
@click.option("--tech-prefix", default="", help="Digits before the number that belong to this endpoint.")
@click.option("--remove", is_flag=True, help="Take the endpoint away instead.")
@pass_context
def endpoint(context: Context, code: str, kind: str, value: str, tech_prefix: str, remove: bool) -> None:
    """Let a SIP account code, an IP, a caller ID or a DID identify an account."""
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        change = identify_no_more if remove else identify
        change(session, account, kind, value, tech_prefix)
    click.echo(f"{kind} {value} {'no longer identifies' if remove else 'identifies'} account {code}")


@accounts.command()
@click.argument("code")
@click.argument("unit_code", metavar="UNIT")
@click.option("--limit", default="0", help="Credit limit: how far below zero the wallet may go.")
@pass_context
def wallet(context: Context, code: str, unit_code: str, limit: str) -> None:
    """Open another wallet of an account, e.g. for points; `set --wallet-order` lets charges take from it."""
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        unit = unit_of(session, unit_code.upper())
        open_wallet(session, account, unit.code, credit_limit_of(limit, unit))
    click.echo(f"account {code} has a {unit.code} wallet")


@accounts.command(context_settings={"ignore_unknown_options": True})  # -5 is an amount, to be refused as one
@click.argument("code")
@click.argument("amount")
@click.option("--unit", "unit_code", help="Which wallet, if the account has several.")
@json_option
@pass_context
def limit(context: Context, code: str, amount: str, unit_code: str | None, as_json: bool) -> None:
    """Set a credit limit: how far below zero the wallet may go. Live calls follow within a second."""
    now_us = context.clock.now_us()
    with context.application() as application, billing(application) as (session, books):
        account = account_by_code(session, code)
        unit = unit_of_account(session, account, unit_code)
        wanted = credit_limit_of(amount, unit)
        moved = set_credit_limit(session, books, account, unit, limit=wanted, now_us=now_us)
    shown_moved(moved, unit, code, as_json=as_json)


@accounts.command("set")
@click.argument("code")
@click.option("--name")
@click.option("--mode", type=click.Choice(ACCOUNT_MODES))
@click.option("--tariff")
@click.option("--inbound-tariff", help='"none": calls to its DIDs are free.')
@click.option("--language", type=click.Choice(LANGUAGES))
@click.option("--failure-policy", type=click.Choice(("closed", "open")))
@click.option("--offline-allowance", help="Most that unauthorized calls may cost (failure policy open).")
@click.option(
    "--minimum-balance", help='With less to spend no call to the outside begins; "none": no such floor.'
)
@click.option("--unit", "unit_code", help="What the allowance is in, if the account has several wallets.")
@click.option("--announce-balance", type=click.Choice(YES_NO_TARIFF))
@click.option("--announce-minutes", type=click.Choice(YES_NO_TARIFF))
@click.option("--announce-warning", type=click.Choice(YES_NO_TARIFF))
@click.option("--announce-denial", type=click.Choice(YES_NO_TARIFF))
@click.option("--dialling-rule", help='"none": as the account above.')
@click.option(
    "--wallet-order", help='Units that charges take from, first to last; "none": the tariff\'s alone.'
)
@click.option(
    "--shadow/--no-shadow", default=None, help="Its calls are charged, and nobody is cut or denied."
)
@pass_context
def set_options(context: Context, /, code: str, unit_code: str | None, **options: Any) -> None:
    """Change an account; calls that are up keep the terms they began with."""
    changes: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if not changes:
        raise InputRefused("nothing to change; `pbxbill accounts set --help` shows what can be")
    for name in ("announce_balance", "announce_minutes", "announce_warning", "announce_denial"):
        if name in changes:
            changes[name] = _CHOSEN[changes[name]]
    _set(context, code, changes, unit_code)
    click.echo(f"changed {', '.join(name.replace('_', ' ') for name in changes)} of account {code}")


def _set(context: Context, code: str, wanted: dict[str, Any], unit_code: str | None = None) -> None:
    changes = dict(wanted)
    now_us = context.clock.now_us()
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        if account.kind == "operator":
            raise InputRefused("the operator is not an account that calls are charged to")
        for name in ("tariff", "inbound_tariff"):
            if name in changes:
                tariff = changes.pop(name)
                none = tariff == "none" and name == "inbound_tariff"
                changes[f"{name}_id"] = (
                    None if none else tariff_of_issuer(session, account.parent_id, tariff).id
                )
        if "offline_allowance" in changes:
            unit = unit_of_account(session, account, unit_code)
            changes["offline_allowance"] = allowance_of(changes["offline_allowance"], unit)
        if "minimum_balance" in changes:
            changes["minimum_balance"] = minimum_balance_of(session, account, changes["minimum_balance"])
        if "dialling_rule" in changes:
            rule = changes.pop("dialling_rule")
            none = rule == "none"
            changes["dialling_rule_id"] = None if none else dialling_rule_by_name(session, rule).id
        if "wallet_order" in changes:
            order = changes["wallet_order"]
            changes["wallet_order"] = () if order == "none" else parse_wallet_order(session, order)
        change_account(session, account, changes)
        concerns = concerns_of(session, account, now_us)
    if changes.keys() & {"failure_policy", "offline_allowance"} and concerns.nobody_passes:
        _say_nobody_passes(code)
    _say_without_exchange(code, concerns)
    if changes.keys() & {"tariff_id", "inbound_tariff_id"}:
        warn(concerns.tax)


def _minimum_balance(session: Session, account: AccountRow) -> str | None:
    if account.minimum_balance is None:
        return None
    unit = paying_unit(session, account)
    return f"{format_amount(account.minimum_balance, unit)} {unit.code}"


def _say_without_exchange(code: str, concerns: Concerns) -> None:
    for tariff_unit, unit in concerns.without_exchange:
        click.echo(
            f"the {unit} wallet of {code} pays nothing yet: no exchange rate says how much {unit} one "
            f"{tariff_unit} is; `pbxbill exchange set {tariff_unit} {unit} RATE`",
            err=True,
        )


def _rule_name(session: Session, rule_id: int | None) -> str | None:
    row = None if rule_id is None else session.get(DiallingRuleRow, rule_id)
    return None if row is None else row.name


def _say_nobody_passes(code: str) -> None:
    click.echo(
        "the failure policy is open, but with an offline allowance of 0 no new call passes unauthorized: "
        f"`pbxbill accounts set {code} --offline-allowance AMOUNT`",
        err=True,
    )


def _tariff_name(session: Session, tariff_id: int | None) -> str | None:
    row = None if tariff_id is None else session.get(TariffRow, tariff_id)
    return None if row is None else row.name


def _wallets(session: Session, account_id: int | None = None) -> dict[int, list[dict[str, str]]]:
    units = {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
    query = select(WalletRow).order_by(WalletRow.unit)
    if account_id is not None:
        query = query.where(WalletRow.account_id == account_id)
    found: dict[int, list[dict[str, str]]] = {}
    for row in session.scalars(query):
        unit = units[row.unit]
        found.setdefault(row.account_id, []).append(
            {
                "unit": row.unit,
                "balance": format_amount(row.posted, unit),
                "reserved": format_amount(row.reserved, unit),
                "limit": format_amount(row.credit_limit, unit),
                "available": format_amount(row.posted - row.reserved + row.credit_limit, unit),
            }
        )
    return found


for _command in (suspend_command, resume_command, terminate_command, history_command):
    accounts.add_command(_command)
_activate = copy(resume_command)
_activate.help = f"The same as resume. {resume_command.help}"
accounts.add_command(_activate, "activate")

COMMANDS = (accounts,)
