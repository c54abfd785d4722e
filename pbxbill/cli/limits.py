"""limits and endpoints: what an account may do before a call is dialled, and what named it."""

from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.billing.account_terms import unit_of_tariff
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import ENDPOINT_KINDS, account_by_code, unit_of
from pbxbill.store.catalogue_models import LimitRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.limits import (
    ACTIVE,
    NEEDS,
    SUSPENDED,
    WINDOWS,
    NewLimit,
    find_endpoint,
    list_countries,
    list_endpoints,
    list_limits,
    release_country,
    remove_limit,
    set_endpoint_status,
    set_limit,
)
from pbxbill.store.models import AccountRow

AMOUNTS = ("spend", "call_cost")
WITHOUT_VALUE = ("blocked", "allowed", "new_country")


@click.group()
def limits() -> None:
    """Limits before dialling: calls at once, spending, destinations, countries, bursts."""


@limits.command(
    "set", context_settings={"ignore_unknown_options": True}
)  # -5 is a value, to be refused as one
@click.argument("code")
@click.argument("kind", type=click.Choice(tuple(NEEDS)))
@click.argument("value", default="")
@click.option(
    "--endpoint", nargs=2, metavar="KIND VALUE", help="Only calls from this endpoint of the account."
)
@click.option("--tech-prefix", default="", help="The endpoint's technical prefix.")
@click.option("--unit", "unit_code", help="What the amount is in; default: as its tariff.")
@click.option("--window", type=click.Choice(WINDOWS), help="For spend.")
@click.option("--zone", help="Whose hours, days and months; default: UTC.")
@click.option("--window-s", type=int, help="For call_rate (default: 1) and short_calls.")
@click.option("--shorter-s", type=int, help="For short_calls: calls below this are short.")
@click.option(
    "--destination", multiple=True, help="Prefix, class or name; may be repeated. For blocked, allowed."
)
@click.option(
    "--region", multiple=True, help="Country free from the start; may be repeated. For new_country."
)
@click.option("--suspend", "suspends", is_flag=True, help="A hit suspends the endpoint that called.")
@pass_context
def set_one(context: Context, /, code: str, kind: str, value: str, **options: Any) -> None:
    """Set a limit of an account with all below it, or of one endpoint.

    \b
    KIND                VALUE
    simultaneous_calls  calls
    call_rate           calls per second, or per --window-s seconds
    spend               amount per --window
    call_cost           amount
    call_length         seconds
    blocked, allowed    none; --destination
    new_country         none; countries are released by `pbxbill limits release`
    short_calls         calls below --shorter-s within --window-s seconds
    """  # click keeps the lines behind its own mark
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        new = _new_limit(session, account, kind, value, options)
        named: tuple[str, str] | None = options["endpoint"]
        endpoint = find_endpoint(session, named[0], named[1], options["tech_prefix"]) if named else None
        row = set_limit(session, account, new, endpoint)
        shown = _terms(session, row)
    whose = f"account {code}" + (f", {named[0]} {named[1]}" if named else "")
    click.echo(f"limit {row.id} of {whose}: {kind}" + (f": {shown}" if shown else ""))


def _new_limit(
    session: Session, account: AccountRow, kind: str, value: str, options: dict[str, Any]
) -> NewLimit:
    unit, number = "", 0
    if kind in WITHOUT_VALUE:
        if value:
            hint = "use --region" if kind == "new_country" else "use --destination"
            raise InputRefused(f"a {kind} limit has no value; {hint} for {value[:40]!r}")
    elif not value:
        raise InputRefused(f"a {kind} limit needs its value")
    elif kind in AMOUNTS:
        wanted = _unit(session, account, options["unit_code"])
        unit, number = wanted.code, parse_amount(value, wanted)
        if number < 0:
            raise InputRefused(f"{value} is negative; a {kind} limit is what may be spent, 0 or more")
    elif value.isascii() and value.isdigit() and len(value) < 18:
        number = int(value)
    else:
        raise InputRefused(f"{value[:40]!r} is not a whole number; write how many at most, e.g. 60")
    if options["region"] and kind != "new_country":
        raise InputRefused(f"a {kind} limit has no --region; use --destination")
    return NewLimit(
        kind,
        number,
        unit=unit,
        window=options["window"] or "",
        window_s=options["window_s"] or 0,
        shorter_s=options["shorter_s"] or 0,
        zone=options["zone"] or "",
        destinations=tuple(options["region"] or options["destination"]),
        suspends=options["suspends"],
    )


def _unit(session: Session, account: AccountRow, code: str | None) -> Unit:
    """What an amount is in: the unit that the account's calls are charged in is what a limit counts."""
    tariff = unit_of_tariff(session, account.tariff_id)
    if tariff is not None and (code or tariff).upper() == tariff:
        return unit_of(session, tariff)
    return unit_of_account(session, account, code)


