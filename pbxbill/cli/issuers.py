"""issuers: how the operator, or a reseller, makes his invoices, and numbers them."""

from dataclasses import replace
from typing import Any

import click

from pbxbill.billing.invoices.numbering import (
    DEFAULT_FORMATS,
    NumberFormat,
    begin_numbers,
    number_formats,
    set_number_format,
)
from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.billing.parties import issuer_of, set_issuer, support_numbers, template_id_of
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import TemplateRow

KINDS = tuple(DEFAULT_FORMATS)
code_argument = click.argument("code", default="operator")


@click.group()
def issuers() -> None:
    """Issuers: time zone, tax rounding, payment terms and numbers of your company and of resellers."""


@issuers.command("set")
@code_argument
@click.option("--zone", help="Time zone of dates on documents, of tax validity and of the numbers' years.")
@click.option(
    "--tax-rounding",
    type=click.Choice([x.value for x in TaxRounding]),
    help="Once per tax and invoice, or on each line where the law wants it.",
)
@click.option("--payment-days", type=int, help="In which an invoice is to be paid.")
@click.option("--payment-terms", help="Printed.")
@click.option("--did-quarantine-days", type=int, help="A DID rests so long before somebody else gets it.")
@click.option(
    "--support-numbers",
    help="Which his customers, and all below them, reach however suspended they are, with commas between; "
    "'' for none.",
)
@click.option("--template", help="Of his invoices; '' for the built-in one.")
@pass_context
def set_(context: Context, /, code: str, **options: Any) -> None:
    """Change how an issuer (default: your company) makes the invoices that are issued from now on."""
    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        raise InputRefused("nothing to change; `pbxbill issuers set --help` shows what can be")
    said = ", ".join(name.replace("_", " ") for name in changes)
    if "tax_rounding" in changes:
        changes["tax_rounding"] = TaxRounding(changes["tax_rounding"])
    if "support_numbers" in changes:
        changes["support_numbers"] = support_numbers(changes["support_numbers"])
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, code)
        if "template" in changes:
            changes["template_id"] = template_id_of(session, issuer.id, changes.pop("template"))
        set_issuer(session, issuer.id, replace(issuer_of(session, issuer.id), **changes))
    click.echo(f"changed {said} of issuer {code}")


@issuers.command("show")
@code_argument
@json_option
@pass_context
def show(context: Context, code: str, as_json: bool) -> None:
    """Show how an issuer makes his invoices, and how he numbers them."""
    with context.application() as application, transaction(reading(application.database)) as session:
        account = issuer_by_code(session, code)
        issuer = issuer_of(session, account.id)
        template = None if issuer.template_id is None else session.get(TemplateRow, issuer.template_id)
        formats = number_formats(session, account.id)
    shown = {
        "code": code,
        "zone": issuer.zone,
        "tax_rounding": issuer.tax_rounding.value,
        "payment_days": issuer.payment_days,
        "payment_terms": issuer.payment_terms,
        "did_quarantine_days": issuer.did_quarantine_days,
        "support_numbers": ", ".join(issuer.support_numbers.split()),
        "template": None if template is None else template.name,
    }
    numbers = {
        kind: {"prefix": x.prefix, "padding": x.padding, "yearly": x.yearly} for kind, x in formats.items()
    }
    if as_json:
        print_json(shown | {"numbers": numbers})
        return
    print_table("", ("", ""), ((key.replace("_", " "), value) for key, value in shown.items()))
    print_table(
        "",
        ("Document", "Prefix", ">Digits", "Begins anew", "As in 2026"),
        (
            (kind.replace("_", " "), x.prefix, x.padding, _anew(x), x.number(2026, 123))
            for kind, x in formats.items()
        ),
    )


def _anew(layout: NumberFormat) -> str:
    return "yearly" if layout.yearly else "never"


@issuers.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--prefix", help="May hold {year}, and must where numbers begin anew each year.")
@click.option("--padding", type=int, help="Least digits of the count.")
@click.option("--yearly/--counting-on", default=None, help="Whether each year begins with 1.")
@click.option(
    "--next",
    "following",
    type=int,
    help="Count of the first number, after those of another system; only before there is a number.",
)
@click.option("--reseller", help="The reseller who issues; default: your own company.")
@pass_context
def numbering(
    context: Context, /, kind: str, following: int | None, reseller: str | None, **options: Any
) -> None:
    """Change how an issuer numbers documents of a kind. A number that exists never comes again."""
    changes = {name: value for name, value in options.items() if value is not None}
    if not changes and following is None:
        raise InputRefused("nothing to change: give --prefix, --padding, --yearly or --next")
    first = ""
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        layout = replace(number_formats(session, issuer.id)[kind], **changes)
        if changes:
            set_number_format(session, issuer.id, kind, layout)
        if following is not None:
            zone = issuer_of(session, issuer.id).zone
            first = begin_numbers(session, issuer.id, kind, following, context.clock.now_us(), zone)
    said = f"{kind.replace('_', ' ')}s are numbered like {layout.number(2026, 123)}"
    click.echo(f"{said}; the next one is {first}" if first else said)


COMMANDS = (issuers,)
