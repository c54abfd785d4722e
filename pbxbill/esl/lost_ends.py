"""What became of a call whose end no event told: asked of the switch, then of its CDR log, then estimated."""

from collections.abc import Callable

import gevent
import structlog

from pbxbill.charging.control import Phase
from pbxbill.charging.events import Evidence
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, SwitchError
from pbxbill.esl.calls import TrackedCall
from pbxbill.esl.cdr_log import CdrLog
from pbxbill.esl.commands import SwitchCommands
from pbxbill.esl.conductor import Conductor
from pbxbill.esl.snapshot import look_at

log = structlog.get_logger(__name__)


class LostEnds:
    """Finds out how calls ended. Runs in the event loop's thread."""

    def __init__(
        self, conductor: Conductor, commands: Callable[[], SwitchCommands], cdr_log: CdrLog, clock: Clock
    ) -> None:
        self._conductor = conductor
        self._commands = commands
        self._cdr_log = cdr_log
        self._clock = clock
        self.dead_at_us: int | None = None
        """When the switch was last alive before it was restarted, by its own clock; None: it was not."""

    def look(self, call: TrackedCall) -> None:
        """No event said how this call ended, or whether."""
        try:
            commands = self._commands()
            if call.live.phase is Phase.SETUP:
                self._look_at_setup(commands, call)
            elif call.live.phase is not Phase.ENDED and not commands.exists(call.live.paid_leg):
                self._find_end(call, call.live.paid_leg)
        except (SwitchError, InputRefused) as error:
            log.info("esl.look_failed", session=call.session_id, error=str(error))
            call.look_at_us = self._clock.monotonic_us() + SECOND_US
            self._conductor.schedule(call)

    def _look_at_setup(self, commands: SwitchCommands, call: TrackedCall) -> None:
        end = call.caller_end
        other = end.other_uuid if end is not None else ""
        if other and (found := look_at(commands, other)) is not None and found.answer is not None:
            book = self._conductor.book
            self._conductor.take(book.answered(found.answer, self._clock.monotonic_us()))
        elif end is not None and end.bridged_us is not None:
            self._find_end(call, other)
        elif end is not None:
            self._conductor.gone_unanswered(call, end.ended_us, end.cause)
        elif not commands.exists(call.caller_uuid):
            self._find_end(call, "")

    def _find_end(self, call: TrackedCall, leg: str) -> None:
        record = gevent.get_hub().threadpool.apply(self._cdr_log.leg, (leg,)) if leg else None
        live = call.live
        if live.phase is Phase.ENDED:
            return  # its event came while we looked
        end = call.caller_end
        switch_now_us = self._conductor.switch_now_us()
        if record is not None:
            times = (record.answered_us, record.ended_us, record.cause, Evidence.CDR_LOG)
            live.gateway = live.gateway or record.gateway
            live.ringing_us = record.ringing_us if live.ringing_us is None else live.ringing_us
        elif live.answered_us is not None:
            last_us = end.ended_us if end is not None else self.dead_at_us or switch_now_us
            paid_us = live.last_paid_us(self._clock.monotonic_us())
            ended_us = max(last_us if paid_us is None else min(last_us, paid_us), live.answered_us)
            times = (live.answered_us, ended_us, 16, Evidence.ESTIMATE)
        elif end is not None:
            times = (end.bridged_us, end.ended_us, end.cause, Evidence.ESTIMATE)
        else:
            times = (None, switch_now_us, 0, Evidence.ESTIMATE)
        answered_us, ended_us, cause, evidence = times
        log.warning(
            "esl.end_found", session=call.session_id, evidence=evidence.value, answered=bool(answered_us)
        )
        self._conductor.gone(call, answered_us=answered_us, ended_us=ended_us, cause=cause, evidence=evidence)
