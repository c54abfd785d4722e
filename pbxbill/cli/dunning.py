"""dunning: runs and dry runs, steps, what is lifted by hand, the list for collection; promises to pay."""

import sys
from datetime import date
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import open_books
from pbxbill.billing.dunning.ageing import ForCollection, collection_list
from pbxbill.billing.dunning.dunning_runs import Preview, preview, run
from pbxbill.billing.dunning.lifting import lift_by_hand
from pbxbill.billing.dunning.promises_to_pay import NewPromise, promise, promises_of, withdraw
from pbxbill.billing.invoices.search import find
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli import dunning_policies
from pbxbill.cli.bill import stopping
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.dunning_policies import reseller_option
from pbxbill.cli.invoice_drafts import by_option, reason_option
from pbxbill.cli.output import (
    json_option,
    moment,
    parse_moment,
    print_csv,
    print_json,
    print_table,
    progress,
)
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.dunning_models import DunningPolicyRow, DunningStepRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow


@click.group()
def dunning() -> None:
    """What happens about invoices that are not paid in time, level by level."""


@dunning.command("run")
@click.option("--dry-run", is_flag=True, help="Show whom it would do what to, and do nothing.")
@click.option("--at", help="Of a dry run: as if it were this moment. UTC unless it says otherwise.")
@json_option
@pass_context
def run_now(context: Context, dry_run: bool, at: str | None, as_json: bool) -> None:
    """Do what is due now. Running it again, or every hour, does nothing twice; `pbxbill jobs` runs it."""
    if at is not None and not dry_run:
        raise InputRefused("--at is for a dry run: what is done is done now")
    with context.application() as application, stopping() as stop:
        if dry_run:
            now_us = context.clock.now_us() if at is None else parse_moment(at)
            seen = preview(application.database, now_us)
            with transaction(reading(application.database)) as session:
                _show_preview(session, seen, as_json=as_json)
            return
        with open_books(application) as books, progress("dunning", "accounts") as tell:
            done = run(application.database, books, application.clock, stop, tell)
    if as_json:
        steps = {action.value: count for action, count in done.steps.items()}
        stopped = [x.policy for x in done.brakes]
        shown = {"accounts": done.accounts, "steps": steps, "penalties": done.charges, "failed": done.failed}
        print_json(shown | {"promises": done.promises, "stopped": stopped, "whole": done.whole})
    else:
        click.echo(done.told() or "nothing was due")
    if done.failed or done.brakes:
        raise SystemExit(1)


def _show_preview(session: Session, seen: Preview, *, as_json: bool) -> None:
    rows = [
        {
            "account": x.account,
            "invoice": x.number,
            "overdue": format_amount(x.overdue, unit_of(session, x.unit)),
            "unit": x.unit,
            "policy": x.policy,
            "level": x.level,
            "action": x.action.value.replace("_", " ") + (" again" if x.again else ""),
        }
        for x in seen.planned
    ]
    brakes = [x._asdict() for x in seen.brakes]
    if as_json:
        print_json({"planned": rows, "brakes": brakes})
        return
    columns = ("Account", "Invoice", ">Overdue", "", "Policy", ">Level", "Would be done")
    print_table("", columns, ([*x.values()] for x in rows))
    for x in seen.brakes:
        click.echo(
            f"policy {x.policy} would stop: {x.accounts} of {x.of} accounts would lose service within a day, "
            f"{x.allowed} may"
        )
    click.echo("Nothing was changed.")


