"""billing: how accounts are billed."""

from dataclasses import replace
from datetime import date
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.parties import template_id_of
from pbxbill.billing.period import MOST_OF_A_CYCLE, Period, local_date
from pbxbill.billing.profiles import (
    CALL_LISTS,
    FORMATS,
    INVOICINGS,
    Profile,
    profile_of,
    set_profile,
)
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.billing.taxes.tax_rules import TaxTreatment
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table, warn
from pbxbill.cli.wallets import unit_of_account, unit_option
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, parse_amount
from pbxbill.store.accounts import account_by_code, unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import TemplateRow
from pbxbill.store.models import AccountRow, WalletRow


@click.group()
def billing() -> None:
    """Billing of accounts: when, in which format and language, to whom, with which terms."""


@billing.command("set")
@click.argument("code")
@click.option(
    "--invoicing",
    type=click.Choice(INVOICINGS),
    help="draft: you review its invoices; issue: they are issued at once; none: it gets none.",
)
@click.option("--cycle", type=click.Choice(tuple(MOST_OF_A_CYCLE)))
@click.option("--every", type=int, help="So many of them are a period: 2 weeks, 10 days ...")
@click.option("--anchor", help="A day on whose like periods begin: 2026-01-31 is every month's last day.")
@click.option("--zone", help="Time zone of its periods; '' for the issuer's.")
@click.option("--language", help="Of its documents; '' for the account's.")
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Repeat it for several.")
@click.option("--email", "emails", multiple=True, help="Repeat it; '' for its party's address.")
@click.option("--template", help="Of its invoices; '' for the issuer's.")
@click.option("--purchase-order", help="Its order number, printed.")
@click.option("--payment-days", help="In which it pays; '' for the issuer's.")
@click.option("--call-list", type=click.Choice(CALL_LISTS))
@click.option("--previous-balance/--no-previous-balance", default=None, help="Shown on its invoices.")
@click.option("--tax-treatment", type=click.Choice([x.value for x in TaxTreatment]))
@click.option("--minimum-total", help="Below it nothing is invoiced; it waits for the next period.")
@unit_option
@click.option("--group", "group_name", help="By which billing runs may choose it.")
@pass_context
def set_(context: Context, /, code: str, unit_code: str | None, **options: Any) -> None:
    """Change how an account is billed, beginning with what is not billed yet."""
    said = {name: value for name, value in options.items() if value not in (None, ())}
    if not said:
        raise InputRefused("nothing to change; `pbxbill billing set --help` shows what can be")
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        before = profile_of(session, account.id)
        changes = _changes(session, account, said, unit_code)
        after = set_profile(session, account.id, replace(before.terms, **changes))
        conflict = ""
        if "tax_treatment" in changes:
            conflict = tax_conflict(session, account.id, context.clock.now_us())
    click.echo(f"changed {', '.join(name.replace('_', ' ') for name in said)} of account {code}")
    if before.cycle != after.cycle and after.invoiced:
        click.echo(f"its next period: {_days(after.next_period(), after.cycle.zone)}")
    warn(conflict)


def _changes(
    session: Session, account: AccountRow, said: dict[str, Any], unit_code: str | None
) -> dict[str, Any]:
    changes = dict(said)
    if "anchor" in changes:
        changes["anchor"] = _anchor(changes["anchor"])
    if "emails" in changes:
        changes["emails"] = tuple(address.strip() for address in changes["emails"] if address.strip())
    if "template" in changes:
        assert account.parent_id is not None
        changes["template_id"] = template_id_of(session, account.parent_id, changes.pop("template"))
    if "payment_days" in changes:
        days = changes["payment_days"]
        if days and not (days.isascii() and days.isdigit() and len(days) <= 5):
            raise InputRefused(f"{days[:20]!r} is no number of days")
        changes["payment_days"] = int(days) if days else None
    if "tax_treatment" in changes:
        changes["tax_treatment"] = TaxTreatment(changes["tax_treatment"])
    if "minimum_total" in changes:
        unit = unit_of_account(session, account, unit_code)
        changes["minimum_total"] = parse_amount(changes["minimum_total"], unit)
    return changes


def _anchor(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputRefused(f"anchor {text[:40]!r} is no day; write it like 2026-01-31") from None


@billing.command("show")
@click.argument("code")
@json_option
@pass_context
def show(context: Context, code: str, as_json: bool) -> None:
    """Show how an account is billed, what it leaves to its issuer and party filled in."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = account_by_code(session, code)
        profile = profile_of(session, account.id)
        shown = {"code": code} | _shown(session, profile)
        shown["minimum_total"] = _minimum(session, account, profile)
    if as_json:
        print_json(shown)
        return
    rows = ((key.replace("_", " "), _cell(value)) for key, value in shown.items())
    print_table("", ("", ""), rows)


def _shown(session: Session, profile: Profile) -> dict[str, Any]:
    terms, cycle = profile.terms, profile.cycle
    template = None if profile.template_id is None else session.get(TemplateRow, profile.template_id)
    billed_to_us = profile.billed_to_us
    return {
        "invoicing": terms.invoicing,
        "cycle": cycle.unit,
        "every": cycle.every,
        "anchor": str(cycle.anchor),
        "zone": cycle.zone,
        "billed_to": None if billed_to_us is None else str(local_date(billed_to_us - 1, cycle.zone)),
        "next_period": _days(profile.next_period(), cycle.zone) if profile.invoiced else None,
        "language": profile.language,
        "formats": list(terms.formats),
        "emails": list(profile.emails),
        "template": None if template is None else template.name,
        "purchase_order": terms.purchase_order,
        "payment_days": profile.payment_days,
        "call_list": terms.call_list,
        "previous_balance": terms.previous_balance,
        "tax_treatment": terms.tax_treatment.value,
        "group": terms.group_name,
    }


def _minimum(session: Session, account: AccountRow, profile: Profile) -> str:
    least = profile.terms.minimum_total
    units = select(WalletRow.unit).where(WalletRow.account_id == account.id).order_by(WalletRow.id)
    code = session.scalar(units.limit(1))
    return format_amount(least, unit_of(session, code)) if code is not None else str(least)


def _days(period: Period, zone: str) -> str:
    return f"{local_date(period.from_us, zone)} to {local_date(period.to_us - 1, zone)}"


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "\n".join(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


COMMANDS = (billing,)
