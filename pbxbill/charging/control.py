"""LiveCall: how a daemon steers one call on its switch. No socket, no clock, no database.

The daemon feeds it what it sees (authorized, answered, extended, wallet news, leg gone) together with
monotonic time, and carries out the actions it returns; `due_us` says when tick() must be called next.
Both daemons, and the simulator, drive the same class.

The switch's timestamps decide what a call costs; monotonic time decides when a timer is moved, so a
step of the wall clock moves no deadline.

A call in shadow is charged like any other, but nothing is asked of its switch: no timer, no word, no end.
"""

from dataclasses import dataclass
from enum import StrEnum

from pbxbill.charging.events import (
    Answer,
    Answered,
    Evidence,
    Extend,
    Extended,
    FailurePolicy,
    Granted,
    Settle,
    Void,
)
from pbxbill.clock import SECOND_US


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Arm (or move) the switch's timer so that the call ends remaining_us from now."""

    remaining_us: int


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell the caller that one minute is left."""

    remaining_us: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """The money has ended: end the paid leg now. attempt counts from 1; later ones escalate."""

    attempt: int
    asked: bool = False
    """Not the money: somebody wants it to end. Before the answer the caller's leg is ended."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must know: the call could not be ended, or answers fail to come."""

    message: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Give this command to the engine and feed its outcome back."""

    command: Answer | Extend | Settle | Void


Action = SetDeadline | Warn | HangUp | Alarm | Submit


class Phase(StrEnum):
    """Where a live call stands for its daemon."""

    SETUP = "setup"
    TALKING = "talking"
    CUTTING = "cutting"
    """The deadline passed; the leg is not confirmed gone yet."""
    ENDED = "ended"


WARNING_US = 60 * SECOND_US
"""How much time is left when the caller is warned."""

SHORTEST_WARNING_US = 5 * SECOND_US
"""With less than this left a warning would only talk into the end of the call."""

RETRY_US = 1 * SECOND_US
"""How soon a command that the engine could not answer is sent again."""

SHORTEST_PATIENCE_US = SECOND_US // 5
LONGEST_PATIENCE_US = 5 * SECOND_US

CUT_CHECK_US = 1 * SECOND_US
"""How long a hang-up may take before it is repeated; doubles with each attempt."""

LONGEST_CUT_CHECK_US = 30 * SECOND_US
ALARM_AFTER_ATTEMPTS = 3


class LiveCall:
    """One charged call on a switch. Moments named now_us are monotonic; every method returns what to do."""

    def __init__(self, granted: Granted) -> None:
        self.granted = granted
        self.phase = Phase.SETUP
        self.shadow = granted.shadow
        self.paid_leg = ""
        self.gateway = ""
        """Where the paid leg goes out, as far as the switch says."""
        self.ringing_us: int | None = None
        """Post-dial delay of the paid leg, before the answer of the leg that rang first; None: not known."""
        self.answered_us: int | None = None
        """By the switch's clock."""
        self.closed = False
        """The engine has settled or voided the call: it can be forgotten."""
        self.due_us: int | None = None
        """When tick() must be called next, monotonic; None: nothing to wait for."""
        self._answer_at_us = 0  # the answer on the monotonic clock
        self._granted_us = granted.granted_us
        self._affordable_us = granted.affordable_us
        self._final = granted.final
        self._unpaid_until_us = 0  # failure policy open: the call goes on to here without an answer
        self._extend_pending = False
        self._extend_again = False
        self._extend_after_us = 0
        self._answer_again_at_us: int | None = None
        self._warned = self.shadow or not granted.announcement.warning
        self._attempts = 0
        self._cut_check_at_us = 0
        self._closing: Settle | Void | None = None
        self._asked = ""

    @property
    def session_id(self) -> str:
        """The session that every command about this call names."""
        return self.granted.session_id

    def elapsed_us(self, now_us: int) -> int:
        """Call time since the answer; 0 before it."""
        return max(0, now_us - self._answer_at_us) if self.answered_us is not None else 0

    def extend_timeout_us(self, now_us: int) -> int:
        """How long to wait for an answer to an Extend: what follows a failure must precede the deadline."""
        if self.shadow:
            return LONGEST_PATIENCE_US
        return min(max(self.remaining_us(now_us) // 2, SHORTEST_PATIENCE_US), LONGEST_PATIENCE_US)

    def remaining_us(self, now_us: int) -> int:
        """Call time until the deadline that the switch holds."""
        return max(self._granted_us, self._unpaid_until_us) - self.elapsed_us(now_us)

    def last_paid_us(self, now_us: int) -> int | None:
        """Until when the switch let the call last at most, by its own clock; None: nothing bounds it."""
        if self.answered_us is None or self.shadow:
            return None
        return self.answered_us + max(self.elapsed_us(now_us) + self.remaining_us(now_us), 0)

    def answered(
        self,
        *,
        answered_us: int,
        paid_leg: str,
        elapsed_us: int,
        now_us: int,
        gateway: str = "",
        ringing_us: int | None = None,
    ) -> list[Action]:
        """The paid leg was answered, elapsed_us ago by the switch's clock; also for a call found alive."""
        if self.phase is not Phase.SETUP:
            return []
        self.phase = Phase.TALKING
        self.paid_leg = paid_leg
        self.gateway = gateway or self.gateway
        self.ringing_us = ringing_us  # of another leg it says nothing of the carrier that took the call
        self.answered_us = answered_us
        self._answer_at_us = now_us - max(0, elapsed_us)
        self._cut_check_at_us = now_us  # whoever wants it to end does not wait for a leg that is gone
        actions: list[Action] = [Submit(self._answer(answered_us))]
        if self.remaining_us(now_us) > 0 and not self.shadow:
            actions.append(SetDeadline(self.remaining_us(now_us)))
        return actions + self.tick(now_us)

    def wallet_changed(self, now_us: int) -> list[Action]:
        """A wallet of the chain changed: ask what is granted now."""
        if self.phase is Phase.ENDED:
            return []
        if self._extend_pending:
            self._extend_again = True
            return []
        return self._extend(max(self._granted_us, self._want_us(now_us)), now_us)

    def hang_up(self, detail: str, now_us: int) -> list[Action]:
        """Somebody wants the call to end; detail is what its record will say. Not in shadow."""
        if self._asked or self.shadow or self.phase in {Phase.CUTTING, Phase.ENDED}:
            return []
        self._asked = detail
        return self.tick(now_us)

    def spare(self, now_us: int) -> list[Action]:
        """Nobody wants it to end any more: what was to be hung up, and is still there, lives on."""
        if not self._asked or self.phase is Phase.ENDED:
            return []
        self._asked = ""
        self._attempts = 0
        if self.phase is Phase.CUTTING and self.remaining_us(now_us) > 0:
            self.phase = Phase.TALKING
        return self.tick(now_us)

    def granted_now(self, outcome: Answered | Extended, now_us: int) -> list[Action]:
        """The engine said what is granted."""
        if self.phase is Phase.ENDED:
            return []
        if isinstance(outcome, Extended):
            self._extend_pending = False
            self._affordable_us = outcome.affordable_us
            if self.shadow and outcome.granted_us <= self._granted_us:
                self._extend_after_us = now_us + RETRY_US  # nothing came of it: not again at once
        changed = outcome.granted_us != self._granted_us or self._unpaid_until_us > 0
        self._granted_us = outcome.granted_us
        self._final = outcome.final
        self._unpaid_until_us = 0
        actions: list[Action] = []
        if self.remaining_us(now_us) > WARNING_US + SHORTEST_WARNING_US and not self.shadow:
            self._warned = not self.granted.announcement.warning  # a top-up makes room for another warning
        armed = self.answered_us is not None and not self.shadow
        if armed and changed and self.remaining_us(now_us) > 0:
            if self.phase is Phase.CUTTING and not self._attempts:
                self.phase = Phase.TALKING
            actions.append(SetDeadline(self.remaining_us(now_us)))
        if self._extend_again:
            self._extend_again = False
            actions += self.wallet_changed(now_us)
        return actions + self.tick(now_us)

    def session_closed(self, now_us: int) -> list[Action]:
        """The engine says the session is settled, voided or unknown: a call that still lives must end.

        In shadow it lives on, and nobody steers it any more.
        """
        self._extend_pending = False
        if self.phase is Phase.ENDED or self.shadow:
            self.closed = True
            self.due_us = None
            return []
        self._granted_us = self._unpaid_until_us = 0
        self._final = True
        if self.answered_us is None:  # nobody pays for it any more, so it must not be answered
            self.answered_us = 0
            self._answer_at_us = now_us
        return self.tick(now_us)

    def failed(self, command: object, now_us: int) -> list[Action]:
        """The engine could not answer a command: it is sent again; nothing is lost meanwhile."""
        if self.phase is Phase.ENDED and not isinstance(command, Settle | Void):
            return []  # the end that is on its way says it all
        if isinstance(command, Extend):
            self._extend_pending = False
            self._extend_after_us = now_us + RETRY_US
            is_open = self.granted.failure_policy is FailurePolicy.OPEN and not self.shadow
            if self.phase is Phase.TALKING and is_open:
                return self._go_on_unpaid(now_us)
        elif isinstance(command, Answer):
            self._answer_again_at_us = now_us + RETRY_US
        elif isinstance(command, Settle | Void):
            self.due_us = now_us + RETRY_US
            return []
        return self.tick(now_us)

    def ended(
        self,
        *,
        answered_us: int | None,
        ended_us: int,
        hangup_cause: int,
        evidence: Evidence = Evidence.EVENT,
        gateway: str = "",
        ringing_us: int | None = None,
    ) -> list[Action]:
        """The paid leg is gone, or there never was one (answered_us None). Times by the switch's clock."""
        if self.phase is Phase.ENDED:
            return []
        self.phase = Phase.ENDED
        self.gateway = self.gateway or gateway
        self.ringing_us = self.ringing_us if ringing_us is None else ringing_us
        self.due_us = None
        self._closing = (
            Void(self.session_id, ended_us, hangup_cause, evidence, self._asked, self.ringing_us)
            if answered_us is None
            else Settle(
                self.session_id,
                answered_us,
                ended_us,
                hangup_cause,
                evidence,
                self.gateway,
                self._asked,
                self.ringing_us,
            )
        )
        return [Submit(self._closing)]

    def tick(self, now_us: int) -> list[Action]:
        """Do what is due now and set due_us."""
        match self.phase:
            case Phase.ENDED:
                self.due_us = None
                return [Submit(self._closing)] if self._closing is not None and not self.closed else []
            case Phase.SETUP if self.answered_us is None and not self._asked:
                self.due_us = None
                return []
            case _:
                pass
        if (self._asked or self.remaining_us(now_us) <= 0) and not self.shadow:
            return self._cut(now_us)
        actions = self._warning(now_us)
        renew_at_us = self._answer_at_us + self._granted_us - self.granted.renew_before_us
        renew_at_us = max(renew_at_us, self._extend_after_us)
        again_at_us = self._answer_again_at_us
        if again_at_us is not None and now_us >= again_at_us:
            again_at_us = self._answer_again_at_us = None
            actions.append(Submit(self._answer(self.answered_us or 0)))
        wants_more = not self._extend_pending and not self._final
        if self.shadow and self._granted_us >= self.granted.max_call_us:
            wants_more = False  # the longest call has passed and nobody ends it
        if wants_more and now_us >= renew_at_us:
            actions += self._extend(self._granted_us + self.granted.slice_us, now_us)
            wants_more = False
        moments = [] if self.shadow else [now_us + self.remaining_us(now_us)]
        if wants_more:
            moments.append(renew_at_us)
        if again_at_us is not None:
            moments.append(again_at_us)
        if not self._warned:
            moments.append(max(now_us + 1, self._warning_at_us()))
        self.due_us = min(moments, default=None)
        return actions

    def _answer(self, answered_us: int) -> Answer:
        return Answer(self.session_id, answered_us, self.paid_leg, self.gateway, self.ringing_us)

    def _want_us(self, now_us: int) -> int:
        if self.answered_us is None:
            return self._granted_us
        near_end = self.remaining_us(now_us) <= self.granted.renew_before_us
        return self._granted_us + self.granted.slice_us if near_end else self._granted_us

    def _extend(self, want_us: int, now_us: int) -> list[Action]:
        self._extend_pending = True
        want_us = min(want_us, self.granted.max_call_us)
        at_us = (self.answered_us or 0) + self.elapsed_us(now_us)
        return [Submit(Extend(self.session_id, want_us, at_us))]

    def _warning_at_us(self) -> int:
        ends_us = self._granted_us if self._final else max(self._affordable_us, self._granted_us)
        return self._answer_at_us + ends_us - WARNING_US

    def _warning(self, now_us: int) -> list[Action]:
        if self._warned or now_us < self._warning_at_us():
            return []
        self._warned = True
        left_us = self._warning_at_us() + WARNING_US - now_us
        starts_short = self.elapsed_us(now_us) < SHORTEST_WARNING_US  # the caller was told before the call
        return [] if starts_short or left_us < SHORTEST_WARNING_US else [Warn(left_us)]

    def _go_on_unpaid(self, now_us: int) -> list[Action]:
        until_us = min(self.elapsed_us(now_us) + self.granted.slice_us, self.granted.max_call_us)
        actions: list[Action] = []
        near_end = self.remaining_us(now_us) <= self.granted.renew_before_us
        if near_end and until_us > max(self._granted_us, self._unpaid_until_us):
            self._unpaid_until_us = until_us
            actions.append(SetDeadline(self.remaining_us(now_us)))
        return actions + self.tick(now_us)

    def _cut(self, now_us: int) -> list[Action]:
        if self.answered_us is not None:  # else it may still be answered
            self.phase = Phase.CUTTING
        if self._attempts and now_us < self._cut_check_at_us:
            self.due_us = self._cut_check_at_us
            return []
        self._attempts += 1
        wait_us = min(CUT_CHECK_US << min(self._attempts - 1, 10), LONGEST_CUT_CHECK_US)
        self.due_us = self._cut_check_at_us = now_us + wait_us
        actions: list[Action] = [HangUp(self._attempts, bool(self._asked))]
        if self._attempts == ALARM_AFTER_ATTEMPTS:
            actions.append(Alarm(f"call {self.session_id} does not end: {self._attempts} hang-ups sent"))
        return actions
