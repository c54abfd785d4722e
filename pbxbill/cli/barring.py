"""accounts suspend, resume, terminate, history: what bars an account's service, and since when."""

from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.app import billing
from pbxbill.billing.dunning.dunning_facts import CAUSE
from pbxbill.billing.dunning.dunning_steps import lift_effects
from pbxbill.billing.life_cycle.account_events import events_of
from pbxbill.billing.life_cycle.suspending import (
    HAND,
    LIFE_CYCLE,
    STOP_DATE,
    all_in_force,
    cut_calls,
    lift,
    suspend,
)
from pbxbill.billing.life_cycle.terminating import terminate
from pbxbill.charging.status import AccountStatus
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

SUSPENDING = (AccountStatus.NO_OUTGOING, AccountStatus.SUSPENDED, AccountStatus.INACTIVE)
INSTEAD = {
    LIFE_CYCLE: "pbxbill life-cycle revive {}",
    STOP_DATE: "pbxbill life-cycle set {} --stop-on none",
}
"""What lifts these causes, with all that belongs to them."""
by_option = click.option("--by", default="", help="Who says so; kept with it.")
reason_option = click.option(
    "--reason", default="by hand", show_default=True, help="Kept, and told the account."
)


@click.command("suspend")
@click.argument("code")
@click.option(
    "--status",
    type=click.Choice([str(x) for x in SUSPENDING]),
    default=str(AccountStatus.SUSPENDED),
    show_default=True,
    help="no_outgoing: calls to its DIDs still come in; inactive: recurring charges rest as well.",
)
@reason_option
@click.option(
    "--cut", is_flag=True, help="Calls that are up end with the slice they have, within a minute or so."
)
@by_option
@pass_context
def suspend_command(context: Context, code: str, status: str, reason: str, cut: bool, by: str) -> None:
    """Bar new calls of an account and of all below it; calls that are up go on unless they are cut.

    Emergency calls and support numbers pass.
    """
    barred = AccountStatus(status)
    now_us = context.clock.now_us()
    with context.application() as application:
        with transaction(application.database) as session:
            account = account_by_code(session, code)
            suspend(session, account.id, barred, cause=HAND, reason=reason, now_us=now_us, by=by, cut=cut)
            said = _standing(session, account)
        if cut:  # a call that was being granted in that moment is cut as well
            with transaction(application.database) as session:
                cut_calls(session, account.id, now_us)
    click.echo(said)


@click.command("resume")
@click.argument("code")
@click.option("--cause", help="What else than your own hand barred it, as `accounts show` names it.")
@click.option("--all", "every", is_flag=True, help="Whatever barred it.")
@by_option
@pass_context
def resume_command(context: Context, code: str, cause: str | None, every: bool, by: str) -> None:
    """Lift what was barred by hand. What dunning barred stays, unless it is named.

    Then dunning bars again when it next looks at the invoice, unless a payment is promised or it is disputed.
    """
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        known = [row.cause for row in all_in_force(session, account.id)]
        if cause is not None and cause not in known:
            raise InputRefused(
                f"nothing bars {code} for {cause!r}; there is: {', '.join(known) or 'nothing'}"
            )
        wanted = known if every else [cause or HAND]
        for lifted, instead in INSTEAD.items():
            if lifted in wanted:
                raise InputRefused(f"{lifted} is lifted by `{instead.format(code)}`")
        for lifted in wanted:
            if lifted.startswith(CAUSE):
                invoice_id = int(lifted.removeprefix(CAUSE))
                lift_effects(session, account.id, invoice_id, context.clock.now_us(), by=by, terminated=True)
            else:
                lift(session, account.id, cause=lifted, now_us=context.clock.now_us(), by=by)
        said = _standing(session, account)
    click.echo(said)


@click.command("terminate")
@click.argument("code")
@click.option("--reason", required=True, help="Kept, and told the account.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@by_option
@pass_context
def terminate_command(context: Context, code: str, reason: str, yes: bool, by: str) -> None:
    """Close an account: no calls but to emergency numbers, its subscriptions and DIDs end.

    Its books stay. Calls that are up end with the slice they have.
    """
    now_us = context.clock.now_us()
    if not yes:
        click.confirm(f"end the subscriptions and DIDs of {code} and close it?", abort=True)
    with context.application() as application:
        with billing(application) as (session, books):
            account = account_by_code(session, code)
            terminate(session, books, account.id, cause=HAND, reason=reason, now_us=now_us, by=by)
            said = _standing(session, account)
        with transaction(application.database) as session:
            cut_calls(session, account.id, now_us)
    click.echo(said)


@click.command("history")
@click.argument("code")
@click.option("--most", default=100, show_default=True, type=click.IntRange(1, 10_000))
@json_option
@pass_context
def history_command(context: Context, code: str, most: int, as_json: bool) -> None:
    """What happened to an account's service, the newest first."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code)
        listed = [
            {"at": moment(row.at_us), "kind": row.kind, "detail": row.detail, "by": row.by}
            for row in events_of(session, account.id, most)
        ]
    if as_json:
        print_json(listed)
        return
    print_table("", ("At", "What", "Detail", "By"), (tuple(x.values()) for x in listed))


def barred_by(session: Session, account: AccountRow) -> list[dict[str, Any]]:
    """What bars an account, for `accounts show`."""
    return [
        {"cause": row.cause, "status": row.status, "since": moment(row.from_us), "reason": row.reason}
        for row in all_in_force(session, account.id)
    ]


def _standing(session: Session, account: AccountRow) -> str:
    causes = ", ".join(f"{row.cause} ({row.status})" for row in all_in_force(session, account.id))
    return f"account {account.code} is {account.status}" + (f": {causes}" if causes else "")
