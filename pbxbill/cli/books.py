"""books: an issuer's trial balance, journal for accountants, chart of accounts; revenue as it is earned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pbxbill.app import Application, open_books
from pbxbill.billing.books.asked_books import (
    Books,
    Form,
    balances_of_days,
    book_day,
    books_of,
    days_until_yesterday,
    exported_lines,
)
from pbxbill.billing.books.chart import CHART
from pbxbill.billing.books.recognition import recognise_all
from pbxbill.billing.books.trial_balance import TrialBalance
from pbxbill.billing.period import day_start_us
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

reseller_option = click.option("--reseller", help="Whose books; default: your own company's.")
FUNDS, UNBILLED = "customers' funds", "unbilled usage"


@click.group()
def books() -> None:
    """The ledger of an issuer: trial balance, export for accounting, revenue as it is earned."""


@books.command()
@json_option
def accounts(as_json: bool) -> None:
    """List the chart of accounts that the books of every issuer have."""
    shown = [
        {"account": code.value, "kind": x.kind, "beancount": x.name, "meaning": x.meaning}
        for code, x in CHART.items()
    ]
    if as_json:
        print_json(shown)
        return
    print_table("", ("Account", "Kind", "In Beancount", "What it holds"), ([*x.values()] for x in shown))


@books.command("trial-balance")
@click.option("--from", "first", help="First day, in the issuer's zone; default: the first there is.")
@click.option("--to", "last", help="Last day; default: today.")
@click.option("--unit", help="Only this one.")
@click.option("--all", "everybody", is_flag=True, help="Of every issuer: your own company and resellers.")
@reseller_option
@json_option
@pass_context
def trial_balance(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    first: str | None,
    last: str | None,
    *,
    unit: str | None,
    everybody: bool,
    reseller: str | None,
    as_json: bool,
) -> None:
    """Show every account with its opening, debit, credit and closing, and what lies in wallets."""
    with context.application() as application:
        own = _books(application, reseller)
        days = [None if x is None else book_day(x) for x in (first, last)]
        found = balances_of_days(application.connect, own, *days, everybody=everybody)
    if unit is not None:
        found = [x for x in found if x.unit.code == unit.upper()]
    if as_json:
        print_json([_shown(x) for x in found])
        return
    for x in found:
        rows = [[row["account"], *list(row.values())[1:]] for row in _rows(x)]
        print_table(
            f"{x.issuer}, {x.unit.code}", ("Account", ">Opening", ">Debit", ">Credit", ">Closing"), rows
        )


def _rows(balance: TrialBalance) -> Iterator[dict[str, str]]:
    """Accounts, the sum of all, and then wallets told apart."""
    unit = balance.unit
    for x in balance.accounts:
        yield _told(x.code.value, unit, x.opening, x.debit, x.credit, x.closing)
    opening, closing = (sum(getattr(x, of) for x in balance.accounts) for of in ("opening", "closing"))
    debit, credit = (sum(getattr(x, of) for x in balance.accounts) for of in ("debit", "credit"))
    yield _told("sum", unit, opening, debit, credit, closing)
    yield _told(f"of wallets: {FUNDS}", unit, balance.opening.funds, None, None, balance.closing.funds)
    yield _told(
        f"of wallets: {UNBILLED}", unit, balance.opening.unbilled, None, None, balance.closing.unbilled
    )


def _told(name: str, unit: Unit, *amounts: int | None) -> dict[str, str]:
    told = ("" if amount is None else format_amount(amount, unit) for amount in amounts)
    return dict(zip(("account", "opening", "debit", "credit", "closing"), (name, *told), strict=True))


def _shown(balance: TrialBalance) -> dict[str, Any]:
    unit = balance.unit
    return {
        "issuer": balance.issuer,
        "unit": unit.code,
        "accounts": [
            _told(x.code.value, unit, x.opening, x.debit, x.credit, x.closing) for x in balance.accounts
        ],
        "wallets": {
            moment: {"funds": format_amount(x.funds, unit), "unbilled": format_amount(x.unbilled, unit)}
            for moment, x in (("opening", balance.opening), ("closing", balance.closing))
        },
    }


@books.command()
@click.option("--format", "form", type=click.Choice(["csv", "beancount"]), default="csv", show_default=True)
@click.option("--from", "first", help="First day, in the issuer's zone; default: the first there is.")
@click.option("--to", "last", help="Last day; default: yesterday.")
@click.option("--by-day", is_flag=True, help="Sum up usage by day instead of a line for each call.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: standard output.")
@reseller_option
@pass_context
def export(  # noqa: PLR0913  # one parameter per option
    context: Context,
    /,
    form: str,
    first: str | None,
    last: str | None,
    *,
    by_day: bool,
    output: Path | None,
    reseller: str | None,
) -> None:
    """Write the journal of some days for an accounting program: CSV, or Beancount text."""
    with context.application() as application:
        own = _books(application, reseller)
        begins, ends = (None if x is None else book_day(x) for x in (first, last))
        asked = days_until_yesterday(
            application.connect, own, begins, ends, context.clock.now_us(), by_day=by_day
        )
        _write(exported_lines(application.connect, own, asked, Form(form)), output)


def _write(lines: Iterator[str], output: Path | None) -> None:
    if output is None:
        for line in lines:
            click.echo(line, nl=False)
        return
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(lines)
        partial.replace(output)
    except OSError as error:
        raise InputRefused(f"{output} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


@books.command()
@click.option("--until", help="All service before this day, of its issuer's zone; default: this month's 1st.")
@click.option("--reseller", help="Only his charges; default: those of every issuer.")
@json_option
@pass_context
def recognise(context: Context, until: str | None, reseller: str | None, as_json: bool) -> None:
    """Make revenue of what was charged in advance and has been served since.

    Months that are over, or with --until all days before that one. Billing runs do it too.
    """
    now_us = context.clock.now_us()
    with context.application() as application, open_books(application) as bookkeeper:
        own = _books(application, reseller)
        until_us = now_us if until is None else day_start_us(book_day(until), own.zone)
        if until_us > now_us:
            raise InputRefused("what is not over yet is not earned: choose a day that is not in the future")
        only = None if reseller is None else own.issuer_id
        charges = entries = 0
        sums: dict[tuple[int, str], int] = {}
        for done in recognise_all(
            application.database, bookkeeper, until_us, now_us, only, by_day=until is not None
        ):
            charges, entries = charges + done.charges, entries + done.entries
            for issuer_id, unit, amount in done.amounts:
                sums[issuer_id, unit] = sums.get((issuer_id, unit), 0) + amount
        with transaction(reading(application.database)) as session:
            earned = [
                {
                    "issuer": session.get_one(AccountRow, issuer_id).code,
                    "unit": unit,
                    "earned": format_amount(amount, own.units[unit]),
                }
                for (issuer_id, unit), amount in sums.items()
            ]
    if as_json:
        print_json({"charges": charges, "entries": entries, "earned": earned})
        return
    click.echo(f"earned of {charges} charges by {entries} entries" if entries else "nothing is left to book")
    for x in earned:
        click.echo(f"{x['issuer']}: {x['earned']} {x['unit']}")


def _books(application: Application, code: str | None) -> Books:
    with transaction(reading(application.database)) as session:
        return books_of(session, issuer_by_code(session, code))


COMMANDS = (books,)
"""Of the command line."""
