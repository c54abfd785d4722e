"""An engine of a few lines and the daemon in a thread, for the tests of this folder."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from pbxbill.ami.daemon import AsteriskDaemon
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.charging.events import (
    Announcement,
    Answer,
    Answered,
    Authorize,
    Closed,
    DenialReason,
    Denied,
    Extend,
    Extended,
    FailurePolicy,
    Granted,
    Outcome,
    Settle,
    Settled,
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.charging.reconcile import LiveChannel, ReadRecords, Rearm, Reconciliation, SwitchRecord
from pbxbill.clock import SECOND_US, SystemClock
from pbxbill.errors import StoreUnavailable
from pbxbill.money import Unit

SECONDS = Unit("SEC", scale=6, digits=0)
QUIET = Announcement()


@dataclass
class Funds:
    """An account that owns talking time."""

    funds_us: int
    slice_us: int = 60 * SECOND_US
    announcement: Announcement = QUIET
    failure_policy: FailurePolicy = FailurePolicy.CLOSED
    shadow: bool = False


@dataclass
class _Session:
    granted: Granted
    request: Authorize
    granted_us: int
    answered_us: int | None = None
    closed: Outcome | None = None


@dataclass
class SimpleEngine:
    """Charges time for time; keeps every command it was given."""

    accounts: dict[str, Funds]
    dids: dict[str, str] = field(default_factory=dict)
    """DID to account code."""
    commands: list[Any] = field(default_factory=list)
    sessions: dict[str, _Session] = field(default_factory=dict)
    down: bool = False
    slow_s: float = 0.0
    changed: threading.Condition = field(default_factory=threading.Condition)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def submit(self, command: Any, timeout_ms: int | None = None) -> Future[Outcome]:
        return self.pool.submit(self._do, command)

    def authorize_offline(self, request: Authorize) -> Granted | Denied:
        account = self.accounts.get(request.account_code)
        if account is None or account.failure_policy is FailurePolicy.CLOSED:
            return Denied(request.session_id, DenialReason.SERVICE_UNAVAILABLE)
        return self._granted(request, account, 10 * SECOND_US, offline=True)

    def of(self, kind: type) -> list[Any]:
        """The commands of a kind, as they came."""
        return [command for command in self.commands if isinstance(command, kind)]

    def wait_for(self, kind: type, count: int = 1, timeout_s: float = 30) -> list[Any]:
        """Wait until so many commands of a kind were carried out."""
        with self.changed:
            done = self.changed.wait_for(lambda: len(self.of(kind)) >= count, timeout_s)
        assert done, f"{count} {kind.__name__} did not come; there are {self.commands}"
        return self.of(kind)

    def _do(self, command: Any) -> Outcome:
        if isinstance(command, Authorize):
            time.sleep(self.slow_s)
        if self.down:
            raise StoreUnavailable("the database is away")
        try:
            return self._decide(command)
        finally:
            with self.changed:
                self.commands.append(command)
                self.changed.notify_all()

    def _decide(self, command: Any) -> Outcome:
        if isinstance(command, Authorize):
            return self._authorize(command)
        session = self.sessions.get(command.session_id)
        if session is None:
            return UnknownSession(command.session_id)
        account = self.accounts[session.granted.account_code]
        match command:
            case _ if session.closed is not None:
                return session.closed if isinstance(command, Settle | Void) else Closed(command.session_id)
            case Answer(answered_us=answered_us):
                session.answered_us = answered_us
                final = account.funds_us <= session.granted_us
                return Answered(
                    command.session_id, session.granted_us, final, answered_us + session.granted_us
                )
            case Extend(want_us=want_us):
                session.granted_us = min(account.funds_us, max(want_us, session.granted_us))
                final = session.granted_us == account.funds_us
                return Extended(command.session_id, session.granted_us, final, account.funds_us)
            case Settle(answered_us=int(answered_us), ended_us=ended_us):
                talked_us = ended_us - answered_us
                account.funds_us -= talked_us
                session.closed = Settled(
                    command.session_id, 1, SECONDS, talked_us, talked_us, 0, account.funds_us
                )
                return session.closed
            case _:
                session.closed = Voided(command.session_id)
                return session.closed

    def _authorize(self, request: Authorize) -> Outcome:
        code = self.dids.get(request.did, "") if request.did else request.account_code
        account = self.accounts.get(code)
        if account is None:
            return Denied(request.session_id, DenialReason.USER_UNKNOWN)
        if request.dialled.startswith("999"):
            return Denied(request.session_id, DenialReason.RATING_FAILED, account.announcement)
        if account.funds_us <= 0:
            return Denied(request.session_id, DenialReason.CREDIT_LIMIT_REACHED, account.announcement)
        granted = self._granted(request, account, min(account.slice_us, account.funds_us), code=code)
        self.sessions[request.session_id] = _Session(granted, request, granted.granted_us)
        return granted

    def _granted(
        self, request: Authorize, account: Funds, granted_us: int, *, code: str = "", offline: bool = False
    ) -> Granted:
        return Granted(
            session_id=request.session_id,
            account_id=1,
            account_code=code or request.account_code,
            destination="test",
            called=request.dialled.lstrip("+"),
            unit=SECONDS,
            available=account.funds_us,
            affordable_us=account.funds_us,
            granted_us=granted_us,
            final=granted_us >= account.funds_us,
            slice_us=account.slice_us,
            renew_before_us=account.slice_us // 4,
            max_call_us=7200 * SECOND_US,
            announcement=account.announcement,
            failure_policy=account.failure_policy,
            wallet_ids=(1,),
            offline=offline,
            shadow=request.shadow or account.shadow,
        )


@dataclass
class LocalNews:
    """Wallet news of this process."""

    callbacks: list[Callable[[frozenset[int]], None]] = field(default_factory=list)

    def subscribe(self, callback: Callable[[frozenset[int]], None]) -> None:
        self.callbacks.append(callback)

    def tell(self) -> None:
        """Wallet 1 changed."""
        for callback in self.callbacks:
            callback(frozenset({1}))


@dataclass
class SimpleReconciler:
    """Keeps what it was given; takes up again what the engine still has open."""

    engine: SimpleEngine
    channels: list[list[LiveChannel]] = field(default_factory=list)
    last_seen: list[int | None] = field(default_factory=list)
    records: list[SwitchRecord] = field(default_factory=list)
    offline: list[SwitchRecord] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)

    def run(
        self,
        switch: str,
        live: Sequence[LiveChannel],
        read_records: ReadRecords,
        last_seen_us: int | None = None,
    ) -> Reconciliation:
        self.channels.append(list(live))
        self.last_seen.append(last_seen_us)
        self.records += read_records(0)
        self.called.set()
        rearm = []
        for channel in live:
            session = self.engine.sessions.get(channel.session_id)
            if session is None or session.closed is not None:
                continue
            answered_us = session.answered_us or channel.answered_us
            elapsed_us = 0 if answered_us is None else channel.seen_us - answered_us
            rearm.append(Rearm(session.granted, channel.paid_leg, answered_us, elapsed_us))
        return Reconciliation(tuple(rearm), (), len(rearm), len(live), len(self.records))

    def settle_offline(self, switch: str, records: Sequence[SwitchRecord]) -> None:
        self.offline += records


@dataclass
class RunningDaemon:
    """A daemon in a thread and what it was given."""

    daemon: AsteriskDaemon
    thread: threading.Thread
    engine: SimpleEngine
    news: LocalNews
    reconciler: SimpleReconciler
    registry: CollectorRegistry

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def wait_connected(self, timeout_s: float = 30) -> None:
        wait_until(lambda: self.metric("pbxbill_ami_connected") == 1, timeout_s, "the AMI connection")
        assert self.reconciler.called.wait(timeout_s)

    def stop(self) -> None:
        self.daemon.stop()
        self.thread.join(30)
        assert not self.thread.is_alive(), "the daemon did not stop"


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Look every few milliseconds until it is true of something."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"{what}: not within {timeout_s} s"
        time.sleep(0.005)


@contextmanager
def running_daemon(
    settings: AsteriskSettings, engine: SimpleEngine, *, wait: bool = True
) -> Iterator[RunningDaemon]:
    """The daemon, connected (wait) and stopped at the end."""
    registry = CollectorRegistry()
    news, reconciler = LocalNews(), SimpleReconciler(engine)
    daemon = AsteriskDaemon(settings, engine, news, reconciler, SystemClock(), AsteriskMetrics(registry))
    with in_thread(daemon) as thread:
        running = RunningDaemon(daemon, thread, engine, news, reconciler, registry)
        if wait:
            running.wait_connected()
        yield running


@contextmanager
def in_thread(daemon: AsteriskDaemon) -> Iterator[threading.Thread]:
    """Run a daemon; what it raises is raised here at the end."""
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            daemon.run()
        except BaseException as fault:  # noqa: BLE001  # raised again below, in the test's own thread
            failures.append(fault)

    thread = threading.Thread(target=serve, name="daemon")
    thread.start()
    try:
        yield thread
    finally:
        daemon.stop()
        thread.join(30)
        assert not thread.is_alive(), "the daemon did not stop"
    assert not failures, failures
