"""plans: what the operator and resellers offer."""

from pathlib import Path
from typing import Any

import click

from pbxbill.app import billing
from pbxbill.billing.subscriptions.migrating import migrate_all
from pbxbill.billing.subscriptions.plan_catalogue import (
    PlanVersion,
    import_plan,
    issuer_by_code,
    list_plans,
    plan_by_name,
    retire_plan,
    version_by_number,
    versions_of,
)
from pbxbill.billing.subscriptions.plan_terms import CancellationFee, ChangeAt, PlanCharge, PlanTerms
from pbxbill.billing.subscriptions.subscribing import Wanted, to_migrate
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import json_option, moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, to_decimal
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction

MAX_PLAN_BYTES = 1_000_000

reseller_option = click.option("--reseller", help="Whose plan; default: the operator's.")


@click.group()
def plans() -> None:
    """Plans: what can be subscribed to, its prices and terms, version by version."""


@plans.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@reseller_option
@pass_context
def import_file(context: Context, name: str, file: Path, reseller: str | None) -> None:
    """Write the TOML in FILE as the newest version of plan NAME; subscriptions keep the one they have."""
    text = _read(file)
    with context.application() as application, transaction(application.database) as session:
        version = import_plan(session, issuer_by_code(session, reseller), name, text, context.clock.now_us())
    click.echo(f"plan {name} has version {version.number}")


def _read(file: Path) -> str:
    content = file.read_bytes()
    if len(content) > MAX_PLAN_BYTES:
        raise InputRefused(f"{file} is longer than {MAX_PLAN_BYTES:,} bytes: that is no plan")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputRefused(f"{file} is not UTF-8; save it as UTF-8") from None


