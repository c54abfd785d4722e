"""ageing: who owes what since when, now or on a past day, and how accounts pay; disputes with their files."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from pbxbill.billing.dunning.ageing import BUCKETS, Aged, ageing, behaviour, open_invoices
from pbxbill.billing.invoices.dispute_files import MAX_BYTES, attach, content_of, files_of
from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import json_option, moment, parse_moment, print_csv, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceRow
from pbxbill.store.models import AccountRow

DISPUTE_EVENTS = ("disputed", "dispute_remark", "dispute_file", "dispute_settled", "credited")


@click.command("ageing")
@click.argument("account", required=False)
@click.option("--reseller", help="Only accounts below this one.")
@click.option("--by-reseller", is_flag=True, help="Summed up for each reseller, and the operator.")
@click.option("--at", help="As of this moment, e.g. 2026-01-31T23:59:59; UTC unless it says otherwise.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@pass_context
def ageing_command(
    context: Context, /, account: str | None, *, as_csv: bool, as_json: bool, **named: Any
) -> None:
    """Show who owes what, by days late; of ACCOUNT also each open invoice, and how it has paid in a year."""
    now_us = context.clock.now_us()
    at_us = now_us if named["at"] is None else parse_moment(named["at"])
    facts: dict[str, Any] = {}
    with context.application() as application, transaction(reading(application.database)) as session:
        below = None if named["reseller"] is None else account_by_code(session, named["reseller"])
        whose = None if account is None else account_by_code(session, account)
        found = ageing(session, at_us, below=below, account=whose, by_reseller=named["by_reseller"])
        rows = [_row(x, unit_of(session, x.unit)) for x in found]
        if whose is not None:
            facts["invoices"] = [
                {
                    "invoice": x.number,
                    "open": format_amount(x.open, unit_of(session, x.unit)),
                    "unit": x.unit,
                    "due": moment(x.due_us),
                    "days_late": x.days_late,
                }
                for x in open_invoices(session, whose, at_us)
            ]
            paid = behaviour(session, whose, at_us)
            facts["behaviour"] = {
                "paid_invoices": paid.paid,
                "paid_late": paid.late,
                "late_percent": paid.late_percent,
                "average_days_late": paid.average_days_late,
                "bounced_payments": paid.bounced,
                "promises": paid.promises,
                "broken_promises": paid.broken,
            }
    titles = ("Account", "Name", "", ">Invoices", ">Open", *(f">{x}" for x in BUCKETS), "Oldest due")
    if as_json:
        print_json({"owed": rows, **facts} if facts else rows)
    elif as_csv:
        print_csv([*(rows[0] if rows else ("account",))], ([*x.values()] for x in rows))
    else:
        print_table("", titles, ([*x.values()] for x in rows))
        if facts:
            columns = ("Invoice", ">Open", "", "Due", ">Days late")
            print_table("Open invoices", columns, ([*x.values()] for x in facts["invoices"]))
            told = ((key.replace("_", " "), value) for key, value in facts["behaviour"].items())
            print_table("In the last 365 days", ("", ">"), told)


def _row(found: Aged, unit: Unit) -> dict[str, Any]:
    row: dict[str, Any] = {
        "account": found.code,
        "name": found.name,
        "unit": found.unit,
        "invoices": found.invoices,
        "open": format_amount(found.open, unit),
    }
    row |= {name: format_amount(x, unit) for name, x in zip(BUCKETS, found.buckets, strict=True)}
    return row | {"oldest_due": moment(found.oldest_due_us)}


@click.group()
def disputes() -> None:
    """Disputes: what was said, and the files sent with them. `invoices dispute` begins and ends one."""


@disputes.command("list")
@json_option
@pass_context
def list_disputes(context: Context, as_json: bool) -> None:
    """List invoices that are disputed now, the oldest dispute first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        query = (
            select(InvoiceRow, AccountRow.code)
            .join(AccountRow, AccountRow.id == InvoiceRow.account_id)
            .where(InvoiceRow.disputed_us.is_not(None), InvoiceRow.disputed > 0)
            .order_by(InvoiceRow.disputed_us)
        )
        rows = [
            {
                "invoice": row.number,
                "account": code,
                "disputed": format_amount(row.disputed, unit_of(session, row.unit)),
                "open": format_amount(row.open, unit_of(session, row.unit)),
                "unit": row.unit,
                "since": moment(row.disputed_us),
            }
            for row, code in session.execute(query)
        ]
    if as_json:
        print_json(rows)
        return
    print_table("", ("Invoice", "Account", ">Disputed", ">Open", "", "Since"), ([*x.values()] for x in rows))


@disputes.command("show")
@click.argument("invoice")
@json_option
@pass_context
def show_dispute(context: Context, invoice: str, as_json: bool) -> None:
    """Show what was said about INVOICE, and the files."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = find(session, invoice, ASKING)
        query = select(InvoiceEventRow).where(
            InvoiceEventRow.invoice_id == row.id, InvoiceEventRow.kind.in_(DISPUTE_EVENTS)
        )
        thread = [
            {"at": moment(x.at_us), "what": x.kind.replace("_", " "), "by": x.by, "detail": x.detail}
            for x in session.scalars(query.order_by(InvoiceEventRow.id))
        ]
        files = [
            {"file": x.id, "name": x.name, "kind": x.media_type, "bytes": x.bytes, "by": x.by}
            for x in files_of(session, row.id)
        ]
    if as_json:
        print_json({"thread": thread, "files": files})
        return
    print_table("", ("At", "What", "By", "Detail"), ([*x.values()] for x in thread))
    if files:
        print_table("Files", (">File", "Name", "Kind", ">Bytes", "By"), ([*x.values()] for x in files))


@disputes.command("attach")
@click.argument("invoice")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@by_option
@pass_context
def attach_file(context: Context, invoice: str, file: Path, by: str) -> None:
    """Keep FILE with the dispute of INVOICE: pdf, png, jpg, txt, csv or eml, up to 5 MB, ten of them."""
    if file.stat().st_size > MAX_BYTES:
        raise InputRefused(f"{file.name}: a file has 1 to {MAX_BYTES:,} bytes")
    content = file.read_bytes()
    with context.application() as application, transaction(application.database) as session:
        row = find(session, invoice, ASKING)
        kept = attach(session, row.id, file.name, content, now_us=context.clock.now_us(), by=by)
    click.echo(f"file {kept.id}: {kept.name}, {kept.bytes} bytes")


@disputes.command("file")
@click.argument("invoice")
@click.argument("file_id", type=int)
@click.option("--to", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@pass_context
def write_file(context: Context, invoice: str, file_id: int, folder: Path) -> None:
    """Write a file of INVOICE's dispute into a folder; one that is there already is not replaced."""
    with context.application() as application, transaction(reading(application.database)) as session:
        kept, content = content_of(session, find(session, invoice, ASKING).id, file_id)
    target = folder / kept.name
    try:
        with target.open("xb") as out:
            out.write(content)
    except FileExistsError:
        raise InputRefused(f"{target} is there already; choose another folder with --to") from None
    click.echo(str(target))


COMMANDS = (ageing_command, disputes)
