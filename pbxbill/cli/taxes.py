"""taxes: an issuer's tax rates, his accounts' exemptions, and what a line would be taxed."""

from datetime import date
from typing import Any

import click
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.totals import TotalLine, total
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.period import local_date
from pbxbill.billing.profiles import tax_buyer_of
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.billing.taxes.tax import PPM, percent, taxed
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.billing.taxes.tax_rates import (
    CATEGORIES,
    NewExemption,
    NewTaxRate,
    add_exemption,
    add_tax_rate,
    end_exemption,
    end_tax_rate,
    exemptions,
    last_moment_us,
    tax_rates,
    validity_us,
)
from pbxbill.billing.taxes.tax_rules import TaxTable
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table, warn
from pbxbill.cli.wallets import unit_of_account
from pbxbill.errors import InputRefused
from pbxbill.money import format_amount, minor_step, parse_amount, parse_decimal
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import TaxExemptionRow, TaxRateRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

reseller_option = click.option("--reseller", help="The reseller who issues; default: your own company.")
from_option = click.option("--from", "first_day", help="Its first day in the issuer's zone; default: today.")
LAST_DAY = "The last day on which it holds, in the issuer's zone."
last_day_option = click.option("--last-day", help=LAST_DAY)
ending_option = click.option("--last-day", required=True, help=LAST_DAY)


@click.group()
def taxes() -> None:
    """Taxes: named rates by time, place and product class; exemptions; what a line would be taxed."""


@taxes.command("add")
@click.argument("name")
@click.argument("rate", metavar="PERCENT")
@click.option(
    "--category",
    default="S",
    show_default=True,
    help="; ".join(f"{code}: {words}" for code, words in CATEGORIES.items()),
)
@click.option("--country", default="", help="Of the buyer, two letters; default: any.")
@click.option("--region", default="", help="Of the buyer: state, province; default: any.")
@click.option("--class", "product_class", default="", help="Of products, e.g. usage; default: any.")
@from_option
@last_day_option
@click.option("--compound", is_flag=True, help="Reckoned on the amount with the taxes before it.")
@click.option("--inclusive", is_flag=True, help="Prices contain it already.")
@click.option("--position", type=click.IntRange(0, 1000), default=0, help="Order among taxes; default: 0.")
@click.option("--reason", default="", help="Printed: why it is exempt, reverse charge ...")
@reseller_option
@pass_context
def add(context: Context, /, name: str, rate: str, reseller: str | None, **options: Any) -> None:
    """Add a tax rate. A rate that changes is ended, and followed by another of its name."""
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        from_us, to_us = _time(context, session, issuer.id, options.pop("first_day"), options.pop("last_day"))
        row = add_tax_rate(session, issuer.id, NewTaxRate(name, _ppm(rate), from_us, to_us, **options))
    click.echo(f"tax rate {row.id}: {name} {percent(row.ppm)} %")