@dunning.command("steps")
@click.argument("subject")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@json_option
@pass_context
def steps(context: Context, subject: str, limit: int, as_json: bool) -> None:
    """Show every level that SUBJECT, an invoice or an account, has reached, the oldest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = session.scalar(select(AccountRow).where(AccountRow.code == subject))
        chosen = (
            InvoiceRow.id == find(session, subject, ASKING).id
            if account is None
            else InvoiceRow.account_id == account.id
        )
        query = (
            select(DunningStepRow, InvoiceRow, DunningPolicyRow.name)
            .join(InvoiceRow, InvoiceRow.id == DunningStepRow.invoice_id)
            .join(DunningPolicyRow, DunningPolicyRow.id == DunningStepRow.policy_id)
            .where(chosen)
        )
        rows = [
            {
                "invoice": invoice.number,
                "level": step.level,
                "at": moment(step.at_us),
                "action": step.action.replace("_", " "),
                "overdue": format_amount(step.open, unit_of(session, invoice.unit)),
                "unit": invoice.unit,
                "detail": step.detail,
                "policy": f"{policy} (version {step.policy_version})",
                "lifted": moment(step.ended_us),
            }
            for step, invoice, policy in session.execute(query.order_by(DunningStepRow.id).limit(limit))
        ]
    if as_json:
        print_json(rows)
        return
    columns = ("Invoice", ">Level", "At", "Action", ">Overdue", "", "What was done", "Policy", "Lifted")
    print_table("", columns, ([*x.values()] for x in rows))


@dunning.command("lift")
@click.argument("invoice")
@reason_option
@by_option
@pass_context
def lift(context: Context, invoice: str, reason: str, by: str) -> None:
    """Lift what dunning did to the account for INVOICE, even that it was closed; later levels still come."""
    with context.application() as application, transaction(application.database) as session:
        row = find(session, invoice, ASKING)
        lift_by_hand(session, row.id, reason=reason, now_us=context.clock.now_us(), by=by)
    click.echo("lifted")


@dunning.command("collection")
@click.option("--since", help="Only those that came onto the list since this moment, UTC.")
@reseller_option
@json_option
@pass_context
def collection(context: Context, since: str | None, reseller: str | None, as_json: bool) -> None:
    """Print the list for a collection agency as CSV: who owes what, since when, and where they are."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = None if reseller is None else issuer_by_code(session, reseller)
        from_us = 0 if since is None else parse_moment(since)
        rows = [_for_collection(session, x) for x in collection_list(session, issuer, from_us)]
    if as_json:
        print_json(rows)
        return
    columns = [*ForCollection._fields]
    renamed = {"issued_us": "issued", "due_us": "due", "since_us": "on_list_since"}
    print_csv([renamed.get(x, x) for x in columns], ([*x.values()] for x in rows))
    sys.stdout.flush()


def _for_collection(session: Session, found: ForCollection) -> dict[str, Any]:
    unit = unit_of(session, found.unit)
    return found._asdict() | {
        "issued_us": moment(found.issued_us),
        "due_us": moment(found.due_us),
        "since_us": moment(found.since_us),
        "total": format_amount(found.total, unit),
        "overdue": format_amount(found.overdue, unit),
    }


@click.group()
def promises() -> None:
    """Promises to pay: who gave one is not dunned until its day is over."""


@promises.command("add")
@click.argument("account")
@click.argument("amount", required=False)
@click.option("--until", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Its last day, 2026-01-31.")
@click.option("--invoice", help="For this one; default: all that is overdue.")
@click.option("--unit", "unit_code", help="Which currency, if the account has several.")
@click.option("--remark", default="", help="Kept with it.")
@by_option
@json_option
@pass_context
def add_promise(
    context: Context, /, account: str, amount: str | None, *, as_json: bool, **named: Any
) -> None:
    """Write down that ACCOUNT will pay, AMOUNT or all that is open; what dunning did is lifted."""
    until: date = named["until"].date()
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        chosen = None if named["invoice"] is None else find(session, named["invoice"], ASKING)
        unit = (
            unit_of_account(session, row, named["unit_code"])
            if chosen is None
            else unit_of(session, chosen.unit)
        )
        new = NewPromise(
            unit.code,
            until,
            None if chosen is None else chosen.id,
            None if amount is None else parse_amount(amount, unit),
            named["remark"],
            named["by"],
        )
        made = promise(session, row, new, context.clock.now_us())
        facts = {"promise": made.id, "amount": format_amount(made.amount, unit), "unit": unit.code}
    if as_json:
        print_json(facts)
        return
    click.echo(f"promise {facts['promise']}: {facts['amount']} {facts['unit']} until {until}")


@promises.command("list")
@click.option("--account", help="Only those of this account.")
@click.option("--open", "open_only", is_flag=True, help="Only those whose day is to come.")
@json_option
@pass_context
def list_promises(context: Context, account: str | None, open_only: bool, as_json: bool) -> None:
    """List promises to pay, the newest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        whose = None if account is None else account_by_code(session, account)
        rows = [
            {
                "promise": row.id,
                "account": code,
                "invoice": None
                if row.invoice_id is None
                else session.get_one(InvoiceRow, row.invoice_id).number,
                "amount": format_amount(row.amount, unit_of(session, row.unit)),
                "unit": row.unit,
                "until": moment(row.until_us),
                "state": row.state,
                "remark": row.remark,
            }
            for row, code in promises_of(session, whose, open_only=open_only)
        ]
    if as_json:
        print_json(rows)
        return
    columns = (">Promise", "Account", "Invoice", ">Amount", "", "Until", "State", "Remark")
    print_table("", columns, ([*x.values()] for x in rows))


@promises.command("withdraw")
@click.argument("promise_id", type=int)
@by_option
@pass_context
def withdraw_promise(context: Context, promise_id: int, by: str) -> None:
    """Take a promise back; dunning goes on."""
    with context.application() as application, transaction(application.database) as session:
        withdraw(session, promise_id, context.clock.now_us(), by)
    click.echo(f"promise {promise_id} is withdrawn")


for _command in dunning_policies.ON_DUNNING:
    dunning.add_command(_command)

COMMANDS = (dunning, promises, *dunning_policies.COMMANDS)
