"""Dunning policies and penalty classes on the command line; and which account goes by which."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_catalogue import (
    Policy,
    all_policies,
    assign,
    assign_penalty,
    import_penalty,
    import_policy,
    make_standard,
    pause,
    penalty_by_name,
    penalty_classes,
    policy_by_name,
    release,
    set_groups,
)
from pbxbill.billing.dunning.dunning_policy import After
from pbxbill.billing.dunning.dunning_text import WEEKDAYS
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.cli.terms_file import read_terms
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, to_decimal
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

reseller_option = click.option("--reseller", help="Whose; default: the operator's.")
file_argument = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.command("import")
@click.argument("name")
@file_argument
@click.option("--standard", is_flag=True, help="For all accounts for whom nothing else is said.")
@click.option("--group", "groups", multiple=True, help="For the accounts of this group; repeat it.")
@reseller_option
@pass_context
def import_file(
    context: Context,
    /,
    name: str,
    file: Path,
    *,
    standard: bool,
    groups: tuple[str, ...],
    reseller: str | None,
) -> None:
    """Write the TOML in FILE as the newest version of policy NAME."""
    text, now_us = read_terms(file, "policy"), context.clock.now_us()
    with context.application() as application, transaction(application.database) as session:
        policy = import_policy(session, issuer_by_code(session, reseller), name, text, now_us)
        if standard:
            make_standard(session, policy.id, now_us)
        if groups:
            set_groups(session, policy.id, groups, now_us)
    click.echo(f"dunning policy {name} has version {policy.version}, with {len(policy.terms.levels)} levels")


@click.command("policies")
@reseller_option
@json_option
@pass_context
def list_policies(context: Context, reseller: str | None, as_json: bool) -> None:
    """List dunning policies: for whom they are, and whether they are active, paused, or stopped."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = None if reseller is None else issuer_by_code(session, reseller)
        listed: list[dict[str, Any]] = [
            {
                "policy": policy.name,
                "of": session.get_one(AccountRow, policy.issuer_id).code,
                "state": policy.state,
                "version": policy.version,
                "levels": len(policy.terms.levels),
                "standard": policy.standard,
                "groups": list(policy.groups),
            }
            for policy in all_policies(session, issuer)
        ]
    if as_json:
        print_json(listed)
        return
    rows = ((*list(x.values())[:5], "yes" if x["standard"] else "", ", ".join(x["groups"])) for x in listed)
    print_table("", ("Policy", "Of", "State", ">Version", ">Levels", "Standard", "Groups"), rows)


@click.command("show")
@click.argument("name")
@reseller_option
@json_option
@pass_context
def show(context: Context, name: str, reseller: str | None, as_json: bool) -> None:
    """Show a policy: its levels, its quiet days, its brake."""
    with context.application() as application, transaction(reading(application.database)) as session:
        policy = policy_by_name(session, issuer_by_code(session, reseller), name)
        facts = _facts(session, policy)
    if as_json:
        print_json(facts)
        return
    levels = facts.pop("levels")
    shown = ((key.replace("_", " "), ", ".join(x) if isinstance(x, list) else x) for key, x in facts.items())
    print_table("", ("", ""), shown)
    columns = (">Level", ">Days", "After", "Action", "Notice", "Fee", "Words in")
    print_table("Levels", columns, ([*x.values()] for x in levels))


def _facts(session: Session, policy: Policy) -> dict[str, Any]:
    terms = policy.terms
    return {
        "policy": policy.name,
        "version": policy.version,
        "state": policy.state,
        "minimum": [
            f"{format_amount(x, unit_of(session, code))} {code}" for code, x in terms.minimum.items()
        ],
        "hour": terms.hour,
        "quiet_weekdays": [WEEKDAYS[day] for day in terms.quiet_weekdays],
        "quiet_holidays": terms.quiet_holidays,
        "quiet_days": [f"{month:02}-{day:02}" for month, day in terms.quiet_yearly]
        + [day.isoformat() for day in terms.quiet_dates],
        "penalty": terms.penalty,
        "promise_days": terms.promise_days,
        "brake": f"{to_decimal(terms.brake_ppm, 4).normalize():f}",
        "brake_accounts": terms.brake_accounts,
        "levels": [
            {
                "level": number,
                "days": level.days,
                "after": "the due day" if number == 1 or level.after is After.DUE else f"level {number - 1}",
                "action": level.action.value,
                "notice": level.notice.value,
                "penalty": level.penalty,
                "words": ", ".join(level.words),
            }
            for number, level in enumerate(terms.levels, 1)
        ],
    }


