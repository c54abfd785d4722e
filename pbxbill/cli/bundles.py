"""bundles: what accounts have included per cycle, and how much of it is left."""

from typing import Any

import click

from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table
from pbxbill.errors import InputRefused
from pbxbill.rating.bundle import Bundle
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.accounts import account_by_code
from pbxbill.store.bundles import (
    MEASURES,
    BundleState,
    NewBundle,
    add_bundle,
    all_bundles,
    bundle_of,
    bundle_of_issuer,
    bundles_serving,
    give_bundle,
    take_bundle,
)
from pbxbill.store.engine import reading, transaction


@click.group()
def bundles() -> None:
    """Bundles: included seconds, calls, messages, bytes or items per cycle."""


@bundles.command("add")
@click.argument("name")
@click.option(
    "--pieces", type=click.IntRange(1), required=True, help="Granted per cycle: 600 minutes are 36000."
)
@click.option("--measure", type=click.Choice(MEASURES), default="seconds", show_default=True)
@click.option(
    "--destination",
    "destinations",
    multiple=True,
    help="Name, class or prefix; may be repeated. Default: all.",
)
@click.option("--cycle", type=click.Choice(CYCLES), default="month", show_default=True)
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the cycles, e.g. Europe/Berlin.")
@click.option("--shared", is_flag=True, help="The accounts below whoever has it use it too.")
@click.option(
    "--rollover", "rollover_cycles", default=0, show_default=True, help="Cycles that unused pieces stay."
)
@click.option("--priority", default=0, show_default=True, help="Bundles are consumed from the highest.")
@click.option("--increments", default="1/1", show_default=True, help="Initial and following, e.g. 60/60.")
@click.option("--fee-owed", is_flag=True, help="The connection fee is owed even if it pays the whole call.")
@click.option("--reseller", help="Whose bundle; default: the operator's.")
@pass_context
def add(
    context: Context, /, destinations: tuple[str, ...], increments: str, *, reseller: str | None, **terms: Any
) -> None:
    """Make a bundle that accounts can be given."""
    initial_s, following_s = _increments(increments)
    with context.application() as application, transaction(application.database) as session:
        new = NewBundle(
            destinations=destinations,
            initial_increment_s=initial_s,
            following_increment_s=following_s,
            issuer_id=issuer_by_code(session, reseller).id,
            **terms,
        )
        add_bundle(session, new)
    click.echo(f"bundle {new.name} includes {new.pieces} {new.measure} per {new.cycle}")


def _increments(text: str) -> tuple[int, int]:
    initial, _, following = text.partition("/")
    if not (initial.isascii() and initial.isdigit() and following.isascii() and following.isdigit()):
        raise InputRefused(f"increments {text[:20]!r}: write initial/following, e.g. 60/60 or 1/1")
    return int(initial), int(following)


@bundles.command("list")
@click.option("--reseller", help="Whose bundles; default: the operator's.")
@json_option
@pass_context
def list_bundles(context: Context, reseller: str | None, as_json: bool) -> None:
    """List bundles."""
    with context.application() as application, transaction(reading(application.database)) as session:
        issuer_id = issuer_by_code(session, reseller).id
        listed = [_terms(bundle_of(row)) | {"accounts": n} for row, n in all_bundles(session, issuer_id)]
    if as_json:
        print_json(listed)
        return
    titles = ("Bundle", ">Pieces", "Measure", "Cycle", "Zone", "Destinations", "Shared", ">Rolls over")
    columns = (*titles, ">Priority", "Increments", "Fee", ">Given")
    print_table("", columns, (_cells(x) for x in listed))


def _terms(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "pieces": bundle.pieces,
        "measure": bundle.measure.value,
        "cycle": bundle.cycle,
        "zone": bundle.zone,
        "destinations": list(bundle.destinations),
        "shared": bundle.shared,
        "rollover_cycles": bundle.rollover_cycles,
        "priority": bundle.priority,
        "increments": f"{bundle.initial_increment_s}/{bundle.following_increment_s}",
        "fee_owed": bundle.fee_owed,
    }


def _cells(terms: dict[str, Any]) -> list[Any]:
    shown = terms | {
        "destinations": "\n".join(terms["destinations"]) or "all",
        "shared": "yes" if terms["shared"] else "no",
        "fee_owed": "owed" if terms["fee_owed"] else "",
    }
    return list(shown.values())


@bundles.command("give")
@click.argument("code")
@click.argument("name")
@click.option("--from", "since", help="Since when, UTC; month cycles begin on its day. Default: now.")
@click.option("--until", help="Until when, UTC; default: until it is taken.")
@pass_context
def give(context: Context, code: str, name: str, since: str | None, until: str | None) -> None:
    """Give an account a bundle; twice gives twice the pieces."""
    from_us = context.clock.now_us() if since is None else parse_moment(since)
    to_us = None if until is None else parse_moment(until)
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        give_bundle(session, account, bundle_of_issuer(session, account.parent_id, name), from_us, to_us)
    end = "" if to_us is None else f" until {moment(to_us)}"
    click.echo(f"account {code} has bundle {name} from {moment(from_us)}{end}")


@bundles.command("take")
@click.argument("code")
@click.argument("name")
@click.option("--at", "since", help="When it ends, UTC; default: now.")
@pass_context
def take(context: Context, code: str, name: str, since: str | None) -> None:
    """End an account's bundle, the one given last; calls that are up keep what they hold of it."""
    at_us = context.clock.now_us() if since is None else parse_moment(since)
    with context.application() as application, transaction(application.database) as session:
        account = account_by_code(session, code)
        row = take_bundle(session, account, bundle_of_issuer(session, account.parent_id, name), at_us)
        to_us = row.to_us
    click.echo(f"account {code} has bundle {name} until {moment(to_us)}")


@bundles.command("show")
@click.argument("code")
@click.option("--at", "when", help="At which moment, UTC; default: now.")
@json_option
@pass_context
def show(context: Context, code: str, when: str | None, as_json: bool) -> None:
    """Show the bundles that serve an account: used, held by live calls, and left in the present cycle."""
    at_us = context.clock.now_us() if when is None else parse_moment(when)
    with context.application() as application, transaction(reading(application.database)) as session:
        listed = [_shown(x) for x in bundles_serving(session, account_by_code(session, code), at_us)]
    if as_json:
        print_json(listed)
        return
    columns = (
        "Bundle",
        "Of account",
        "Measure",
        "From",
        "To",
        ">Allowed",
        ">Used",
        ">Reserved",
        ">Left",
        "Ends",
    )
    print_table("", columns, ([*x.values()] for x in listed))


def _shown(state: BundleState) -> dict[str, Any]:
    return {
        "bundle": state.held.bundle.name,
        "account": state.owner,
        "measure": state.held.bundle.measure.value,
        "from": moment(state.window.from_us),
        "to": moment(state.window.to_us),
        "allowed": state.window.allowed,
        "used": state.used,
        "reserved": state.reserved,
        "left": state.left,
        "ends": moment(state.held.to_us),
    }


COMMANDS = (bundles,)