@plans.command("list")
@click.option("--reseller", help="Only this reseller's; \"operator\": only the operator's.")
@json_option
@pass_context
def list_all(context: Context, reseller: str | None, as_json: bool) -> None:
    """List plans with their newest versions."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = None if reseller is None else issuer_by_code(session, reseller)
        listed = [
            {
                "name": offered.plan.name,
                "issuer": offered.issuer,
                "kind": offered.plan.kind,
                "version": offered.newest.number,
                "unit": offered.newest.terms.unit,
                "cycle": _cycle(offered.newest.terms),
                "prices": _prices(offered.newest.terms, unit_of(session, offered.newest.terms.unit)),
                "subscriptions": offered.subscriptions,
                "retired": moment(offered.plan.retired_us),
            }
            for offered in list_plans(session, issuer)
        ]
    if as_json:
        print_json(listed)
        return
    columns = ("Plan", "Of", "Kind", ">Version", "Unit", "Cycle", "Prices", ">Subscriptions", "Retired")
    print_table("", columns, ([*x.values()] for x in listed))


def _cycle(terms: PlanTerms) -> str:
    return terms.cycle if terms.every == 1 else f"{terms.every} {terms.cycle}s"


def _prices(terms: PlanTerms, unit: Unit) -> str:
    return ", ".join(f"{charge.name} {_price(charge, unit)}" for charge in terms.charges)


def _price(charge: PlanCharge, unit: Unit) -> str:
    if charge.steps:
        return " ".join(f"{x.from_quantity}+ {format_amount(x.price, unit)}" for x in charge.steps)
    return format_amount(charge.price, unit)


@plans.command()
@click.argument("name")
@click.option("--version", "number", type=int, help="Default: the newest.")
@reseller_option
@json_option
@pass_context
def show(context: Context, name: str, number: int | None, reseller: str | None, as_json: bool) -> None:
    """Show the terms of a plan, and its versions."""
    with context.application() as application, transaction(reading(application.database)) as session:
        plan = plan_by_name(session, issuer_by_code(session, reseller), name)
        version = version_by_number(session, plan, number)
        facts = _facts(version, unit_of(session, version.terms.unit)) | {"retired": moment(plan.retired_us)}
        versions = [
            {"version": written.number, "written": moment(created_us), "subscriptions": count}
            for written, created_us, count in versions_of(session, plan)
        ]
    if as_json:
        print_json(facts | {"versions": versions})
        return
    charges = facts.pop("charges")
    print_table("", ("", ""), ((key.replace("_", " "), _cell(value)) for key, value in facts.items()))
    columns = ("Charge", ">Price", "Type", "Quantity", "Taxed as")
    print_table("Charges", columns, ([*x.values()] for x in charges))
    print_table("Versions", (">Version", "Written", ">Subscriptions"), ([*x.values()] for x in versions))


def _cell(value: Any) -> str:
    return "\n".join(value) if isinstance(value, list) else "-" if value in {None, ""} else str(value)


def _facts(version: PlanVersion, unit: Unit) -> dict[str, Any]:
    terms = version.terms
    return {
        "name": version.name,
        "version": version.number,
        "kind": terms.kind.value,
        "unit": terms.unit,
        "cycle": _cycle(terms),
        "anchor": terms.anchoring.value,
        "fixed_day": None if terms.fixed_day is None else terms.fixed_day.isoformat(),
        "timing": terms.timing.value,
        "proration": terms.proration.value,
        "collection": terms.collection.value,
        "change": terms.change.value,
        "set_up_on_change": terms.set_up_on_change,
        "minimum_spend": format_amount(terms.minimum_spend, unit),
        "term": None if terms.term is None else f"{terms.term.length} {terms.term.of.value}",
        "cancellation_fee": None if terms.term is None else _fee(terms.term.fee, unit),
        "renewal": terms.renewal.value,
        "unpaid": terms.unpaid.value,
        "remind_days_before": terms.remind_days_before,
        "trial_days": terms.trial_days,
        "bundles": list(terms.bundles),
        "tariff": terms.tariff,
        "inbound_tariff": terms.inbound_tariff,
        "charges": [
            {
                "name": charge.name,
                "price": _price(charge, unit),
                "type": charge.type.value,
                "quantity": "counted" if charge.counted else "flat",
                "product_class": charge.product_class,
            }
            for charge in terms.charges
        ],
    }


def _fee(fee: CancellationFee | None, unit: Unit) -> str | None:
    if fee is None:
        return None
    share = f"{to_decimal(fee.share_ppm, 4).normalize():f} %" if fee.share_ppm else ""
    return f"{fee.kind.value} {share or format_amount(fee.amount, unit)}"


@plans.command()
@click.argument("name")
@reseller_option
@pass_context
def retire(context: Context, name: str, reseller: str | None) -> None:
    """Let nobody subscribe to a plan any more; who has it keeps it."""
    with context.application() as application, transaction(application.database) as session:
        plan = plan_by_name(session, issuer_by_code(session, reseller), name)
        retire_plan(session, plan, context.clock.now_us())
    click.echo(f"plan {name} is retired")


@plans.command()
@click.argument("name")
@click.option("--account", "codes", multiple=True, help="Only this account's; may be repeated. Default: all.")
@click.option("--now", "at_once", is_flag=True, help="At once; default: when the present period is over.")
@click.option("--reason", default="", help="Kept in the history.")
@by_option
@reseller_option
@json_option
@pass_context
def migrate(context: Context, /, name: str, *, as_json: bool, **terms: Any) -> None:
    """Bring subscriptions of older versions of a plan to its newest one, all or those of some accounts."""
    at = ChangeAt.NOW if terms["at_once"] else ChangeAt.CYCLE_END
    wanted = Wanted(at=at, reason=terms["reason"], by=terms["by"])
    with context.application() as application:
        with transaction(reading(application.database)) as session:
            plan = plan_by_name(session, issuer_by_code(session, terms["reseller"]), name)
            ids = to_migrate(session, plan, [account_by_code(session, code) for code in terms["codes"]])
        found = migrate_all(lambda: billing(application), plan, ids, wanted, context.clock)
    migrated = found.done
    failed = [{"subscription": id, "reason": reason} for id, reason in found.refused]
    if as_json:
        print_json({"migrated": migrated, "failed": failed})
    else:
        click.echo(
            f"subscriptions migrated {'now' if terms['at_once'] else 'at their next period'}: {len(migrated)}"
        )
        for fault in failed:
            click.echo(f"  subscription {fault['subscription']}: {fault['reason']}", err=True)
    if failed:
        raise SystemExit(1)


COMMANDS = (plans,)
