"""Payments of invoices: recorded, put to invoices from the wallet, taken back; debts given up; disputes."""

from typing import Any

import click
from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.app import billing
from pbxbill.billing.invoices.dispute_decisions import decide_dispute
from pbxbill.billing.invoices.disputes import dispute, remark
from pbxbill.billing.invoices.receipts import Receipt
from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.sending import Queued, send_invoice
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.billing.payments.account_entries import paid_entries
from pbxbill.billing.payments.payments import (
    Allocated,
    NewPayment,
    pay_from_wallet,
    reverse,
    write_off,
)
from pbxbill.billing.payments.received_payments import ReceivedPayment, receive_payment
from pbxbill.billing.payments.taking_back import refuse_of_gateway
from pbxbill.cli import gateway_payments, receipts
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option, reason_option
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

key_option = click.option(
    "--key", help="Its number at the bank, say: a payment that is recorded twice with it counts once."
)
method_option = click.option("--method", default="bank", show_default=True, help="How: bank, cash, card ...")
receipt_option = click.option("--receipt", is_flag=True, help="Make its receipt, and send it.")
reference_option = click.option("--reference", default="", help="What the bank says of it.")


@click.group()
def payments() -> None:
    """Money received for invoices, and what goes through gateways; `pbxbill topup` books other top-ups."""


@payments.command("record")
@click.argument("account")
@click.argument("amount")
@click.option("--unit", "unit_code", help="Which currency, if the account has several.")
@click.option(
    "--invoice", "chosen", multiple=True, help="For this one; repeat it. Default: what was due first."
)
@method_option
@reference_option
@key_option
@receipt_option
@by_option
@json_option
@pass_context
def record(context: Context, /, account: str, amount: str, *, as_json: bool, **named: Any) -> None:
    """Record a payment of ACCOUNT, for what was due first or --invoice; the rest goes into its wallet."""
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, named["unit_code"])
        ids = tuple(find(session, x, ASKING).id for x in named["chosen"]) or None
        done = _record(session, books, row, parse_amount(amount, unit), unit, ids, context, named)
        shown = _shown(session, done.allocated, unit)
    _tell(shown | _sent(context, done.receipt), as_json=as_json)


@click.command()
@click.argument("invoice")
@click.argument("amount", required=False)
@method_option
@reference_option
@key_option
@receipt_option
@by_option
@json_option
@pass_context
def pay(context: Context, /, invoice: str, amount: str | None, *, as_json: bool, **named: Any) -> None:
    """Record a payment of INVOICE; all that is open unless AMOUNT says otherwise."""
    with context.application() as application, billing(application) as (session, books):
        row = find(session, invoice, ASKING)
        unit = unit_of(session, row.unit)
        paid = row.open if amount is None else parse_amount(amount, unit)
        if not paid and amount is None:
            raise InputRefused(f"nothing is open of {invoice}")
        account = session.get_one(AccountRow, row.account_id)
        done = _record(session, books, account, paid, unit, (row.id,), context, named)
        shown = _shown(session, done.allocated, unit)
    _tell(shown | _sent(context, done.receipt), as_json=as_json)


def _record(  # noqa: PLR0913, PLR0917  # what a payment is made of
    session: Session,
    books: Any,
    account: AccountRow,
    amount: int,
    unit: Unit,
    invoice_ids: tuple[int, ...] | None,
    context: Context,
    named: dict[str, Any],
) -> ReceivedPayment:
    new = NewPayment(
        amount,
        unit.code,
        named["method"],
        named["key"] or f"cli:{new_id()}",
        invoice_ids,
        named["reference"],
        named["by"],
    )
    now_us = context.clock.now_us()
    return receive_payment(session, books, account, new, now_us, with_receipt=named["receipt"])


def _sent(context: Context, receipt: Receipt | None) -> dict[str, Any]:
    """The receipt's number, once its message waits in the outbox."""
    if receipt is None:
        return {"receipt": None}
    with context.application() as application:
        sent = send_invoice(application.database, receipt.invoice_id, context.clock.now_us())
    recipients = list(sent.recipients) if isinstance(sent, Queued) else []
    return {"receipt": {"number": receipt.number, "sent_to": recipients}}


@payments.command("from-wallet")
@click.argument("account")
@click.argument("amount", required=False)
@click.option("--unit", "unit_code", help="Which currency, if the account has several.")
@click.option(
    "--invoice", "chosen", multiple=True, help="For this one; repeat it. Default: what was due first."
)
@by_option
@json_option
@pass_context
def from_wallet(
    context: Context, /, account: str, amount: str | None, *, as_json: bool, **named: Any
) -> None:
    """Put funds of ACCOUNT's wallet to its invoices; all that there are unless AMOUNT says otherwise."""
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, named["unit_code"])
        done = pay_from_wallet(
            session,
            books,
            row,
            unit=unit.code,
            now_us=context.clock.now_us(),
            amount=None if amount is None else parse_amount(amount, unit),
            invoice_ids=[find(session, x, ASKING).id for x in named["chosen"]] or None,
            by=named["by"],
        )
        shown = _shown(session, done, unit)
    _tell(shown, as_json=as_json)


