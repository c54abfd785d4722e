"""rates import: a price list as people get it becomes a version of a deck, once its changes were seen."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

from pbxbill.app import Application
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import console, json_option, moment, price_of, print_json
from pbxbill.cli.rates_preview import noted_changes, show_changes
from pbxbill.cli.rates_refused import keep_aside, refused_facts, tell_refused
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.rating.sheet import RateSheet
from pbxbill.rating.sheet_profile import Profile, parse_increments, profile_from_toml
from pbxbill.store.deck_changes import DeckChanges
from pbxbill.store.deck_import import (
    ImportSetting,
    ImportWanted,
    check_allowed,
    check_currency,
    compare_decks,
    effective_moment,
    setting_of,
    write_version,
)
from pbxbill.store.decks import MEASURES
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import DeckVersionRow
from pbxbill.store.rate_stage import RateStage

EXIT_ROWS_REFUSED = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    file: Path
    sheet: ImportWanted
    """Of the deck; effective_us follows once the clock is known."""
    effective: str | None
    backdate: bool
    preview: bool
    yes: bool
    report: Path | None
    first: int
    as_json: bool


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
@click.option("--reseller", help="Whose deck; default: the operator's.")
@json_option
@pass_context
def import_rates(context: Context, /, **options: Any) -> None:
    """Import a rate sheet (CSV or XLSX) as the next version of a deck, which replaces the one before.

    What would change is shown first; nothing is written before you say yes. Columns are told from their
    names, or by a profile. Unusable rows are left out, listed and kept aside beside the file, in
    list.refused.csv for list.csv or list.xlsx; the exit code is then 3. 2: nothing was imported.
    """
    wanted, reseller = _wanted(options)
    with context.application() as application, RateStage() as stage, _opened(wanted) as stream:
        wanted = _of_issuer(application, wanted, reseller)
        import_sheet(context, application, wanted, stage, RateSheet(stream, wanted.sheet.profile))


def _wanted(options: dict[str, Any]) -> tuple[Wanted, str | None]:
    """What is asked for, and the code of whose deck it is."""
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
    reseller = options.pop("reseller")
    file = options["file"]
    of_deck = {name: options.pop(name) for name in _OF_DECK}
    of_deck["max_price"] = price_of("--max-price", of_deck["max_price"])
    sheet = ImportWanted(source=file.name, profile=profile, **of_deck)
    del options["zone"]
    return Wanted(sheet=sheet, **options), reseller


_OF_DECK = (
    *("deck", "unit_code", "amend", "against", "notice_days", "delay_increases", "max_price", "measure"),
    "per",
)


def _of_issuer(application: Application, wanted: Wanted, reseller: str | None) -> Wanted:
    if reseller is None:
        return wanted
    with transaction(reading(application.database)) as session:
        issuer_id = issuer_by_code(session, reseller).id
    return replace(wanted, sheet=replace(wanted.sheet, issuer_id=issuer_id))


def import_sheet(
    context: Context, application: Application, wanted: Wanted, stage: RateStage, sheet: RateSheet
) -> None:
    """Show what a sheet changes, and write it once that is agreed to."""
    now_us = context.clock.now_us()
    wanted = replace(wanted, sheet=replace(wanted.sheet, effective_us=_effective(wanted, now_us)))
    setting = setting_of(application.database, wanted.sheet, now_us)
    check_currency(sheet, setting)
    stage.read(sheet)
    aside = keep_aside(wanted.file, sheet, stage)
    tell_refused(wanted.file, stage, aside)
    with noted_changes(wanted.first, wanted.report) as changes:
        compare_decks(application.database, wanted.sheet, setting, stage, changes)
    told: dict[str, Any] = {
        "deck": wanted.sheet.deck,
        "preview": changes.facts(),
        **refused_facts(stage, aside),
    }
    if not wanted.as_json:
        _show(wanted, sheet, setting, changes)
    check_allowed(application.database, wanted.sheet, changes)
    said = "nothing was imported: this is a preview"
    if not wanted.preview:
        _ask(wanted, stage)
        version = _write(context, application, wanted, stage, setting)
        since = moment(version.effective_from_us)
        told |= {"version": version.number, "effective_from": since, "rates": version.rate_count}
        said = (
            f"deck {wanted.sheet.deck} has version {version.number}: {version.rate_count} rates from {since}"
        )
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
    at_us = effective_moment(wanted.effective, wanted.sheet.profile.zone)
    if at_us < now_us and not wanted.backdate:
        raise InputRefused(
            f"the effective date {moment(at_us)} is past; calls since then were charged by the version "
            "before and would have to be rated again. Say --backdate if that is meant"
        )
    return at_us


def _show(wanted: Wanted, sheet: RateSheet, setting: ImportSetting, changes: DeckChanges) -> None:
    profile = wanted.sheet.profile
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
    since = moment(wanted.sheet.effective_us) or "at once"
    kind = "amendment" if wanted.sheet.amend else "whole deck"
    click.echo(
        f"deck {wanted.sheet.deck}, {setting.unit}, {kind}, effective {since}, compared with {against}"
    )
    show_changes(changes, setting.unit)
    if sheet.last_line is not None:
        click.echo(f"line {sheet.last_line}, the last, has no line end: see that the file is whole", err=True)
    if setting.later is not None:
        number, from_us = setting.later
        click.echo(f"version {number} will replace it on {moment(from_us)}", err=True)


def _ask(wanted: Wanted, stage: RateStage) -> None:
    if wanted.yes:
        return
    left_out = f", without {stage.refused_count} refused rows" if stage.refused_count else ""
    try:
        agreed = click.confirm(
            f"import {stage.rate_count} rates into deck {wanted.sheet.deck}{left_out}?", err=True
        )
    except click.Abort:
        raise InputRefused("nothing was imported; where nobody can be asked, say --yes") from None
    if not agreed:
        raise InputRefused("nothing was imported, as you said")


def _write(
    context: Context, application: Application, wanted: Wanted, stage: RateStage, setting: ImportSetting
) -> DeckVersionRow:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(), transient=True, disable=_is_quiet(wanted)) as progress:
        task = progress.add_task("writing", total=stage.rate_count)
        told = context.clock, lambda count: progress.advance(task, count)
        return write_version(application.database, wanted.sheet, setting, stage, told)


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