@click.command("pause")
@click.argument("name")
@reseller_option
@pass_context
def pause_policy(context: Context, name: str, reseller: str | None) -> None:
    """Do nothing by policy NAME until it is released."""
    with context.application() as application, transaction(application.database) as session:
        pause(session, policy_by_name(session, issuer_by_code(session, reseller), name).id)
    click.echo(f"dunning policy {name} is paused; what it has done stays")


@click.command("release")
@click.argument("name")
@reseller_option
@pass_context
def release_policy(context: Context, name: str, reseller: str | None) -> None:
    """Let policy NAME go on that was paused, or stopped by its brake, which does not hold for a day then."""
    with context.application() as application, transaction(application.database) as session:
        policy = policy_by_name(session, issuer_by_code(session, reseller), name)
        if policy.state == "active":
            raise InputRefused(f"dunning policy {name} is active already")
        release(session, policy.id, context.clock.now_us())
    click.echo(f"dunning policy {name} is active")


@click.command("assign")
@click.argument("account")
@click.option("--policy", help="Policy of this account; empty: that of its group, or its issuer's.")
@click.option("--penalty", help="Penalty class of its overdue invoices; empty: the policy's.")
@pass_context
def assign_account(context: Context, account: str, policy: str | None, penalty: str | None) -> None:
    """Choose by which policy, and penalty class, ACCOUNT is dunned."""
    if policy is None and penalty is None:
        raise InputRefused("say --policy NAME or --penalty NAME")
    now_us = context.clock.now_us()
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        if row.parent_id is None:
            raise InputRefused("the operator is billed by nobody")
        issuer = session.get_one(AccountRow, row.parent_id)
        if policy is not None:
            assign(session, row, policy_by_name(session, issuer, policy) if policy else None, now_us)
        if penalty is not None:
            assign_penalty(
                session, row, penalty_by_name(session, issuer, penalty) if penalty else None, now_us
            )


@click.group()
def penalties() -> None:
    """Penalty classes: what paying late costs."""


@penalties.command("import")
@click.argument("name")
@file_argument
@reseller_option
@pass_context
def import_class(context: Context, name: str, file: Path, reseller: str | None) -> None:
    """Write the TOML in FILE as penalty class NAME; what is charged from now on goes by it."""
    text = read_terms(file, "penalty class")
    with context.application() as application, transaction(application.database) as session:
        import_penalty(session, issuer_by_code(session, reseller), name, text, context.clock.now_us())
    click.echo(f"penalty class {name} is written")


@penalties.command("list")
@reseller_option
@json_option
@pass_context
def list_classes(context: Context, reseller: str | None, as_json: bool) -> None:
    """List penalty classes."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = None if reseller is None else issuer_by_code(session, reseller)
        listed = []
        for row in penalty_classes(session, issuer):
            terms, unit = row.terms, unit_of(session, row.terms.unit)
            listed.append(
                {
                    "name": row.name,
                    "of": session.get_one(AccountRow, row.issuer_id).code,
                    "fixed": format_amount(terms.fixed, unit),
                    "percent": f"{to_decimal(terms.percent_ppm, 4).normalize():f}",
                    "unit": terms.unit,
                    "period": terms.every.value,
                    "minimum": format_amount(terms.minimum, unit),
                    "cap": None if terms.cap is None else format_amount(terms.cap, unit),
                    "grace_days": terms.grace_days,
                    "per": terms.per.value,
                    "product_class": terms.product_class,
                }
            )
    if as_json:
        print_json(listed)
        return
    columns = ("Class", "Of", ">Fixed", ">Percent", "", "Period", ">Minimum", ">Cap", ">Grace days", "Per")
    print_table("", (*columns, "Taxed as"), ([*x.values()] for x in listed))


ON_DUNNING = (import_file, list_policies, show, pause_policy, release_policy, assign_account)
COMMANDS = (penalties,)
