"""Says that a daemon works, for as long as both its loop and its charging engine answer.

The loop calls beat() every interval_s: a loop that stands still calls nothing. Each beat puts a command that
changes nothing into the engine's queue and looks whether the last one was answered: an engine that stands
still, or a database that takes statements and never answers them, means silence. A database that is away is
answered for at once: to start the daemon anew would not bring it back.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import structlog

from pbxbill.charging.events import Command, Extend, Outcome
from pbxbill.clock import Clock
from pbxbill.errors import EngineBusy

PROBE_TIMEOUT_MS = 5_000
UNTIL_READY_S = 0.25

_NOBODY = "0" * 32
_log = structlog.get_logger()


class Engine(Protocol):
    """What is asked whether it answers."""

    def submit(self, command: Command, timeout_ms: int | None = None) -> Future[Outcome]:
        """Queue a command."""
        ...


class Liveness:
    """beat() is called from the loop, tell() with what is to be sent on."""

    def __init__(
        self, engine: Engine, clock: Clock, tell: Callable[[bool, str], None], interval_s: float
    ) -> None:
        """tell: called with whether this is the first time, and a line for people."""
        self._engine = engine
        self._clock = clock
        self._tell = tell
        self._interval_s = interval_s
        self._probe: Future[Outcome] | None = None
        self._ready = False

    @property
    def interval_s(self) -> float:
        """How long to wait for the next beat()."""
        return self._interval_s if self._ready else min(UNTIL_READY_S, self._interval_s)

    def beat(self, status: str) -> None:
        """Tell that all is well, if it is, and ask the engine again. Never waits."""
        if self._probe is not None:
            if not self._probe.done():
                _log.warning("engine_does_not_answer")
                return
            self._tell(not self._ready, status)
            self._ready = True
        probe = self._engine.submit(Extend(_NOBODY, 0, self._clock.now_us()), PROBE_TIMEOUT_MS)
        # Refused at the door: the queue is full, and nothing is known of who works on it.
        refused = probe.done() and isinstance(probe.exception(), EngineBusy)
        self._probe = None if refused else probe
