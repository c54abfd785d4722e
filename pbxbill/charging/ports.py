"""What a daemon needs of the charging of its process, so that its tests can stand in for it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from pbxbill.charging.events import Authorize, Command, Denied, Granted, Outcome
from pbxbill.charging.reconcile import LiveChannel, ReadRecords, Reconciliation, SwitchRecord


class Engine(Protocol):
    """The charging engine, answered from a thread of its own."""

    def submit(self, command: Command, timeout_ms: int | None = None) -> Future[Outcome]:
        """Queue a command; the future has its outcome or StoreUnavailable, EngineBusy."""
        ...

    def authorize_offline(self, request: Authorize) -> Granted | Denied:
        """Decide from memory, for when the engine cannot."""
        ...


class News(Protocol):
    """Tells which wallets changed."""

    def subscribe(self, callback: Callable[[frozenset[int]], None]) -> object:
        """Call back, from any thread, with the wallets that changed."""
        ...


class Reconciler(Protocol):
    """Compares what the switch says with the open reservations; called in a thread, may take long."""

    def run(
        self,
        switch: str,
        live: Sequence[LiveChannel],
        read_records: ReadRecords,
        last_seen_us: int | None = None,
    ) -> Reconciliation:
        """Settle what ended meanwhile, void what never was, and say which calls to take up again."""
        ...


class OfflineReconciler(Reconciler, Protocol):
    """One that also takes what a switch's log alone tells."""

    def settle_offline(self, switch: str, records: Sequence[SwitchRecord]) -> None:
        """Charge calls that passed while nobody could authorize them. Repeated records change nothing."""
        ...
