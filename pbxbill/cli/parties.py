"""parties: who accounts are in law, printed on documents as seller or buyer."""

from dataclasses import asdict
from typing import Any

import click

from pbxbill.billing.parties import PARTY_FIELDS, party_of, set_party
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, print_json, print_table, warn
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction

_HELP = {
    "legal_name": "As it is registered.",
    "extra": "Second line of the address: floor, care of ...",
    "region": "State or province; taxes may go by it.",
    "country": "Two letters, e.g. DE; taxes go by it.",
    "vat_id": "Checked by the rules of its country.",
    "registration_id": "Company number, or its register's.",
    "contact": "Whom to ask.",
    "email": "Where invoices go, unless the account's billing names others.",
    "iban": "Checked.",
}


@click.group()
def parties() -> None:
    """Parties: legal name, address, VAT id and bank of the operator ("operator"), resellers and customers."""


@parties.command("set")
@click.argument("code")
@pass_context
def set_(context: Context, /, code: str, **options: str | None) -> None:
    """Say who an account is; '' takes a thing away. What is issued keeps what was printed."""
    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        raise InputRefused("nothing to change; `pbxbill parties set --help` shows what can be")
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        party = set_party(session, account.id, changes)
        conflict = tax_conflict(session, account.id, context.clock.now_us())
    click.echo(f"changed {', '.join(name.replace('_', ' ') for name in changes)} of {code}")
    if party.missing:
        click.echo(f"for an invoice its address lacks: {', '.join(party.missing)}", err=True)
    warn(conflict)


for _name in reversed(PARTY_FIELDS):
    set_ = click.option(f"--{_name.replace('_', '-')}", help=_HELP.get(_name))(set_)


@parties.command("show")
@click.argument("code")
@json_option
@pass_context
def show(context: Context, code: str, as_json: bool) -> None:
    """Show who an account is."""
    with context.application() as application, transaction(reading(application.database)) as session:
        party = party_of(session, account_by_code(session, code).id)
    shown: dict[str, Any] = {"code": code} | asdict(party)
    if as_json:
        print_json(shown)
        return
    print_table("", ("", ""), ((key.replace("_", " "), value) for key, value in shown.items() if value))


COMMANDS = (parties,)
