"""invoices: found and shown. What changes them, and what is made of them, is beside it."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.search import KINDS, MAX_PAGE, STATUSES, Found, Wanted, find, search, sums
from pbxbill.cli import credit_notes, invoice_drafts, invoice_papers, invoice_sending, payments
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import (
    json_option,
    moment,
    parse_moment,
    print_json,
    print_table,
)
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


for _module in (invoice_papers, invoice_drafts, invoice_sending, credit_notes, payments):
    for _command in _module.ON_INVOICES:
        invoices.add_command(_command)

COMMANDS = (invoices,)
