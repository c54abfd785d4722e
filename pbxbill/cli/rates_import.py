"""rates import: a price list as people get it becomes a version of a deck, once its changes were seen."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import click
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy import select

from pbxbill.app import Application
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import console, json_option, moment, price_of, print_json
from pbxbill.cli.rates_preview import Preview
from pbxbill.cli.rates_refused import keep_aside, refused_facts, tell_refused
from pbxbill.clock import SECOND_US
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.rating.deck_change import Finding, Plan
from pbxbill.rating.sheet import RateSheet
from pbxbill.rating.sheet_profile import Profile, parse_increments, profile_from_toml
from pbxbill.store.deck_lookup import deck_by_name, newest_number, version_in_force
from pbxbill.store.decks import MEASURES, NewDeckVersion, NewRate, import_deck_version
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import DeckVersionRow, RateDeckRow
from pbxbill.store.rate_stage import RateStage
from pbxbill.store.tariffs import check_bands_of_tariffs

EXIT_ROWS_REFUSED = 3
DAY_US = 86_400 * SECOND_US
USUAL_US = 5 * 365 * DAY_US + DAY_US
"""A row that begins further from now than five years most likely has a mistyped date."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    file: Path
    deck: str
    unit_code: str | None
    effective: str | None
    zone: str | None
    backdate: bool
    amend: bool
    preview: bool
    yes: bool
    report: Path | None
    against: str | None
    notice_days: int | None
    delay_increases: bool
    max_price: int
    first: int
    measure: str | None
    per: int | None
    profile: Profile
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Setting:
    """What stands in the database when the import begins."""

    unit: str
    follows: int
    """Number of the deck's newest version; 0: it has none."""
    old_version_id: int | None
    old_number: int | None
    later: tuple[int, int] | None
    """Number and date of a version that will replace the new one."""
    sales_version_id: int | None


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--deck", required=True, help="The deck that gets a new version; made if it is new.")
@click.option("--unit", "unit_code", help="What its prices are in; default: as the deck, EUR for a new one.")
@click.option(
    "--effective", "--effective-from", "effective", help="When it begins to count; default: at once."
)
@click.option("--zone", help="Time zone of dates that do not say theirs; default: the profile's, else UTC.")
@click.option("--backdate", is_flag=True, help="Allow an effective date that is past.")
@click.option("--amend", is_flag=True, help="The file changes some rates; the deck's other rates stay.")
@click.option("--preview", "--dry-run", "preview", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write every prefix as CSV.")
@click.option("--against", help="A sales deck: which of its prefixes would be sold below these costs?")
@click.option(
    "--notice-days", type=click.IntRange(0, 3650), help="Refuse what becomes dearer sooner than this."
)
@click.option("--delay-increases", is_flag=True, help="Let it begin when the notice is over instead.")
@click.option("--max-price", default="100", show_default=True, help="Warn of prices per minute above this.")
@click.option(
    "--show", "first", default=5, show_default=True, type=click.IntRange(0, 1000), help="Rows of each kind."
)
@click.option(
    "--measure", type=click.Choice(MEASURES), help="What a new deck's prices are for; default: seconds."
)
@click.option("--per", type=click.IntRange(1), help="For how many of these; default: 60 seconds, else 1.")
@click.option(
    "--profile",
    "profile_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file that says how the sheet is written.",
)
@click.option(
    "--delimiter",
    type=click.Choice([",", ";", "|", "tab"]),
    metavar="MARK",
    help='One of "," ";" "|" or the word tab; default: told from the header.',
)
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    metavar="MARK",
    help='Decimal mark, "." or ","; default: told from the prices.',
)
@click.option("--encoding", help="Default: UTF-8, else Windows-1252 is guessed.")
@click.option("--date-format", help="E.g. %d.%m.%Y; ISO dates are always understood.")
@click.option(
    "--price-per", type=click.Choice(["minute", "second"]), help="Default: minute, unless the header says."
)
@click.option(
    "--increments", "default_increments", help="Of rows that do not say theirs, e.g. 60/60; default: 1/1."
)
@click.option("--sheet", help="Worksheet of an XLSX file; default: the first with a header.")
@json_option
@pass_context
def import_rates(context: Context, /, **options: Any) -> None:
    """Import a rate sheet (CSV or XLSX) as the next version of a deck, which replaces the one before.

    What would change is shown first; nothing is written before you say yes. Columns are told from their
    names, or by a profile. Unusable rows are left out, listed and kept aside beside the file, in
    list.refused.csv for list.csv or list.xlsx; the exit code is then 3. 2: nothing was imported.
    """
    wanted = _wanted(options)
    with context.application() as application, RateStage() as stage, _opened(wanted) as stream:
        _import(context, application, wanted, stage, RateSheet(stream, wanted.profile))