def _ppm(text: str) -> int:
    ppm = parse_decimal(text.removesuffix("%")) * (PPM // 100)
    if ppm != int(ppm):
        raise InputRefused("a tax rate has up to four digits after the point")
    return int(ppm)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputRefused(f"{text[:40]!r} is no day; write it like 2026-01-31") from None


def _time(
    context: Context, session: Session, issuer_id: int, first_day: str | None, last_day: str | None
) -> tuple[int, int | None]:
    first = _day(first_day) if first_day else None
    last = None if last_day is None else _day(last_day)
    return validity_us(first, last, issuer_of(session, issuer_id).zone, context.clock.now_us())


def _end_us(last_day: str, zone: str) -> int:
    return last_moment_us(_day(last_day), zone)


@taxes.command("list")
@reseller_option
@json_option
@pass_context
def list_(context: Context, reseller: str | None, as_json: bool) -> None:
    """List an issuer's tax rates, those that are over and those to come too."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer = issuer_by_code(session, reseller)
        zone = issuer_of(session, issuer.id).zone
        shown = [_shown_rate(row, zone) for row in tax_rates(session, issuer.id)]
    if as_json:
        print_json(shown)
        return
    titles = (">Id", "Tax", ">Percent", "Category", "Country", "Region", "Class", "From", "Last day")
    print_table("", (*titles, "Kind", "Reason"), ([*x.values()] for x in map(_row, shown)))


def _shown_rate(row: TaxRateRow, zone: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "percent": percent(row.ppm),
        "category": row.category,
        "country": row.country,
        "region": row.region,
        "class": row.product_class,
        "from": str(local_date(row.from_us, zone)),
        "last_day": _last_day(row.to_us, zone),
        "compound": row.compound,
        "inclusive": row.inclusive,
        "position": row.position,
        "reason": row.reason,
    }


def _last_day(to_us: int | None, zone: str) -> str | None:
    return None if to_us is None else str(local_date(to_us - 1, zone))


def _row(shown: dict[str, Any]) -> dict[str, Any]:
    kinds = ", ".join(kind for kind in ("compound", "inclusive") if shown[kind])
    cells = {key: shown[key] for key in shown if key not in ("compound", "inclusive", "position", "reason")}
    return cells | {"kind": kinds, "reason": shown["reason"]}


@taxes.command()
@click.argument("id", type=int)
@ending_option
@reseller_option
@pass_context
def end(context: Context, id: int, last_day: str, reseller: str | None) -> None:
    """End a tax rate; `pbxbill taxes list` shows their ids."""
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        row = end_tax_rate(session, issuer.id, id, _end_us(last_day, issuer_of(session, issuer.id).zone))
    click.echo(f"{row.name} {percent(row.ppm)} % holds until {last_day}")


@taxes.command()
@click.argument("code")
@click.option("--reason", required=True, help="Why; invoices print it.")
@click.option("--tax", "tax_name", default="", help="The tax that it does not owe; default: every one.")
@click.option("--certificate", default="", help="Number of the certificate that says so.")
@from_option
@last_day_option
@pass_context
def exempt(context: Context, /, code: str, **options: Any) -> None:
    """Say that an account owes no tax, or not one of them, and why."""
    with context.application() as application, transaction(application.database) as session:
        account, issuer_id = _billed(session, code)
        from_us, to_us = _time(context, session, issuer_id, options.pop("first_day"), options.pop("last_day"))
        row = add_exemption(session, account.id, NewExemption(from_us=from_us, to_us=to_us, **options))
        conflict = tax_conflict(session, account.id, max(from_us, context.clock.now_us()))
    click.echo(f"account {code} is exempt from {row.tax_name or 'every tax'}: {row.reason}")
    warn(conflict)


@taxes.command("end-exemption")
@click.argument("code")
@click.option("--tax", "tax_name", default="", help="The tax that it says; default: that from every one.")
@ending_option
@pass_context
def end_exempt(context: Context, code: str, tax_name: str, last_day: str) -> None:
    """Let an account owe a tax again."""
    with context.application() as application, transaction(application.database) as session:
        account, issuer_id = _billed(session, code)
        end_exemption(session, account.id, tax_name, _end_us(last_day, issuer_of(session, issuer_id).zone))
    click.echo(f"account {code} is exempt from {tax_name or 'every tax'} until {last_day}")


@taxes.command("exemptions")
@click.argument("code")
@json_option
@pass_context
def list_exemptions(context: Context, code: str, as_json: bool) -> None:
    """List an account's exemptions."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account, issuer_id = _billed(session, code)
        zone = issuer_of(session, issuer_id).zone
        shown = [_shown_exemption(row, zone) for row in exemptions(session, account.id)]
    if as_json:
        print_json(shown)
        return
    titles = ("Tax", "Reason", "Certificate", "From", "Last day")
    print_table("", titles, ([x["tax"] or "every one", *list(x.values())[1:]] for x in shown))


def _shown_exemption(row: TaxExemptionRow, zone: str) -> dict[str, Any]:
    return {
        "tax": row.tax_name,
        "reason": row.reason,
        "certificate": row.certificate,
        "from": str(local_date(row.from_us, zone)),
        "last_day": _last_day(row.to_us, zone),
    }


@taxes.command(context_settings={"ignore_unknown_options": True})  # -5 is an amount
@click.argument("code")
@click.argument("amount")
@click.option("--class", "product_class", default="usage", show_default=True, help="Of the product.")
@click.option("--day", help="On which it is charged; default: today.")
@click.option("--unit", "unit_code", help="Which wallet's, if the account has several.")
@json_option
@pass_context
def test(context: Context, /, code: str, amount: str, *, as_json: bool, **options: Any) -> None:
    """Say what a line at this price would be taxed on an invoice of the account, and why."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account, issuer_id = _billed(session, code)
        unit = unit_of_account(session, account, options["unit_code"])
        issuer = issuer_of(session, issuer_id)
        at_us, _ = _time(context, session, issuer_id, options["day"], None)
        buyer = tax_buyer_of(session, account.id)
        decided = TaxTable.load(session, issuer_id).decide(buyer, options["product_class"], at_us)
        conflict = tax_conflict(session, account.id, at_us)
    price = parse_amount(amount, unit)
    line = TotalLine(taxed(price, decided.taxes).net, decided.taxes)
    sums = total([line], minor_step(unit), issuer.tax_rounding)

    def said(steps: int) -> str:
        return format_amount(steps, unit)

    taxes_shown = [
        {
            "name": x.tax.name,
            "percent": percent(x.tax.ppm),
            "category": x.tax.category,
            "base": said(x.base),
            "tax": said(x.amount),
            "reason": x.tax.reason,
        }
        for x in sums.taxes
    ]
    shown = {
        "account": code,
        "unit": unit.code,
        "price": format_amount(price, unit),
        "net": said(sums.net),
        "taxes": taxes_shown,
        "tax": said(sums.tax),
        "total": said(sums.total),
        "why": decided.why,
        "warning": conflict,
    }
    warn(conflict)
    if as_json:
        print_json(shown)
        return
    rows = [
        (f"{x['name']} {x['percent']} % ({x['category']})", x["base"], x["tax"], x["reason"])
        for x in taxes_shown
    ]
    print_table(
        f"{shown['price']} {unit.code} for {code}: {decided.why}",
        ("", ">Of", f">{unit.code}", ""),
        [("net", "", shown["net"], ""), *rows, ("total", "", shown["total"], "")],
    )


def _billed(session: Session, code: str) -> tuple[AccountRow, int]:
    account = account_by_code(session, code)
    if account.parent_id is None:
        raise InputRefused("the operator is billed by nobody; name a reseller or a customer")
    return account, account.parent_id


COMMANDS = (taxes,)
