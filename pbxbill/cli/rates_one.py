"""rates set and rates end: one prefix of a deck, shown and agreed to as a whole sheet is."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, price_of
from pbxbill.cli.rates_import import Wanted, import_sheet
from pbxbill.rating.sheet import RateSheet
from pbxbill.rating.sheet_profile import parse_increments
from pbxbill.store.deck_import import ImportWanted, effective_moment
from pbxbill.store.deck_lookup import deck_by_name
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import RateDeckRow
from pbxbill.store.one_rate import (
    RatePrices,
    Saying,
    prices_of,
    rate_of,
    read_prefix,
    upload_of_end,
    upload_of_rate,
)
from pbxbill.store.rate_stage import RateStage
from pbxbill.store.rate_uploads import Upload

Making = Callable[[Session, RateDeckRow, str, Saying], Upload]


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in reversed(
        (
            click.argument("deck"),
            click.argument("prefix"),
            click.option("--effective", help="When it begins to count, UTC; default: at once."),
            click.option("--backdate", is_flag=True, help="Allow an effective date that is past."),
            click.option("--preview", is_flag=True, help="Only show what would change."),
            click.option("--yes", is_flag=True, help="Do not ask."),
            click.option("--reseller", help="Whose deck; default: the operator's."),
            json_option,
        )
    ):
        command = decorate(command)
    return command


@click.command("set")
@_shared
@click.option("--price", required=True, help="Per minute, or per what the deck measures.")
@click.option("--destination", help="Its name; default: as it is.")
@click.option("--connection-fee", "fee", help="Default: as it is, else none.")
@click.option("--minimum-charge", "minimum", help="Default: as it is, else none.")
@click.option("--increments", help="E.g. 60/60; default: as they are, else 1/1.")
@click.option("--free-seconds", "free_s", type=click.IntRange(0, 86_400), help="Default: as it is, else 0.")
@click.option("--against", help="A sales deck: would it be sold below this price?")
@pass_context
def set_rate(context: Context, /, **options: Any) -> None:
    """Correct the rate of one prefix of a deck, or add it: a new version, the other rates stay.

    PREFIX is digits with the country code, or * for what no other prefix rates. Bands and steps stay.
    """

    def made(session: Session, deck: RateDeckRow, prefix: str, said: Saying) -> Upload:
        kept = rate_of(session, deck.id, prefix, said.effective_us or said.now_us)
        name = options["destination"] or (kept.destination if kept else "")
        if not name:
            raise click.UsageError("the prefix is new: name its --destination")
        old = prices_of(kept) if kept else RatePrices(name, 0)
        first_s, following_s = old.initial_increment_s, old.following_increment_s
        if options["increments"]:
            first_s, following_s = parse_increments(options["increments"])
        prices = RatePrices(
            name,
            price_of("--price", options["price"]),
            old.connection_fee if options["fee"] is None else price_of("--connection-fee", options["fee"]),
            old.minimum_charge
            if options["minimum"] is None
            else price_of("--minimum-charge", options["minimum"]),
            first_s,
            following_s,
            old.free_s if options["free_s"] is None else options["free_s"],
        )
        return upload_of_rate(session, deck, prefix, prices, said)

    _change(context, options, made)


@click.command("end")
@_shared
@pass_context
def end_rate(context: Context, /, **options: Any) -> None:
    """End the rate of one prefix of a deck: a shorter prefix rates its numbers then, or none does."""
    _change(context, options, upload_of_end)


def _change(context: Context, options: dict[str, Any], made: Making) -> None:
    effective = options["effective"]
    effective_us = None if effective is None else effective_moment(effective, "UTC")
    said = Saying("", context.clock.now_us(), effective_us, options.get("against"))
    with context.application() as application:
        with transaction(reading(application.database)) as session:
            deck = deck_by_name(session, options["deck"], issuer_by_code(session, options["reseller"]).id)
            upload = made(session, deck, read_prefix(options["prefix"]), said)
        wanted = Wanted(
            Path(upload.file_name),
            ImportWanted(
                deck=upload.deck,
                source=upload.file_name,
                issuer_id=upload.issuer_id,
                amend=True,
                against=said.against,
                ended=tuple(upload.options.get("ended", ())),
            ),
            effective,
            options["backdate"],
            options["preview"],
            options["yes"],
            None,
            5,
            options["as_json"],
        )
        with RateStage() as stage:
            sheet = RateSheet(io.BytesIO(upload.content), wanted.sheet.profile)
            import_sheet(context, application, wanted, stage, sheet)
