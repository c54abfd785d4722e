"""cards, known-callers and access-numbers: calling cards, and where their holders call."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.codes import calling_cards
from pbxbill.billing.codes.calling_cards import (
    NewCard,
    add_card,
    add_known_caller,
    card_by_id,
    remove_known_caller,
)
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.billing.subscriptions.subscribed import billing_place
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import (
    LOCAL_DAY,
    json_option,
    local_last_moment,
    moment,
    print_json,
    print_table,
)
from pbxbill.ivr.access_number import AccessTerms, parse_terms, read_terms
from pbxbill.ivr.access_numbers import (
    access_number_row,
    all_access_numbers,
    put_access_number,
    remove_access_number,
)
from pbxbill.store.accounts import account_by_code
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow

MOST_LISTED = 1_000
digits_option = click.option(
    "--digits",
    type=int,
    default=calling_cards.USUAL_PIN_DIGITS,
    show_default=True,
    help="How long the PIN is.",
)


@click.group()
def cards() -> None:
    """Calling cards: PINs by which callers of access numbers are known."""


@cards.command("add")
@click.argument("account")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True)
@digits_option
@click.option("--name", default="", help="Whose it is, say.")
@click.option("--expires", help=f"Its last day or moment. {LOCAL_DAY}")
@json_option
@pass_context
def add(  # noqa: PLR0913, PLR0917  # one parameter per option
    context: Context, account: str, count: int, digits: int, name: str, expires: str | None, as_json: bool
) -> None:
    """Make cards of ACCOUNT. Their PINs are shown now and never again."""
    made: list[NewCard] = []
    try:
        with context.application() as application:
            for _ in range(count):
                # One by one: hashing a PIN takes long, and calls wait for whoever writes.
                with transaction(application.database) as session:
                    row = account_by_code(session, account)
                    expires_us = _end_of(session, row, expires)
                    now_us = context.clock.now_us()
                    made.append(
                        add_card(session, row, now_us, digits=digits, name=name, expires_us=expires_us)
                    )
    finally:
        _show(made, as_json=as_json)  # whatever stops it: nobody can show these again


def _end_of(session: Session, account: AccountRow, expires: str | None) -> int | None:
    """The moment after the last one at which a card may be used."""
    if expires is None:
        return None
    return local_last_moment(expires, billing_place(session, account).zone) + 1


def _show(made: list[NewCard], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(card) for card in made])
    elif made:
        print_table("", (">Card", "PIN"), ((card.card_id, card.pin) for card in made))
        click.echo("Note the PINs: they are kept as hashes and cannot be shown again.", err=True)


@cards.command("list")
@click.option("--account", help="Of this account only.")
@json_option
@pass_context
def list_cards(context: Context, account: str | None, as_json: bool) -> None:
    """List cards, the newest first."""
    query = select(CallingCardRow, AccountRow.code).join(
        AccountRow, AccountRow.id == CallingCardRow.account_id
    )
    with context.application() as application, transaction(reading(application.database)) as session:
        if account is not None:
            query = query.where(CallingCardRow.account_id == account_by_code(session, account).id)
        found = session.execute(query.order_by(CallingCardRow.id.desc()).limit(MOST_LISTED)).all()
        facts = [_facts(card, code, context.clock.now_us()) for card, code in found]
    if as_json:
        print_json(facts)
        return
    columns = (">Card", "Account", "Name", "State", "Expires", "Last used")
    keys = ("card", "account", "name", "state", "expires", "last_used")
    print_table("", columns, ([one[key] or "" for key in keys] for one in facts))


def _facts(card: CallingCardRow, account: str, now_us: int) -> dict[str, Any]:
    is_over = card.expires_us is not None and card.expires_us <= now_us
    return {
        "card": card.id,
        "account": account,
        "name": card.name,
        "state": "expired" if is_over and card.state == "active" else card.state,
        "expires": moment(card.expires_us),
        "last_used": moment(card.last_used_us),
        "created": moment(card.created_us),
    }


@cards.command("block")
@click.argument("card", type=int)
@pass_context
def block(context: Context, card: int) -> None:
    """Let nobody in with CARD; a call that is up goes on."""
    with context.application() as application, transaction(application.database) as session:
        calling_cards.block(session, card_by_id(session, card))
    click.echo(f"card {card} is blocked")


@cards.command("unblock")
@click.argument("card", type=int)
@pass_context
def unblock(context: Context, card: int) -> None:
    """Let CARD be used again, and forgive wrong PINs of its known callers."""
    with context.application() as application, transaction(application.database) as session:
        calling_cards.unblock(session, card_by_id(session, card))
    click.echo(f"card {card} may be used")


@cards.command("new-pin")
@click.argument("card", type=int)
@digits_option
@pass_context
def new_pin(context: Context, card: int, digits: int) -> None:
    """Give CARD another PIN; the old one opens nothing any more."""
    with context.application() as application, transaction(application.database) as session:
        pin = calling_cards.new_pin(session, card_by_id(session, card), digits)
    click.echo(f"the PIN of card {card} is {pin}; it cannot be shown again")


# --- known callers ------------------------------------------------------------------------------


@click.group("known-callers")
def known_callers() -> None:
    """Known callers: caller IDs that need no PIN where an access number allows that. They can be forged."""


@known_callers.command("add")
@click.argument("number")
@click.argument("card", type=int)
@pass_context
def add_caller(context: Context, number: str, card: int) -> None:
    """Let NUMBER stand for CARD's PIN."""
    with context.application() as application, transaction(application.database) as session:
        digits = add_known_caller(session, card_by_id(session, card), number, context.clock.now_us())
    click.echo(f"caller {digits} stands for card {card}, where terms have known_callers = true")


