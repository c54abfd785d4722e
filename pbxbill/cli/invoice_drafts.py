"""Drafts of invoices: lines added, corrected, removed; reckoned again; issued or given up."""

import click

from pbxbill.app import billing
from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.invoices.draft_editing import (
    ADDABLE,
    Correction,
    NewLine,
    add_line,
    correct_line,
    remove_line,
)
from pbxbill.billing.invoices.drafting import discard, new_draft, recalculate
from pbxbill.billing.invoices.issuing import AlreadyIssued, Issued, NotIssued, issue
from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.together import charges_wait
from pbxbill.billing.payments.payments import spare_told
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json
from pbxbill.errors import InputRefused, check
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import InvoiceLineRow, InvoiceRow
from pbxbill.store.models import AccountRow

QUANTITY = Unit("pieces", 6, 0)

reason_option = click.option("--reason", required=True, help="Why; kept with it.")
by_option = click.option("--by", default="", help="Who does it; kept with it.")


@click.command()
@click.argument("account")
@click.option("--unit", "unit_code", required=True, help="Currency.")
@by_option
@pass_context
def new(context: Context, account: str, unit_code: str, by: str) -> None:
    """Make an empty draft for ACCOUNT, outside its periods; add lines to it."""
    with context.application() as application, transaction(application.database) as session:
        account_id = account_by_code(session, account).id
        unit = unit_of(session, unit_code.upper())
        draft_id = new_draft(session, account_id, unit.code, context.clock.now_us(), by).id
    click.echo(f"draft {draft_id}")


@click.command("add-line", context_settings={"ignore_unknown_options": True})
@click.argument("draft")
@click.argument("description")
@click.argument("price")
@click.option("--quantity", default="1", show_default=True, help="Up to 6 digits after the point.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in ADDABLE]),
    default=ChargeKind.ONE_TIME.value,
    show_default=True,
)
@click.option(
    "--class", "product_class", default="service", show_default=True, help="What taxes it falls under."
)
@reason_option
@by_option
@pass_context
def add(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    draft: str,
    description: str,
    price: str,
    *,
    quantity: str,
    kind: str,
    product_class: str,
    reason: str,
    by: str,
) -> None:
    """Add a line at PRICE for one, without tax; below zero: a discount."""
    with context.application() as application, transaction(application.database) as session:
        row = find(session, draft)
        unit = unit_of(session, row.unit)
        line = NewLine(
            description,
            parse_amount(price, unit),
            parse_amount(quantity, QUANTITY),
            ChargeKind(kind),
            product_class,
        )
        line_id = add_line(session, row.id, line, reason, context.clock.now_us(), by)
        told = _told(session.get_one(InvoiceRow, row.id), unit)
    click.echo(f"line {line_id} added; {told}")


@click.command("correct-line", context_settings={"ignore_unknown_options": True})
@click.argument("line_id", type=int)
@click.option("--net", help="What it comes to, without tax.")
@click.option("--description")
@reason_option
@by_option
@pass_context
def correct(
    context: Context, /, line_id: int, *, net: str | None, description: str | None, reason: str, by: str
) -> None:
    """Correct a line of a draft; `pbxbill invoices lines` shows the ids."""
    if net is None and description is None:
        raise InputRefused("say by --net or --description what is to change")
    with context.application() as application, transaction(application.database) as session:
        line = session.get(InvoiceLineRow, line_id)
        if line is None:
            raise InputRefused(f"there is no line {line_id}")
        row = session.get_one(InvoiceRow, line.invoice_id)
        unit = unit_of(session, row.unit)
        correction = Correction(None if net is None else parse_amount(net, unit), description)
        now_id = correct_line(session, line_id, correction, reason, context.clock.now_us(), by)
        told = _told(session.get_one(InvoiceRow, row.id), unit)
    click.echo(
        f"line {line_id} corrected" + (f", it is line {now_id} now" * (now_id != line_id)) + f"; {told}"
    )


@click.command("remove-line")
@click.argument("line_id", type=int)
@reason_option
@by_option
@pass_context
def remove(context: Context, line_id: int, reason: str, by: str) -> None:
    """Let a line of a draft count nothing."""
    with context.application() as application, transaction(application.database) as session:
        line = session.get(InvoiceLineRow, line_id)
        if line is None:
            raise InputRefused(f"there is no line {line_id}")
        invoice_id = line.invoice_id
        remove_line(session, line_id, reason, context.clock.now_us(), by)
        row = session.get_one(InvoiceRow, invoice_id)
        told = _told(row, unit_of(session, row.unit))
    click.echo(f"line {line_id} removed; {told}")


@click.command("recalculate")
@click.argument("draft")
@by_option
@pass_context
def reckon_again(context: Context, draft: str, by: str) -> None:
    """Reckon a draft again, with what has arrived of its period; lines changed by hand stay.

    The lines that are reckoned get new numbers: `pbxbill invoices show` tells them.
    """
    with context.application() as application, transaction(application.database) as session:
        row = find(session, draft)
        recalculate(session, row.id, context.clock.now_us(), by)
        told = _told(session.get_one(InvoiceRow, row.id), unit_of(session, row.unit))
    click.echo(f"{told}; its lines have new numbers")


@click.command("issue")
@click.argument("draft")
@by_option
@json_option
@pass_context
def issue_draft(context: Context, draft: str, by: str, as_json: bool) -> None:
    """Number a draft and make it an invoice, which nothing changes any more."""
    with context.application() as application, billing(application) as (session, books):
        row = find(session, draft)
        unit = unit_of(session, row.unit)
        outcome = issue(session, books, row.id, context.clock.now_us(), by)
        spare = spare_told(session, row.id) if isinstance(outcome, Issued) else ""
    facts: dict[str, object]
    if isinstance(outcome, NotIssued):
        raise InputRefused(outcome.reason)
    facts = {
        "id": outcome.invoice_id,
        "number": outcome.number,
        "repeated": isinstance(outcome, AlreadyIssued),
    }
    told = f"{outcome.number} was issued before"
    if isinstance(outcome, Issued):
        total, due = format_amount(outcome.total, unit), format_amount(outcome.due, unit)
        facts |= {"total": total, "due": due, "unit": unit.code}
        told = f"{outcome.number}: {total} {unit.code}, due {due}"
    if as_json:
        print_json(facts)
    else:
        click.echo(told)
        if spare:
            click.echo(spare)


@click.command("discard")
@click.argument("draft")
@reason_option
@by_option
@pass_context
def give_up(context: Context, draft: str, reason: str, by: str) -> None:
    """Give a draft up; the next billing run makes it anew, or what was on it is on the next invoice."""
    with context.application() as application, transaction(application.database) as session:
        row = find(session, draft)
        of_period = row.period_key is not None
        opened = discard(session, row.id, reason, context.clock.now_us(), by)
        code = session.get_one(AccountRow, row.account_id).code
    click.echo(f"draft {draft} is discarded")
    if of_period:
        click.echo("the next billing run makes it anew" if opened else charges_wait(code))


def _told(row: InvoiceRow, unit: Unit) -> str:
    check(row.unit == unit.code, "invoice {} is in {}", row.id, row.unit)
    net, tax, total = (format_amount(x, unit) for x in (row.net, row.tax, row.total))
    return f"draft {row.id}: net {net}, tax {tax}, total {total} {unit.code}"


ON_INVOICES = (new, add, correct, remove, reckon_again, issue_draft, give_up)
