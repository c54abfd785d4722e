"""subscriptions: what accounts have of plans, and what is to become of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import billing, open_books
from pbxbill.billing.subscriptions.collecting import BroughtUp
from pbxbill.billing.subscriptions.plan_catalogue import offered_to, version_by_id
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.renewals import renew_due
from pbxbill.billing.subscriptions.subscribed import billing_place
from pbxbill.billing.subscriptions.subscribing import (
    NewSubscription,
    Wanted,
    When,
    cancel,
    change,
    pause,
    resume,
    subscribe,
    withdraw_change,
)
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import LOCAL_DAY, json_option, local_moment, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.billing_models import ChargeRow, SubscriptionChangeRow, SubscriptionRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

MOST_LISTED = 1_000

prices_option = click.option(
    "--price", "prices", multiple=True, help="NAME=PRICE agreed with the account; may be repeated."
)
at_option = click.option("--at", "at", help=f"At a moment instead. {LOCAL_DAY}")
cycle_end_option = click.option("--at-cycle-end", is_flag=True, help="When the present period is over.")
charged_to_option = click.option(
    "--charged-to",
    "charged_to",
    help="The day up to which another system has charged it: no set-up, no trial.",
)
term_until_option = click.option(
    "--term-until", "term_until", help="The day with which its minimum term is over, if not as the plan says."
)
why_option = click.option("--reason", default="", help="Kept in the history.")


@click.group()
def subscriptions() -> None:
    """Subscriptions: plans that accounts have, their changes, pauses, ends, and what customers ask for."""


def parse_prices(written: Sequence[str]) -> dict[str, str]:
    """Prices by the names of charges, written NAME=PRICE."""
    found = {}
    for text in written:
        name, sign, price = text.rpartition("=")
        if not sign:
            raise InputRefused(f"--price {text[:40]!r}: write NAME=PRICE, e.g. Line=9.90")
        found[name.strip()] = price.strip()
    return found


def tell(session: Session, done: BroughtUp) -> list[str]:
    """What a use case did, in lines for people."""
    row, lines = done.subscribed.row, []
    for charge in session.scalars(
        select(ChargeRow).where(ChargeRow.id.in_(done.charge_ids)).order_by(ChargeRow.id)
    ):
        unit = unit_of(session, charge.unit)
        how = "from the wallet" if charge.entry_id else "on the invoice"
        lines.append(f"  {charge.description}: {format_amount(charge.net, unit)} {charge.unit}, {how}")
    state = f"subscription {row.id} is {row.state}"
    if row.ends_us is not None:
        state += f"; it {'ended' if row.state == 'ended' else 'ends'} {moment(row.ends_us)}"
    lines.insert(0, state)
    lines += [f"  {_planned(session, change)}" for change in done.subscribed.planned if change.kind != "end"]
    if done.short is not None:
        unit = unit_of(session, done.short.unit)
        lines.append(
            f"  it costs {format_amount(done.short.needed, unit)} {unit.code}, and "
            f"{format_amount(max(0, done.short.free), unit)} are free in the wallet: top it up"
        )
    return lines


def _planned(session: Session, change: SubscriptionChangeRow) -> str:
    """What is to happen, and when; `withdraw-change` takes it by its number."""
    what = {
        "subscribe": "it is active",
        "pause": "it rests",
        "resume": "it goes on",
        "cancel": "it has ended",
    }
    words = what.get(change.kind)
    if words is None:
        to = [] if change.quantity is None else [f"quantity {change.quantity}"]
        if change.plan_version_id is not None:
            to.insert(0, version_by_id(session, change.plan_version_id).shown)
        words = "it changes to " + ", ".join(to)
    return f"{words} from {moment(change.effective_us)} on (change {change.id})"


def facts_of(session: Session, done: BroughtUp) -> dict[str, Any]:
    """What a use case did, for a program."""
    row = done.subscribed.row
    return {
        "subscription": row.id,
        "state": row.state,
        "ends": moment(row.ends_us),
        "charges": list(done.charge_ids),
        "planned": [change_facts(session, change) for change in done.subscribed.planned],
        "short": None
        if done.short is None
        else format_amount(done.short.needed, unit_of(session, done.short.unit)),
    }


def account_of(session: Session, subscription_id: int) -> AccountRow:
    """Whose a subscription is."""
    row = session.get(SubscriptionRow, subscription_id)
    if row is None:
        raise InputRefused(f"no subscription {subscription_id}; `pbxbill subscriptions list` shows them")
    return session.get_one(AccountRow, row.account_id)


def tell_or_json(done: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Print what was done, for people or for a program."""
    if as_json:
        print_json(done)
        return
    for line in lines:
        click.echo(line)


