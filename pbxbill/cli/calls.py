"""calls, hang-up: who talks now, since when, at what cost, with what funds left; and ending a call."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
from rich.live import Live
from rich.table import Table
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.app import Application, billing
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import console, json_option, minutes, print_json, seconds, table
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, StoreUnavailable, SwitchError
from pbxbill.listing.hang_ups import hang_up as request_hang_up
from pbxbill.listing.hang_ups import hang_ups_of
from pbxbill.listing.live_calls import LiveBoard
from pbxbill.listing.live_rows import LiveCallNow
from pbxbill.money import format_amount
from pbxbill.store.accounts import issuer_or_operator
from pbxbill.store.engine import reading, transaction
from pbxbill.store.hang_ups import HangUpState

LOOK_EVERY_S = 0.2

COLUMNS = (
    "Account",
    "Switch",
    "Called",
    "Destination",
    "State",
    ">Seconds",
    ">Cost so far",
    ">Funds left",
    ">Paid until",
)


@click.command()
@click.option("--once", is_flag=True, help="Print one table and end.")
@click.option("--account", "code", help="Only the calls of this account.")
@click.option(
    "--every", "interval_s", default=1, show_default=True, type=click.IntRange(1, 60), help="Seconds."
)
@json_option
@pass_context
def calls(context: Context, once: bool, code: str | None, interval_s: int, as_json: bool) -> None:
    """Show live calls, until Ctrl-C."""
    with context.application() as application:
        board, scope = LiveBoard(application.database, application.clock), _operator(application)
        filters = {"account": code} if code else {}

        def read() -> tuple[LiveCallNow, ...]:
            return board.every(scope, filters)

        if as_json:
            print_json([_content(call) for call in read()])
            return
        screen = console()
        if once or not screen.is_terminal:
            screen.print(calls_table(read()))
            return
        _watch(read, interval_s)


def _watch(read: Callable[[], tuple[LiveCallNow, ...]], interval_s: int) -> None:
    stop = threading.Event()
    with Live(calls_table(read()), console=console(), auto_refresh=False, screen=True) as live:
        try:
            while not stop.wait(interval_s):
                try:
                    live.update(calls_table(read()), refresh=True)
                except StoreUnavailable as error:
                    live.update(f"{error}; trying again", refresh=True)
        except KeyboardInterrupt:
            pass  # how the reader leaves


def _operator(application: Application) -> Scope:
    with transaction(reading(application.database)) as session:
        return Scope(issuer_or_operator(session, None), "/")


def calls_table(calls: Sequence[LiveCallNow]) -> Table:
    """Live calls for a person; cost and funds are exact to now, what is reserved is not counted as spent."""
    return table(f"{len(calls)} calls", COLUMNS, (_cells(call) for call in calls))


def _cells(call: LiveCallNow) -> tuple[str, ...]:
    talking = call.state == "answered"
    cost = funds = "free"
    if call.unit is not None and call.funds_left is not None:
        cost = format_amount(call.cost, call.unit)
        funds = f"{format_amount(call.funds_left, call.unit)} {call.unit.code}"
    state = ("talking" if talking else "setting up") + (", ends there" if call.final else "")
    return (
        call.account,
        call.switch,
        call.called,
        call.destination,
        state,
        seconds(call.elapsed_us) if talking else "",
        cost,
        funds,
        minutes(call.granted_us),
    )


def _content(call: LiveCallNow) -> dict[str, object]:
    unit = call.unit
    return {
        "session_id": call.session_id,
        "switch": call.switch,
        "call_id": call.call_id,
        "account": call.account,
        "direction": call.direction,
        "caller": call.caller,
        "called": call.called,
        "destination": call.destination,
        "state": call.state,
        "seconds": seconds(call.elapsed_us, 3),
        "granted_s": call.granted_us // SECOND_US,
        "final": call.final,
        "unit": unit.code if unit else None,
        "cost": format_amount(call.cost, unit) if unit else None,
        "funds_left": format_amount(call.funds_left or 0, unit) if unit else None,
        "remaining_s": None if call.remaining_us is None else call.remaining_us // SECOND_US,
    }


@click.command("hang-up")
@click.argument("session_id", metavar="SESSION")
@click.option("--why", "note", default="", help="Kept with the request; nobody else is told.")
@click.option("--by", default="command line", show_default=True, help="Who asks.")
@click.option("--no-wait", is_flag=True, help="Do not wait for what becomes of it.")
@pass_context
def hang_up(context: Context, session_id: str, note: str, by: str, no_wait: bool) -> None:
    """End a live call, by its SESSION as `pbxbill calls --json` shows it.

    The daemon of the call's switch does it within a second and charges the time until then.
    """
    with context.application() as application:
        scope = _operator(application)
        with billing(application) as (session, books):
            change = Change(session, books, application.clock.now_us())
            if request_hang_up(change, scope, session_id, by=by, note=note) is None:
                raise InputRefused(
                    f"there is no live call {session_id[:40]!r}; `pbxbill calls --json` names them"
                )
        if no_wait:
            return
        waiting = threading.Event()
        while True:
            with transaction(reading(application.database)) as session:
                found = hang_ups_of(session, [session_id], application.clock.now_us())[session_id]
            if found.state is not HangUpState.ASKED:
                break
            waiting.wait(LOOK_EVERY_S)
    match found.state:
        case HangUpState.DONE:
            click.echo("hung up")
        case HangUpState.GONE:
            click.echo("the call had ended before")
        case _:
            why = found.detail or "no daemon of its switch answered within a minute"
            raise SwitchError(f"the call was not hung up: {why}")


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction of a command."""

    session: Session
    books: Bookkeeper
    now_us: int


COMMANDS = (calls, hang_up)
