"""services: which tariff rates an account's messages, bytes and items."""

import click

from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table, warn
from pbxbill.store.accounts import account_by_code, tariff_of_issuer
from pbxbill.store.engine import reading, transaction
from pbxbill.store.services import list_services, remove_service, set_service


@click.group()
def services() -> None:
    """What accounts use beside calls, and the tariffs for it; `pbxbill mediate` imports the usage."""


@services.command("set")
@click.argument("account")
@click.argument("service")
@click.argument("tariff")
@pass_context
def set_(context: Context, account: str, service: str, tariff: str) -> None:
    """Let TARIFF rate a SERVICE of ACCOUNT: messages, bytes, items, or what its records call it."""
    with context.application() as application, transaction(application.database) as session:
        row = account_by_code(session, account)
        set_service(session, row, service, tariff_of_issuer(session, row.parent_id, tariff))
        conflict = tax_conflict(session, row.id, context.clock.now_us())
    click.echo(f"{service} of account {account} are rated by tariff {tariff}")
    warn(conflict)


@services.command()
@click.argument("account")
@click.argument("service")
@pass_context
def remove(context: Context, account: str, service: str) -> None:
    """Take a SERVICE away from ACCOUNT."""
    with context.application() as application, transaction(application.database) as session:
        remove_service(session, account_by_code(session, account), service)
    click.echo(f"account {account} has no tariff for {service} any more")


@services.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List the services of all accounts."""
    with context.application() as application, transaction(reading(application.database)) as session:
        rows = list_services(session)
    if as_json:
        print_json([{"account": code, "service": service, "tariff": name} for code, service, name in rows])
        return
    print_table("", ("Account", "Service", "Tariff"), rows)


COMMANDS = (services,)
