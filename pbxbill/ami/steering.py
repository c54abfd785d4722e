"""Carries out what LiveCall asks for: timers, hang-ups and warnings on the switch, commands to the engine.

Timers are written to the connection at once, in order. Everything else runs as a task of its own, so that a
slow database or a slow switch holds up only the call it concerns.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import structlog

from pbxbill.ami.announce import Voice
from pbxbill.ami.calls import AskWhetherGone, CallBook, EndLeg, LookAgain, Step, TrackedCall
from pbxbill.ami.commands import seconds
from pbxbill.ami.events import LegGone
from pbxbill.ami.manager import Reply
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.ami.switch_link import SwitchLink
from pbxbill.ami.timers import ArmTimer
from pbxbill.ami.waiting import outcome_within
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
    UnknownSession,
    Void,
    Voided,
)
from pbxbill.charging.hangup import HangupCause
from pbxbill.charging.ports import Engine
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.clock import Clock
from pbxbill.errors import EngineBusy, InputRefused, StoreUnavailable, SwitchError

log = structlog.get_logger(__name__)

NO_CHANNEL = "No such channel"


class Steering:
    """The daemon's hands."""

    def __init__(  # noqa: PLR0913  # everything that hands can touch, by name
        self,
        settings: AsteriskSettings,
        *,
        engine: Engine,
        book: CallBook,
        link: SwitchLink,
        voice: Voice,
        clock: Clock,
        metrics: AsteriskMetrics,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._book = book
        self._link = link
        self._voice = voice
        self._clock = clock
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._closings: set[asyncio.Task[None]] = set()
        self._ticks: dict[str, asyncio.TimerHandle] = {}
        self._asking: set[AskWhetherGone] = set()
        self.look_again: Callable[[], None] = lambda: None
        """Compare with the switch soon."""
        self.record_of: Callable[[str], SwitchRecord | None] = lambda _session_id: None
        """What the CDR log says of a session, as far as it was read."""
        self.read_records: Callable[[], Awaitable[object]] = _nothing_to_read
        """Read on in the CDR log."""

    def take(self, steps: Iterable[Step]) -> None:
        """Carry out steps; afterwards each call's next moment is set."""
        touched: dict[str, TrackedCall] = {}
        for step in steps:
            match step:
                case ArmTimer():
                    self._arm(step)
                case EndLeg(leg, session_id):
                    self._spawn(self._end_unpaid(leg, session_id))
                case AskWhetherGone():
                    self._ask_whether_gone(step)
                case LookAgain():
                    self.look_again()
                case (call, action):
                    touched[call.live.session_id] = call
                    self._act(call, action)
        for call in touched.values():
            self.schedule(call)

    def do(self, call: TrackedCall, actions: Iterable[Action]) -> None:
        """Carry out one call's actions."""
        self.take([(call, action) for action in actions])
        self.schedule(call)

    def schedule(self, call: TrackedCall) -> None:
        """Wake up when the call's next moment comes."""
        session_id = call.live.session_id
        if (handle := self._ticks.pop(session_id, None)) is not None:
            handle.cancel()
        if call.live.closed:
            self.take(self._book.forget(call))
            self._metrics.live_calls.set(len(self._book))
        elif call.live.due_us is not None:
            wait_us = max(0, call.live.due_us - self._clock.monotonic_us())
            loop = asyncio.get_running_loop()
            self._ticks[session_id] = loop.call_later(wait_us / 1_000_000, self._tick, call)

    def rearm_all(self) -> None:
        """After a reconnect: nobody knows which timers arrived."""
        now_us = self._clock.monotonic_us()
        for call in self._book:
            remaining_us = call.live.remaining_us(now_us)
            if call.live.shadow:
                continue
            if call.live.answered_us is not None and remaining_us > 0:
                self.take(self._book.deadline(call, SetDeadline(remaining_us), now_us))

    def gone(self, call: TrackedCall, last_seen_us: int | None = None) -> None:
        """The switch does not know the call any more, and no event told us: settle by the best evidence.

        last_seen_us: when the switch was last known to live before it was restarted, by its own clock.
        """
        self._metrics.lost_events.inc()
        record = self.record_of(call.live.session_id)
        answered_us = call.live.answered_us if call.live.paid_leg else None
        if answered_us is None:
            call.live.ringing_us = call.first_ringing_us()
        log.warning("call_gone_without_events", session=call.live.session_id, in_cdr_log=record is not None)
        if record is not None:
            actions = call.live.ended(
                answered_us=record.answered_us if answered_us is None else answered_us,
                ended_us=record.ended_us,
                hangup_cause=record.hangup_cause,
                evidence=Evidence.CDR_LOG,
                gateway=record.gateway,
            )
        else:
            now_us = self._link.switch_now_us()
            remaining_us = call.live.remaining_us(self._clock.monotonic_us())
            timed_us = now_us if call.live.shadow else now_us + min(0, remaining_us)
            ended_us = min(timed_us, last_seen_us or now_us)
            actions = call.live.ended(
                answered_us=answered_us,
                ended_us=now_us if answered_us is None else max(answered_us, ended_us),
                hangup_cause=int(HangupCause.NORMAL_CLEARING),
                evidence=Evidence.ESTIMATE,
            )
        self.do(call, actions)

    async def finish(self, timeout_s: float) -> None:
        """Let commands that close a call reach the engine; what stays is settled at the next start."""
        for handle in self._ticks.values():
            handle.cancel()
        self._ticks.clear()
        if self._closings:
            await asyncio.wait(set(self._closings), timeout=timeout_s)
        left = self._tasks | self._closings
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # --- actions ------------------------------------------------------------------------------

    def _act(self, call: TrackedCall, action: Action) -> None:
        match action:
            case SetDeadline() | HangUp() | Warn() if call.live.shadow:
                pass  # the switch is left alone
            case SetDeadline():
                self.take(self._book.deadline(call, action, self._clock.monotonic_us()))
            case HangUp(attempt):
                self._metrics.hangups.inc()
                self._spawn(self._hang_up(call, attempt))
            case Warn():
                self._spawn(self._warn(call))
            case Alarm(message):
                self._metrics.alarms.inc()
                log.error("alarm", session=call.live.session_id, message=message)
            case Submit(command):
                closes = isinstance(command, Settle | Void)
                self._spawn(self._submit(call, command), self._closings if closes else None)

    def _tick(self, call: TrackedCall) -> None:
        self._ticks.pop(call.live.session_id, None)
        try:
            self.do(call, call.live.tick(self._clock.monotonic_us()))
        except Exception:
            # One call's trouble must not silence the timers of the others.
            log.exception("tick_failed", session=call.live.session_id)

    def _arm(self, timer: ArmTimer) -> None:
        remaining_us = timer.ends_us - self._clock.monotonic_us()
        try:
            future = self._link.send(
                "AbsoluteTimeout", {"Channel": timer.leg, "Timeout": seconds(max(1000, remaining_us))}
            )
        except SwitchError:
            return  # the switch holds the old deadline; everything is armed again after the reconnect
        future.add_done_callback(_note_timer)

    async def _hang_up(self, call: TrackedCall, attempt: int) -> None:
        paid_leg = call.live.paid_leg
        legs = [paid_leg] if paid_leg else []
        if attempt > 1 or not legs:
            legs += [leg for leg in (call.call_id, *call.legs) if leg not in legs]
        replies = [await self._hang_up_leg(leg, HangupCause.NORMAL_CLEARING) for leg in legs]
        log.info("hang_up_sent", session=call.live.session_id, attempt=attempt, legs=legs)
        if attempt > 1 and paid_leg and replies and replies[0] is not None and not replies[0].success:
            await self.read_records()  # what it says counts more than an estimate
            if call.live.phase is not Phase.ENDED:
                self.gone(call)

    async def _end_unpaid(self, leg: str, session_id: str) -> None:
        """Whoever knows an old session could name anybody's leg in a forged event: look at the leg itself."""
        reply = await self._link.send("Getvar", {"Channel": leg, "Variable": "PBXBILL_SESSION"})
        if reply.fields.get("value", "") != session_id:
            log.warning("leg_of_another_session", leg=leg, session=session_id)
            return
        if self._settings.shadow or await self._is_in_shadow(leg):
            log.warning("leg_without_grant_let_go", leg=leg, session=session_id)
            return
        self._metrics.unpaid_legs.inc()
        log.error("leg_without_grant", leg=leg, hint="call Gosub(pbxbill,...) before each Dial")
        await self._hang_up_leg(leg, HangupCause.CALL_REJECTED)

    async def _is_in_shadow(self, leg: str) -> bool:
        reply = await self._link.send("Getvar", {"Channel": leg, "Variable": "PBXBILL_SHADOW"})
        return reply.fields.get("value", "") == "yes"

    def disarm(self, legs: Iterable[str]) -> None:
        """Timers from before the switch went into shadow must not end these channels."""
        for leg in legs:
            self._spawn(self._disarm(leg))

    async def _disarm(self, leg: str) -> None:
        try:
            await self._link.send("Setvar", {"Channel": leg, "Variable": "TIMEOUT(absolute)", "Value": "0"})
        except SwitchError as failure:
            log.warning("timer_not_dropped", leg=leg, reason=str(failure))

    def _ask_whether_gone(self, step: AskWhetherGone) -> None:
        if step in self._asking:
            return
        self._asking.add(step)
        self._spawn(self._believe_the_switch(step, self._link.switch_now_us()))

    async def _believe_the_switch(self, step: AskWhetherGone, at_us: int) -> None:
        try:
            reply = await self._link.send("Getvar", {"Channel": step.leg, "Variable": "PBXBILL_SESSION"})
        finally:
            self._asking.discard(step)
        if reply.success or NO_CHANNEL not in reply.message:
            log.warning("end_not_believed", leg=step.leg, sessions=sorted(step.sessions))
            return
        await self.read_records()
        for session_id in step.sessions:
            call = self._book.get(session_id)
            if call is None or call.live.paid_leg != step.leg or call.live.phase is Phase.ENDED:
                continue
            if self.record_of(session_id) is not None:
                self.gone(call)
        now_us, cause = self._clock.monotonic_us(), int(HangupCause.NORMAL_CLEARING)
        event = LegGone(step.leg, "", cause, at_us, step.sessions)
        self.take(self._book.handle(event, now_us=now_us, switch_now_us=self._link.switch_now_us()))

    async def _hang_up_leg(self, leg: str, cause: HangupCause) -> Reply | None:
        try:
            return await self._link.send("Hangup", {"Channel": leg, "Cause": str(int(cause))})
        except SwitchError as failure:
            log.warning("hang_up_failed", leg=leg, reason=str(failure))
            return None

    async def _warn(self, call: TrackedCall) -> None:
        if call.inbound:
            listeners = [name for leg, name in call.legs.items() if leg in call.came_up_us]
        else:
            listeners = [call.legs.get(call.call_id, "")] if call.caller_alive else []
        spoken = self._voice.warning(call.live.granted.announcement.language)
        if not listeners or not listeners[0] or not spoken.files:
            log.info("warning_without_listener", session=call.live.session_id)
            return
        variables = {
            "__PBXBILL_LISTENER": listeners[0],
            "__PBXBILL_WARNING": spoken.playback,
            "__PBXBILL_LANGUAGE": spoken.language,
        }
        fields: dict[str, str | list[str]] = {
            "Channel": "Local/spy@pbxbill-warn/n",
            "Context": "pbxbill-warn",
            "Exten": "play",
            "Priority": "1",
            "Async": "true",
            "CallerID": "pbxbill",
            "Variable": [f"{name}={value}" for name, value in variables.items()],
        }
        try:
            reply = await self._link.send("Originate", fields)
        except (SwitchError, InputRefused) as failure:
            log.warning("warning_failed", session=call.live.session_id, reason=str(failure))
            return
        log.info("call_warned", session=call.live.session_id, sent=reply.success)

    async def _submit(self, call: TrackedCall, command: Answer | Extend | Settle | Void) -> None:
        timeout_s = self._settings.engine_timeout_s
        try:
            if isinstance(command, Settle | Void):
                future = self._engine.submit(command)  # waits until it is durable
                outcome = await asyncio.wrap_future(future)
            else:
                if isinstance(command, Extend):
                    # What follows a failure must reach the switch before its timer fires.
                    timeout_s = call.live.extend_timeout_us(self._clock.monotonic_us()) / 1_000_000
                future = self._engine.submit(command, int(timeout_s * 1000))
                outcome = await outcome_within(future, timeout_s)
        except (StoreUnavailable, EngineBusy, TimeoutError) as failure:
            log.warning("command_failed", session=call.live.session_id, reason=str(failure) or "time-out")
            self.do(call, call.live.failed(command, self._clock.monotonic_us()))
            return
        except asyncio.CancelledError:
            raise
        except Exception:
            # A command that the engine cannot digest is sent again; the switch's timer bounds the call.
            log.exception("command_failed", session=call.live.session_id)
            self.do(call, call.live.failed(command, self._clock.monotonic_us()))
            return
        self._take_outcome(call, outcome)

    def _take_outcome(self, call: TrackedCall, outcome: Outcome) -> None:
        now_us = self._clock.monotonic_us()
        match outcome:
            case Answered() | Extended():
                self.do(call, call.live.granted_now(outcome, now_us))
            case Settled():
                log.info(
                    "call_settled",
                    session=outcome.session_id,
                    billed_us=outcome.billed_us,
                    total=outcome.total,
                    unit=outcome.unit.code,
                    uncollected=outcome.uncollected,
                )
                self.do(call, call.live.session_closed(now_us))
            case Voided() | Closed() | UnknownSession():
                log.info("call_closed", session=outcome.session_id, outcome=type(outcome).__name__)
                self.do(call, call.live.session_closed(now_us))
            case _:
                log.error("unexpected_outcome", session=call.live.session_id, outcome=type(outcome).__name__)

    def _spawn(
        self, work: Coroutine[Any, Any, object], among: "set[asyncio.Task[None]] | None" = None
    ) -> None:
        tasks = self._tasks if among is None else among
        task: asyncio.Task[Any] = asyncio.create_task(_logged(work))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # Cancelled before its first step it would be left unawaited.
        task.add_done_callback(lambda _: work.close())


async def _nothing_to_read() -> None:
    """There is no CDR log."""


async def _logged(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception:
        # Nobody waits for these tasks: what goes wrong in one is told here.
        log.exception("steering_task_failed")


def _note_timer(future: "asyncio.Future[Reply]") -> None:
    if future.cancelled():
        return
    failure = future.exception()
    if failure is not None:
        log.warning("timer_not_set", reason=str(failure))
    elif not future.result().success and NO_CHANNEL not in future.result().message:
        log.error("timer_refused", reason=future.result().message)
