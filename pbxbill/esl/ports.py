"""What the FreeSWITCH adapter needs of the rest of pbxbill; its tests pass small ones of their own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from pbxbill.charging.events import Authorize, Command, Denied, Granted, Outcome
from pbxbill.charging.reconcile import LiveChannel, ReadRecords, Reconciliation


class Engine(Protocol):
    """The charging engine, answered from a thread of its own."""

    def submit(self, command: Command, timeout_ms: int | None = None) -> Future[Outcome]:
        """Queue a command."""
        ...

    def authorize_offline(self, request: Authorize) -> Granted | Denied:
        """Decide from memory."""
        ...


class News(Protocol):
    """Tells which wallets changed."""

    def subscribe(self, callback: Callable[[frozenset[int]], None]) -> object:
        """Call back, from any thread, with the wallets that changed."""
        ...


class Reconciler(Protocol):
    """Compares what the switch shows with the open reservations. Called in a thread: it may block."""

    def run(
        self,
        switch: str,
        live: Sequence[LiveChannel],
        read_records: ReadRecords,
        last_seen_us: int | None = None,
    ) -> Reconciliation:
        """Settle what ended meanwhile, void what never was, and say which calls to take up again."""
        ...
