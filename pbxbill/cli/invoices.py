"""invoices: found, shown, traced to their entries and calls, rendered. What changes them is beside it."""

import sys
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.call_list import calls_of
from pbxbill.billing.documents import document_of
from pbxbill.billing.history import afterwards, behind_lines, entries_of_call, invoices_of
from pbxbill.billing.search import KINDS, MAX_PAGE, STATUSES, Found, Wanted, find, search, sums
from pbxbill.cli import credit_notes, invoice_drafts, payments
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import (
    json_option,
    minutes,
    moment,
    parse_moment,
    print_csv,
    print_json,
    print_table,
    seconds,
)
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceEventRow, InvoiceLineRow, InvoiceRow, InvoiceTaxRow
from pbxbill.store.models import AccountRow
from pbxbill.store.units import units_by_code


@click.group()
def invoices() -> None:
    """Invoices and notes: drafts to review, what is issued, what is open of it. Named by number or id."""


@invoices.command("list")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Repeat it for several.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Repeat it for several."
)
@click.option("--account", help="Of this account.")
@click.option("--reseller", help="Of this reseller and all accounts below it.")
@click.option("--issuer", help="Made by this one: operator, or a reseller.")
@click.option("--number", help="Beginning of the number.")
@click.option("--unit", "unit_code", help="In this currency.")
@click.option("--least", help="Total from this amount on; with --unit.")
@click.option("--most", help="Total up to this amount; with --unit.")
@click.option("--from", "since", help="Issued (drafts: made) at or after this moment, UTC.")
@click.option("--to", "until", help="Issued before this moment, UTC.")
@click.option("--period-from", help="For service at or after this moment.")
@click.option("--period-to", help="For service before this moment.")
@click.option("--due-before", help="To be paid before this moment.")
@click.option("--cycle", help="Of accounts with this billing cycle: day, week, month, quarter, year.")
@click.option("--group", help="Of accounts in this group.")
@click.option("--dunning-step", type=click.IntRange(min=0))
@click.option("--run", "run_id", type=int, help="Made by this billing run.")
@click.option("--limit", type=click.IntRange(1, MAX_PAGE), default=50, show_default=True)
@click.option("--before", "before_id", type=int, help="The next page: what the page before says.")
@json_option
@pass_context
def list_invoices(
    context: Context, /, limit: int, before_id: int | None, *, as_json: bool, **named: Any
) -> None:
    """Find documents, newest first, with sums over all that are found."""
    now_us = context.clock.now_us()
    with context.application() as application, transaction(reading(application.database)) as session:
        wanted = _wanted(session, named)
        page = search(session, wanted, now_us, limit=limit, before_id=before_id)
        added = sums(session, wanted, now_us)
        units = units_by_code(session)
    rows = [_listed(row, units[row.unit]) for row in page.rows]
    in_all = [
        {
            "kind": x.kind,
            "unit": x.unit,
            "documents": x.documents,
            "net": format_amount(x.net, units[x.unit]),
            "tax": format_amount(x.tax, units[x.unit]),
            "total": format_amount(x.total, units[x.unit]),
            "open": format_amount(x.open, units[x.unit]),
        }
        for x in added
    ]
    if as_json:
        print_json({"documents": rows, "sums": in_all, "next": page.next_id})
        return
    columns = (
        "Id",
        "Number",
        "Kind",
        "Account",
        "Status",
        "Issued",
        "Due",
        ">Net",
        ">Tax",
        ">Total",
        ">Open",
        "",
    )
    print_table("", columns, (_cells(row) for row in rows))
    sum_columns = ("", "", ">Documents", ">Net", ">Tax", ">Total", ">Open")
    print_table(
        "All that are found", sum_columns, ((x["kind"], x["unit"], *list(x.values())[2:]) for x in in_all)
    )
    if page.next_id is not None:
        click.echo(f"There are more: --before {page.next_id} shows the next.")


