"""rates: price lists in, price lists out, and what a deck holds."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.cli.rates_import import import_rates
from pbxbill.cli.rates_one import end_rate, set_rate
from pbxbill.errors import InputRefused
from pbxbill.money import PRICE_SCALE, to_decimal
from pbxbill.rating.rate_terms import terms_from_json
from pbxbill.rating.rate_text import price_text
from pbxbill.rating.tariff import Rate
from pbxbill.store.deck_export import write_sheet
from pbxbill.store.deck_lookup import deck_by_name, version_in_force
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow

RATES_SHOWN = 1000


@click.group()
def rates() -> None:
    """Rate decks: import, export and look up prices."""


for _command in (import_rates, set_rate, end_rate):
    rates.add_command(_command)


reseller_option = click.option("--reseller", help="Whose deck; default: the operator's.")


@rates.command("list")
@click.option("--reseller", help="Whose decks; default: the operator's.")
@json_option
@pass_context
def list_decks(context: Context, reseller: str | None, as_json: bool) -> None:
    """List decks with all their versions."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = issuer_by_code(session, reseller)
        rows = session.execute(
            select(RateDeckRow, DeckVersionRow)
            .join(DeckVersionRow, DeckVersionRow.deck_id == RateDeckRow.id)
            .where(DeckVersionRow.rate_count > 0, RateDeckRow.issuer_id == issuer.id)
            .order_by(RateDeckRow.name, DeckVersionRow.number)
        ).all()
    shown = [
        {
            "deck": deck.name,
            "version": version.number,
            "unit": deck.unit,
            "per": f"{deck.per} {deck.measure}",
            "rates": version.rate_count,
            "effective_from": moment(version.effective_from_us),
            "bands": version.bands,
            "source": version.source,
        }
        for deck, version in rows
    ]
    if as_json:
        print_json(shown)
        return
    titles = ("Deck", ">Version", "Unit", "Prices per", ">Rates", "From", "Bands", "Source")
    print_table("", titles, (list(x.values()) for x in shown))


def _version(session: Session, deck: RateDeckRow, number: int | None, now_us: int) -> DeckVersionRow:
    """The version of that number, or the one that counts now; InputRefused if there is none."""
    if number is None:
        version = version_in_force(session, deck.id, now_us)
    else:
        version = session.scalar(
            select(DeckVersionRow).where(
                DeckVersionRow.deck_id == deck.id,
                DeckVersionRow.rate_count > 0,
                DeckVersionRow.number == number,
            )
        )
    if version is None:
        raise InputRefused(
            f"no version of {deck.name!r} counts yet"
            if number is None
            else f"deck {deck.name!r} has no such version"
        )
    return version


@rates.command("export")
@click.argument("deck")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--version", "number", type=int, help="Which version; default: the one in force now.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@reseller_option
@pass_context
def export_rates(
    context: Context, /, deck: str, file: Path, number: int | None, *, force: bool, reseller: str | None
) -> None:
    """Write a version of a deck as CSV or XLSX, by the file's name; `rates import` reads it again."""
    if file.exists() and not force:
        raise InputRefused(f"{file} exists; say --force to replace it")
    with context.application() as application:
        with transaction(reading(application.database)) as session:
            row = deck_by_name(session, deck, issuer_by_code(session, reseller).id)
            version = _version(session, row, number, context.clock.now_us())
        count = write_sheet(application.database, version.id, file)
    click.echo(f"{file}: version {version.number} of deck {deck}, {version.rate_count} rates in {count} rows")


@rates.command("show")
@click.argument("deck")
@click.option("--prefix", default="", help="Only prefixes that begin with these digits.")
@click.option("--version", "number", type=int, help="Which version; default: the one in force now.")
@reseller_option
@json_option
@pass_context
def show_rates(
    context: Context, /, deck: str, prefix: str, number: int | None, *, reseller: str | None, as_json: bool
) -> None:
    """Show the rates of a deck."""
    with context.application() as application, transaction(reading(application.database)) as session:
        deck_row = deck_by_name(session, deck, issuer_by_code(session, reseller).id)
        version = _version(session, deck_row, number, context.clock.now_us())
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
    per = (
        "min" if (deck_row.per, deck_row.measure) == (60, "seconds") else f"{deck_row.per} {deck_row.measure}"
    )
    keys = (
        "prefix",
        "destination",
        "price_per_min",
        "connection_fee",
        "increments",
        "minimum_charge",
        "free_seconds",
        "terms",
    )
    titles = (
        "Prefix",
        "Destination",
        f">{deck_row.unit}/{per}",
        ">Connection",
        ">Increments",
        ">Minimum",
        ">Free s",
        "Bands and steps",
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
        "terms": _terms(row),
    }


def _terms(row: RateRow) -> str | None:
    if row.terms is None:
        return None
    rate = Rate(row.id, row.prefix, row.destination, row.price_per_min)
    return price_text(rate._replace(terms=terms_from_json(row.terms)))


COMMANDS = (rates,)
