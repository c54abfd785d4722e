"""What the daemon needs of the rest of pbxbill, so that its tests can stand in for it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from pbxbill.charging.events import Authorize, Command, Denied, Direction, Granted, Outcome
from pbxbill.charging.reconcile import LiveChannel, SwitchRecord


class Engine(Protocol):
    """The charging engine, answered from threads of its own."""

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


@dataclass(frozen=True, slots=True)
class Resumed:
    """A call that is up on the switch and has an open reservation: to be steered again."""

    granted: Granted
    call_id: str
    direction: Direction


class Reconciler(Protocol):
    """Compares what the switch says with the open reservations; called from a thread, may take long."""

    def reconcile(
        self, switch: str, channels: Sequence[LiveChannel], records: Sequence[SwitchRecord], now_us: int
    ) -> Sequence[Resumed]:
        """Settle what ended, void what never was, and name the calls that live on."""
        ...

    def settle_offline(self, switch: str, records: Sequence[SwitchRecord]) -> None:
        """Charge calls that passed while nobody could authorize them. Repeated records change nothing."""
        ...