@subscriptions.command()
@click.argument("account")
@click.argument("plan")
@click.option("--quantity", type=int, default=1, show_default=True)
@prices_option
@click.option("--from", "since", help=f"When it begins; default: now. {LOCAL_DAY}")
@click.option("--no-trial", is_flag=True, help="Without the trial that the plan has.")
@charged_to_option
@term_until_option
@why_option
@by_option
@json_option
@pass_context
def add(context: Context, /, account: str, plan: str, *, as_json: bool, **terms: Any) -> None:
    """Subscribe ACCOUNT to PLAN of whoever bills it."""
    with context.application() as application, billing(application) as (session, books):
        row = account_by_code(session, account)
        new = NewSubscription(
            version=offered_to(session, row, plan),
            quantity=terms["quantity"],
            prices=parse_prices(terms["prices"]),
            from_us=moment_of(session, row, terms["since"]),
            trial=not terms["no_trial"],
            charged_to_us=moment_of(session, row, terms["charged_to"]),
            term_until_us=moment_of(session, row, terms["term_until"]),
            by=terms["by"],
            reason=terms["reason"],
        )
        done = subscribe(session, books, row, new, context.clock.now_us())
        facts, lines = facts_of(session, done), tell(session, done)
    tell_or_json(facts, lines, as_json=as_json)


@subscriptions.command("change")
@click.argument("subscription", type=int)
@click.option("--plan", help="Another plan; its newest version.")
@click.option("--quantity", type=int)
@click.option("--now", "at_once", is_flag=True, help="At once; default: as the plan says.")
@cycle_end_option
@at_option
@why_option
@by_option
@json_option
@pass_context
def change_it(context: Context, /, subscription: int, *, as_json: bool, **terms: Any) -> None:
    """Change the plan or the quantity of a subscription; the day of the change is the new one's."""
    if terms["plan"] is None and terms["quantity"] is None:
        raise InputRefused("say what to change: --plan, --quantity")
    with context.application() as application, billing(application) as (session, books):
        plan = terms["plan"]
        account = account_of(session, subscription)
        version = None if plan is None else offered_to(session, account, plan)
        at_us = moment_of(session, account, terms["at"])
        wanted = Wanted(version, terms["quantity"], when_of(terms), at_us, terms["reason"], terms["by"])
        done = change(session, books, subscription, wanted, context.clock.now_us())
        facts, lines = facts_of(session, done), tell(session, done)
    tell_or_json(facts, lines, as_json=as_json)


def when_of(terms: dict[str, Any]) -> ChangeAt | None:
    """When a person wants it; None: as the plan says."""
    if terms["at_cycle_end"]:
        return ChangeAt.CYCLE_END
    return ChangeAt.NOW if terms.get("at_once") else None


def moment_of(session: Session, account: AccountRow, text: str | None) -> int | None:
    """The moment that a person named for an account; a date alone is a day of its zone."""
    return None if text is None else local_moment(text, billing_place(session, account).zone)


def _happens(name: str, use_case: Any, words: str) -> click.Command:
    """A command by which something happens to a subscription, now or later."""

    @subscriptions.command(name, help=words)
    @click.argument("subscription", type=int)
    @cycle_end_option
    @at_option
    @why_option
    @by_option
    @json_option
    @pass_context
    def command(context: Context, /, subscription: int, *, as_json: bool, **terms: Any) -> None:
        with context.application() as application, billing(application) as (session, books):
            at_us = moment_of(session, account_of(session, subscription), terms["at"])
            when = When(when_of(terms) or ChangeAt.NOW, at_us, terms["reason"], terms["by"])
            done = use_case(session, books, subscription, when, context.clock.now_us())
            facts, lines = facts_of(session, done), tell(session, done)
        tell_or_json(facts, lines, as_json=as_json)

    return command


_happens("pause", pause, "Let a subscription rest: no service and no charges until it is resumed.")
_happens("resume", resume, "Let a paused subscription go on.")
_happens("cancel", cancel, "End a subscription; within its minimum term that costs the plan's fee.")


@subscriptions.command("withdraw-change")
@click.argument("change_id", metavar="CHANGE", type=int)
@by_option
@pass_context
def withdraw_planned(context: Context, change_id: int, by: str) -> None:
    """Take back what was planned and has not happened."""
    with context.application() as application, transaction(application.database) as session:
        found = withdraw_change(session, change_id, context.clock.now_us(), by)
        subscription_id = found.subscription_id
    click.echo(f"change {change_id} of subscription {subscription_id} is withdrawn")


