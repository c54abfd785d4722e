"""quotes: offers that become drafts, invoices or subscriptions when they are accepted."""

from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.app import billing
from pbxbill.billing.invoices.quotes import NewQuote, QuoteLine, accept, expire, offer, plan_quote, refuse
from pbxbill.billing.invoices.search import MAX_PAGE, Wanted, find, search
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.subscriptions.plan_catalogue import offered_version
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import QUANTITY, by_option, reason_option
from pbxbill.cli.output import json_option, local_last_moment, moment, print_json, print_table
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.units import units_by_code

QUOTE = ("quote",)


@click.group()
def quotes() -> None:
    """Quotes: offers with a last day, accepted or refused."""


@quotes.command("new")
@click.argument("account")
@click.option(
    "--valid-until",
    "until",
    required=True,
    help="Its last day, whole, where the issuer is; or a moment, UTC unless it says otherwise.",
)
@click.option("--unit", "unit_code", help="Currency of the lines, if the account has several wallets.")
@click.option(
    "--line",
    "lines",
    multiple=True,
    nargs=3,
    metavar="DESCRIPTION QUANTITY PRICE",
    help="Something that is offered, at a price for one, without tax. Repeat it.",
)
@click.option("--plan", help="Offer this plan instead.")
@click.option("--quantity", type=click.IntRange(1, 1_000_000), default=1, help="Of the plan.")
@click.option("--note", default="", help="Printed.")
@by_option
@json_option
@pass_context
def new(context: Context, /, account: str, *, as_json: bool, **named: Any) -> None:
    """Offer lines, or a plan, to ACCOUNT."""
    if (named["plan"] is None) == (not named["lines"]):
        raise InputRefused("say what is offered: either --line, or --plan")
    with context.application() as application, billing(application) as (session, _books):
        row = account_by_code(session, account)
        until_us = local_last_moment(named["until"], issuer_of(session, row.parent_id or row.id).zone)
        if named["plan"] is not None:
            issuer = session.get(AccountRow, row.parent_id) if row.parent_id is not None else None
            if issuer is None:
                raise InputRefused("the operator is offered nothing")
            version = offered_version(session, issuer, named["plan"])
            made = plan_quote(version, named["quantity"], until_us, named["note"])
        else:
            unit = _unit(session, row, named["unit_code"])
            made = NewQuote(unit.code, tuple(_line(x, unit) for x in named["lines"]), until_us, named["note"])
        offered = offer(session, row, made, context.clock.now_us(), named["by"])
        total = format_amount(offered.total, unit_of(session, made.unit))
    if as_json:
        facts = {"id": offered.quote_id, "number": offered.number, "total": total, "unit": made.unit}
        print_json({**facts, "valid_until": moment(until_us)})
    else:
        click.echo(f"{offered.number}: {total} {made.unit}, until {moment(until_us)}")


def _unit(session: Session, account: AccountRow, code: str | None) -> Unit:
    """Of the lines: the account's only wallet's, unless it is said; a quote needs no wallet."""
    return unit_of_account(session, account, None) if code is None else unit_of(session, code.upper())


def _line(words: tuple[str, str, str], unit: Unit) -> QuoteLine:
    description, quantity, price = words
    return QuoteLine(description, parse_amount(price, unit), parse_amount(quantity, QUANTITY))


@quotes.command("list")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(["open", "accepted", "refused", "expired"])
)
@click.option("--account", help="Of this account.")
@click.option("--limit", type=click.IntRange(1, MAX_PAGE), default=50, show_default=True)
@click.option("--before", "before_id", type=int, help="The next page: the last id of the page before.")
@json_option
@pass_context
def list_quotes(context: Context, /, *, as_json: bool, **named: Any) -> None:
    """List quotes, newest first."""
    now_us = context.clock.now_us()
    with context.application() as application, transaction(reading(application.database)) as session:
        wanted = Wanted(kinds=QUOTE, statuses=named["statuses"], account=named["account"])
        page = search(session, wanted, now_us, limit=named["limit"], before_id=named["before_id"])
        units = units_by_code(session)
    rows = [
        {
            "id": x.id,
            "number": x.number,
            "account": x.account,
            "state": "expired" if x.state == "open" and (x.due_us or 0) <= now_us else x.state,
            "valid_until": moment(x.due_us),
            "total": format_amount(x.total, units[x.unit]),
            "unit": x.unit,
        }
        for x in page.rows
    ]
    if as_json:
        print_json(rows)
        return
    columns = ("Id", "Number", "Account", "State", "Valid until", ">Total", "")
    print_table("", columns, (tuple(x.values()) for x in rows))


@quotes.command("accept")
@click.argument("quote")
@click.option("--issue", "issue_now", is_flag=True, help="Issue the invoice at once; else it stays a draft.")
@by_option
@json_option
@pass_context
def take_up(context: Context, quote: str, issue_now: bool, by: str, as_json: bool) -> None:
    """Accept QUOTE: its lines become a draft, its plan a subscription."""
    with context.application() as application, billing(application) as (session, books):
        row = find(session, quote, QUOTE)
        done = accept(session, books, row.id, context.clock.now_us(), by, issue_now=issue_now)
    if as_json:
        facts = {"quote": done.quote_id, "invoice": done.invoice_id, "number": done.number or None}
        print_json({**facts, "subscription": done.subscription_id, "repeated": done.repeated})
    elif done.subscription_id is not None:
        click.echo(f"accepted: subscription {done.subscription_id}")
    else:
        click.echo(f"accepted: {done.number or f'draft {done.invoice_id}'}")


@quotes.command("refuse")
@click.argument("quote")
@reason_option
@by_option
@pass_context
def turn_down(context: Context, quote: str, reason: str, by: str) -> None:
    """Write down that QUOTE is not wanted."""
    with context.application() as application, transaction(application.database) as session:
        refuse(session, find(session, quote, QUOTE).id, reason, context.clock.now_us(), by)
    click.echo(f"{quote} is refused")


@quotes.command("expire")
@pass_context
def close(context: Context) -> None:
    """Close quotes whose last moment is over."""
    closed = 0
    with context.application() as application:
        while True:
            with transaction(application.database) as session:
                found = expire(session, context.clock.now_us())
            closed += found
            if not found:
                break
    click.echo(f"quotes expired: {closed}")


COMMANDS = (quotes,)
