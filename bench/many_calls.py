"""Callers on a simulated switch, charged by real engines: LiveCall steers each call as a daemon does.

Time is simulated, in steps of 100 ms: whatever happens in a step reaches the engines at the same moment,
so that they decide whole batches of competing calls. The database and its transactions are real.
"""

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random

from pbxbill.charging.control import Action, Alarm, HangUp, LiveCall, SetDeadline, Submit, Warn
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import (
    Answered,
    Authorize,
    Command,
    Denied,
    Direction,
    Extended,
    Granted,
    Outcome,
    Void,
)
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.ids import new_id

STEP_US = SECOND_US // 10
LATEST_CUT_US = SECOND_US // 2
"""How late a switch may be with ending a call: FreeSWITCH looks at its timers every half second."""
REDIAL_US = 5 * SECOND_US
LONGEST_US = 3_600 * SECOND_US
NEVER_US = 2**63
TIMEOUT_S = 60
NORMAL_CLEARING = 16


@dataclass(frozen=True, slots=True)
class Habit:
    """When a caller dials, how long the far side rings, how long he would talk, and whether he redials."""

    dials_us: int
    rings_us: int
    talks_us: int
    redials: bool


class NewsBox:
    """Wallets that changed, from the engines' threads to the simulation's."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._wallet_ids: set[int] = set()

    def put(self, wallet_ids: frozenset[int]) -> None:
        """Called by an engine."""
        with self._guard:
            self._wallet_ids |= wallet_ids

    def take(self) -> set[int]:
        """What was put since the last time."""
        with self._guard:
            taken, self._wallet_ids = self._wallet_ids, set()
        return taken


class _Caller:
    """Moments are monotonic; None: nothing of the kind is going to happen."""

    def __init__(self, code: str, number: str, habit: Habit, engine: ChargingEngine) -> None:
        self.code = code
        self.number = number
        self.habit = habit
        self.engine = engine
        self.live: LiveCall | None = None
        self.dials_at_us: int | None = habit.dials_us
        self.answers_at_us: int | None = None
        self.hangs_up_at_us: int | None = None
        self.cut_at_us: int | None = None

    def ends_at_us(self) -> int:
        """When the caller hangs up or the switch's timer ends the call, whichever is first."""
        moments = [moment for moment in (self.hangs_up_at_us, self.cut_at_us) if moment is not None]
        return min(moments, default=NEVER_US)


class ManyCalls:
    """Runs all callers until nobody talks and nobody would still get a call."""

    def __init__(self, clock: ManualClock, engines: Sequence[ChargingEngine], news: NewsBox) -> None:
        self.clock = clock
        self._engines = engines
        self._news = news
        self._random = Random(7)
        self._callers: list[_Caller] = []
        self._asked: list[tuple[_Caller, Command, Future[Outcome]]] = []
        self._denied: list[_Caller] = []
        self.granted = 0
        self.most_at_once = 0
        self.talked_us = 0

    def add(self, code: str, number: str, habit: Habit) -> None:
        """A caller; the engines take turns, as daemons of several switches would."""
        engine = self._engines[len(self._callers) % len(self._engines)]
        self._callers.append(_Caller(code, number, habit, engine))

    def run(self) -> None:
        """Let time pass until it is quiet."""
        while any(caller.live is not None or caller.dials_at_us is not None for caller in self._callers):
            if self.clock.monotonic_us() > LONGEST_US:
                raise TimeoutError("the calls do not end")
            for caller in self._callers:
                self._step(caller)
            self._hear_engines()
            self._redial()
            self.clock.advance(STEP_US)

    def _step(self, caller: _Caller) -> None:
        now_us = self.clock.monotonic_us()
        live = caller.live
        if live is None:
            if caller.dials_at_us is not None and now_us >= caller.dials_at_us:
                caller.dials_at_us = None
                self._ask(caller, self._request(caller))
        elif caller.answers_at_us is not None and now_us >= caller.answers_at_us:
            caller.answers_at_us = None
            caller.hangs_up_at_us = now_us + caller.habit.talks_us
            answered_us = self.clock.now_us()
            actions = live.answered(
                answered_us=answered_us, paid_leg=live.session_id, elapsed_us=0, now_us=now_us
            )
            self._do(caller, actions)
        elif now_us >= caller.ends_at_us():
            answered_us = live.answered_us or 0
            ended_us = self.clock.now_us() - (now_us - caller.ends_at_us())
            caller.hangs_up_at_us = caller.cut_at_us = None
            self.talked_us += ended_us - answered_us
            ended = live.ended(answered_us=answered_us, ended_us=ended_us, hangup_cause=NORMAL_CLEARING)
            self._do(caller, ended)
        elif live.due_us is not None and now_us >= live.due_us:
            self._do(caller, live.tick(now_us))

    def _request(self, caller: _Caller) -> Authorize:
        session_id = new_id()
        return Authorize(
            session_id,
            "simulated",
            session_id,
            Direction.OUTBOUND,
            caller.number,
            caller.code,
            self.clock.now_us(),
            account_code=caller.code,
        )

    def _ask(self, caller: _Caller, command: Command) -> None:
        self._asked.append((caller, command, caller.engine.submit(command)))

    def _do(self, caller: _Caller, actions: Iterable[Action]) -> None:
        now_us = self.clock.monotonic_us()
        for action in actions:
            match action:
                case Submit(command):
                    self._ask(caller, command)
                case SetDeadline(remaining_us):
                    caller.cut_at_us = now_us + remaining_us + self._lateness_us()
                case HangUp():
                    caller.cut_at_us = min(caller.ends_at_us(), now_us + self._lateness_us())
                case Warn() | Alarm():
                    pass

    def _lateness_us(self) -> int:
        return self._random.randrange(LATEST_CUT_US)

    def _hear_engines(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            for caller, _, future in asked:
                self._hear(caller, future.result(TIMEOUT_S))
            self.most_at_once = max(self.most_at_once, sum(c.live is not None for c in self._callers))
            if not self._asked:
                self._hear_news()

    def _hear(self, caller: _Caller, outcome: Outcome) -> None:
        now_us = self.clock.monotonic_us()
        match outcome:
            case Granted():
                self.granted += 1
                caller.live = LiveCall(outcome)
                caller.answers_at_us = now_us + caller.habit.rings_us
            case Denied():
                self._denied.append(caller)
            case Answered() | Extended() if caller.live is not None:
                self._do(caller, caller.live.granted_now(outcome, now_us))
            case _ if caller.live is not None:
                self._do(caller, caller.live.session_closed(now_us))
                if caller.live.closed:
                    caller.live = None
            case _:
                raise LookupError(f"{outcome} for a caller without a call")

    def _hear_news(self) -> None:
        # An engine tells its news after it answered; once it answers the next command, it has told them.
        for engine in self._engines:
            engine.execute(Void(new_id(), self.clock.now_us(), NORMAL_CLEARING))
        wallet_ids = self._news.take()
        for caller in self._callers:
            if caller.live is not None and not wallet_ids.isdisjoint(caller.live.granted.wallet_ids):
                self._do(caller, caller.live.wallet_changed(self.clock.monotonic_us()))

    def _redial(self) -> None:
        somebody_talks = any(caller.live is not None for caller in self._callers)
        for caller in self._denied:
            if caller.habit.redials and somebody_talks:
                caller.dials_at_us = self.clock.monotonic_us() + REDIAL_US
        self._denied = []