@subscriptions.command("list")
@click.option("--account", help="Only those of this account.")
@click.option("--state", type=click.Choice(("planned", "trial", "active", "paused", "unpaid", "ended")))
@click.option("--limit", type=click.IntRange(1, 100_000), default=MOST_LISTED, show_default=True)
@json_option
@pass_context
def list_all(context: Context, account: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List subscriptions."""
    with context.application() as application, transaction(reading(application.database)) as session:
        query = (
            select(SubscriptionRow, AccountRow.code)
            .join(AccountRow, AccountRow.id == SubscriptionRow.account_id)
            .order_by(SubscriptionRow.id)
            .limit(limit)
        )
        if account is not None:
            query = query.where(SubscriptionRow.account_id == account_by_code(session, account).id)
        if state is not None:
            query = query.where(SubscriptionRow.state == state)
        listed = [_listed(session, row, code) for row, code in session.execute(query)]
    if as_json:
        print_json(listed)
        return
    shown = (
        "id",
        "account",
        "plan",
        "version",
        "quantity",
        "state",
        "started",
        "charged_to",
        "term_ends",
        "ends",
    )
    columns = (
        *(">Id", "Account", "Plan", ">Version", ">Quantity", "State", "Since", "Charged to", "Term until"),
        "Ends",
    )
    print_table("", columns, ([x[name] for name in shown] for x in listed))


def _listed(session: Session, row: SubscriptionRow, code: str) -> dict[str, Any]:
    version = version_by_id(session, row.plan_version_id)
    unit = unit_of(session, version.terms.unit)
    agreed = {name: format_amount(price, unit) for name, price in json.loads(row.overrides).items()}
    return {
        "id": row.id,
        "account": code,
        "plan": version.name,
        "version": version.number,
        "quantity": row.quantity,
        "state": row.state,
        "started": moment(row.started_us),
        "trial_ends": moment(row.trial_ends_us),
        "charged_to": moment(row.charged_to_us),
        "term_ends": moment(row.term_ends_us),
        "ends": moment(row.ends_us),
        "paused": moment(row.paused_us),
        "next": moment(row.due_us),
        "prices": agreed,
    }


@subscriptions.command()
@click.argument("subscription", type=int)
@json_option
@pass_context
def show(context: Context, subscription: int, as_json: bool) -> None:
    """Show a subscription, what happened to it and what is to come."""
    with context.application() as application, transaction(reading(application.database)) as session:
        code = account_of(session, subscription).code
        facts = _listed(session, session.get_one(SubscriptionRow, subscription), code)
        rows = session.scalars(
            select(SubscriptionChangeRow)
            .where(SubscriptionChangeRow.subscription_id == subscription)
            .order_by(SubscriptionChangeRow.effective_us, SubscriptionChangeRow.id)
        )
        history = [change_facts(session, row) for row in rows]
    if as_json:
        print_json(facts | {"history": history})
        return
    print_table("", ("", ""), ((key.replace("_", " "), value) for key, value in facts.items()))
    columns = (">Change", "What", "Plan", ">Quantity", "When", "State", "Reason", "By", "Decided by")
    print_table("History", columns, ([*x.values()] for x in history))


def change_facts(session: Session, row: SubscriptionChangeRow) -> dict[str, Any]:
    """A line of a history, for a program."""
    version = None if row.plan_version_id is None else version_by_id(session, row.plan_version_id).shown
    return {
        "change": row.id,
        "kind": row.kind,
        "plan": version,
        "quantity": row.quantity,
        "effective": moment(row.effective_us),
        "state": row.state,
        "reason": row.reason,
        "by": row.requested_by,
        "decided_by": row.decided_by,
    }


@subscriptions.command()
@click.option("--account", help="Only this account.")
@json_option
@pass_context
def renew(context: Context, account: str | None, as_json: bool) -> None:
    """Make the charges that are due, carry out what was planned, remind, try unpaid ones again.

    Run it every few minutes; run twice it changes nothing. An account that fails stops no other.
    """
    with context.application() as application, open_books(application) as books:
        ids = None
        if account is not None:
            with transaction(reading(application.database)) as session:
                ids = [account_by_code(session, account).id]
        done = renew_due(application.database, books, context.clock, ids)
    if as_json:
        failed = [{"account_id": account_id, "error": error} for account_id, error in done.failed]
        print_json(asdict(done) | {"failed": failed})
    else:
        click.echo(f"accounts: {done.accounts}, charges: {done.charges}, unpaid: {len(done.unpaid)}")
        for account_id, error in done.failed:
            click.echo(f"  account {account_id}: {error}", err=True)
    if done.failed:
        raise SystemExit(1)


COMMANDS = (subscriptions,)
