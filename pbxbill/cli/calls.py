"""calls: who talks now, since when, at what cost, with what funds left."""

import threading

import click
from rich.live import Live
from rich.table import Table

from pbxbill.app import Application
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.live_calls import OpenCall, open_calls
from pbxbill.cli.output import console, json_option, minutes, print_json, seconds, table
from pbxbill.clock import SECOND_US
from pbxbill.errors import StoreUnavailable
from pbxbill.money import format_amount

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
        catalogue = LoadedCatalogue(application.connect, serving=False)
        if as_json:
            print_json([_content(call) for call in _read(application, catalogue, code)])
            return
        screen = console()
        if once or not screen.is_terminal:
            screen.print(calls_table(_read(application, catalogue, code)))
            return
        _watch(application, catalogue, code, interval_s)


def _watch(application: Application, catalogue: LoadedCatalogue, code: str | None, interval_s: int) -> None:
    stop = threading.Event()
    with Live(
        calls_table(_read(application, catalogue, code)), console=console(), auto_refresh=False, screen=True
    ) as live:
        try:
            while not stop.wait(interval_s):
                try:
                    live.update(calls_table(_read(application, catalogue, code)), refresh=True)
                except StoreUnavailable as error:
                    live.update(f"{error}; trying again", refresh=True)
        except KeyboardInterrupt:
            pass  # how the reader leaves


def _read(application: Application, catalogue: LoadedCatalogue, code: str | None) -> list[OpenCall]:
    found = open_calls(application, catalogue)
    return [call for call in found if code in (None, call.account)]


def calls_table(calls: list[OpenCall]) -> Table:
    """Live calls for a person; cost and funds are exact to now, what is reserved is not counted as spent."""
    return table(f"{len(calls)} calls", COLUMNS, (_cells(call) for call in calls))


def _cells(call: OpenCall) -> tuple[str, ...]:
    talking = call.state == "answered"
    cost = funds = "free"
    if call.unit is not None:
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


def _content(call: OpenCall) -> dict[str, object]:
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
        "funds_left": format_amount(call.funds_left, unit) if unit else None,
    }


COMMANDS = (calls,)
