"""life-cycle: policies, where accounts stand, what a run would do, and what a person decides about it."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.life_cycle import LifeOf, Wanted, life_of, revive, set_life_cycle, standing_of
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    ACTIVE,
    PAUSED,
    RELEASED,
    import_policy,
    make_standard,
    policies_of,
    policy_by_name,
    set_state,
)
from pbxbill.billing.life_cycle.life_cycle_policy import over_us
from pbxbill.billing.life_cycle.life_cycle_runs import over_brake, planned, run_life_cycles
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.billing.period import local_date
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, print_json, print_table, progress
from pbxbill.errors import InputRefused
from pbxbill.jobs.job import JobWork
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

reseller_option = click.option("--reseller", help="Whose policy it is; default: your own company's.")


@click.group("life-cycle")
def life_cycle() -> None:
    """What becomes of accounts that are not filled, or not used: alerts, stages, stop dates."""


@life_cycle.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--standard", is_flag=True, help="For all customers of its modes for whom nothing else is said."
)
@reseller_option
@pass_context
def import_command(context: Context, name: str, file: Path, standard: bool, reseller: str | None) -> None:
    """Keep a policy from a TOML file: a new one, or the newest version of one; it counts at once."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputRefused(f"{file}: {error}") from None
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        kept = import_policy(session, issuer, name, text, context.clock.now_us(), standard=standard)
    click.echo(f"policy {kept.name}, version {kept.version}" + (", is the standard one" if standard else ""))


@life_cycle.command("policies")
@json_option
@pass_context
def policies(context: Context, as_json: bool) -> None:
    """List policies with what they say."""
    with context.application() as application, transaction(reading(application.database)) as session:
        listed: list[dict[str, Any]] = [
            {
                "name": x.name,
                "issuer": session.get_one(AccountRow, x.issuer_id).code,
                "version": x.version,
                "standard": x.standard,
                "state": x.state,
                "stages": {str(stage.status): stage.days for stage in x.terms.stages},
                "validity_days": x.terms.validity_days,
                "inactivity_days": x.terms.inactivity_days,
                "alerts": list(x.terms.alert_days),
            }
            for x in policies_of(session)
        ]
    if as_json:
        print_json(listed)
        return
    print_table(
        "",
        ("Policy", "Issuer", ">Version", "Standard", "State", ">Valid days", ">Silent days", "Stages"),
        (
            (
                *(x[key] for key in ("name", "issuer", "version")),
                "yes" if x["standard"] else "",
                *(x[key] for key in ("state", "validity_days", "inactivity_days")),
                ", ".join(f"{status} {days}" for status, days in x["stages"].items()),
            )
            for x in listed
        ),
    )


@life_cycle.command("standard")
@click.argument("name")
@reseller_option
@pass_context
def standard_command(context: Context, name: str, reseller: str | None) -> None:
    """Make a policy the standard one; "none": there is none any more."""
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        make_standard(session, issuer, None if name == "none" else policy_by_name(session, issuer, name).id)
    click.echo(f"{name} is the standard policy of {issuer.code}")


def _state_command(name: str, state: str, about: str, said: str) -> click.Command:
    def run(context: Context, policy: str, reseller: str | None) -> None:
        with context.application() as application, transaction(application.database) as session:
            issuer = issuer_by_code(session, reseller)
            set_state(session, issuer, policy, state, context.clock.now_us())
        click.echo(f"policy {policy} {said}")

    return click.command(name, help=about)(reseller_option(click.argument("policy")(pass_context(run))))


for _command in (
    _state_command("pause", PAUSED, "Let nothing happen by a policy until it goes on.", "is paused"),
    _state_command("resume", ACTIVE, "Let a paused policy go on.", "goes on"),
    _state_command(
        "release",
        RELEASED,
        "Let a policy that its brake has stopped do what is due; `run --dry-run` shows it.",
        "is released: the next run goes without its brake",
    ),
):
    life_cycle.add_command(_command)


