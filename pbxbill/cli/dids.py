"""dids: the inventory of telephone numbers, and who has which of them."""

import sys
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from pbxbill.app import billing
from pbxbill.billing.subscriptions.did_inventory import (
    STATES,
    Imported,
    add_did,
    did_by_number,
    end_quarantines,
    import_dids,
    move_to_inventory,
    state_at,
    withdraw,
)
from pbxbill.billing.subscriptions.did_sheet import DidSheet
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code, offered_version
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.subscribing import When
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.invoice_drafts import by_option
from pbxbill.cli.output import LOCAL_DAY, json_option, moment, print_json, print_table
from pbxbill.cli.subscriptions import (
    charged_to_option,
    moment_of,
    parse_prices,
    prices_option,
    tell,
    term_until_option,
)
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import DidHistoryRow, DidRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

REFUSED_SHOWN = 10
EXIT_ROWS_REFUSED = 3
MOST_LISTED = 1_000

reseller_option = click.option("--reseller", help="Whose inventory; default: the operator's.")


@click.group()
def dids() -> None:
    """DIDs: telephone numbers to give out, who has them, and what becomes of those given back."""


@dids.command()
@click.argument("number")
@click.option("--country", default="", help="Two letters, e.g. DE.")
@reseller_option
@pass_context
def add(context: Context, number: str, country: str, reseller: str | None) -> None:
    """Put NUMBER into the inventory, written as the switch shows it when it is called."""
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        did = add_did(session, issuer, number, context.clock.now_us(), country=country)
        known = did.number, did.state
    click.echo(f"DID {known[0]} is {known[1]}")


@dids.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@reseller_option
@json_option
@pass_context
def import_file(context: Context, file: Path, reseller: str | None, as_json: bool) -> None:
    """Import a list: CSV with the column number, and perhaps country.

    Unusable rows are left out, listed and kept aside in NAME.refused.csv; the exit code is then 3.
    """
    now_us = context.clock.now_us()
    with (
        context.application() as application,
        file.open("rb") as stream,
        transaction(application.database) as session,
    ):
        sheet = DidSheet(stream)
        imported = import_dids(session, issuer_by_code(session, reseller), sheet.rows(), now_us)
    aside = _keep_aside(file, sheet, imported)
    if as_json:
        rows = [{"line": row.line, "reason": row.reason} for row in imported.refused]
        facts = {"added": imported.added, "known": imported.known, "refused": rows}
        print_json(facts | {"refused_file": str(aside) if aside else None})
    else:
        click.echo(f"DIDs added: {imported.added}; in the inventory already: {imported.known}")
    if imported.refused:
        for row in imported.refused[: 0 if as_json else REFUSED_SHOWN]:
            click.echo(f"  line {row.line}: {row.reason}", err=True)
        listed = f" ({aside} lists them)" if aside else ""
        click.echo(f"rows refused: {len(imported.refused)}; correct and import them again{listed}", err=True)
        sys.exit(EXIT_ROWS_REFUSED)


def _keep_aside(file: Path, sheet: DidSheet, imported: Imported) -> Path | None:
    if not imported.refused:
        return None
    aside = file.with_suffix(".refused.csv")
    try:
        with aside.open("w", encoding="utf-8", newline="") as stream:
            sheet.write_refused(stream, imported.refused)
    except OSError as error:
        click.echo(f"{aside} cannot be written: {error.strerror}", err=True)
        return None
    return aside


