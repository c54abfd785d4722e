"""What the spectator sees: a live table on a terminal, a table now and then where there is none."""

from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

QUIET_EVERY_S = 5
COLUMNS = ("Account", "Called", "Destination", "State")
FIGURES = ("Seconds", "Cost so far", "Funds left")


class Screen:
    """The console, with a live part while calls are up."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, width=None if Console().is_terminal else 140)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._next_s = 0.0

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(Text(line))

    def show_calls(self, calls: list[dict[str, Any]], elapsed_s: float) -> None:
        """The calls that are up."""
        if self.console.is_terminal:
            self._live.update(live_table(calls, elapsed_s), refresh=True)
        elif elapsed_s >= self._next_s:
            self._next_s = elapsed_s + QUIET_EVERY_S
            self.console.print(live_table(calls, elapsed_s))

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def live_table(calls: list[dict[str, Any]], elapsed_s: float) -> Table:
    """Who talks, for how long, at what cost, with what left."""
    table = Table(title=f"{elapsed_s:.0f} s: {len(calls)} calls", box=SIMPLE_HEAD, title_justify="left")
    for name in COLUMNS:
        table.add_column(name)
    for name in FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for call in calls:
        talking = call["state"] == "answered"
        funds = f"{call['funds_left']} {call['unit']}" if call["unit"] else ""
        cells = (
            call["account"],
            call["called"],
            call["destination"],
            "talking" if talking else "setting up",
            call["seconds"] if talking else "",
            call["cost"] or "free",
            funds,
        )
        table.add_row(*map(Text, cells))
    return table


def cdr_table(cdrs: list[dict[str, Any]]) -> Table:
    """The rated records, in the order of the calls."""
    table = Table(title=f"{len(cdrs)} rated CDRs", box=SIMPLE_HEAD, title_justify="left")
    for name in ("Account", "Dialled", "Destination"):
        table.add_column(name)
    for name in ("Seconds", "Billed s", "Charge"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Result")
    for cdr in reversed(cdrs):
        cells = (
            cdr["account"] or "?",
            cdr["dialled"],
            cdr["destination"],
            cdr["seconds"] or "",
            "" if cdr["billable_s"] is None else str(cdr["billable_s"]),
            f"{cdr['total']} {cdr['unit']}" if cdr["total"] else "",
            cdr["result"],
        )
        table.add_row(*map(Text, cells))
    return table
