"""vouchers: batches made, printed, blocked and counted; vouchers redeemed and looked up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import Application, billing
from pbxbill.billing.codes.voucher_batches import (
    Made,
    NewBatch,
    Statistics,
    block_batch,
    block_serials,
    facts_of,
    find_batch,
    make_vouchers,
    open_batch,
    statistics,
)
from pbxbill.billing.codes.voucher_codes import FEWEST_DIGITS
from pbxbill.billing.codes.voucher_file import VoucherFile, read_file
from pbxbill.billing.codes.voucher_sheet import PER_FILE, sheets
from pbxbill.billing.codes.vouchers import TOLD, NotRedeemed, Redeemed, redeem
from pbxbill.billing.parties import issuer_of
from pbxbill.cli.context import Context, Fault, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import (
    json_option,
    local_last_moment,
    local_moment,
    moment,
    print_json,
    print_table,
    progress,
)
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow, VoucherRow

ISSUERS_DAY = (
    "A date alone is that day of the issuer's time zone; with an hour: UTC unless it says otherwise."
)

issuer_option = click.option(
    "--issuer", help="Code of the reseller whose batch it is; default: the operator."
)
file_option = click.option(
    "--csv",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where the codes are written: they are nowhere else, and cannot be recovered.",
)
pdf_options = (
    click.option("--pdf", type=click.Path(path_type=Path, dir_okay=False), help="Cards to be cut out, A4."),
    click.option("--language", default="en", show_default=True, help="Of the cards: en, fr, es or de."),
    click.option("--note", default="", help="A line on each card, e.g. where to redeem it."),
)


def _with_pdf(command: Any) -> Any:
    for option in reversed(pdf_options):
        command = option(command)
    return command


@click.group()
def vouchers() -> None:
    """Prepaid vouchers: batches of codes, each of which fills a wallet once."""


@vouchers.command()
@click.argument("name")
@click.option("--count", type=int, required=True, help="How many vouchers.")
@click.option("--value", required=True, help="Of each, e.g. 10.")
@click.option("--unit", "unit_code", required=True, help="Currency of the value.")
@issuer_option
@click.option("--from", "from_day", help=f"Worth nothing before; default: now. {ISSUERS_DAY}")
@click.option("--to", "to_day", help=f"Worth nothing after. {ISSUERS_DAY}")
@click.option("--validity-days", type=int, help="By how many days one prolongs the account's validity.")
@click.option("--digits", type=int, default=FEWEST_DIGITS, show_default=True, help="Of a code, up to 24.")
@file_option
@_with_pdf
@by_option
@json_option
@pass_context
def make(context: Context, /, name: str, *, file: Path, as_json: bool, **named: Any) -> None:
    """Make a batch of vouchers. If it is stopped, `pbxbill vouchers resume` goes on.

    The database keeps hashes of the codes alone: the CSV file is the only place where they can be read.
    Print it, hand it to whoever sells them, and keep it as you would keep money.
    """
    now_us = context.clock.now_us()
    with context.application() as application:
        with transaction(application.database) as session:
            issuer = _issuer(session, named["issuer"])
            zone = issuer_of(session, issuer.id).zone
            unit = unit_of(session, named["unit_code"].upper())
            new = NewBatch(
                name=name,
                unit=unit.code,
                value=parse_amount(named["value"], unit),
                count=named["count"],
                from_us=local_moment(named["from_day"], zone) if named["from_day"] else now_us,
                to_us=local_last_moment(named["to_day"], zone) if named["to_day"] else None,
                validity_days=named["validity_days"],
                digits=named["digits"],
                by=named["by"],
            )
            batch = open_batch(session, issuer, new, now_us)
            # Within the transaction: a file that cannot be written leaves no batch behind.
            opened = VoucherFile(file, facts_of(session, batch), new=True)
        _fill(context, application, batch.id, opened, as_json=as_json, **named)


@vouchers.command()
@click.argument("batch")
@issuer_option
@file_option
@_with_pdf
@json_option
@pass_context
def resume(context: Context, /, batch: str, *, file: Path, as_json: bool, **named: Any) -> None:
    """Go on making BATCH where it was stopped, in the same file."""
    with context.application() as application:
        with transaction(reading(application.database)) as session:
            row = _batch(session, batch, named["issuer"])
            if row.state != "making":
                raise InputRefused(f"batch {row.name} is {row.state}: nothing of it is left to make")
            facts = facts_of(session, row)
        _fill(context, application, row.id, VoucherFile(file, facts, new=False), as_json=as_json, **named)


def _fill(  # noqa: PLR0913  # one parameter per fact
    context: Context,
    application: Application,
    batch_id: int,
    file: VoucherFile,
    *,
    pdf: Path | None,
    language: str,
    note: str,
    as_json: bool,
    **_named: Any,
) -> None:
    try:
        with _interruptible() as asked, progress("Making", "vouchers") as tell:
            made = make_vouchers(application.database, batch_id, file, stop=lambda: bool(asked), tell=tell)
    finally:
        file.close()
    with transaction(reading(application.database)) as session:
        batch = session.get_one(VoucherBatchRow, batch_id)
    if not made.active:
        raise Fault(
            f"stopped at {made.made} of {made.of}; none is valid yet. "
            f"`pbxbill vouchers resume {batch.id} --csv {file.path}` goes on"
        )
    papers = [] if pdf is None else _print(context, application, file.path, pdf, language=language, note=note)
    _told_made(batch, made, file.path, papers, as_json=as_json)


def _told_made(batch: VoucherBatchRow, made: Made, file: Path, papers: list[Path], *, as_json: bool) -> None:
    if as_json:
        names = [str(path) for path in papers]
        print_json({"id": batch.id, "batch": batch.name, "made": made.made, "csv": str(file), "pdf": names})
        return
    click.echo(f"batch {batch.id}: {made.made} vouchers, active")
    click.echo(f"{file} holds their codes, which nothing else does: they cannot be recovered.")
    for path in papers:
        click.echo(f"{path} is to be printed.")


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """What is not empty once Ctrl-C was pressed, or the process was told to end."""
    asked: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(name, lambda number, _frame: asked.append(number)) for name in names]
    try:
        yield asked
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


@vouchers.command("print")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("pdf", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--language", default="en", show_default=True, help="Of the cards: en, fr, es or de.")
@click.option("--note", default="", help="A line on each card, e.g. where to redeem it.")
@pass_context
def print_cards(context: Context, file: Path, pdf: Path, language: str, note: str) -> None:
    """Set the codes of a FILE that `vouchers make` wrote as cards, once more."""
    with context.application() as application:
        for path in _print(context, application, file, pdf, language=language, note=note):
            click.echo(f"{path} is to be printed.")


def _print(
    context: Context, application: Application, file: Path, pdf: Path, *, language: str, note: str
) -> list[Path]:
    facts, printed = read_file(file)
    with transaction(reading(application.database)) as session:
        batches = session.scalars(select(VoucherBatchRow).where(VoucherBatchRow.name == facts.batch)).all()
        issuers = {session.get_one(AccountRow, batch.issuer_id) for batch in batches}
        seller = ""
        if len(issuers) == 1:
            (issuer,) = issuers
            seller = issuer.name
    today = datetime.fromtimestamp(context.clock.now_us() // SECOND_US, UTC).date()
    paths = []
    many = len(printed) > PER_FILE
    with progress("Setting", "files", -(-len(printed) // PER_FILE)) as tell:
        made = sheets(facts, printed, seller=seller, created_on=today, language=language, note=note)
        for number, content in enumerate(made, 1):
            path = pdf.with_stem(f"{pdf.stem}-{number}") if many else pdf
            try:
                path.touch(mode=0o600)
                path.write_bytes(content)
            except OSError as fault:
                raise InputRefused(f"{path} cannot be written: {fault.strerror}") from None
            paths.append(path)
            tell(number)
    return paths


@vouchers.command("list")
@click.argument("batch", required=False)
@issuer_option
@json_option
@pass_context
def list_batches(context: Context, batch: str | None, issuer: str | None, as_json: bool) -> None:
    """List batches and what became of their vouchers; of one BATCH its vouchers."""
    with context.application() as application, transaction(reading(application.database)) as session:
        if batch is not None:
            _list_vouchers(session, _batch(session, batch, issuer), as_json=as_json)
            return
        query = select(VoucherBatchRow).order_by(VoucherBatchRow.id)
        if issuer is not None:
            query = query.where(VoucherBatchRow.issuer_id == account_by_code(session, issuer).id)
        rows = session.scalars(query).all()
        counted = statistics(session, rows, context.clock.now_us())
        listed = [_facts(session, row, counted[row.id]) for row in rows]
    if as_json:
        print_json(listed)
        return
    shown = ("id", "issuer", "batch", "value", "unit", "state", "valid_from", "valid_to", "count", "new")
    more = ("redeemed", "expired", "blocked", "outstanding")
    columns = (">Id", "Issuer", "Batch", ">Value", "", "State", "From", "To", ">Count", ">New")
    titles = (*columns, ">Redeemed", ">Expired", ">Blocked", ">Outstanding")
    print_table("", titles, ([x[name] for name in (*shown, *more)] for x in listed))


def _facts(session: Session, row: VoucherBatchRow, counted: Statistics) -> dict[str, Any]:
    unit = unit_of(session, row.unit)
    return {
        "id": row.id,
        "issuer": session.get_one(AccountRow, row.issuer_id).code,
        "batch": row.name,
        "value": format_amount(row.value, unit),
        "unit": unit.code,
        "state": row.state,
        "valid_from": moment(row.from_us),
        "valid_to": moment(row.to_us),
        "validity_days": row.validity_days,
        "count": row.count,
        "new": counted.new,
        "redeemed": counted.redeemed,
        "expired": counted.expired,
        "blocked": counted.blocked,
        "redeemed_value": format_amount(counted.redeemed_value, unit),
        "outstanding": format_amount(counted.outstanding, unit),
    }


def _list_vouchers(session: Session, batch: VoucherBatchRow, *, as_json: bool) -> None:
    query = select(VoucherRow, AccountRow.code).outerjoin(AccountRow, AccountRow.id == VoucherRow.account_id)
    query = query.where(VoucherRow.batch_id == batch.id).order_by(VoucherRow.serial)
    listed = [
        {
            "serial": row.serial,
            "state": row.state,
            "account": code,
            "redeemed": moment(row.redeemed_us),
            "channel": row.channel,
            "by": row.by,
            "entry": row.entry_id,
        }
        for row, code in session.execute(query)
    ]
    if as_json:
        print_json(listed)
        return
    titles = (">Serial", "State", "Account", "Redeemed", "By", "", "Entry")
    print_table("", titles, (list(x.values()) for x in listed))


@vouchers.command()
@click.argument("batch")
@click.option("--serial", help="Only this one, or these: 17, or 100-199.")
@issuer_option
@pass_context
def block(context: Context, batch: str, serial: str | None, issuer: str | None) -> None:
    """Make vouchers worthless that are not redeemed: lost, stolen, never sold."""
    _block(context, batch, serial, issuer, blocked=True)


@vouchers.command()
@click.argument("batch")
@click.option("--serial", help="Only this one, or these: 17, or 100-199.")
@issuer_option
@pass_context
def unblock(context: Context, batch: str, serial: str | None, issuer: str | None) -> None:
    """Make blocked vouchers worth something again."""
    _block(context, batch, serial, issuer, blocked=False)


def _block(context: Context, batch: str, serial: str | None, issuer: str | None, *, blocked: bool) -> None:
    with context.application() as application, transaction(application.database) as session:
        row = _batch(session, batch, issuer)
        if serial is None:
            click.echo(f"batch {row.name} is {block_batch(session, row.id, blocked=blocked)}")
            return
        first, _, last = serial.partition("-")
        if not all(text.isascii() and text.isdigit() and len(text) <= 9 for text in (first, last or first)):
            raise InputRefused(f"{serial[:40]!r} is no serial; write 17 or 100-199")
        changed = block_serials(session, row.id, int(first), int(last or first), blocked=blocked)
    click.echo(f"{changed} vouchers {'blocked' if blocked else 'unblocked'}")


@vouchers.command("redeem")
@click.argument("account")
@click.argument("code", required=False)
@by_option
@json_option
@pass_context
def redeem_one(context: Context, account: str, code: str | None, by: str, as_json: bool) -> None:
    """Put a voucher's value into ACCOUNT's wallet. Without CODE it is asked for, which no history keeps."""
    text = code if code is not None else click.prompt("Code", hide_input=True)
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        outcome = redeem(session, books, row, text, channel="cli", by=by, now_us=context.clock.now_us())
        shown = _shown(session, outcome)
    if as_json:
        print_json(shown)
    if isinstance(outcome, NotRedeemed):
        until = f" (until {moment(outcome.until_us)})" if outcome.until_us else ""
        raise Fault(f"not redeemed: {TOLD[outcome.why]}{until}")
    if not as_json:
        click.echo("{amount} {unit} redeemed; {available} {unit} to spend".format(**shown))


def _shown(session: Session, outcome: Redeemed | NotRedeemed) -> dict[str, Any]:
    if isinstance(outcome, NotRedeemed):
        return {"redeemed": False, "why": outcome.why.value, "until": moment(outcome.until_us)}
    unit = unit_of(session, outcome.unit)
    return {
        "redeemed": True,
        "amount": format_amount(outcome.amount, unit),
        "unit": outcome.unit,
        "available": format_amount(outcome.available, unit),
        "batch": outcome.batch,
        "serial": outcome.serial,
        "entry": outcome.entry_id,
    }


def _issuer(session: Session, code: str | None) -> AccountRow:
    if code is not None:
        return account_by_code(session, code)
    operator = session.scalar(select(AccountRow).where(AccountRow.kind == "operator"))
    if operator is None:
        raise InputRefused("there is no operator yet; run `pbxbill init` first")
    return operator


def _batch(session: Session, name: str, issuer: str | None) -> VoucherBatchRow:
    return find_batch(session, name, None if issuer is None else account_by_code(session, issuer))


COMMANDS = (vouchers,)
