"""What customers ask for of their subscriptions, and what is decided: commands of `pbxbill subscriptions`."""

from typing import Any

import click

from pbxbill.app import billing
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code, offered_to
from pbxbill.billing.subscriptions.requests import (
    Decision,
    Request,
    asking_account,
    decide_request,
    request_change,
    waiting_requests,
    withdraw_request,
)
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.cli.subscriptions import (
    account_of,
    at_option,
    change_facts,
    cycle_end_option,
    facts_of,
    moment_of,
    subscriptions,
    tell,
    tell_or_json,
    when_of,
    why_option,
)
from pbxbill.store.billing_models import SubscriptionChangeRow
from pbxbill.store.engine import reading, transaction


@subscriptions.command()
@click.argument("subscription", type=int)
@click.option("--plan")
@click.option("--quantity", type=int)
@click.option("--cancel", "end", is_flag=True, help="Ask for its end.")
@why_option
@by_option
@pass_context
def request(context: Context, /, subscription: int, **asked: Any) -> None:
    """Write down what a customer asks for; `accept` or `refuse` decides it."""
    with context.application() as application, transaction(application.database) as session:
        plan = asked["plan"]
        version = None if plan is None else offered_to(session, account_of(session, subscription), plan)
        wanted = Request(version, asked["quantity"], asked["end"], asked["reason"], asked["by"])
        made = request_change(session, subscription, wanted, context.clock.now_us()).id
    click.echo(f"request {made} waits to be decided")


@subscriptions.command("requests")
@click.option("--reseller", help="Only those of its customers.")
@json_option
@pass_context
def list_requests(context: Context, reseller: str | None, as_json: bool) -> None:
    """List requests that wait to be decided."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = None if reseller is None else issuer_by_code(session, reseller)
        listed = [
            {"account": code, "subscription": id} | change_facts(session, row)
            for row, code, id in waiting_requests(session, issuer)
        ]
    if as_json:
        print_json(listed)
        return
    shown = ("change", "account", "subscription", "kind", "plan", "quantity", "effective", "reason", "by")
    columns = (">Request", "Account", ">Subscription", "What", "Plan", ">Quantity", "Asked", "Reason", "By")
    # What is new has no subscription yet.
    print_table("", columns, (["" if x[name] is None else x[name] for name in shown] for x in listed))


@subscriptions.command()
@click.argument("request_id", metavar="REQUEST", type=int)
@click.option("--now", "at_once", is_flag=True, help="At once; default: as the plan says.")
@cycle_end_option
@at_option
@why_option
@by_option
@json_option
@pass_context
def accept(context: Context, /, request_id: int, *, as_json: bool, **terms: Any) -> None:
    """Accept a customer's request and carry it out."""
    with context.application() as application, billing(application) as (session, books):
        asked = session.get(SubscriptionChangeRow, request_id)
        at_us = None
        if asked is not None:
            at_us = moment_of(session, asking_account(session, asked), terms["at"])
        decision = Decision(True, terms["by"], terms["reason"], when_of(terms), at_us)
        done = decide_request(session, books, request_id, decision, context.clock.now_us())
        assert done is not None
        facts, lines = facts_of(session, done), tell(session, done)
    tell_or_json(facts, lines, as_json=as_json)


@subscriptions.command()
@click.argument("request_id", metavar="REQUEST", type=int)
@click.option("--reason", required=True, help="The customer reads it.")
@by_option
@pass_context
def refuse(context: Context, request_id: int, reason: str, by: str) -> None:
    """Refuse a customer's request, with a reason."""
    with context.application() as application, billing(application) as (session, books):
        decide_request(session, books, request_id, Decision(False, by, reason), context.clock.now_us())
    click.echo(f"request {request_id} is refused")


@subscriptions.command("withdraw-request")
@click.argument("request_id", metavar="REQUEST", type=int)
@by_option
@pass_context
def withdraw_asked(context: Context, request_id: int, by: str) -> None:
    """Take a request back before it is decided."""
    with context.application() as application, transaction(application.database) as session:
        withdraw_request(session, request_id, context.clock.now_us(), by)
    click.echo(f"request {request_id} is withdrawn")


COMMANDS = (subscriptions,)
