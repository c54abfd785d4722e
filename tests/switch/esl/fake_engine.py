"""An engine that decides from a dict: enough of the contract to drive the adapter."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pbxbill.charging.events import (
    Announcement,
    Answer,
    Answered,
    Authorize,
    Closed,
    Command,
    DenialReason,
    Denied,
    Direction,
    Extend,
    Extended,
    FailurePolicy,
    Granted,
    Outcome,
    Settle,
    Settled,
    SettleOffline,
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.charging.reconcile import LiveChannel, ReadRecords, Rearm, Reconciliation, SwitchRecord
from pbxbill.clock import SECOND_US
from pbxbill.errors import StoreUnavailable
from pbxbill.money import Unit

EUR = Unit("EUR")

Kind = TypeVar("Kind", bound=Command)


@dataclass(slots=True)
class FakeAccount:
    """Seconds that an account can still pay for, and how it is spoken to."""

    seconds: float
    slice_s: float = 60
    renew_before_s: float = 15
    announcement: Announcement = field(default_factory=Announcement)
    failure_policy: FailurePolicy = FailurePolicy.CLOSED
    wallet_id: int = 1
    shadow: bool = False


class FakeEngine:
    """Decides in a thread of its own, as the real one does. away: the database is gone."""

    def __init__(self, accounts: dict[str, FakeAccount], dids: dict[str, str] | None = None) -> None:
        self.accounts = accounts
        self.dids = dids or {}
        self.away = False
        self.mute = False
        self.offline_allowance_s = 60
        self.commands: list[Command] = []
        self.granted: dict[str, tuple[Granted, FakeAccount]] = {}
        self.answered_us: dict[str, int] = {}
        self.closed: dict[str, Settle | Void | SettleOffline] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fake-engine")
        self._changed = threading.Condition()

    def stop(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def submit(self, command: Command, timeout_ms: int | None = None) -> Future[Outcome]:
        if self.mute:
            return Future()
        return self._thread.submit(self._decide, command)

    def authorize_offline(self, request: Authorize) -> Granted | Denied:
        account = self.accounts.get(request.account_code)
        if account is None or account.failure_policy is FailurePolicy.CLOSED:
            return Denied(request.session_id, DenialReason.SERVICE_UNAVAILABLE)
        return self._grant(request, account)._replace(
            granted_us=int(self.offline_allowance_s * SECOND_US), offline=True
        )

    def _decide(self, command: Command) -> Outcome:
        if self.away:
            raise StoreUnavailable("the database is gone")
        with self._changed:
            self.commands.append(command)
            outcome = self._outcome(command)
            self._changed.notify_all()
        return outcome

    def _outcome(self, command: Command) -> Outcome:
        if isinstance(command, Authorize):
            return self._authorize(command)
        if isinstance(command, SettleOffline):
            session_id = command.request.session_id
            self.closed[session_id] = command
            return self._settled(session_id, command.ended_us - command.answered_us)
        session_id = getattr(command, "session_id", "")
        if session_id not in self.granted:
            return UnknownSession(session_id)
        granted, account = self.granted[session_id]
        if session_id in self.closed:
            return Closed(session_id)
        match command:
            case Answer():
                self.answered_us[session_id] = command.answered_us
                deadline_us = command.answered_us + granted.granted_us
                return Answered(session_id, granted.granted_us, granted.final, deadline_us)
            case Extend():
                most_us = int(account.seconds * SECOND_US)
                granted_us = min(max(command.want_us, 0), most_us)
                final = granted_us >= most_us
                self.granted[session_id] = (granted._replace(granted_us=granted_us, final=final), account)
                return Extended(session_id, granted_us, final, most_us)
            case Settle() | Void():
                self.closed[session_id] = command
                if isinstance(command, Void) or command.answered_us is None:
                    return Voided(session_id)
                return self._settled(session_id, command.ended_us - command.answered_us)
            case _:
                raise AssertionError(command)

    def _authorize(self, request: Authorize) -> Granted | Denied:
        inbound = request.direction is Direction.INBOUND
        code = self.dids.get(request.did, "") if inbound else request.account_code
        account = self.accounts.get(code)
        if account is None:
            return Denied(request.session_id, DenialReason.USER_UNKNOWN)
        if account.seconds <= 0:
            reason = DenialReason.CREDIT_LIMIT_REACHED
            return Denied(request.session_id, reason, account.announcement, 1)
        if not request.dialled.isdigit():
            return Denied(request.session_id, DenialReason.RATING_FAILED, account.announcement, 1)
        granted = self._grant(replace(request, account_code=code), account)
        self.granted[request.session_id] = (granted, account)
        return granted

    @staticmethod
    def _grant(request: Authorize, account: FakeAccount) -> Granted:
        affordable_us = int(account.seconds * SECOND_US)
        slice_us = int(account.slice_s * SECOND_US)
        return Granted(
            session_id=request.session_id,
            account_id=account.wallet_id,
            account_code=request.account_code,
            destination="Test",
            called=request.dialled,
            unit=EUR,
            available=affordable_us,
            affordable_us=affordable_us,
            granted_us=min(slice_us, affordable_us),
            final=affordable_us <= slice_us,
            slice_us=slice_us,
            renew_before_us=int(account.renew_before_s * SECOND_US),
            max_call_us=7200 * SECOND_US,
            announcement=account.announcement,
            failure_policy=account.failure_policy,
            wallet_ids=(account.wallet_id,),
            shadow=request.shadow or account.shadow,
        )

    def _settled(self, session_id: str, billed_us: int) -> Settled:
        return Settled(session_id, 1, EUR, billed_us, billed_us, 0, 0)

    # --- what tests wait for --------------------------------------------------------------------

    def wait_for(self, what: Callable[["FakeEngine"], bool], timeout_s: float = 30) -> None:
        """Until what(engine) holds, looked at after each command."""
        with self._changed:
            assert self._changed.wait_for(lambda: what(self), timeout_s), self.commands

    def wait_closed(self, count: int = 1, timeout_s: float = 30) -> list[Settle | Void | SettleOffline]:
        """The closing commands of the first count sessions."""
        self.wait_for(lambda engine: len(engine.closed) >= count, timeout_s)
        return list(self.closed.values())

    def of_type(self, kind: type[Kind]) -> list[Kind]:
        """The commands of one kind, in order."""
        with self._changed:
            return [command for command in self.commands if isinstance(command, kind)]


class FakeNews:
    """Wallet news from the test's thread."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[frozenset[int]], None]] = []

    def subscribe(self, callback: Callable[[frozenset[int]], None]) -> None:
        self._callbacks.append(callback)

    def tell(self, *wallet_ids: int) -> None:
        for callback in self._callbacks:
            callback(frozenset(wallet_ids))


class FakeReconciler:
    """Takes up what the engine holds open and settles the rest from the records."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.runs: list[tuple[list[LiveChannel], list[SwitchRecord]]] = []
        self.last_seen: list[int | None] = []
        self.since_us = 0
        self.faults: list[Exception] = []
        """What the next runs raise."""

    def run(
        self,
        switch: str,
        live: Sequence[LiveChannel],
        read_records: ReadRecords,
        last_seen_us: int | None = None,
    ) -> Reconciliation:
        if self.faults:
            raise self.faults.pop(0)
        records = list(read_records(self.since_us))
        self.runs.append((list(live), records))
        self.last_seen.append(last_seen_us)
        rearm = []
        for channel in live:
            held = self.engine.granted.get(channel.session_id)
            if held is None or channel.session_id in self.engine.closed:
                continue
            elapsed_us = 0 if channel.answered_us is None else channel.seen_us - channel.answered_us
            rearm.append(Rearm(held[0], channel.paid_leg, channel.answered_us, elapsed_us))
        return Reconciliation(tuple(rearm), (), len(self.engine.granted), len(live), len(records))
