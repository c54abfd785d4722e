"""rerate: what past calls should have cost, shown first and corrected only when asked for."""

from typing import Any

import click

from pbxbill.app import Application, billing
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table, progress
from pbxbill.money import Unit, format_amount
from pbxbill.store.engine import reading, transaction
from pbxbill.store.units import units_by_code


@click.command()
@click.option("--from", "since", required=True, help="Calls that began at or after this moment, UTC.")
@click.option("--to", "until", required=True, help="Calls that began before this moment, UTC.")
@click.option(
    "--account", "accounts", multiple=True, help="Calls that this account was charged for; repeat it."
)
@click.option("--tariff", help="By this tariff instead, at the level of the accounts (else the caller's).")
@click.option("--deck", help="By this deck instead, at the same level.")
@click.option("--apply", "applied", is_flag=True, help="Post the corrections.")
@json_option
@pass_context
def rerate(context: Context, /, *, applied: bool, as_json: bool, **named: Any) -> None:
    """Rate the calls of a period again, and correct what they were charged.

    Without --tariff and --deck each level keeps its tariff, and the decks count as they stand now for the
    time of the call: import a corrected version with the date from which it should have counted.
    """
    from pbxbill.billing.invoices.correction_notes import invoiced
    from pbxbill.listing.rerating import check_over
    from pbxbill.mediation.rerate import Definition, Rerating

    definition = Definition(
        parse_moment(named["since"]),
        parse_moment(named["until"]),
        tuple(sorted(set(named["accounts"]))),
        named["tariff"],
        named["deck"],
    )
    with context.application() as application:
        check_over(definition, application.clock.now_us())
        rerating = Rerating(application.connect, application.clock, definition, invoiced)
        with progress("re-rating", "calls") as tell:
            preview = rerating.preview(tell)
        names, units = names_and_units(application)
        rows = [_previewed(names[x], units[unit], change) for (x, unit), change in preview.accounts.items()]
        posted: list[dict[str, Any]] = []
        notes: list[dict[str, Any]] = []
        run_id, tax_alone = None, 0
        if applied:
            with progress("correcting", "calls") as tell:
                run_id, done = rerating.apply(tell)
            posted = [_posted(names[x.account_id], units[x.unit], x) for x in done]
            notes = _notes(application, names)
            tax_alone = _tax_alone(application, run_id)
    period = f"{moment(definition.from_us)} to {moment(definition.to_us)}"
    if as_json:
        print_json(
            {
                "calls": preview.calls,
                "preview": rows,
                "run": run_id,
                "corrected": posted,
                "notes": notes,
                "tax_alone": tax_alone,
            }
        )
        return
    columns = ("Account", ">Charges", ">Change", ">Owed", ">Would be", ">Delta", ">No rate", ">Kept", "")
    print_table(f"{preview.calls} calls from {period}", columns, (tuple(row.values()) for row in rows))
    for why, count in sorted(preview.reasons.items()):
        click.echo(f"{count} charges stay as they are: {why}")
    if run_id is None:
        click.echo("Nothing was changed; --apply posts the corrections.")
        return
    titles = ("Account", ">Charges", ">Taken", ">Tax", ">Uncollected", "")
    print_table(f"Run {run_id} corrected", titles, (tuple(row.values()) for row in posted))
    if notes:
        of_notes = ("Account", "Note", "Kind", ">Total", "")
        print_table("Of invoices", of_notes, (tuple(row.values()) for row in notes))
    if tax_alone:
        click.echo(
            f"{tax_alone} charges on issued invoices hold another tax in the same amount: the books say so, "
            "and no note was made; `pbxbill invoices credit` and `debit` make them"
        )


def _previewed(account: str, unit: Unit, change: Any) -> dict[str, Any]:
    return {
        "account": account,
        "charges": change.calls,
        "changed": change.changed,
        "old": format_amount(change.old, unit),
        "new": format_amount(change.new, unit),
        "delta": format_amount(change.new - change.old, unit),
        "no_rate": change.unrated,
        "kept": change.kept,
        "unit": unit.code,
    }


def _posted(account: str, unit: Unit, done: Any) -> dict[str, Any]:
    return {
        "account": account,
        "charges": done.calls,
        "taken": format_amount(done.delta, unit),
        "tax": format_amount(done.tax, unit),
        "uncollected": format_amount(done.uncollected, unit),
        "unit": unit.code,
    }


def _tax_alone(application: Application, run_id: int) -> int:
    from pbxbill.mediation.rerate import changed_in_tax_alone

    driver = application.connect()
    try:
        return changed_in_tax_alone(driver, run_id)
    finally:
        driver.close()


def _notes(application: Application, names: dict[int, str]) -> list[dict[str, Any]]:
    from pbxbill.listing.rerating import issue_notes

    made = issue_notes(lambda: billing(application), application.clock)
    with transaction(reading(application.database)) as session:
        units = units_by_code(session)
    return [
        {
            "account": names[x.account_id],
            "number": x.number,
            "kind": x.kind.replace("_", " "),
            "total": format_amount(x.total, units[x.unit]),
            "unit": x.unit,
        }
        for x in made
    ]


def names_and_units(application: Application) -> tuple[dict[int, str], dict[str, Unit]]:
    """Codes of accounts by id, units by code."""
    driver = application.connect()
    try:
        names: dict[int, str] = dict(driver.select("SELECT id, code FROM accounts"))
        rows = driver.select("SELECT code, scale, digits FROM units")
    finally:
        driver.close()
    return names, {code: Unit(code, scale, digits) for code, scale, digits in rows}


COMMANDS = (rerate,)
