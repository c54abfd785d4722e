"""destinations and dialling: named groups of prefixes, and how accounts dial."""

import sys
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.rating.destination import DiallingRule, is_emergency, rule_from_facts, to_e164
from pbxbill.rating.destination_map import Destination
from pbxbill.rating.destination_sheet import DestinationLine, DestinationSheet, RefusedLine, write_refused
from pbxbill.rating.number_plan import region_plan
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.destinations import (
    dangling_destinations,
    dialling_rule_by_name,
    import_destinations,
    list_destinations,
    load_destination_map,
    load_dialling_rules,
    remove_dialling_rule,
    set_dialling_rule,
)
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.written_toml import TOMLDecodeError, read_toml

REFUSED_SHOWN = 10
EXIT_ROWS_REFUSED = 3
MAX_RULE_BYTES = 1_000_000

rule_option = click.option("--rule", help="Dialling rule; default: digits are E.164, 00 or + before them.")


@click.group()
def destinations() -> None:
    """Destinations: named groups of prefixes with a class."""


@destinations.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--add", is_flag=True, help="Keep the destinations that the file does not name.")
@json_option
@pass_context
def import_file(context: Context, file: Path, add: bool, as_json: bool) -> None:
    """Import destinations (CSV with the columns name, class, prefixes) in the place of those there are.

    Unusable rows are left out, listed and kept aside in NAME.refused.csv; the exit code is then 3.
    2: nothing was changed.
    """
    refused: list[RefusedLine] = []
    accepted: list[DestinationLine] = []
    with file.open("rb") as stream:
        sheet = DestinationSheet(stream)
        for line in sheet.rows():
            if isinstance(line, RefusedLine):
                refused.append(line)
            else:
                accepted.append(line)
    aside = _keep_aside(file, sheet, refused)
    _tell_refused(refused[:REFUSED_SHOWN] if not as_json else [])
    with context.application() as application:
        changed = import_destinations(application.database, accepted, keep_others=add)
        with transaction(reading(application.database)) as session:
            dangling = dangling_destinations(session)
    if as_json:
        rows = [{"line": row.line, "reason": row.reason} for row in refused]
        more = {"refused": rows, "refused_file": str(aside) if aside else None, "dangling": dangling}
        print_json(changed._asdict() | more)
    else:
        click.echo(
            f"{changed.destinations} destinations with {changed.prefixes} prefixes: {changed.added} new, "
            f"{changed.moved} moved from another destination, {changed.removed} removed"
        )
    for name in dangling:
        click.echo(f"a bundle or limit names {name!r}, and no destination is called so any more", err=True)
    if refused:
        click.echo(
            f"rows refused: {len(refused)}; correct them in {file} and import it again"
            + (f" ({aside} lists them)" if aside else ""),
            err=True,
        )
        sys.exit(EXIT_ROWS_REFUSED)


def _tell_refused(refused: list[RefusedLine]) -> None:
    for row in refused:
        click.echo(f"  line {row.line}: {row.reason}", err=True)


def _keep_aside(file: Path, sheet: DestinationSheet, refused: list[RefusedLine]) -> Path | None:
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


