"""Notes on issued invoices: what is given back by a credit note, or asked for by a debit note."""

import click

from pbxbill.app import billing
from pbxbill.billing.invoices.debit_notes import debit
from pbxbill.billing.invoices.draft_editing import NewLine
from pbxbill.billing.invoices.note_amounts import Amount, Lines, What, Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import QUANTITY, by_option, reason_option
from pbxbill.cli.output import json_option, print_json
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import unit_of


@click.command("credit")
@click.argument("invoice")
@click.option("--whole", is_flag=True, help="All that is left of it: the invoice is cancelled.")
@click.option("--amount", help="So much, with tax, spread over its lines and taxes.")
@click.option(
    "--line",
    "line_texts",
    multiple=True,
    help="A line: ID for all that is left of it, ID:NET for a part, without tax. Repeat it.",
)
@reason_option
@by_option
@json_option
@pass_context
def credit_invoice(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    invoice: str,
    *,
    whole: bool,
    amount: str | None,
    line_texts: tuple[str, ...],
    reason: str,
    by: str,
    as_json: bool,
) -> None:
    """Issue a credit note: off what is open, then what was written off; what was paid, into the wallet."""
    with context.application() as application, billing(application) as (session, books):
        row = find(session, invoice, ASKING)
        unit = unit_of(session, row.unit)
        what = _what(unit, whole=whole, amount=amount, line_texts=line_texts)
        done = credit(session, books, row.id, what, reason, context.clock.now_us(), by)
    amounts = (done.net, done.tax, done.total, done.to_invoice, done.to_written_off, done.to_wallet)
    names = ("net", "tax", "total", "off_invoice", "off_written_off", "to_wallet")
    facts = dict(zip(names, (format_amount(x, unit) for x in amounts), strict=True))
    if as_json:
        print_json(
            {"id": done.note_id, "number": done.number, **facts, "unit": unit.code, "entry": done.entry_id}
        )
        return
    given_up = f"{facts['off_written_off']} off what was written off, " if done.to_written_off else ""
    click.echo(
        f"{done.number}: {facts['total']} {unit.code} credited, {facts['off_invoice']} off the invoice, "
        f"{given_up}{facts['to_wallet']} into the wallet"
    )


def _what(unit: Unit, *, whole: bool, amount: str | None, line_texts: tuple[str, ...]) -> What:
    if whole + (amount is not None) + bool(line_texts) != 1:
        raise InputRefused("say either --whole, or --amount, or --line")
    if whole:
        return Whole()
    if amount is not None:
        return Amount(parse_amount(amount, unit))
    return Lines(tuple(_line(text, unit) for text in line_texts))


def _line(text: str, unit: Unit) -> tuple[int, int | None]:
    line_id, part, net = text.partition(":")
    if not (line_id.isascii() and line_id.isdigit() and len(line_id) < 18):
        raise InputRefused(
            f"--line {text[:40]!r}: write ID or ID:NET; `pbxbill invoices lines` shows the ids"
        )
    return int(line_id), parse_amount(net, unit) if part else None


@click.command("debit")
@click.argument("invoice")
@click.argument("description")
@click.argument("price")
@click.option("--quantity", default="1", show_default=True)
@click.option(
    "--class", "product_class", default="service", show_default=True, help="What taxes it falls under."
)
@reason_option
@by_option
@json_option
@pass_context
def debit_invoice(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    invoice: str,
    description: str,
    price: str,
    *,
    quantity: str,
    product_class: str,
    reason: str,
    by: str,
    as_json: bool,
) -> None:
    """Issue a debit note: what the invoice asked too little for, at PRICE for one, without tax."""
    with context.application() as application, billing(application) as (session, books):
        row = find(session, invoice, ("invoice",))
        unit = unit_of(session, row.unit)
        amounts = parse_amount(price, unit), parse_amount(quantity, QUANTITY)
        line = NewLine(description, *amounts, product_class=product_class)
        done = debit(session, books, row.id, [line], reason, context.clock.now_us(), by)
    total, due = format_amount(done.total, unit), format_amount(done.due, unit)
    if as_json:
        print_json(
            {"id": done.invoice_id, "number": done.number, "total": total, "due": due, "unit": unit.code}
        )
    else:
        click.echo(f"{done.number}: {total} {unit.code}, due {due}")


ON_INVOICES = (credit_invoice, debit_invoice)
