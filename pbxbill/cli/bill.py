"""bill: billing runs, step by step: run, look, accept or cancel, send. A step that is stopped goes on."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import Application, open_books
from pbxbill.billing.invoices.billing_account import AccountBilled
from pbxbill.billing.invoices.runs import Counts, Definition, Failure, counts, failures, invoices_of, money_of
from pbxbill.billing.invoices.sending import SENT_OF_A_RUN
from pbxbill.billing.invoices.together import Act, Doer, NotDone
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.cli.bill_look_back import look_back_command
from pbxbill.cli.bill_now import now
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table, progress
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.money import Unit, format_amount
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import BillingRunRow

MAX_PROCESSES = 32


@click.group()
def bill() -> None:
    """Billing runs: charge subscriptions, make invoices, issue and send them, for many accounts at once."""


@bill.command("run")
@click.option("--account", "accounts", multiple=True, help="Only this account; repeat it.")
@click.option("--group", default="", help="Only accounts of this group (`pbxbill billing set --group`).")
@click.option("--reseller", default="", help="Only the accounts below this one.")
@click.option("--cycle", type=click.Choice(CYCLES), help="Only accounts with this cycle.")
@click.option("--until", help="Bill what is over at this moment, UTC; else at the beginning of today.")
@click.option("--drafts", "drafts_only", is_flag=True, help="Issue nothing: you review it first.")
@click.option("--processes", type=click.IntRange(1, MAX_PROCESSES), default=1, show_default=True)
@click.option("--send", "sends", is_flag=True, help="Put what it issued into the outbox.")
@click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
@json_option
@pass_context
def run(  # one parameter per option
    context: Context,
    /,
    *,
    until: str | None,
    processes: int,
    sends: bool,
    dry_run: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Bill accounts whose periods are over, and charge subscriptions that are due.

    Accounts that are billed already are left alone, so running it again, or every day, does no harm. A run
    that was stopped or killed goes on when the same one is started again.
    """
    now_us = context.clock.now_us()
    until_us = parse_moment(until) if until else day_start_us(local_date(now_us, "UTC"), "UTC")
    chosen["cycle"] = chosen["cycle"] or ""
    definition = Definition(until_us, tuple(sorted(set(chosen.pop("accounts")))), **chosen)
    with context.application() as application, stopping() as stop:
        if dry_run:
            _preview(application, definition, stop, as_json=as_json)
            return
        run_id = _work(application, definition, processes, stop)
        if sends:
            _queue(application, run_id, stop)
        _report(application, run_id, as_json=as_json)