def _wanted(session: Session, named: dict[str, Any]) -> Wanted:
    unit = unit_of(session, named["unit_code"].upper()) if named["unit_code"] else None

    def amount(name: str) -> int | None:
        if named[name] is None:
            return None
        if unit is None:
            raise InputRefused(f"--{name} is an amount: say by --unit in which currency")
        return parse_amount(named[name], unit)

    def at(name: str) -> int | None:
        return None if named[name] is None else parse_moment(named[name])

    return Wanted(
        kinds=named["kinds"],
        statuses=named["statuses"],
        account=named["account"],
        reseller=named["reseller"],
        issuer=named["issuer"],
        unit=unit.code if unit is not None else None,
        number=named["number"],
        least=amount("least"),
        most=amount("most"),
        from_us=at("since"),
        to_us=at("until"),
        period_from_us=at("period_from"),
        period_to_us=at("period_to"),
        due_before_us=at("due_before"),
        cycle=named["cycle"],
        group=named["group"],
        dunning_step=named["dunning_step"],
        run_id=named["run_id"],
    )


def _listed(row: Found, unit: Unit) -> dict[str, Any]:
    return {
        "id": row.id,
        "number": row.number,
        "kind": row.kind,
        "account": row.account,
        "state": row.state,
        "overdue": row.is_overdue,
        "disputed": format_amount(row.disputed, unit) if row.disputed else None,
        "issued": moment(row.issued_us),
        "due": moment(row.due_us),
        "net": format_amount(row.net, unit),
        "tax": format_amount(row.tax, unit),
        "total": format_amount(row.total, unit),
        "open": format_amount(row.open, unit),
        "unit": row.unit,
        "dunning_step": row.dunning_step,
    }


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    words = [row["state"].replace("_", " ")]
    words += ["overdue"] * row["overdue"] + ["disputed"] * (row["disputed"] is not None)
    shown = {**row, "kind": row["kind"].replace("_", " "), "state": ", ".join(words)}
    days = {name: (row[name] or "")[:10] for name in ("issued", "due")}
    names = (
        "id",
        "number",
        "kind",
        "account",
        "state",
        "issued",
        "due",
        "net",
        "tax",
        "total",
        "open",
        "unit",
    )
    return tuple({**shown, **days}[name] for name in names)


@invoices.command()
@click.argument("invoice")
@json_option
@pass_context
def show(context: Context, invoice: str, as_json: bool) -> None:
    """Show one document: amounts, taxes, what became of it."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = find(session, invoice)
        unit = unit_of(session, row.unit)
        facts = _facts(session, row, unit)
        taxes = [
            {
                "name": x.name,
                "percent": format_amount(x.ppm, Unit("percent", 4, 0)),
                "category": x.category,
                "base": format_amount(x.base, unit),
                "tax": format_amount(x.tax, unit),
            }
            for x in session.scalars(
                select(InvoiceTaxRow)
                .where(InvoiceTaxRow.invoice_id == row.id)
                .order_by(InvoiceTaxRow.position)
            )
        ]
        events = [
            {"at": moment(x.at_us), "event": x.kind, "detail": x.detail, "by": x.by}
            for x in session.scalars(
                select(InvoiceEventRow)
                .where(InvoiceEventRow.invoice_id == row.id)
                .order_by(InvoiceEventRow.at_us, InvoiceEventRow.id)
            )
        ]
    if as_json:
        print_json({**facts, "taxes": taxes, "events": events})
        return
    print_table(
        "", ("", ""), ((name.replace("_", " "), x) for name, x in facts.items() if x not in {None, ""})
    )
    if taxes:
        columns = ("Tax", ">Percent", "Category", ">Base", ">Tax")
        print_table("Taxes", columns, (tuple(x.values()) for x in taxes))
    print_table("Events", ("At", "", "", "By"), (tuple(x.values()) for x in events))


def _facts(session: Session, row: InvoiceRow, unit: Unit) -> dict[str, Any]:
    account = session.get_one(AccountRow, row.account_id)
    issuer = session.get_one(AccountRow, row.issuer_id)
    corrected = session.get(InvoiceRow, row.corrects_id) if row.corrects_id is not None else None
    return {
        "id": row.id,
        "kind": row.kind,
        "number": row.number,
        "state": row.state,
        "account": account.code,
        "issuer": issuer.code,
        "unit": row.unit,
        "period_from": moment(row.from_us),
        "period_to": moment(row.to_us),
        "issued": moment(row.issued_us),
        "due_by": moment(row.due_us),
        "net": format_amount(row.net, unit),
        "tax": format_amount(row.tax, unit),
        "total": format_amount(row.total, unit),
        "from_wallet": format_amount(row.from_wallet, unit),
        "due": format_amount(row.due, unit),
        "open": format_amount(row.open, unit),
        "disputed": format_amount(row.disputed, unit),
        "dunning_step": row.dunning_step,
        "corrects": None if corrected is None else corrected.number or str(corrected.id),
        "purchase_order": row.purchase_order,
        "note": row.note,
        "entry": row.entry_id,
    }


@invoices.command()
@click.argument("invoice")
@json_option
@pass_context
def lines(context: Context, invoice: str, as_json: bool) -> None:
    """List a document's lines; those that were removed from a draft too."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = find(session, invoice)
        unit = unit_of(session, row.unit)
        query = select(InvoiceLineRow).where(InvoiceLineRow.invoice_id == row.id)
        rows = [
            {
                "id": x.id,
                "position": x.position,
                "kind": x.kind,
                "description": x.description,
                "quantity": format_amount(x.quantity, Unit("", 6, 0)),
                "measure": x.measure,
                "price": None if x.unit_price is None else format_amount(x.unit_price, unit),
                "net": format_amount(x.net, unit),
                "exact": format_amount(x.net_exact, unit),
                "credited": format_amount(x.credited, unit),
                "collected_by": x.collection,
                "origin": x.origin,
                "reason": x.reason,
            }
            for x in session.scalars(query.order_by(InvoiceLineRow.position, InvoiceLineRow.id))
        ]
    if as_json:
        print_json(rows)
        return
    columns = (
        "Id",
        ">",
        "Kind",
        "Description",
        ">Quantity",
        "",
        ">Price",
        ">Net",
        ">Exact",
        ">Credited",
        "By",
    )
    print_table("", (*columns, "Origin", "Reason"), (tuple(x.values()) for x in rows))