@payments.command("list")
@click.argument("account")
@click.option("--unit", "unit_code", help="Which currency, if the account has several.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", default="", help="The next page: the last entry of the page before.")
@json_option
@pass_context
def list_payments(context: Context, /, account: str, *, as_json: bool, **named: Any) -> None:
    """List what ACCOUNT paid for invoices, newest first, and what was given up or taken back.

    Top-ups are not among it: those through gateways are in `payments gateway`, and those that were booked by
    hand with --by in `accounts history`.
    """
    with context.application() as application, transaction(reading(application.database)) as session:
        row = account_by_code(session, account)
        unit = unit_of_account(session, row, named["unit_code"])
        found = paid_entries(session, row.id, unit.code, before=named["before"], most=named["limit"])
        rows = [
            {
                "entry": x.id,
                "at": moment(x.at_us),
                "kind": x.kind,
                "memo": x.memo,
                "received": format_amount(x.received, unit),
                "to_invoices": format_amount(x.to_invoices, unit),
                "unit": x.unit,
                "reversed_by": x.reversed_by,
            }
            for x in found
        ]
    if as_json:
        print_json(rows)
        return
    columns = ("Entry", "At", "Kind", "Memo", ">Received", ">To invoices", "", "Reversed by")
    print_table("", columns, (tuple(x.values()) for x in rows))


@payments.command("reverse")
@click.argument("entry")
@reason_option
@by_option
@json_option
@pass_context
def take_back(context: Context, entry: str, reason: str, by: str, as_json: bool) -> None:
    """Take back a payment that bounced or was put to the wrong invoice, or a write-off."""
    with context.application() as application, billing(application) as (session, books):
        refuse_of_gateway(session, entry)
        done = reverse(session, books, entry, reason=reason, now_us=context.clock.now_us(), by=by)
        unit = _unit_of_entry(session, done.entry_id)
        shown = _shown(session, done, unit)
    _tell(shown, as_json=as_json)


@click.command("write-off")
@click.argument("invoice")
@click.argument("amount", required=False)
@reason_option
@by_option
@json_option
@pass_context
def give_up(context: Context, invoice: str, amount: str | None, reason: str, by: str, as_json: bool) -> None:
    """Give up what is open of INVOICE, or AMOUNT of it."""
    with context.application() as application, billing(application) as (session, books):
        row = find(session, invoice, ASKING)
        unit = unit_of(session, row.unit)
        part = None if amount is None else parse_amount(amount, unit)
        now_us = context.clock.now_us()
        done = write_off(session, books, row.id, reason=reason, now_us=now_us, amount=part, by=by)
        shown = _shown(session, done, unit)
    _tell(shown, as_json=as_json)


@click.command("dispute")
@click.argument("invoice")
@click.option("--amount", help="What of the open amount is contested; default: all of it.")
@click.option("--remark", "is_remark", is_flag=True, help="Only write down what was said.")
@click.option("--settle", is_flag=True, help="End it: the invoice is due as before.")
@click.option("--credit", "credited", is_flag=True, help="End it by a credit note over what is disputed.")
@reason_option
@by_option
@pass_context
def contest(context: Context, /, invoice: str, *, amount: str | None, **named: Any) -> None:
    """Write down that an account contests INVOICE: not dunned meanwhile. --settle or --credit ends it."""
    if named["is_remark"] + named["settle"] + named["credited"] + (amount is not None) > 1:
        raise InputRefused("say one of --amount, --remark, --settle and --credit")
    with context.application() as application, billing(application) as (session, books):
        row = find(session, invoice, ASKING)
        unit = unit_of(session, row.unit)
        why: dict[str, Any] = {"now_us": context.clock.now_us(), "by": named["by"]}
        if named["is_remark"]:
            remark(session, row.id, named["reason"], **why)
            told = "remark kept"
        elif named["settle"] or named["credited"]:
            done = decide_dispute(
                session, books, row.id, credited=named["credited"], reason=named["reason"], **why
            )
            told = f"dispute of {done.invoice.number} is settled"
            if done.note is not None:
                told += f" by {done.note.number} over {format_amount(done.note.total, unit)} {unit.code}"
        else:
            part = None if amount is None else parse_amount(amount, unit)
            contested = dispute(session, row.id, reason=named["reason"], amount=part, **why)
            told = f"{format_amount(contested.disputed, unit)} {unit.code} of {contested.number} is disputed"
    click.echo(told)


def _unit_of_entry(session: Session, entry_id: str) -> Unit:
    code = session.execute(
        text("SELECT unit FROM journal_entries WHERE id = :id"), {"id": entry_id}
    ).scalar_one()
    return unit_of(session, code)


def _shown(session: Session, done: Allocated, unit: Unit) -> dict[str, Any]:
    rows = [(part, session.get_one(InvoiceRow, part.invoice_id)) for part in done.parts]
    return {
        "entry": done.entry_id,
        "unit": unit.code,
        "repeated": done.repeated,
        "to_wallet": format_amount(done.to_wallet, unit),
        "invoices": [
            {
                "id": row.id,
                "number": row.number,
                "amount": format_amount(part.amount, unit),
                "open": format_amount(row.open, unit),
                "state": row.state,
            }
            for part, row in rows
        ],
    }


def _tell(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    if shown["repeated"]:
        click.echo("It had been recorded before; nothing moved.")
    for x in shown["invoices"]:
        click.echo(
            f"{x['number']}: {x['amount']} {shown['unit']}, open {x['open']}, {x['state'].replace('_', ' ')}"
        )
    moved = shown["to_wallet"].removeprefix("-")
    if moved.strip("0."):
        where = "into the wallet" if moved == shown["to_wallet"] else "taken from the wallet"
        click.echo(f"{moved} {shown['unit']} {where}")
    if shown.get("receipt"):
        number, sent_to = shown["receipt"]["number"], shown["receipt"]["sent_to"]
        click.echo(f"receipt {number}" + (f" for {', '.join(sent_to)}" if sent_to else ""))
    click.echo(f"entry {shown['entry']}")


for _command in (*receipts.ON_PAYMENTS, *gateway_payments.ON_PAYMENTS):
    payments.add_command(_command)

ON_INVOICES = (pay, give_up, contest)
COMMANDS = (payments,)
