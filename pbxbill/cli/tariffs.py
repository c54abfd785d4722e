"""tariffs, rates and rate: price lists in, price lists out, and what a call would cost."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from sqlalchemy import func, select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import console, json_option, minutes, moment, parse_moment, print_json, print_table
from pbxbill.cli.quote import Quote, quote
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, Rounding, format_amount, parse_decimal, to_decimal
from pbxbill.rating.sheet import RateSheet, RefusedRow, write_refused
from pbxbill.rating.tariff import PPM, TaxMode
from pbxbill.store.decks import NewRate, NewTariff, add_tariff_version, deck_by_name, import_deck_version
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow, TariffRow, TariffVersionRow

REFUSED_SHOWN = 10
EXIT_ROWS_REFUSED = 3
RATES_SHOWN = 1000


@click.group()
def tariffs() -> None:
    """Tariffs: a rate deck with tax, rounding and slices."""


@tariffs.command("add")
@click.argument("name")
@click.option("--deck", required=True, help="The rate deck with its prices.")
@click.option(
    "--tax-mode", type=click.Choice([mode.value for mode in TaxMode]), default="none", show_default=True
)
@click.option("--tax", default="0", help="Tax rate in percent, e.g. 19 or 7.7.")
@click.option(
    "--rounding", type=click.Choice([mode.value for mode in Rounding]), default="half_up", show_default=True
)
@click.option("--rounding-step", default=1, show_default=True, help="In the unit's smallest steps.")
@click.option("--slice-s", default=60, show_default=True, help="Seconds that are reserved at a time.")
@click.option("--renew-before-s", default=15, show_default=True, help="When the next slice is reserved.")
@click.option("--max-call-s", default=14_400, show_default=True, help="The longest call.")
@click.option("--announce-balance/--no-announce-balance", default=True, show_default=True)
@click.option("--announce-minutes/--no-announce-minutes", default=True, show_default=True)
@click.option("--announce-warning/--no-announce-warning", default=True, show_default=True)
@click.option("--announce-denial/--no-announce-denial", default=True, show_default=True)
@pass_context
def add_tariff(context: Context, /, name: str, deck: str, tax_mode: str, tax: str, **terms: Any) -> None:
    """Make a tariff, or the next version of one; live calls keep the version they began with."""
    terms["rounding"] = Rounding(terms["rounding"])
    new = NewTariff(name, deck, TaxMode(tax_mode), _tax_ppm(tax), **terms)
    if new.tax_mode is TaxMode.NONE and new.tax_ppm:
        raise InputRefused("with --tax, say by --tax-mode whether prices include it")
    with context.application() as application, transaction(application.database) as session:
        version = add_tariff_version(session, new, context.clock.now_us())
    click.echo(f"tariff {name} has version {version.number}")


def _tax_ppm(percent: str) -> int:
    millionths = parse_decimal(percent) * (PPM // 100)
    if millionths != int(millionths):
        raise InputRefused("a tax rate has up to four digits after the point")
    return int(millionths)


@tariffs.command("list")
@json_option
@pass_context
def list_tariffs(context: Context, as_json: bool) -> None:
    """List tariffs with their current terms."""
    shown = [versions[-1] for versions in _versions(context).values()]
    if as_json:
        print_json(shown)
        return
    keys = ("tariff", "version", "deck", "unit", "tax_mode", "tax_percent", "slice_s", "max_call_s")
    titles = ("Tariff", ">Version", "Deck", "Unit", "Tax", ">Percent", ">Slice s", ">Longest s")
    print_table("", titles, ([x[key] for key in keys] for x in shown))


@tariffs.command("show")
@click.argument("name")
@json_option
@pass_context
def show_tariff(context: Context, name: str, as_json: bool) -> None:
    """Show every version of a tariff."""
    versions = _versions(context).get(name)
    if versions is None:
        raise InputRefused(f"no tariff {name!r}; `pbxbill tariffs list` shows them")
    if as_json:
        print_json(versions)
        return
    for terms in versions:
        print_table("", ("", ""), ((key.replace("_", " "), value) for key, value in terms.items()))


def _versions(context: Context) -> dict[str, list[dict[str, Any]]]:
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = session.execute(
            select(TariffRow.name, TariffVersionRow, RateDeckRow.name)
            .join(TariffVersionRow, TariffVersionRow.tariff_id == TariffRow.id)
            .join(RateDeckRow, RateDeckRow.id == TariffVersionRow.deck_id)
            .order_by(TariffRow.name, TariffVersionRow.number)
        ).all()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, version, deck in rows:
        terms = {
            "tariff": name,
            "version": version.number,
            "deck": deck,
            "unit": version.unit,
            "tax_mode": version.tax_mode,
            "tax_percent": f"{to_decimal(version.tax_ppm, 4).normalize():f}",
            "rounding": version.rounding,
            "rounding_step": version.rounding_step,
            "slice_s": version.slice_s,
            "renew_before_s": version.renew_before_s,
            "max_call_s": version.max_call_s,
            "announce_balance": version.announce_balance,
            "announce_minutes": version.announce_minutes,
            "announce_warning": version.announce_warning,
            "announce_denial": version.announce_denial,
            "made": moment(version.created_us),
        }
        found.setdefault(name, []).append(terms)
    return found


@click.group()
def rates() -> None:
    """Rate decks: import and look up prices."""


@rates.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--deck", required=True, help="The deck that gets a new version; made if it is new.")
@click.option("--unit", "unit_code", default="EUR", show_default=True, help="What its prices are in.")
@click.option("--effective-from", help="When the version begins to count, UTC; default: at once.")
@json_option
@pass_context
def import_rates(
    context: Context, file: Path, deck: str, unit_code: str, effective_from: str | None, as_json: bool
) -> None:
    """Import a rate sheet (CSV) as the next version of a deck, which replaces the one before.

    Unusable rows are left out, listed and kept aside in FILE.refused.csv; the exit code is then 3.
    2: nothing was imported.

    Columns: prefix, destination, price_per_min, and if wanted connection_fee, initial_increment,
    following_increment, minimum_charge, free_seconds, effective_from, effective_to.
    """
    now_us = context.clock.now_us()
    from_us = now_us if effective_from is None else parse_moment(effective_from)
    refused: list[RefusedRow] = []
    with context.application() as application, _opened(file, hide=as_json) as stream:
        sheet = RateSheet(stream)
        version = import_deck_version(
            application.database,
            deck_name=deck,
            unit=unit_code.upper(),
            rates=_accepted(sheet, refused),
            effective_from_us=from_us,
            source=file.name[:200],
            now_us=now_us,
        )
    aside = _keep_aside(file, sheet, refused)
    if as_json:
        print_json(
            {
                "deck": deck,
                "version": version.number,
                "effective_from": moment(from_us),
                "rates": version.rate_count,
                "refused": [{"line": row.line, "reason": row.reason} for row in refused],
                "refused_file": str(aside) if aside else None,
            }
        )
    else:
        click.echo(
            f"deck {deck} has version {version.number}: {version.rate_count} rates from {moment(from_us)}"
        )
    if not refused:
        return
    for row in refused[:REFUSED_SHOWN]:
        click.echo(f"  line {row.line}: {row.reason}", err=True)
    click.echo(
        f"rows refused, not in the deck: {len(refused)}; correct them in {file} and import it again"
        + (f" ({aside} lists them)" if aside else ""),
        err=True,
    )
    sys.exit(EXIT_ROWS_REFUSED)


def _accepted(sheet: RateSheet, refused: list[RefusedRow]) -> Iterator[NewRate]:
    for row in sheet.rows():
        if isinstance(row, RefusedRow):
            refused.append(row)
            continue
        yield NewRate(
            row.prefix,
            row.destination,
            row.price_per_min,
            row.connection_fee,
            row.minimum_charge,
            row.initial_increment_s,
            row.following_increment_s,
            row.free_s,
            row.effective_from_us,
            row.effective_to_us,
        )


class _opened:  # noqa: N801  # read as a verb: with _opened(file) as stream
    """A file whose reading moves a progress bar."""

    def __init__(self, path: Path, *, hide: bool) -> None:
        self._path = path
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            console=console(),
            transient=True,
            disable=hide or not console().is_terminal,
        )

    def __enter__(self) -> BinaryIO:
        self._progress.start()
        # Through BufferedReader in large pieces, so that the bar costs nothing per line.
        raw = self._progress.open(self._path, "rb", description=self._path.name, buffering=0)
        self._stream = io.BufferedReader(raw, 1 << 18)  # type: ignore[type-var]
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._progress.stop()


def _keep_aside(file: Path, sheet: RateSheet, refused: list[RefusedRow]) -> Path | None:
    if not refused:
        return None
    aside = file.with_suffix(".refused.csv")
    try:
        with aside.open("w", encoding="utf-8", newline="") as stream:
            write_refused(stream, sheet, refused)
    except OSError as error:
        click.echo(f"{aside} cannot be written: {error.strerror}", err=True)
        return None
    return aside


@rates.command("show")
@click.argument("deck")
@click.option("--prefix", default="", help="Only prefixes that begin with these digits.")
@click.option("--version", "number", type=int, help="Which version; default: the one in force now.")
@json_option
@pass_context
def show_rates(context: Context, deck: str, prefix: str, number: int | None, as_json: bool) -> None:
    """Show the rates of a deck."""
    with context.application() as application, transaction(reading(application.database)) as session:
        deck_row = deck_by_name(session, deck)
        query = select(DeckVersionRow).where(
            DeckVersionRow.deck_id == deck_row.id, DeckVersionRow.rate_count > 0
        )
        if number is not None:
            query = query.where(DeckVersionRow.number == number)
        else:
            query = query.where(DeckVersionRow.effective_from_us <= context.clock.now_us())
        version = session.scalar(
            query.order_by(DeckVersionRow.effective_from_us.desc(), DeckVersionRow.number.desc()).limit(1)
        )
        if version is None:
            raise InputRefused(
                f"deck {deck!r} has no such version" if number else f"no version of {deck!r} counts yet"
            )
        of_version = (
            RateRow.deck_version_id == version.id,
            RateRow.prefix.startswith(prefix, autoescape=True),
        )
        total = session.scalar(select(func.count()).select_from(RateRow).where(*of_version)) or 0
        rows = session.scalars(
            select(RateRow).where(*of_version).order_by(RateRow.prefix, RateRow.id).limit(RATES_SHOWN)
        ).all()
    shown = [_rate(row) for row in rows]
    if as_json:
        print_json({"deck": deck, "version": version.number, "total": total, "rates": shown})
        return
    keys = (
        "prefix",
        "destination",
        "price_per_min",
        "connection_fee",
        "increments",
        "minimum_charge",
        "free_seconds",
    )
    titles = (
        "Prefix",
        "Destination",
        f">{deck_row.unit}/min",
        ">Connection",
        ">Increments",
        ">Minimum",
        ">Free s",
    )
    title = f"{deck}, version {version.number}, from {moment(version.effective_from_us)}, {total} rates"
    print_table(title, titles, ([x[key] for key in keys] for x in shown))
    if total > len(shown):
        click.echo(f"the first {len(shown)} of {total}; narrow them by --prefix")


def _rate(row: RateRow) -> dict[str, Any]:
    def price(value: int) -> str:
        return f"{to_decimal(value, PRICE_SCALE).normalize():f}"

    return {
        "prefix": row.prefix or "*",
        "destination": row.destination,
        "price_per_min": price(row.price_per_min),
        "connection_fee": price(row.connection_fee),
        "increments": f"{row.initial_increment_s}/{row.following_increment_s}",
        "minimum_charge": price(row.minimum_charge),
        "free_seconds": row.free_s,
        "effective_from": moment(row.effective_from_us),
        "effective_to": moment(row.effective_to_us),
    }


@click.command()
@click.argument("number")
@click.option("--account", "code", required=True, help="Who would call.")
@click.option("--seconds", "duration_s", default=60, show_default=True, type=click.IntRange(0, 10**7))
@json_option
@pass_context
def rate(context: Context, number: str, code: str, duration_s: int, as_json: bool) -> None:
    """What a call would cost at each level of the account's chain, and how long its funds could last."""
    with context.application() as application:
        found = quote(application, code, number, duration_s * SECOND_US)
    if as_json:
        print_json(_quoted(found, duration_s))
        return
    shown = _quoted(found, duration_s)
    click.echo(f"{number} is {found.called}, {found.destination}")
    keys = (
        "account",
        "tariff",
        "prefix",
        "price_per_min",
        "billable_s",
        "total",
        "tax",
        "unit",
        "available",
        "lasts",
    )
    titles = (
        "Account",
        "Tariff",
        "Prefix",
        ">Per min",
        ">Billed s",
        ">Total",
        ">of it tax",
        "Unit",
        ">Available",
        ">Lasts",
    )
    print_table("", titles, ([x[key] for key in keys] for x in shown["levels"]))
    click.echo(f"the call could last {minutes(found.longest_us)} with all levels' funds as they are now")


def _quoted(found: Quote, duration_s: int) -> dict[str, Any]:
    return {
        "called": found.called,
        "destination": found.destination,
        "seconds": duration_s,
        "longest_s": found.longest_us // SECOND_US,
        "levels": [
            {
                "account": x.account,
                "tariff": x.tariff,
                "prefix": x.rate.prefix or "*",
                "price_per_min": f"{to_decimal(x.rate.price_per_min, PRICE_SCALE).normalize():f}",
                "billable_s": x.charge.billable_s,
                "total": format_amount(x.charge.total, x.unit),
                "tax": format_amount(x.charge.tax, x.unit),
                "unit": x.unit.code,
                "available": format_amount(x.available, x.unit),
                "lasts": minutes(x.lasts_us),
            }
            for x in found.levels
        ],
    }


COMMANDS = (tariffs, rates, rate)