def _terms(session: Session, limit: LimitRow) -> str:
    """What a limit says, in words."""
    listed = limit.destinations.replace("\n", ", ")
    match limit.kind:
        case "spend" | "call_cost":
            words = f"{format_amount(limit.value, unit_of(session, limit.unit))} {limit.unit}"
            words += f" per {limit.window} ({limit.zone})" if limit.window else " per call"
        case "call_rate":
            words = f"{_calls(limit.value)} per {limit.window_s or 1} s"
        case "call_length":
            words = f"{limit.value} s"
        case "short_calls":
            words = f"{_calls(limit.value)} below {limit.shorter_s} s within {limit.window_s} s"
        case "simultaneous_calls":
            words = _calls(limit.value)
        case "new_country":
            words = f"free from the start: {listed}" if listed else ""
        case _:
            words = listed
    return words + ("; suspends the endpoint" if limit.suspends else "")


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


@limits.command("list")
@click.argument("code", required=False)
@json_option
@pass_context
def list_all(context: Context, code: str | None, as_json: bool) -> None:
    """List limits, of one account or of all, and the countries that were held or released."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code) if code is not None else None
        shown = [
            {
                "id": row.id,
                "account": owner,
                "endpoint": endpoint,
                "kind": row.kind,
                "limit": _terms(session, row),
            }
            for row, owner, endpoint in list_limits(session, account)
        ]
        countries = [
            {
                "account": owner,
                "country": row.region,
                "status": "released" if row.released else "held",
                "first": moment(row.first_us),
            }
            for row, owner in list_countries(session, account)
        ]
    if as_json:
        print_json({"limits": shown, "countries": countries})
        return
    print_table("", (">Id", "Account", "Endpoint", "Kind", "Limit"), (list(x.values()) for x in shown))
    if countries:
        print_table("", ("Account", "Country", "Status", "First"), (list(x.values()) for x in countries))


@limits.command("remove")
@click.argument("code")
@click.argument("limit_id", type=int)
@pass_context
def remove(context: Context, code: str, limit_id: int) -> None:
    """Remove a limit of an account."""
    with context.application() as application, transaction(application.database) as session:
        kind = remove_limit(session, account_by_code(session, code), limit_id).kind
    click.echo(f"limit {limit_id} ({kind}) of account {code} is removed")


@limits.command("release")
@click.argument("code")
@click.argument("region")
@click.option("--withdraw", is_flag=True, help="Hold its calls again.")
@pass_context
def release(context: Context, code: str, region: str, withdraw: bool) -> None:
    """Let an account with a new_country limit call a country (FR, or +1 where several share a code)."""
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        country = release_country(session, account, region, context.clock.now_us(), released=not withdraw)
    click.echo(f"calls of account {code} to {country} are {'held' if withdraw else 'released'}")


@click.group()
def endpoints() -> None:
    """What identifies accounts: suspend and resume it."""


@endpoints.command("list")
@click.argument("code", required=False)
@json_option
@pass_context
def list_of(context: Context, code: str | None, as_json: bool) -> None:
    """List the endpoints of one account or of all."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code) if code is not None else None
        shown = [
            {
                "kind": row.kind,
                "value": row.value,
                "tech_prefix": row.tech_prefix,
                "account": owner,
                "status": row.status,
            }
            for row, owner in list_endpoints(session, account)
        ]
    if as_json:
        print_json(shown)
        return
    titles = ("Kind", "Value", "Technical prefix", "Account", "Status")
    print_table("", titles, (list(x.values()) for x in shown))


@endpoints.command()
@click.argument("kind", type=click.Choice(ENDPOINT_KINDS))
@click.argument("value")
@click.option("--tech-prefix", default="")
@pass_context
def suspend(context: Context, kind: str, value: str, tech_prefix: str) -> None:
    """Refuse new calls that an endpoint identifies; live calls go on, emergency calls pass."""
    _set_status(context, kind, value, tech_prefix, SUSPENDED)


@endpoints.command()
@click.argument("kind", type=click.Choice(ENDPOINT_KINDS))
@click.argument("value")
@click.option("--tech-prefix", default="")
@pass_context
def resume(context: Context, kind: str, value: str, tech_prefix: str) -> None:
    """Let an endpoint call again."""
    _set_status(context, kind, value, tech_prefix, ACTIVE)


def _set_status(context: Context, kind: str, value: str, tech_prefix: str, status: str) -> None:
    with context.application() as application, transaction(application.database) as session:
        changed = set_endpoint_status(session, find_endpoint(session, kind, value, tech_prefix), status)
    click.echo(f"{kind} {value} is {status}" + ("" if changed else " already"))


COMMANDS = (limits, endpoints)
