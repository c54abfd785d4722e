"""verify, explain and reconcile: whether the promises hold, why a call cost so much, what was repaired."""

import sys

import click
from sqlalchemy import select

from pbxbill.billing.promises import verify_all
from pbxbill.charging.explain import explain
from pbxbill.charging.statement import Audience, statement
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table, visible
from pbxbill.store.engine import reading, transaction
from pbxbill.store.switch_models import DifferenceRow, ReconciliationRow

PROBLEMS_SHOWN = 5


@click.command()
@json_option
@pass_context
def verify(context: Context, as_json: bool) -> None:
    """Prove every promise on the whole database: one line each, exit 1 if one is broken."""
    with context.application() as application:
        driver = application.connect()
        try:
            invariants = verify_all(driver, application.clock)
        finally:
            driver.close()
    if as_json:
        print_json(
            [
                {
                    "name": x.name,
                    "holds": x.holds,
                    "checked": x.checked,
                    "problem_count": x.problem_count,
                    "problems": list(x.problems),
                }
                for x in invariants
            ]
        )
    else:
        for x in invariants:
            click.echo(f"{'ok    ' if x.holds else 'BROKEN'}  {x.name} ({x.checked} checked)")
            for problem in x.problems[:PROBLEMS_SHOWN]:
                click.echo(f"          {problem}")
            if x.problem_count > PROBLEMS_SHOWN:
                click.echo(f"          and {x.problem_count - PROBLEMS_SHOWN} more")
    if not all(x.holds for x in invariants):
        sys.exit(1)


@click.command("explain")
@click.argument("call")
@click.option(
    "--for",
    "audience",
    type=click.Choice([audience.value for audience in Audience]),
    default=Audience.OPERATOR.value,
    show_default=True,
    help="Who reads it: an operator sees all of it, a customer its own charge.",
)
@pass_context
def explain_call(context: Context, call: str, audience: str) -> None:
    """Explain a charge: rate, bands, bundles, tax, wallets, levels, ledger entries, carrier, corrections.

    CALL is a session id, as `pbxbill cdrs --json` shows it, or the switch's own id of the call.
    """
    with context.application() as application:
        driver = application.connect()
        try:
            explanations = explain(driver, call)
        finally:
            driver.close()
    text = "\n\n".join(statement(explanation, Audience(audience)) for explanation in explanations)
    click.echo(visible(text))


@click.command()
@click.option("--report", is_flag=True, help="Show every difference that was found, with what was done.")
@click.option("--switch", "name", help="Of one switch.")
@click.option("--since", help="Only runs since this moment, UTC.")
@click.option("--limit", "most", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Runs.")
@json_option
@pass_context
def reconcile(
    context: Context, /, *, report: bool, name: str | None, since: str | None, most: int, as_json: bool
) -> None:
    """Show what daemons found when they compared a switch and its CDR log with the reservations."""
    query = select(ReconciliationRow).order_by(ReconciliationRow.id.desc()).limit(most)
    if name is not None:
        query = query.where(ReconciliationRow.switch == name)
    if since is not None:
        query = query.where(ReconciliationRow.at_us >= parse_moment(since))
    with context.application() as application, transaction(reading(application.database)) as session:
        runs = list(reversed(session.scalars(query).all()))
        differences: dict[int, list[DifferenceRow]] = {}
        wanted = [run.id for run in runs]
        for row in session.scalars(select(DifferenceRow).where(DifferenceRow.reconciliation_id.in_(wanted))):
            differences.setdefault(row.reconciliation_id, []).append(row)
    if as_json:
        print_json(
            [
                {
                    "switch": run.switch,
                    "at": moment(run.at_us),
                    "open_reservations": run.open_count,
                    "live_channels": run.live_count,
                    "records": run.record_count,
                    "differences": [
                        {"session_id": x.session_id, "kind": x.kind, "detail": x.detail}
                        for x in differences.get(run.id, [])
                    ],
                }
                for run in runs
            ]
        )
        return
    print_table(
        "",
        ("Switch", "At", ">Open", ">Live", ">Records", ">Differences"),
        (
            (
                r.switch,
                moment(r.at_us),
                r.open_count,
                r.live_count,
                r.record_count,
                len(differences.get(r.id, [])),
            )
            for r in runs
        ),
    )
    if report:
        print_table(
            "Differences",
            ("At", "Session", "What", "Detail"),
            (
                (moment(run.at_us), x.session_id, x.kind, x.detail)
                for run in runs
                for x in differences.get(run.id, [])
            ),
        )


COMMANDS = (verify, explain_call, reconcile)