@dids.command("list")
@click.option("--state", type=click.Choice(STATES))
@click.option("--account", help="Only those of this account.")
@click.option("--reseller", help="Only this reseller's inventory; \"operator\": only the operator's.")
@click.option("--prefix", default="", help="Only numbers that begin so.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=MOST_LISTED, show_default=True)
@json_option
@pass_context
def list_dids(context: Context, /, as_json: bool, **wanted: Any) -> None:
    """List DIDs by number."""
    with context.application() as application:
        now_us = context.clock.now_us()
        with transaction(application.database) as session:
            end_quarantines(session, now_us)
        with transaction(reading(application.database)) as session:
            listed = _listed(session, now_us, wanted)
    if as_json:
        print_json(listed)
        return
    columns = ("Number", "Country", "State", "Inventory of", "Account", ">Subscription", "Quarantine until")
    print_table("", columns, ([*x.values()] for x in listed))


def _listed(session: Session, now_us: int, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    issuer, holder = aliased(AccountRow), aliased(AccountRow)
    query = (
        select(DidRow, issuer.code, holder.code)
        .join(issuer, issuer.id == DidRow.issuer_id)
        .outerjoin(holder, holder.id == DidRow.account_id)
        .order_by(DidRow.number)
        .limit(wanted["limit"])
    )
    if wanted["state"]:
        query = query.where(DidRow.state == wanted["state"])
    if wanted["account"]:
        query = query.where(DidRow.account_id == account_by_code(session, wanted["account"]).id)
    if wanted["reseller"]:
        query = query.where(DidRow.issuer_id == account_by_code(session, wanted["reseller"]).id)
    if wanted["prefix"]:
        query = query.where(DidRow.number.startswith(wanted["prefix"], autoescape=True))
    return [_facts(did, owner, account, now_us) for did, owner, account in session.execute(query)]


def _facts(did: DidRow, owner: str, account: str | None, now_us: int) -> dict[str, Any]:
    return {
        "number": did.number,
        "country": did.country,
        "state": state_at(did, now_us),
        "inventory": owner,
        "account": account,
        "subscription": did.subscription_id,
        "quarantine_until": moment(did.free_from_us),
    }


@dids.command()
@click.argument("number")
@json_option
@pass_context
def show(context: Context, number: str, as_json: bool) -> None:
    """Show a DID and who had it when."""
    with context.application() as application, transaction(reading(application.database)) as session:
        did = did_by_number(session, number)
        owner = session.get_one(AccountRow, did.issuer_id)
        holder = None if did.account_id is None else session.get_one(AccountRow, did.account_id)
        facts = _facts(did, owner.code, holder.code if holder else None, context.clock.now_us())
        rows = session.execute(
            select(AccountRow.code, DidHistoryRow.from_us, DidHistoryRow.to_us)
            .join(AccountRow, AccountRow.id == DidHistoryRow.account_id)
            .where(DidHistoryRow.did_id == did.id)
            .order_by(DidHistoryRow.id)
        )
        history = [
            {"account": code, "from": moment(from_us), "to": moment(to_us)} for code, from_us, to_us in rows
        ]
    if as_json:
        print_json(facts | {"history": history})
        return
    print_table("", ("", ""), ((key.replace("_", " "), value) for key, value in facts.items()))
    print_table("Had by", ("Account", "From", "To"), ([*x.values()] for x in history))


@dids.command()
@click.argument("number")
@click.argument("account")
@click.option("--plan", help="Of kind did; without one the number costs nothing.")
@prices_option
@click.option("--from", "since", help=f"When what it costs begins; default: now. {LOCAL_DAY}")
@charged_to_option
@term_until_option
@click.option("--reason", default="", help="Kept in the history.")
@by_option
@pass_context
def assign(context: Context, /, number: str, account: str, plan: str | None, **terms: Any) -> None:
    """Give a DID to an account, which pays what the plan says from now on."""
    with context.application() as application, billing(application) as (session, books):
        holder = account_by_code(session, account)
        issuer = holder if holder.parent_id is None else session.get_one(AccountRow, holder.parent_id)
        version = None if plan is None else offered_version(session, issuer, plan)
        wanted = Assignment(
            version,
            parse_prices(terms["prices"]),
            terms["reason"],
            terms["by"],
            from_us=moment_of(session, holder, terms["since"]),
            charged_to_us=moment_of(session, holder, terms["charged_to"]),
            term_until_us=moment_of(session, holder, terms["term_until"]),
        )
        did, done = assign_did(session, books, number, holder, wanted, context.clock.now_us())
        shown = did.number
        words = [] if done is None else tell(session, done)
    click.echo(f"DID {shown} is assigned to account {account}")
    for line in words:
        click.echo(line)


@dids.command()
@click.argument("number")
@click.option("--at-cycle-end", is_flag=True, help="When what is paid of its subscription is over.")
@click.option("--reason", default="", help="Kept in the history.")
@by_option
@pass_context
def release(context: Context, /, number: str, at_cycle_end: bool, reason: str, by: str) -> None:
    """Take a DID back from its account; it stays in quarantine before somebody else can get it."""
    when = When(ChangeAt.CYCLE_END if at_cycle_end else ChangeAt.NOW, None, reason, by)
    with context.application() as application, billing(application) as (session, books):
        did = release_did(session, books, number, when, context.clock.now_us())
        shown, state, until = did.number, did.state, moment(did.free_from_us)
    click.echo(f"DID {shown} is {state}" + (f" until {until}" if until else ""))


@dids.command("withdraw")
@click.argument("number")
@pass_context
def withdraw_did(context: Context, number: str) -> None:
    """Take a DID that nobody has out of the inventory; its history stays."""
    with context.application() as application, transaction(application.database) as session:
        withdraw(session, did_by_number(session, number, lock=True))
    click.echo(f"DID {number} is withdrawn")


@dids.command("hand-over")
@click.argument("number")
@click.argument("reseller")
@pass_context
def hand_over(context: Context, number: str, reseller: str) -> None:
    """Move a DID that nobody has into the inventory of RESELLER, or back: "operator"."""
    with context.application() as application, transaction(application.database) as session:
        did = did_by_number(session, number, lock=True)
        move_to_inventory(session, did, account_by_code(session, reseller))
    click.echo(f"DID {number} is of the inventory of {reseller}")


COMMANDS = (dids,)
