"""units and exchange: what wallets count in, and what one unit is in another."""

import sys
from pathlib import Path

import click

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import to_decimal
from pbxbill.rating.exchange import EXCHANGE_SCALE
from pbxbill.rating.exchange_sheet import ExchangeSheet, RefusedCells
from pbxbill.store.catalogue_models import ExchangeRateRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.exchange import (
    ExchangeWriter,
    NewExchangeRate,
    exchange_rates,
    parse_exchange_rate,
    read_rates,
)
from pbxbill.store.units import UNIT_KINDS, add_unit, all_units, change_unit, checked_unit

REFUSED_SHOWN = 10
EXIT_ROWS_REFUSED = 3


@click.group()
def units() -> None:
    """Units: currencies, crypto-currencies, and seconds, messages, bytes or points."""


@units.command("add")
@click.argument("code")
@click.option(
    "--kind",
    type=click.Choice(tuple(UNIT_KINDS)),
    default="currency",
    show_default=True,
    help="Sets the digits, unless they are given: currency 6, of which 2 are shown; crypto 8; items none.",
)
@click.option("--name", default="", help="For people, e.g. Euro.")
@click.option("--symbol", default="", help="For people, e.g. €.")
@click.option("--scale", type=int, help="Digits that amounts keep; can never change.")
@click.option("--digits", type=int, help="Digits that people are shown and told.")
@pass_context
def add(
    context: Context, /, code: str, kind: str, scale: int | None, digits: int | None, **shown: str
) -> None:
    """Make a unit known; accounts can have wallets, and decks prices, in it."""
    usual = UNIT_KINDS[kind]
    scale = usual.scale if scale is None else scale
    unit = checked_unit(code, scale, min(usual.digits, scale) if digits is None else digits)
    with context.application() as application, transaction(application.database) as session:
        add_unit(session, unit, shown["name"], shown["symbol"])
    click.echo(f"unit {unit.code} keeps {unit.scale} digits and shows {unit.digits}")


@units.command("set")
@click.argument("code")
@click.option("--name")
@click.option("--symbol")
@click.option("--digits", type=int, help="Digits that people are shown and told.")
@pass_context
def change(context: Context, code: str, name: str | None, symbol: str | None, digits: int | None) -> None:
    """Change how a unit is shown."""
    if name is None and symbol is None and digits is None:
        raise InputRefused("nothing to change; `pbxbill units set --help` shows what can be")
    with context.application() as application, transaction(application.database) as session:
        row = change_unit(session, code.upper(), name=name, symbol=symbol, digits=digits)
        told = f"unit {row.code} is shown with {row.digits} digits, name {row.name!r}, symbol {row.symbol!r}"
    click.echo(told)


@units.command("list")
@json_option
@pass_context
def list_units(context: Context, as_json: bool) -> None:
    """List units."""
    with context.application() as application, transaction(reading(application.database)) as session:
        keys = ("code", "name", "symbol", "scale", "digits")
        listed = [{key: getattr(row, key) for key in keys} for row in all_units(session)]
    if as_json:
        print_json(listed)
        return
    print_table("", ("Code", "Name", "Symbol", ">Kept digits", ">Shown"), ([*x.values()] for x in listed))


@click.group()
def exchange() -> None:
    """Exchange rates: what a wallet in one unit is worth to a tariff in another."""


@exchange.command("set", context_settings={"ignore_unknown_options": True})  # -5 is refused as a rate
@click.argument("from_unit")
@click.argument("to_unit")
@click.argument("rate")
@click.option("--effective-from", help="When it begins to count, UTC; default: at once.")
@pass_context
def set_rate(context: Context, from_unit: str, to_unit: str, rate: str, effective_from: str | None) -> None:
    """Say how much of TO_UNIT one FROM_UNIT is from a moment on. Charges keep the rate they were made by."""
    now_us = context.clock.now_us()
    from_us = now_us if effective_from is None else parse_moment(effective_from)
    new = NewExchangeRate(from_unit.upper(), to_unit.upper(), parse_exchange_rate(rate), from_us)
    with context.application() as application, transaction(application.database) as session:
        writer = ExchangeWriter(session, "command line", now_us)
        writer.add(new)
        writer.finish()
    click.echo(f"1 {new.from_unit} is {_written(new.rate)} {new.to_unit} from {moment(from_us)}")


@exchange.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--effective-from", help="For rows that say no date, UTC; default: at once.")
@json_option
@pass_context
def import_rates(context: Context, file: Path, effective_from: str | None, as_json: bool) -> None:
    """Import exchange rates from CSV: columns from, to, rate and perhaps effective_from.

    Unusable rows are left out, listed and kept aside in NAME.refused.csv; the exit code is then 3.
    """
    now_us = context.clock.now_us()
    default_us = now_us if effective_from is None else parse_moment(effective_from)
    with (
        context.application() as application,
        file.open("rb") as stream,
        transaction(application.database) as session,
    ):
        sheet = ExchangeSheet(stream)
        writer = ExchangeWriter(session, file.name, now_us)
        refused = read_rates(writer, sheet, default_us, write=True).refused
    aside = _keep_aside(file, sheet, refused)
    if as_json:
        found = [{"line": row.line, "reason": row.reason} for row in refused]
        print_json({"rates": writer.written, "refused": found, "refused_file": aside and str(aside)})
    else:
        click.echo(f"exchange rates imported: {writer.written}")
    if refused:
        for row in refused[:REFUSED_SHOWN]:
            click.echo(f"  line {row.line}: {row.reason}", err=True)
        listed = f" ({aside} lists them)" if aside else ""
        click.echo(f"rows refused: {len(refused)}; correct them and import them again{listed}", err=True)
        sys.exit(EXIT_ROWS_REFUSED)


def _keep_aside(file: Path, sheet: ExchangeSheet, refused: list[RefusedCells]) -> Path | None:
    if not refused:
        return None
    aside = file.with_suffix(".refused.csv")
    try:
        with aside.open("w", encoding="utf-8", newline="") as stream:
            sheet.write_refused(stream, refused)
    except OSError as error:
        click.echo(f"{aside} cannot be written: {error.strerror}", err=True)
        return None
    return aside


@exchange.command("list")
@click.option("--unit", "codes", multiple=True, help="Only rates of this unit; twice: between these two.")
@click.option("--all", "every", is_flag=True, help="Old and coming ones too, not only those in force now.")
@json_option
@pass_context
def list_rates(context: Context, codes: tuple[str, ...], every: bool, as_json: bool) -> None:
    """List exchange rates, those in force now or all."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = exchange_rates(session, [code.upper() for code in codes])
    if not every:
        rows = _in_force(rows, context.clock.now_us())
    listed = [
        {
            "from": row.from_unit,
            "to": row.to_unit,
            "rate": _written(row.rate),
            "effective_from": moment(row.effective_from_us),
            "source": row.source,
        }
        for row in rows
    ]
    if as_json:
        print_json(listed)
        return
    print_table("", ("1", "is in", ">Rate", "From", "Source"), ([*x.values()] for x in listed))


def _in_force(rows: list[ExchangeRateRow], now_us: int) -> list[ExchangeRateRow]:
    found: dict[tuple[str, str], ExchangeRateRow] = {}
    for row in rows:  # the newest of a pair comes first
        if row.effective_from_us <= now_us:
            found.setdefault((row.from_unit, row.to_unit), row)
    return list(found.values())


def _written(rate: int) -> str:
    return f"{to_decimal(rate, EXCHANGE_SCALE).normalize():f}"


COMMANDS = (units, exchange)
