"""The real daemon in a thread of its own, between a fake engine and a switch."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from pbxbill.charging.hanging_up import Desk
from pbxbill.clock import SystemClock
from pbxbill.esl.daemon import FreeSwitchDaemon
from pbxbill.esl.settings import FreeSwitchSettings
from pbxbill.ivr.desk import CardDesk

from .fake_engine import FakeEngine, FakeNews, FakeReconciler
from .fake_freeswitch import FakeFreeSwitch


class CountingMetrics:
    """EslMetrics that a test can wait on."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.cuts: list[float] = []
        self.calls = 0
        self.up = False
        self._changed = threading.Condition()

    def count(self, event: str) -> None:
        with self._changed:
            self.counts[event] += 1
            self._changed.notify_all()

    def live_calls(self, calls: int) -> None:
        with self._changed:
            self.calls = calls
            self._changed.notify_all()

    def cut(self, late_s: float) -> None:
        self.cuts.append(late_s)

    def connected(self, up: bool) -> None:
        with self._changed:
            self.up = up
            self._changed.notify_all()

    def wait_for(self, what: Callable[["CountingMetrics"], bool], timeout_s: float = 30) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: what(self), timeout_s), dict(self.counts)


@dataclass
class RunningDaemon:
    """A daemon in a thread; start() after stop() makes a new one."""

    settings: FreeSwitchSettings
    engine: FakeEngine
    news: FakeNews
    reconciler: FakeReconciler
    metrics: CountingMetrics
    daemon: FreeSwitchDaemon | None = None
    cards: CardDesk | None = None
    """For callers of access numbers."""
    hang_ups: Desk | None = None
    """Where somebody asks for a call's end."""
    _thread: threading.Thread | None = None

    def start(self, *, ready: bool = True, **changes: object) -> None:
        """Run a daemon; ready: wait until it has compared itself with the switch."""
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        self.daemon = FreeSwitchDaemon(
            settings, self.engine, self.news, self.reconciler, SystemClock(), self.metrics
        )
        if self.cards is not None:
            self.daemon.serve_cards(self.cards)
        if self.hang_ups is not None:
            self.daemon.serve_hang_ups(self.hang_ups)
        self._thread = threading.Thread(target=self.daemon.run, daemon=True)
        self._thread.start()
        if ready:
            assert self.daemon.ready.wait(30), "the daemon did not get ready"
        else:
            assert self.daemon.listening.wait(30), "the daemon does not listen"

    def stop(self) -> None:
        """Stop the daemon gracefully."""
        if self.daemon is not None and self._thread is not None:
            self.daemon.stop()
            self._thread.join(30)
            assert not self._thread.is_alive(), "the daemon did not stop"
            self.daemon = None


class Site(RunningDaemon):
    """A daemon with a fake switch."""

    def __init__(self, switch: FakeFreeSwitch, engine: FakeEngine, settings: FreeSwitchSettings) -> None:
        super().__init__(settings, engine, FakeNews(), FakeReconciler(engine), CountingMetrics())
        self.switch = switch

    def start(self, *, ready: bool = True, **changes: object) -> None:
        super().start(ready=ready, **changes)
        assert self.daemon is not None
        self.switch.desk_port = self.daemon.outbound_port