@bill.command("list")
@click.option("--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@pass_context
def list_runs(context: Context, /, *, most: int, as_json: bool) -> None:
    """List runs, the newest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = session.scalars(select(BillingRunRow).order_by(BillingRunRow.id.desc()).limit(most)).all()
        shown = [_head(session, row) for row in rows]
    if as_json:
        print_json(shown)
        return
    titles = (">Run", "State", ">Accounts", ">Done", ">Failed", "Begun", "Ended", "Until")
    keys = ("run", "state", "accounts", "done", "failed", "started", "ended", "until")
    print_table("", titles, ([row[key] for key in keys] for row in shown))


@bill.command("show")
@click.argument("run_id", type=int)
@json_option
@pass_context
def show(context: Context, /, run_id: int, *, as_json: bool) -> None:
    """Show how far a run is, what its invoices come to, and which accounts failed."""
    with context.application() as application:
        _report(application, run_id, as_json=as_json)


@bill.command("accept")
@click.argument("run_id", type=int)
@pass_context
def accept(context: Context, /, run_id: int) -> None:
    """Issue all drafts of a run, but for those on which a tariff took another tax than the buyer owes."""
    with context.application() as application, open_books(application) as books, stopping() as stop:
        doer = Doer(application.database, books, application.clock, "billing run")
        drafts = _invoices(application, run_id, ("draft",))
        _each(drafts, doer.act("issue"), stop, "issued", lambda _id, note: click.echo(note))


@bill.command("cancel")
@click.argument("run_id", type=int)
@click.option("--reason", required=True, help="Kept with each draft.")
@pass_context
def cancel(context: Context, /, run_id: int, *, reason: str) -> None:
    """Discard all drafts of a run; the same accounts can be billed again at once.

    Where an account has later invoices, what was on its draft is on its next invoice.
    """
    with context.application() as application, open_books(application) as books, stopping() as stop:
        doer = Doer(application.database, books, application.clock, "billing run", reason)
        # The newest first: a period can be billed again if no later one is billed.
        drafts = _invoices(application, run_id, ("draft",))[::-1]
        _each(drafts, doer.act("discard"), stop, "discarded", _tell_invoice)


def _tell_invoice(invoice_id: int, told: str) -> None:
    click.echo(f"invoice {invoice_id}: {told}", err=True)


@bill.command("send")
@click.argument("run_id", type=int)
@pass_context
def send(context: Context, /, run_id: int) -> None:
    """Put all issued invoices of a run, with their files, into the outbox; `pbxbill mail send` sends it."""
    with context.application() as application, open_books(application) as books, stopping() as stop:
        doer = Doer(application.database, books, application.clock, "")
        issued = _invoices(application, run_id, SENT_OF_A_RUN)
        _each(issued, doer.act("send"), stop, "put into the outbox", _tell_invoice)


# --- how it is done ---------------------------------------------------------------------------


def _work(application: Application, definition: Definition, processes: int, stop: Callable[[], bool]) -> int:
    from pbxbill.billing.invoices.run_control import until_asked
    from pbxbill.billing.invoices.runs import Worker, end_run, start_run

    with transaction(application.database) as session:
        run_id = start_run(session, definition, application.clock.now_us())
        begun = counts(session, run_id)
    stop = until_asked(application.database, application.clock, run_id, stop)
    try:
        with progress("billing", "accounts", sum(begun)) as tell:
            if processes > 1 and application.database.dialect.name != "sqlite":
                from pbxbill.billing.invoices.parallel import work_in_processes

                work_in_processes(
                    application.database_url,
                    application.redis_url,
                    run_id,
                    processes,
                    stop=stop,
                    tell=lambda now: tell(now.done + now.failed),
                )
            else:
                done = begun.done + begun.failed

                def count(_billed: AccountBilled | None) -> None:
                    nonlocal done
                    done += 1
                    tell(done)

                with open_books(application) as books:
                    Worker(application.database, books, application.clock, run_id).work(stop, count)
    finally:
        with transaction(application.database) as session:
            end_run(session, run_id, application.clock.now_us())
    _recognise(application, stop)
    return run_id


def _recognise(application: Application, stop: Callable[[], bool]) -> None:
    """What was charged in advance is revenue, as far as its months are over."""
    from pbxbill.billing.books.recognition import recognise_all

    now_us = application.clock.now_us()
    with open_books(application) as books:
        for _ in recognise_all(application.database, books, now_us, now_us):
            if stop():
                break


def _queue(application: Application, run_id: int, stop: Callable[[], bool]) -> None:
    """Send what a run issued; who has no address gets his invoices another way, and stops nothing."""
    from pbxbill.billing.invoices.sending import send_run

    def failed(invoice_id: int, error: PbxbillError) -> None:
        click.echo(f"invoice {invoice_id}: {error}", err=True)

    count = send_run(application.database, application.clock, run_id, failed, stop)
    if count:
        click.echo(f"{count} invoices put into the outbox", err=True)


def _preview(
    application: Application, definition: Definition, stop: Callable[[], bool], *, as_json: bool
) -> None:
    from pbxbill.billing.invoices.runs import preview

    rows: list[dict[str, Any]] = []
    with transaction(reading(application.database)) as session:
        units: dict[str, Unit] = {}

        def shown(account: str, billed: AccountBilled | Failure) -> None:
            if isinstance(billed, Failure):
                rows.append({"account": account, "unit": "", "total": "", "note": billed.why})
                return
            for invoice in billed.invoices:
                unit = units.setdefault(invoice.unit, unit_of(session, invoice.unit))
                note = "issued" if invoice.issued else "draft"
                total = format_amount(invoice.total, unit)
                rows.append({"account": account, "unit": invoice.unit, "total": total, "note": note})
            rows.extend({"account": account, "unit": "", "total": "", "note": why} for why in billed.nothing)

        with open_books(application) as books, progress("trying", "answers") as tell:

            def heard(account: str, billed: AccountBilled | Failure) -> None:
                shown(account, billed)
                tell(len(rows))

            preview(application.database, books, application.clock, definition, heard, stop)
    if as_json:
        print_json(rows)
        return
    print_table("", ("Account", "Unit", ">Total", "Would be"), ([*row.values()] for row in rows))
    click.echo("Nothing was changed.")


def _invoices(application: Application, run_id: int, states: tuple[str, ...]) -> Sequence[int]:
    with transaction(reading(application.database)) as session:
        return invoices_of(session, run_id, states)


def _each(
    ids: Sequence[int],
    act: Act,
    stop: Callable[[], bool],
    done: str,
    tell_note: Callable[[int, str], None],
) -> None:
    """Do something to each of these invoices, and tell what is to be known of it, or why it could not be."""
    notes: list[tuple[int, str]] = []
    failed: list[tuple[int, str]] = []
    count = 0
    with progress(done, "invoices", len(ids)) as tell:
        for number, invoice_id in enumerate(ids, 1):
            if stop():
                break
            try:
                outcome = act(invoice_id)
            except PbxbillError as error:
                outcome = NotDone(str(error))
            if isinstance(outcome, NotDone):
                failed.append((invoice_id, outcome.reason))
            else:
                count += 1
                notes += [(invoice_id, outcome.note)] if outcome.note else []
            tell(number)
    click.echo(f"{count} of {len(ids)} invoices {done}")
    for invoice_id, note in notes:
        tell_note(invoice_id, note)
    for invoice_id, why in failed:
        _tell_invoice(invoice_id, why)
    if failed:
        raise SystemExit(1)


def _report(application: Application, run_id: int, *, as_json: bool) -> None:
    with transaction(reading(application.database)) as session:
        row = session.get(BillingRunRow, run_id)
        if row is None:
            raise InputRefused(f"there is no billing run {run_id}; `pbxbill bill list` shows them")
        head = _head(session, row)
        money = [
            {
                "kind": x.kind,
                "state": x.state,
                "invoices": x.invoices,
                "total": format_amount(x.total, unit_of(session, x.unit)),
                "unit": x.unit,
            }
            for x in money_of(session, run_id)
        ]
        wrong = failures(session, run_id)
    if as_json:
        print_json({**head, "money": money, "failures": [x._asdict() for x in wrong]})
    else:
        done = f"{head['done']} of {head['accounts']} accounts billed"
        click.echo(f"Run {run_id} is {head['state']}: {done}, {head['failed']} failed")
        if money:
            titles = ("Kind", "State", ">Invoices", ">Total", "")
            print_table("", titles, ([*x.values()] for x in money))
        if wrong:
            print_table("", ("Account", "Why it failed"), wrong)
    if wrong:
        raise SystemExit(1)


def _head(session: Session, row: BillingRunRow) -> dict[str, Any]:
    from pbxbill.billing.invoices.runs import definition_of

    found: Counts = counts(session, row.id)
    definition = definition_of(session, row.id)
    return {
        "run": row.id,
        "state": row.state,
        "accounts": row.accounts,
        "done": found.done,
        "failed": found.failed,
        "started": moment(row.started_us),
        "ended": moment(row.ended_us),
        "until": moment(definition.until_us),
    }


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Whether somebody asked to stop: the work ends between two accounts, and goes on when started again."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        click.echo("stopping after this one; again to stop at once", err=True)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


bill.add_command(now)
bill.add_command(look_back_command)
COMMANDS = (bill,)
