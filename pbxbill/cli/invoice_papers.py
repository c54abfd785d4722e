"""What an invoice came from and is made into: its entries and calls, files, the document itself."""

import sys
from pathlib import Path

import click
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.call_list import calls_of
from pbxbill.billing.invoices.history import afterwards, behind_lines, entries_of_call, invoices_of
from pbxbill.billing.invoices.search import find
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, minutes, moment, print_csv, print_json, print_table, seconds
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.units import units_by_code


@click.command()
@click.argument("invoice")
@click.option("--after", default="", help="The next page: the last entry of the page before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@json_option
@pass_context
def history(context: Context, invoice: str, after: str, limit: int, as_json: bool) -> None:
    """List every ledger entry that made an invoice, with its call, and what was posted of it since."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = find(session, invoice)
        unit = unit_of(session, row.unit)
        behind = [
            {
                "entry": x.entry_id,
                "at": moment(x.at_us),
                "kind": x.kind,
                "line": x.position,
                "call": x.session_id,
                "caller": x.caller,
                "called": x.called,
                "started": moment(x.started_us),
                "seconds": None if x.billed_us is None else seconds(x.billed_us),
                "amount": format_amount(x.amount, unit),
                "memo": x.memo or (f"{x.corrected} calls" if x.corrected else ""),
            }
            for x in behind_lines(session, row.id, after=after, limit=limit)
        ]
        since = [
            {
                "entry": x.entry_id,
                "at": moment(x.at_us),
                "kind": x.kind,
                "role": x.role,
                "amount": format_amount(x.amount, unit),
                "note": x.number,
                "memo": x.memo,
            }
            for x in afterwards(session, row.id)
        ]
    if as_json:
        print_json(
            {"lines": behind, "since": since, "next": behind[-1]["entry"] if len(behind) == limit else None}
        )
        return
    columns = (
        "Entry",
        "At",
        "Kind",
        ">Line",
        "Call",
        "Caller",
        "Called",
        "Started",
        ">Seconds",
        ">Amount",
        "Memo",
    )
    print_table("Behind its lines", columns, (tuple(x.values()) for x in behind))
    print_table(
        "Of the whole",
        ("Entry", "At", "Kind", "As", ">Amount", "Note", "Memo"),
        (tuple(x.values()) for x in since),
    )
    if len(behind) == limit:
        click.echo(f"There may be more: --after {behind[-1]['entry']} shows the next.")


@click.command("of")
@click.argument("entry_or_call")
@json_option
@pass_context
def of_entry(context: Context, entry_or_call: str, as_json: bool) -> None:
    """Find the invoices that a ledger entry, or a call, is on."""
    with context.application() as application, transaction(reading(application.database)) as session:
        entries = entries_of_call(session, entry_or_call) or [entry_or_call]
        units = units_by_code(session)
        found = [
            {
                "entry": entry_id,
                "invoice": x.invoice_id,
                "kind": x.kind,
                "number": x.number,
                "state": x.state,
                "account": x.account,
                "role": x.role,
                "line": x.position,
                "amount": None
                if x.amount is None
                else format_amount(x.amount, _unit_of(session, x.invoice_id, units)),
            }
            for entry_id in entries
            for x in invoices_of(session, entry_id)
        ]
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("On no invoice yet.")
        return
    columns = ("Entry", "Id", "Kind", "Number", "State", "Account", "As", ">Line", ">Amount")
    print_table("", columns, (tuple(x.values()) for x in found))


def _unit_of(session: Session, invoice_id: int, units: dict[str, Unit]) -> Unit:
    return units[session.get_one(InvoiceRow, invoice_id).unit]


@click.command("export-calls")
@click.argument("invoice")
@pass_context
def export_calls(context: Context, invoice: str) -> None:
    """Write an invoice's calls as CSV, those too that cost nothing; times of the account's zone."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = find(session, invoice, ("invoice",))
        unit = unit_of(session, row.unit)
        columns = (
            "started",
            "caller",
            "called",
            "destination",
            "duration",
            "seconds",
            f"total_{unit.code}",
            f"tax_{unit.code}",
        )
        print_csv(
            columns,
            (
                (
                    call.started_at,
                    call.caller,
                    call.called,
                    call.destination,
                    minutes(call.duration_s * SECOND_US),
                    call.duration_s,
                    format_amount(call.total + call.tax, unit),
                    format_amount(call.tax, unit),
                )
                for call in calls_of(session, row)
            ),
        )


@click.command()
@click.argument("invoice")
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where; default: its number."
)
@click.option("--format", "form", type=click.Choice(["pdf", "html", "xml"]), default="pdf", show_default=True)
@pass_context
def render(context: Context, invoice: str, file: Path | None, form: str) -> None:
    """Write a document as PDF (with the structured invoice inside), HTML, or the structured invoice alone."""
    from pbxbill.billing.invoices.invoice_files import file_shown

    with context.application() as application:
        with transaction(reading(application.database)) as session:
            row = find(session, invoice)
            name = row.number or f"draft-{row.id}"
        content = file_shown(application.database, row.id, form, context.clock.now_us()).content
    where = file or Path(f"{name.replace('/', '-')}.{form}")
    try:
        where.write_bytes(content)
    except OSError as error:
        raise InputRefused(f"{where} cannot be written: {error.strerror}") from None
    click.echo(f"{where}: {len(content)} bytes", file=sys.stderr)


ON_INVOICES = (history, of_entry, export_calls, render)