@invoices.command()
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


@invoices.command("of")
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


@invoices.command("export-calls")
@click.argument("invoice")
@pass_context
def export_calls(context: Context, invoice: str) -> None:
    """Write an invoice's calls as CSV, those too that cost nothing; local times of the issuer."""
    with context.application() as application, transaction(reading(application.database)) as session:
        row = find(session, invoice, ("invoice",))
        unit = unit_of(session, row.unit)
        columns = ("started", "caller", "called", "destination", "duration", "seconds", f"total_{unit.code}")
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
                    format_amount(call.total, unit),
                )
                for call in calls_of(session, row)
            ),
        )


@invoices.command()
@click.argument("invoice")
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where; default: its number."
)
@click.option("--format", "form", type=click.Choice(["pdf", "html", "xml"]), default="pdf", show_default=True)
@pass_context
def render(context: Context, invoice: str, file: Path | None, form: str) -> None:
    """Write a document as PDF (with the structured invoice inside), HTML, or the structured invoice alone."""
    from pbxbill.billing.invoice_files import UNISSUED, invoice_files
    from pbxbill.billing.profiles import profile_of
    from pbxbill.billing.render.html import render_html
    from pbxbill.billing.render.pdf import render_pdf, xml_of
    from pbxbill.billing.templates import template_in_use

    with context.application() as application:
        with transaction(reading(application.database)) as session:
            row = find(session, invoice)
            document = document_of(session, row.id)
            profile = profile_of(session, row.account_id)
            stored = template_in_use(session, row.issuer_id, profile.template_id)
            name = row.number or f"draft-{row.id}"
        # What the account got is what is shown, even if the template is another one today.
        kept = (
            ()
            if row.state in UNISSUED
            else invoice_files(application.database, row.id, context.clock.now_us())
        )
    content = next((file.content for file in kept if file.kind == form), b"")
    if not content:
        match form:
            case "pdf":
                content = render_pdf(document, stored.template, stored.logo, xml=xml_of(document))
            case "html":
                content = render_html(document, stored.template, stored.logo).encode()
            case _:
                content = xml_of(document) or b""
    if not content:
        raise InputRefused(f"{name} has no structured form")
    where = file or Path(f"{name.replace('/', '-')}.{form}")
    try:
        where.write_bytes(content)
    except OSError as error:
        raise InputRefused(f"{where} cannot be written: {error.strerror}") from None
    click.echo(f"{where}: {len(content)} bytes", file=sys.stderr)


for _module in (invoice_drafts, credit_notes, payments):
    for _command in _module.ON_INVOICES:
        invoices.add_command(_command)

COMMANDS = (invoices,)