@known_callers.command("list")
@json_option
@pass_context
def list_callers(context: Context, as_json: bool) -> None:
    """List known callers."""
    query = select(KnownCallerRow).order_by(KnownCallerRow.number).limit(MOST_LISTED)
    with context.application() as application, transaction(reading(application.database)) as session:
        found = [{"number": row.number, "card": row.card_id} for row in session.scalars(query)]
    if as_json:
        print_json(found)
        return
    print_table("", ("Number", ">Card"), ((one["number"], one["card"]) for one in found))


@known_callers.command("remove")
@click.argument("number")
@pass_context
def remove_caller(context: Context, number: str) -> None:
    """Ask NUMBER for a PIN from now on."""
    with context.application() as application, transaction(application.database) as session:
        remove_known_caller(session, number)
    click.echo(f"caller {number} is asked for a PIN")


# --- access numbers -----------------------------------------------------------------------------


@click.group("access-numbers")
def access_numbers() -> None:
    """Access numbers: what callers dial to be asked for their PIN."""


@access_numbers.command("add")
@click.argument("number")
@click.option("--reseller", help="Whose customers' cards work here; default: everybody's.")
@click.option("--terms", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML.")
@pass_context
def add_number(context: Context, number: str, reseller: str | None, file: Path | None) -> None:
    """Make NUMBER an access number, or give it other terms; lines that are up keep theirs."""
    terms = parse_terms(file.read_text()) if file is not None else AccessTerms()
    with context.application() as application, transaction(application.database) as session:
        issuer = issuer_by_code(session, reseller)
        is_new = put_access_number(session, issuer, number, terms, context.clock.now_us())
    click.echo(f"{number} is an access number{'' if is_new else ', with these terms from now on'}")


@access_numbers.command("list")
@json_option
@pass_context
def list_numbers(context: Context, as_json: bool) -> None:
    """List access numbers."""
    with context.application() as application, transaction(reading(application.database)) as session:
        found = [(row.number, code, read_terms(row.definition)) for row, code in all_access_numbers(session)]
    if as_json:
        print_json([{"number": number, "seller": code, **asdict(terms)} for number, code, terms in found])
        return
    columns = ("Number", "Cards of", "Languages", "Known callers")
    print_table(
        "",
        columns,
        (
            (number, code, ", ".join(terms.languages), "need no PIN" if terms.known_callers else "need a PIN")
            for number, code, terms in found
        ),
    )


@access_numbers.command("show")
@click.argument("number")
@json_option
@pass_context
def show_number(context: Context, number: str, as_json: bool) -> None:
    """Show the terms of NUMBER, as TOML that `add --terms` takes."""
    with context.application() as application, transaction(reading(application.database)) as session:
        terms = read_terms(access_number_row(session, number).definition)
    if as_json:
        print_json(asdict(terms))
        return
    for name, value in asdict(terms).items():
        click.echo(f"{name} = {_toml(value)}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else "[" + ", ".join(f'"{one}"' for one in value) + "]"


@access_numbers.command("remove")
@click.argument("number")
@pass_context
def remove_number(context: Context, number: str) -> None:
    """Turn callers of NUMBER away from now on."""
    with context.application() as application, transaction(application.database) as session:
        remove_access_number(session, number)
    click.echo(f"{number} is no access number any more")


COMMANDS = (cards, known_callers, access_numbers)