@destinations.command("list")
@json_option
@pass_context
def list_all(context: Context, as_json: bool) -> None:
    """List destinations."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = list_destinations(session)
    if as_json:
        print_json([{"name": x[0], "class": x[1], "prefixes": x[2], "first_prefix": x[3]} for x in rows])
        return
    print_table("", ("Name", "Class", ">Prefixes", "First"), rows)


@destinations.command("show")
@click.argument("number")
@rule_option
@json_option
@pass_context
def show_number(context: Context, number: str, rule: str | None, as_json: bool) -> None:
    """Show where a number leads, as it is dialled under a rule."""
    _try(context, number, rule, as_json=as_json)


@click.group()
def dialling() -> None:
    """Dialling rules: how accounts dial, brought to E.164."""


@dialling.command("set")
@click.argument("name")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML with the rule."
)
@click.option("--region", help="Country whose prefixes and emergency numbers hold, e.g. DE.")
@click.option("--international-prefix", multiple=True, help="Instead of the country's; may be repeated.")
@click.option("--national-prefix", help="Instead of the country's.")
@click.option("--area-code", help="Numbers without a prefix are local ones of this area.")
@click.option("--short-code", multiple=True, help="CODE=NUMBER, or CODE alone to keep it; may be repeated.")
@click.option("--technical-prefix", help="Digits to take off first.")
@click.option("--emergency", multiple=True, help="Emergency number beside the country's; may be repeated.")
@pass_context
def set_rule(context: Context, /, name: str, file: Path | None, **options: Any) -> None:
    """Make or replace a dialling rule, from options or from a TOML file."""
    if not (name.isprintable() and 0 < len(name) <= 64):
        raise InputRefused("a dialling rule's name has 1 to 64 printable characters")
    given = _facts_given(options)
    if file is not None and given:
        raise InputRefused("write the rule in the file or as options, not both")
    if file is None and not given:
        raise InputRefused("say how the accounts dial: at least --region, e.g. --region DE")
    rule = rule_from_facts(name, given if file is None else _facts_in(file))
    with context.application() as application, transaction(application.database) as session:
        existed = set_dialling_rule(session, rule)
    click.echo(f"dialling rule {name} is {'changed' if existed else 'made'}")
    if not existed:
        click.echo(f"accounts use it by `pbxbill accounts set CODE --dialling-rule {name}`", err=True)


def _facts_given(options: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "region": options["region"],
        "international_prefixes": list(options["international_prefix"]) or None,
        "national_prefix": options["national_prefix"],
        "area_code": options["area_code"],
        "short_codes": dict(_short_code(text) for text in options["short_code"]) or None,
        "technical_prefix": options["technical_prefix"],
        "emergency_numbers": list(options["emergency"]) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _short_code(text: str) -> tuple[str, str]:
    code, _, number = text.partition("=")
    return code.strip(), number.strip()


def _facts_in(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_RULE_BYTES + 1)
        if len(text) > MAX_RULE_BYTES:
            raise InputRefused(f"{file} is longer than {MAX_RULE_BYTES} bytes; that is no dialling rule")
        return read_toml(text.decode("utf-8"))
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputRefused(f"{file} is no TOML: {error}") from None


@dialling.command("list")
@json_option
@pass_context
def list_rules(context: Context, as_json: bool) -> None:
    """List dialling rules."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rules = load_dialling_rules(session)
        counts = select(AccountRow.dialling_rule_id, func.count()).group_by(AccountRow.dialling_rule_id)
        users = {rule_id: count for rule_id, count in session.execute(counts) if rule_id is not None}
    shown = [_shown(rule) | {"accounts": users.get(rule_id, 0)} for rule_id, rule in rules.items()]
    if as_json:
        print_json(shown)
        return
    keys = (
        "name",
        "region",
        "international_prefix",
        "national_prefix",
        "area_code",
        "technical_prefix",
        "accounts",
    )
    titles = ("Rule", "Country", "Abroad", "National", "Area", "Technical", ">Accounts")
    print_table("", titles, ([x[key] for key in keys] for x in shown))


@dialling.command("show")
@click.argument("name")
@json_option
@pass_context
def show_rule(context: Context, name: str, as_json: bool) -> None:
    """Show a dialling rule."""
    shown = _shown(_rule(context, name))
    if as_json:
        print_json(shown)
        return
    print_table("", ("", ""), ((key.replace("_", " "), _cell(value)) for key, value in shown.items()))


def _shown(rule: DiallingRule) -> dict[str, Any]:
    plan = region_plan(rule.region)
    return {
        "name": rule.name,
        "region": rule.region,
        "calling_code": plan.calling_code,
        "international_prefix": " ".join(rule.international_prefixes) or plan.international_prefix.pattern,
        "national_prefix": plan.national_prefix if rule.national_prefix is None else rule.national_prefix,
        "area_code": rule.area_code,
        "technical_prefix": rule.technical_prefix,
        "short_codes": dict(rule.short_codes),
        "emergency_numbers": list(rule.emergency_numbers),
    }


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{code} -> {number}" for code, number in value.items()) or "-"
    return ", ".join(value) if isinstance(value, list) and value else str(value or "-")


@dialling.command("remove")
@click.argument("name")
@pass_context
def remove_rule(context: Context, name: str) -> None:
    """Remove a dialling rule that no account uses."""
    with context.application() as application, transaction(application.database) as session:
        remove_dialling_rule(session, name)
    click.echo(f"dialling rule {name} is removed")


@dialling.command("try")
@click.argument("number")
@rule_option
@json_option
@pass_context
def try_number(context: Context, number: str, rule: str | None, as_json: bool) -> None:
    """Show what becomes of a dialled number."""
    _try(context, number, rule, as_json=as_json)


def _rule(context: Context, name: str) -> DiallingRule:
    with context.application() as application, transaction(reading(application.database)) as session:
        row: DiallingRuleRow = dialling_rule_by_name(session, name)
        return load_dialling_rules(session)[row.id]


def _try(context: Context, dialled: str, rule_name: str | None, *, as_json: bool) -> None:
    rule = None if rule_name is None else _rule(context, rule_name)
    emergency = is_emergency(dialled, rule)
    called = to_e164(dialled, rule)
    if called is None and not emergency:
        raise InputRefused(f"{dialled[:40]!r} is no number that can be called")
    found = Destination("", "")
    if called is not None:
        with context.application() as application, transaction(reading(application.database)) as session:
            found = load_destination_map(session).classify(called, rule)
    shown = {
        "dialled": dialled,
        "called": called,
        "emergency": emergency,
        "destination": found.name or None,
        "class": found.kind,
        "prefix": found.prefix or None,
        "country": found.region,
        "foreign": found.foreign,
    }
    if as_json:
        print_json(shown)
        return
    words = {True: "yes", False: "no", None: "-"}
    cells = (
        (key, words.get(value, str(value)) if not isinstance(value, str) else value)
        for key, value in shown.items()
    )
    print_table("", ("", ""), cells)


COMMANDS = (destinations, dialling)
