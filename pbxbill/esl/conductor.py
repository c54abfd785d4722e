"""Carries out what the live calls ask for: commands to the engine, timers and hang-ups on the switch.

Commands for one call are done one after the other by a greenlet of that call, so that a slow switch delays
nobody's decisions. The switch's timer is the backstop; the cut itself is made here, at the exact moment.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable

import gevent
import structlog
from gevent.event import Event as Flag

from pbxbill.charging.announcement import ONE_MINUTE_LEFT
from pbxbill.charging.control import Action, Alarm, HangUp, Phase, SetDeadline, Submit, Warn
from pbxbill.charging.events import (
    Answer,
    Answered,
    Closed,
    Evidence,
    Extend,
    Extended,
    Outcome,
    Settle,
    Settled,
    SettleOffline,
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import EngineBusy, SwitchError, SwitchGone
from pbxbill.esl.announce import Announcer
from pbxbill.esl.calls import CallBook, ChargeOffline, EndStray, Perform, Step, TrackedCall, Unknown
from pbxbill.esl.causes import MONEY_ENDED, NORMAL_CLEARING
from pbxbill.esl.commands import SwitchCommands, timer_seconds
from pbxbill.esl.mailbox import EngineDoor
from pbxbill.esl.metrics import EslMetrics

log = structlog.get_logger(__name__)

LONGEST_SLEEP_S = 1.0


class Conductor:
    """Between the book of calls, the engine and the switch. Runs in the event loop's thread."""

    def __init__(
        self,
        book: CallBook,
        engine: EngineDoor,
        announcer: Announcer,
        clock: Clock,
        metrics: EslMetrics,
        *,
        shadow: bool = False,
    ) -> None:
        """shadow: on this switch no channel is ended, whatever becomes of its call."""
        self.book = book
        self._shadow = shadow
        self.commands: SwitchCommands | None = None
        """None while the connection is down; timers that are armed stay armed."""
        self.switch_now_us: Callable[[], int] = clock.now_us
        self.on_unknown: Callable[[Unknown], None] = lambda _step: None
        self.on_look: Callable[[TrackedCall], None] = lambda _call: None
        self._engine = engine
        self._announcer = announcer
        self._clock = clock
        self._metrics = metrics
        self._jobs: dict[str, deque[Action]] = {}
        self._due: list[tuple[int, int, str]] = []
        self._order = itertools.count()
        self._woken = Flag()

    # --- steps and actions --------------------------------------------------------------------

    def take(self, steps: list[Step]) -> None:
        """Carry out what events led to."""
        for step in steps:
            match step:
                case Perform():
                    self.perform(step.call, step.actions)
                case EndStray() if step.shadow or self._shadow:
                    self._metrics.count("stray_leg_let_go")
                    log.warning("esl.stray_leg_let_go", session=step.session_id, leg=step.uuid)
                case EndStray():
                    gevent.spawn_later(step.delay_us / SECOND_US, self._end_stray, step)
                case ChargeOffline():
                    self._charge_offline(step.command)
                case Unknown():
                    self._metrics.count("unknown_session")
                    self.on_unknown(step)

    def perform(self, call: TrackedCall, actions: list[Action]) -> None:
        """Carry out a call's actions; nothing here waits."""
        if call.live.shadow and call.armed_until_us and call.live.paid_leg:
            call.armed_until_us = 0
            gevent.spawn(self._disarm, call.live.paid_leg)
        for action in actions:
            match action:
                case Submit():
                    self._submit(call, action.command)
                case Alarm():
                    self._metrics.count("alarm")
                    log.error("esl.alarm", session=call.session_id, message=action.message)
                case SetDeadline() | HangUp() | Warn() if call.live.shadow:
                    pass  # the switch is left alone
                case SetDeadline() | HangUp() | Warn():
                    self._enqueue(call, action)
        self.schedule(call)

    def schedule(self, call: TrackedCall) -> None:
        """Have the call ticked, or looked at, when it is due."""
        moments = [moment for moment in (call.live.due_us, call.look_at_us) if moment is not None]
        if moments:
            heapq.heappush(self._due, (min(moments), next(self._order), call.session_id))
            self._woken.set()

    def run(self) -> None:
        """Tick what is due, for ever."""
        while True:
            now_us = self._clock.monotonic_us()
            while self._due and self._due[0][0] <= now_us:
                _, _, session_id = heapq.heappop(self._due)
                self._tick(session_id, now_us)
            wait_s = LONGEST_SLEEP_S
            if self._due:
                wait_s = min(wait_s, max(self._due[0][0] - self._clock.monotonic_us(), 0) / SECOND_US)
            self._woken.clear()
            self._woken.wait(wait_s)

    def _tick(self, session_id: str, now_us: int) -> None:
        call = self.book.get(session_id)
        if call is None:
            return
        try:
            if call.look_at_us is not None and call.look_at_us <= now_us:
                call.look_at_us = None
                self.on_look(call)
            if call.live.due_us is not None and call.live.due_us <= now_us:
                self.perform(call, call.live.tick(now_us))
            else:
                self.schedule(call)
        except Exception:
            self._metrics.count("tick_failed")
            log.exception("esl.tick_failed", session=session_id)

    # --- the engine -----------------------------------------------------------------------------

    def _submit(self, call: TrackedCall, command: Answer | Extend | Settle | Void) -> None:
        if not isinstance(command, Extend):
            self._engine.submit(command, lambda outcome: self._outcome(call, command, outcome))
            return
        # What follows a failure must reach the switch before its timer fires, also while a database that
        # answers nothing holds the engine's thread.
        timeout_us = call.live.extend_timeout_us(self._clock.monotonic_us())
        patience = gevent.spawn_later(timeout_us / SECOND_US, self._extension_failed, call, command)

        def answered(outcome: Outcome | BaseException) -> None:
            if not patience.dead:
                patience.kill(block=False)
                self._outcome(call, command, outcome)

        self._engine.submit(command, answered, timeout_us // 1000)

    def _extension_failed(self, call: TrackedCall, command: Extend) -> None:
        self._outcome(call, command, EngineBusy("no answer to an extension in time"))

    def _outcome(self, call: TrackedCall, command: object, outcome: Outcome | BaseException) -> None:
        now_us = self._clock.monotonic_us()
        match outcome:
            case Answered() | Extended():
                actions = call.live.granted_now(outcome, now_us)
            case Settled() | Voided() | Closed() | UnknownSession():
                actions = call.live.session_closed(now_us)
                log.info("esl.closed", session=call.session_id, outcome=type(outcome).__name__)
            case _:
                self._metrics.count("engine_failed")
                log.warning("esl.engine_failed", session=call.session_id, error=str(outcome))
                actions = call.live.failed(command, now_us)
        if call.live.closed:
            self.book.forget(call)
            self._jobs.pop(call.session_id, None)
            self._metrics.live_calls(len(self.book))
            return
        self.perform(call, actions)

    def _charge_offline(self, command: SettleOffline) -> None:
        def done(outcome: Outcome | BaseException) -> None:
            if isinstance(outcome, BaseException):
                # The switch's own CDR says the same; reconciliation charges it from there.
                self._metrics.count("offline_left_to_cdr")
                log.warning("esl.offline_left_to_cdr", session=command.request.session_id, error=str(outcome))

        self._engine.submit(command, done)

    # --- the switch -----------------------------------------------------------------------------

    def _enqueue(self, call: TrackedCall, action: Action) -> None:
        jobs = self._jobs.get(call.session_id)
        if jobs is not None:
            jobs.append(action)
            return
        self._jobs[call.session_id] = deque([action])
        gevent.spawn(self._work, call)

    def _work(self, call: TrackedCall) -> None:
        jobs = self._jobs[call.session_id]
        try:
            while jobs:
                action = jobs.popleft()
                if isinstance(action, SetDeadline) and any(isinstance(job, SetDeadline) for job in jobs):
                    continue  # a newer deadline is waiting behind
                try:
                    self._on_switch(call, action)
                except SwitchGone as error:
                    # Timers stand in the switch; the next connection compares and arms anew.
                    log.warning("esl.not_connected", session=call.session_id, error=str(error))
                except SwitchError as error:
                    self._metrics.count("command_failed")
                    log.warning("esl.command_failed", session=call.session_id, error=str(error))
        finally:
            if self._jobs.get(call.session_id) is jobs:
                del self._jobs[call.session_id]

    def _on_switch(self, call: TrackedCall, action: Action) -> None:
        if self.commands is None:
            raise SwitchGone("no command connection")
        if call.live.phase is Phase.ENDED:
            return
        match action:
            case SetDeadline():
                self._set_timer(self.commands, call)
            case HangUp():
                self._hang_up(self.commands, call, action)
            case Warn():
                # Who calls a DID does not pay for it, and who transferred the call is gone.
                caller = "" if call.inbound or call.caller_end is not None else call.caller_uuid
                path = self._announcer.path([ONE_MINUTE_LEFT], call.live.granted.announcement.language)
                if caller and path:
                    self.commands.play_to(caller, path)
                    self._metrics.count("warned")
            case _:
                pass

    def _set_timer(self, commands: SwitchCommands, call: TrackedCall) -> None:
        now_us = self._clock.monotonic_us()
        remaining_us = call.live.remaining_us(now_us)  # what is left now, not when the action was made
        if remaining_us <= 0 or not call.live.paid_leg:
            return
        call.armed_until_us = now_us + timer_seconds(remaining_us) * SECOND_US
        if commands.set_timer(call.live.paid_leg, remaining_us):
            self._metrics.count("timer_set")
        else:
            self._look_soon(call)

    def _disarm(self, leg: str) -> None:
        """A timer from before the switch went into shadow must not end the call."""
        try:
            if self.commands is not None:
                self.commands.drop_timer(leg)
                self._metrics.count("timer_dropped")
        except SwitchError as error:
            log.warning("esl.command_failed", leg=leg, error=str(error))

    def _hang_up(self, commands: SwitchCommands, call: TrackedCall, action: HangUp) -> None:
        paid = call.live.paid_leg or call.caller_uuid
        attempt, cause = action.attempt, NORMAL_CLEARING if action.asked else MONEY_ENDED
        self._metrics.count("hung_up" if attempt == 1 else "hung_up_again")
        event = "esl.hung_up_on_request" if action.asked else "esl.money_ended"
        log.info(event, session=call.session_id, leg=paid, attempt=attempt)
        there = commands.kill(paid, cause)
        if attempt > 1 and call.caller_end is None:
            commands.kill(call.caller_uuid, cause)
            there = commands.exists(paid)
        if not there:
            self._look_soon(call)

    def _look_soon(self, call: TrackedCall) -> None:
        """The leg is gone and its event is not here yet: give it a moment, then find out."""
        if call.look_at_us is None:
            call.look_at_us = self._clock.monotonic_us() + SECOND_US
            self.schedule(call)

    def _end_stray(self, step: EndStray) -> None:
        try:
            if self.commands is not None and self.commands.kill(step.uuid, "CALL_REJECTED"):
                self._metrics.count("stray_leg_ended")
                log.error("esl.stray_leg_ended", session=step.session_id, leg=step.uuid)
        except SwitchError as error:
            log.warning("esl.command_failed", session=step.session_id, error=str(error))

    # --- what became of a call ------------------------------------------------------------------

    def gone_unanswered(self, call: TrackedCall, at_us: int, cause: int = 16) -> None:
        """The call is over and nobody answered it."""
        self.perform(call, call.live.ended(answered_us=None, ended_us=at_us, hangup_cause=cause))

    def gone(
        self, call: TrackedCall, *, answered_us: int | None, ended_us: int, cause: int, evidence: Evidence
    ) -> None:
        """The call is known to be over although no event said so."""
        actions = call.live.ended(
            answered_us=answered_us, ended_us=ended_us, hangup_cause=cause, evidence=evidence
        )
        self._metrics.count("ended_without_event")
        self.perform(call, actions)
