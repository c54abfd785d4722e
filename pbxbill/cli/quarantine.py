"""quarantine: records that could not be rated."""

import json
from typing import Any

import click
from sqlalchemy import func, select

from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.mediation.moments import AMBIGUOUS_RULES
from pbxbill.mediation.quarantine import Retry, drop, edit, quarantined
from pbxbill.mediation.record import Reason
from pbxbill.mediation.tally import Tally
from pbxbill.store.engine import reading, transaction
from pbxbill.store.mediation_models import QuarantinedRow

REASONS = [reason.value for reason in Reason]
reason_option = click.option("--reason", type=click.Choice(REASONS), help="Records with this reason.")
run_option = click.option("--run", "run_id", type=int, help="Records of this run.")


@click.group()
def quarantine() -> None:
    """Records that could not be rated: look, correct, try again."""


@quarantine.command("list")
@reason_option
@run_option
@click.option("--state", type=click.Choice(("open", "posted", "dropped", "all")), default="open")
@click.option("--limit", "most", default=50, show_default=True, type=click.IntRange(1, 100_000))
@json_option
@pass_context
def list_records(context: Context, /, most: int, as_json: bool, **filters: Any) -> None:
    """List records, the oldest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        query = quarantined(**filters)
        total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
        rows = [_shown(row) for row in session.scalars(query.limit(most))]
    if as_json:
        print_json(rows)
        return
    keys = ("id", "source", "line", "reason", "detail", "state", "attempts")
    titles = (">Id", "File", ">Line", "Reason", "What to do", "State", ">Tried")
    print_table("", titles, ([row[key] for key in keys] for row in rows))
    if total > len(rows):
        click.echo(f"the first {len(rows)} of {total}")


@quarantine.command("show")
@click.argument("id", type=int)
@json_option
@pass_context
def show(context: Context, id: int, as_json: bool) -> None:
    """Show one record: what was read from it, and its line."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = session.get(QuarantinedRow, id)
        if row is None:
            raise InputRefused(f"no record {id} in quarantine; `pbxbill quarantine list` shows them")
        found = _shown(row) | {"fields": json.loads(row.fields), "raw": row.raw}
    if as_json:
        print_json(found)
        return
    fields = found.pop("fields")
    print_table("", ("", ""), found.items())
    print_table("Columns", ("Column", "Value"), fields.items())


def _shown(row: QuarantinedRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "run": row.run_id,
        "source": row.source,
        "line": row.line,
        "reason": row.reason,
        "detail": row.detail,
        "state": row.state,
        "attempts": row.attempts,
        "since": moment(row.created_us),
        "session_id": row.record_key,
    }


@quarantine.command("edit")
@click.argument("id", type=int)
@click.argument("columns", metavar="COLUMN=VALUE...", nargs=-1, required=True)
@pass_context
def edit_record(context: Context, id: int, columns: tuple[str, ...]) -> None:
    """Correct columns of a record; retry it afterwards."""
    changes = {}
    for text in columns:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputRefused(f"{text[:60]!r}: write COLUMN=VALUE")
        changes[name] = value
    with context.application() as application:
        edit(application.database, id, changes, context.clock.now_us())
    click.echo(f"record {id} is corrected; `pbxbill quarantine retry {id}` posts it")


@quarantine.command("retry")
@click.argument("ids", metavar="ID...", type=int, nargs=-1)
@reason_option
@run_option
@click.option("--all", "everything", is_flag=True, help="All that are open.")
@click.option(
    "--ambiguous",
    type=click.Choice(AMBIGUOUS_RULES),
    help="Which one a local time means that came twice, when clocks were put back.",
)
@pass_context
def retry(context: Context, /, ids: tuple[int, ...], ambiguous: str | None, **which: Any) -> None:
    """Try to rate and post records again."""
    query = _chosen(ids, **which)
    with context.application() as application:
        tried = Retry(application.database, application.connect, context.clock, ambiguous).run(query)
    click.echo(_told(tried))


@quarantine.command("drop")
@click.argument("ids", metavar="ID...", type=int, nargs=-1)
@reason_option
@run_option
@click.option("--all", "everything", is_flag=True, help="All that are open.")
@pass_context
def drop_records(context: Context, /, ids: tuple[int, ...], **which: Any) -> None:
    """Give records up: they are never charged, from whatever file they come."""
    query = _chosen(ids, **which)
    with context.application() as application:
        count = drop(application.database, query, context.clock.now_us())
    click.echo(f"{count} records dropped")


def _chosen(ids: tuple[int, ...], *, reason: str | None, run_id: int | None, everything: bool) -> Any:
    if not (ids or reason or run_id is not None or everything):
        raise InputRefused("name records by their ids, by --reason, by --run, or take --all")
    return quarantined(reason=reason, run_id=run_id, ids=ids)


def _told(tried: Tally) -> str:
    posted = tried.rated + tried.unanswered
    return (
        f"{tried.read} tried: {posted} posted, {tried.quarantined} still in quarantine, "
        f"{tried.duplicates} posted before, {tried.filtered} filtered"
    )


COMMANDS = (quarantine,)