def _wanted(options: dict[str, Any]) -> Wanted:
    profile = Profile()
    profile_file = options.pop("profile_file")
    if profile_file is not None:
        try:
            profile = profile_from_toml(profile_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the profile {profile_file} cannot be read: {error}") from None
    said = {
        name: options.pop(name)
        for name in (
            "delimiter",
            "decimal",
            "encoding",
            "date_format",
            "price_per",
            "sheet",
            "default_increments",
        )
    }
    said["zone"] = options["zone"]
    if said["delimiter"] == "tab":
        said["delimiter"] = "\t"
    if said["default_increments"] is not None:
        said["default_increments"] = parse_increments(said["default_increments"])
    profile = replace(profile, **{name: value for name, value in said.items() if value is not None})
    if options["delay_increases"] and not options["notice_days"]:
        raise InputRefused("--delay-increases needs --notice-days")
    options["max_price"] = price_of("--max-price", options["max_price"])
    return Wanted(profile=profile, **options)


def _import(
    context: Context, application: Application, wanted: Wanted, stage: RateStage, sheet: RateSheet
) -> None:
    now_us = context.clock.now_us()
    effective_us = _effective(wanted, now_us)
    setting = _setting(application, wanted, effective_us or now_us)
    _check_currency(sheet, setting)
    stage.read(sheet)
    aside = keep_aside(wanted.file, sheet, stage)
    tell_refused(wanted.file, stage, aside)
    if not stage.sheet_rate_count:
        raise InputRefused("the rate deck holds no usable row")
    if setting.old_version_id is not None:
        stage.take_deck(application.database, setting.old_version_id, "old")
    if setting.sales_version_id is not None:
        stage.take_deck(application.database, setting.sales_version_id, "sales")
    plan = Plan(
        effective_us or now_us,
        wanted.amend,
        None if wanted.notice_days is None else now_us + wanted.notice_days * DAY_US,
        wanted.delay_increases,
        wanted.max_price,
        (now_us - USUAL_US, now_us + USUAL_US),
    )
    with Preview(wanted.first, wanted.report) as preview:
        stage.compare(plan, preview.add)
    told: dict[str, Any] = {"deck": wanted.deck, "preview": preview.facts(), **refused_facts(stage, aside)}
    if not wanted.as_json:
        _show(wanted, sheet, setting, preview, effective_us)
    _check_allowed(application, wanted, preview)
    said = "nothing was imported: this is a preview"
    if not wanted.preview:
        _ask(wanted, stage)
        version = _write(context, application, wanted, stage, (setting, effective_us))
        since = moment(version.effective_from_us)
        told |= {"version": version.number, "effective_from": since, "rates": version.rate_count}
        said = f"deck {wanted.deck} has version {version.number}: {version.rate_count} rates from {since}"
    if wanted.as_json:
        print_json(told)
    else:
        click.echo(said)
    if stage.refused_count:
        sys.exit(EXIT_ROWS_REFUSED)


def _effective(wanted: Wanted, now_us: int) -> int | None:
    """When the version begins to count; None: at once."""
    if wanted.effective is None:
        return None
    try:
        at = datetime.fromisoformat(wanted.effective)
    except ValueError:
        raise InputRefused(
            f"{wanted.effective[:40]!r} is no date; write 2026-01-31 or 2026-01-31T08:00:00Z"
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(wanted.profile.zone))
    at_us = (at - _EPOCH) // timedelta(microseconds=1)
    if at_us < now_us and not wanted.backdate:
        raise InputRefused(
            f"the effective date {moment(at_us)} is past; calls since then were charged by the version "
            "before and would have to be rated again. Say --backdate if that is meant"
        )
    return at_us


def _setting(application: Application, wanted: Wanted, effective_us: int) -> _Setting:
    with transaction(reading(application.database)) as session:
        deck = session.scalar(select(RateDeckRow).where(RateDeckRow.name == wanted.deck))
        unit = (wanted.unit_code or (deck.unit if deck else "EUR")).upper()
        if deck is not None and deck.unit != unit:
            raise InputRefused(f"deck {wanted.deck!r} is in {deck.unit}; a version in {unit} cannot be added")
        old = None if deck is None else version_in_force(session, deck.id, effective_us)
        if wanted.amend and old is None:
            raise InputRefused(f"deck {wanted.deck!r} has no version to amend yet; import it whole first")
        later = None
        if deck is not None:
            later = session.scalar(
                select(DeckVersionRow)
                .where(
                    DeckVersionRow.deck_id == deck.id,
                    DeckVersionRow.rate_count > 0,
                    DeckVersionRow.effective_from_us > effective_us,
                )
                .order_by(DeckVersionRow.effective_from_us)
                .limit(1)
            )
        sales = None
        if wanted.against is not None:
            sales_deck = deck_by_name(session, wanted.against)
            if sales_deck.unit != unit:
                raise InputRefused(
                    f"deck {wanted.against!r} is in {sales_deck.unit}; these prices are in {unit}"
                )
            sales = version_in_force(session, sales_deck.id, effective_us)
            if sales is None:
                raise InputRefused(f"deck {wanted.against!r} has no version that counts then")
        return _Setting(
            unit,
            0 if deck is None else newest_number(session, deck.id),
            old.id if old else None,
            old.number if old else None,
            (later.number, later.effective_from_us) if later else None,
            sales.id if sales else None,
        )


def _check_currency(sheet: RateSheet, setting: _Setting) -> None:
    sheet.unit = setting.unit
    if sheet.layout.currency not in (None, setting.unit):
        raise InputRefused(
            f"the header says that prices are in {sheet.layout.currency}, and the deck is in {setting.unit}; "
            f"say --unit {sheet.layout.currency} for a deck of its own, or rename the column"
        )


def _show(
    wanted: Wanted, sheet: RateSheet, setting: _Setting, preview: Preview, effective_us: int | None
) -> None:
    profile = wanted.profile
    how = "by the profile" if profile.columns else "guessed; a profile (--profile) says otherwise"
    click.echo(f"{wanted.file.name}: {sheet.described}")
    click.echo(
        f"columns ({how}): " + ", ".join(f"{ours} = {theirs!r}" for ours, theirs in sheet.layout.mapped)
    )
    if sheet.layout.ignored:
        click.echo("columns that are not read: " + ", ".join(repr(name) for name in sheet.layout.ignored))
    if "effective_to" in sheet.layout.columns and not profile.end_date_included:
        click.echo(
            "a row with an end date counts until just before it (end_date_included of a profile changes it)"
        )
    against = f"version {setting.old_number}" if setting.old_number else "nothing before"
    since = moment(effective_us) or "at once"
    kind = "amendment" if wanted.amend else "whole deck"
    click.echo(f"deck {wanted.deck}, {setting.unit}, {kind}, effective {since}, compared with {against}")
    preview.show(setting.unit)
    if sheet.last_line is not None:
        click.echo(f"line {sheet.last_line}, the last, has no line end: see that the file is whole", err=True)
    if setting.later is not None:
        number, from_us = setting.later
        click.echo(f"version {number} will replace it on {moment(from_us)}", err=True)


def _check_allowed(application: Application, wanted: Wanted, preview: Preview) -> None:
    short = preview.counts[Finding.SHORT_NOTICE]
    if short:
        first = preview.samples[Finding.SHORT_NOTICE]
        named = ", ".join(change.prefix or "*" for change in first)
        raise InputRefused(
            f"{short} prefixes would become dearer in less than {wanted.notice_days} days ({named}"
            f"{' ...' if short > len(first) else ''}); a later --effective or --delay-increases keeps the "
            "notice"
        )
    with transaction(reading(application.database)) as session:
        deck_id = session.scalar(select(RateDeckRow.id).where(RateDeckRow.name == wanted.deck))
        if deck_id is not None:
            check_bands_of_tariffs(session, deck_id, preview.use)


def _ask(wanted: Wanted, stage: RateStage) -> None:
    if wanted.yes:
        return
    left_out = f", without {stage.refused_count} refused rows" if stage.refused_count else ""
    try:
        agreed = click.confirm(
            f"import {stage.rate_count} rates into deck {wanted.deck}{left_out}?", err=True
        )
    except click.Abort:
        raise InputRefused("nothing was imported; where nobody can be asked, say --yes") from None
    if not agreed:
        raise InputRefused("nothing was imported, as you said")


def _write(
    context: Context,
    application: Application,
    wanted: Wanted,
    stage: RateStage,
    at: tuple[_Setting, int | None],
) -> DeckVersionRow:
    setting, effective_us = at
    new = NewDeckVersion(
        wanted.deck, setting.unit, wanted.file.name, effective_us, wanted.measure, wanted.per, setting.follows
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(), transient=True, disable=_is_quiet(wanted)) as progress:
        task = progress.add_task("writing", total=stage.rate_count)
        rates = (NewRate.of(rate) for rate in stage.rates())
        return import_deck_version(
            application.database, new, rates, context.clock, lambda count: progress.advance(task, count)
        )


@contextmanager
def _opened(wanted: Wanted) -> Iterator[BinaryIO]:
    """The file; reading it moves a progress bar."""
    if not wanted.as_json and not console().is_terminal:
        click.echo(f"reading {wanted.file.name}, {wanted.file.stat().st_size} bytes", err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console(), transient=True, disable=_is_quiet(wanted)) as progress:
        # Through BufferedReader in large pieces, so that the bar costs nothing per line.
        raw = progress.open(wanted.file, "rb", description=wanted.file.name, buffering=0)
        with io.BufferedReader(raw, 1 << 18) as stream:  # type: ignore[type-var]
            yield stream


def _is_quiet(wanted: Wanted) -> bool:
    return wanted.as_json or not console().is_terminal