@life_cycle.command("show")
@click.argument("code")
@json_option
@pass_context
def show(context: Context, code: str, as_json: bool) -> None:
    """Show where an account stands, and what comes next."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code)
        life = life_of(session, account)
        shown = {"account": code, "status": account.status} | _shown(session, life)
        shown["barred_by"] = [row.cause for row in all_in_force(session, account.id)]
    if as_json:
        print_json(shown)
        return
    cells = ((key.replace("_", " "), _cell(value)) for key, value in shown.items())
    print_table("", ("", ""), cells)


def _shown(session: Session, life: LifeOf | None) -> dict[str, Any]:
    if life is None:
        return {"policy": None, "stage": None}
    ends_us = over_us(life.terms, standing_of(session, life), life.zone)
    return {
        "policy": None if life.policy is None else life.policy.name,
        "stage": life.row.stage,
        "since": moment(life.row.since_us),
        "valid_to": None if life.row.valid_to_us is None else _last_day(life.row.valid_to_us, life.zone),
        "time_is_over_after": None if ends_us is None else _last_day(ends_us, life.zone),
        "stop_on": life.row.stop_on or None,
        "looked_at_next": moment(life.row.next_us),
    }


def _last_day(at_us: int, zone: str) -> str:
    return str(local_date(at_us - 1, zone))


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "-" if value is None else str(value)


@life_cycle.command("set")
@click.argument("code")
@click.option("--policy", help='Of this account; "standard": its issuer\'s.')
@click.option("--valid-to", help='The last day on which it may use what it has; "none": for ever.')
@click.option("--stop-on", help='The local day from which it has no service; "none": there is none.')
@click.option("--by", default="", help="Who says so; kept with it.")
@pass_context
def set_command(
    context: Context, code: str, policy: str | None, valid_to: str | None, stop_on: str | None, by: str
) -> None:
    """Change policy, validity or stop date of an account."""
    if (policy, valid_to, stop_on) == (None, None, None):
        raise InputRefused("nothing to change; `pbxbill life-cycle set --help` shows what can be")
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        chosen = None
        if policy not in {None, "standard"}:
            issuer = session.get_one(AccountRow, account.parent_id)
            chosen = policy_by_name(session, issuer, policy or "")
        wanted = Wanted(
            policy=chosen,
            standard=policy == "standard",
            valid_to=None if valid_to in {None, "none"} else _day(valid_to or ""),
            for_ever=valid_to == "none",
            stop_on=None if stop_on in {None, "none"} else _day(stop_on or ""),
            never=stop_on == "none",
        )
        life = set_life_cycle(session, account, wanted, context.clock.now_us(), by=by)
        facts = _shown(session, life)
    said = ", ".join(f"{key.replace('_', ' ')} {facts[key]}" for key in ("valid_to", "stop_on") if facts[key])
    click.echo(f"account {code}: {said or 'valid for ever, no stop date'}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputRefused(f"{text[:40]!r} is no day; write 2026-01-31") from None


@life_cycle.command("revive")
@click.argument("code")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="For which it is valid; default: as the policy says."
)
@click.option("--by", default="", help="Who says so; kept with it.")
@pass_context
def revive_command(context: Context, code: str, days: int | None, by: str) -> None:
    """Bring an account back from any stage of its life-cycle; what else bars it stays."""
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        revive(session, account.id, context.clock.now_us(), days=days, by=by)
        status = account.status
    click.echo(f"account {code} is {status}")


@life_cycle.command("run")
@click.option("--dry-run", is_flag=True, help="Show what it would do, and to whom; nothing is changed.")
@json_option
@pass_context
def run_command(context: Context, dry_run: bool, as_json: bool) -> None:
    """Do what is due; `pbxbill jobs run` does so by itself."""
    with context.application() as application:
        if dry_run:
            with transaction(reading(application.database)) as session:
                _dry_run(session, context.clock.now_us(), as_json=as_json)
            return
        work = JobWork(application, context.settings)
        try:
            with progress("life-cycle", "accounts") as told:
                run = run_life_cycles(application.database, work.billing, context.clock, tell=told)
        finally:
            work.close()
    if as_json:
        print_json(
            {"entered": run.entered, "done": dict(run.done), "rest": run.rest, "go_on": run.go_on}
            | {"failed": run.failed, "stopped": run.stopped}
        )
    else:
        click.echo(run.said or "nothing was due")


def _dry_run(session: Session, now_us: int, *, as_json: bool) -> None:
    names = {policy.id: policy.name for policy in policies_of(session)}
    over = over_brake(session, now_us)
    found: list[dict[str, Any]] = [
        {"account": x.code, "what": x.what, "status": str(x.status), "day": str(x.day)}
        | {"policy": names.get(x.policy_id or 0)}
        for x in planned(session, now_us)
    ]
    held: list[dict[str, Any]] = [
        {"policy": names[policy_id], "would_bar": wanted, "allowed": allowed}
        for policy_id, (wanted, allowed) in over.items()
    ]
    if as_json:
        print_json({"steps": found, "stopped_by_brake": held})
        return
    columns = ("Account", "What", "Status", "Day", "Policy")
    print_table("", columns, (tuple(x.values()) for x in found))
    counted = Counter(x["what"] for x in found)
    click.echo(", ".join(f"{count} {what}" for what, count in sorted(counted.items())) or "nothing is due")
    for x in held:
        click.echo(
            f"the brake would stop policy {x['policy']}: {x['would_bar']} accounts would be barred, "
            f"{x['allowed']} are allowed"
        )


COMMANDS = (life_cycle,)
