"""The calls that this daemon steers, and what each switch event means for them. No socket, no clock.

Events may come in any order, twice, late or never: each is checked against what is already known. Which
leg is paid for: of an outbound call the leg that Dial took (never half of a Local channel), of an inbound
call the trunk's own channel. The paid leg's end is the call's end, whatever became of the caller's leg.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pbxbill.ami.events import (
    DialAnswered,
    DialFailed,
    Doubted,
    Event,
    HangupAsked,
    LegGone,
    LegRinging,
    LegSeen,
    LegUp,
)
from pbxbill.ami.timers import ArmTimer, TimerBoard
from pbxbill.charging.control import Action, LiveCall, Phase, SetDeadline
from pbxbill.charging.events import Authorize, Direction, Granted
from pbxbill.charging.gateway import gateway_of, is_local
from pbxbill.charging.hangup import HangupCause

REMEMBERED = 20_000
"""Sessions that ended a while ago; a leg that comes up under one of them is not paid for."""

TIMER_SLACK_US = 100_000
"""A leg that ended this close to its deadline was ended by it; Asterisk itself does not say so."""

CAUSE_OF_STATUS = {
    "BUSY": HangupCause.USER_BUSY,
    "NOANSWER": HangupCause.NO_ANSWER,
    "CONGESTION": HangupCause.NO_CIRCUIT,
    "CHANUNAVAIL": HangupCause.NO_CIRCUIT,
}


@dataclass(frozen=True, slots=True)
class EndLeg:
    """A leg came up that nobody pays for: end it, if it is of that session."""

    leg: str
    session_id: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """A leg came up whose session this daemon does not know: compare with the switch soon."""

    session_id: str


@dataclass(frozen=True, slots=True)
class AskWhetherGone:
    """Something says that this leg has ended, and does not name the sessions: believe the switch alone."""

    leg: str
    sessions: frozenset[str]


@dataclass(slots=True, eq=False)
class TrackedCall:
    """A live call and its channels."""

    live: LiveCall
    call_id: str
    """Uniqueid of the leg that asked."""
    direction: Direction
    caller_alive: bool = True
    spares_caller: bool = False
    """The caller goes on after it, at an access number: its end is not his."""
    legs: dict[str, str] = field(default_factory=dict)
    """The legs that are up or ringing, and their channel names."""
    came_up_us: dict[str, int] = field(default_factory=dict)
    hangup_asked_us: dict[str, int] = field(default_factory=dict)
    dialled_us: dict[str, int] = field(default_factory=dict)
    """When legs were dialled, as far as they are watched since then."""
    rang_us: dict[str, int] = field(default_factory=dict)
    """When they first rang; of a call to a DID the trunk's leg, which is told what the phones say."""
    cause: int = 0
    missed: int = 0
    """Sweeps in a row that did not find it on the switch."""

    @property
    def inbound(self) -> bool:
        """Whether the leg that asked is itself the one paid for."""
        return self.direction is Direction.INBOUND

    def ringing_us(self, leg: str, answered_us: int | None = None) -> int | None:
        """How long after it was dialled a leg first rang, or was answered without; None: not known."""
        dialled_us, rang_us = self.dialled_us.get(leg), self.rang_us.get(leg, answered_us)
        return None if dialled_us is None or rang_us is None else max(0, rang_us - dialled_us)

    def first_ringing_us(self) -> int | None:
        """The same of the leg that rang first."""
        watched = [(at_us, leg) for leg, at_us in self.rang_us.items() if leg in self.dialled_us]
        return self.ringing_us(min(watched)[1]) if watched else None

    def lost_sight(self) -> None:
        """Events were missed: legs that are not known to ring may have rung since long."""
        self.dialled_us = {leg: at_us for leg, at_us in self.dialled_us.items() if leg in self.rang_us}

    def timed_legs(self) -> list[str]:
        """The channels that must not outlive the funds."""
        legs = [self.live.paid_leg] if self.live.paid_leg else []
        if self.caller_alive and not self.spares_caller and self.call_id not in legs:
            legs.append(self.call_id)
        return legs


CallAction = tuple[TrackedCall, Action]
Step = CallAction | ArmTimer | EndLeg | LookAgain | AskWhetherGone


class CallBook:
    """All tracked calls, by session, by leg and by wallet."""

    def __init__(self) -> None:
        self._calls: dict[str, TrackedCall] = {}
        self._by_leg: dict[str, set[str]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self.timers = TimerBoard()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[TrackedCall]:
        return iter(list(self._calls.values()))

    def get(self, session_id: str) -> TrackedCall | None:
        """The call of a session, while it is tracked."""
        return self._calls.get(session_id)

    def unknown(self, session_id: str) -> bool:
        """Whether this daemon has never heard of the session."""
        return session_id not in self._calls and session_id not in self._ended

    def add(self, granted: Granted, request: Authorize, channel: str) -> TrackedCall:
        """A call was granted; from now on its events count."""
        call = TrackedCall(LiveCall(granted), request.call_id, request.direction)
        if call.inbound:
            call.dialled_us[request.call_id] = request.at_us
        self._calls[granted.session_id] = call
        self._note_leg(call, request.call_id, channel)
        return call

    def adopt(self, call: TrackedCall) -> None:
        """A call that was found on the switch."""
        self._calls[call.live.session_id] = call
        for leg in {call.call_id, call.live.paid_leg, *call.legs} - {""}:
            self._by_leg.setdefault(leg, set()).add(call.live.session_id)

    def forget(self, call: TrackedCall) -> list[ArmTimer]:
        """The engine has closed the call."""
        session_id = call.live.session_id
        self._calls.pop(session_id, None)
        self._ended[session_id] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        legs = {call.call_id, call.live.paid_leg, *call.legs}
        for leg in legs:
            sessions = self._by_leg.get(leg, set())
            sessions.discard(session_id)
            if not sessions:
                self._by_leg.pop(leg, None)
        return self.timers.release(session_id, sorted(legs))

    def with_wallets(self, wallet_ids: frozenset[int]) -> list[TrackedCall]:
        """The calls that draw on any of these wallets."""
        return [
            call for call in self._calls.values() if not wallet_ids.isdisjoint(call.live.granted.wallet_ids)
        ]

    def handle(self, event: Event, *, now_us: int, switch_now_us: int) -> list[Step]:
        """What follows from an event."""
        match event:
            case LegSeen() | LegRinging() | DialFailed():
                if (call := self._calls.get(event.session_id)) is not None:
                    self._note(call, event)
                return []
            case LegUp():
                return self._leg_up(event, now_us, switch_now_us)
            case DialAnswered():
                return self._dial_answered(event, now_us, switch_now_us)
            case HangupAsked(leg, _, at_us):
                for call in self._named(event):
                    call.hangup_asked_us.setdefault(leg, at_us)
                return []
            case LegGone():
                return self._leg_gone(event, now_us)
            case Doubted():
                return self._doubted(event)
            case _:
                return []

    def deadline(self, call: TrackedCall, action: SetDeadline, now_us: int) -> list[ArmTimer]:
        """The timers that a moved deadline means."""
        return self.timers.want(call.live.session_id, call.timed_legs(), now_us + action.remaining_us)

    def _note(self, call: TrackedCall, event: LegSeen | LegRinging | DialFailed) -> None:
        """What an attempt to dial says; nothing is to be done about it."""
        match event:
            case LegSeen(leg, channel, _, at_us):
                self._note_leg(call, leg, channel)
                if at_us is not None and not call.inbound:
                    call.dialled_us.setdefault(leg, at_us)
            case LegRinging(leg, _, at_us):
                rings = call.call_id if call.inbound else leg
                call.rang_us[rings] = min(at_us, call.rang_us.get(rings, at_us))
            case DialFailed(_, _, status):
                call.cause = CAUSE_OF_STATUS.get(status, call.cause)

    def _note_leg(self, call: TrackedCall, leg: str, channel: str) -> None:
        call.legs.setdefault(leg, channel)
        self._by_leg.setdefault(leg, set()).add(call.live.session_id)

    def _of_leg(self, leg: str) -> list[TrackedCall]:
        return [self._calls[session] for session in self._by_leg.get(leg, ()) if session in self._calls]

    def _named(self, event: LegUp | HangupAsked | LegGone) -> list[TrackedCall]:
        """The calls of its leg whose session the event knows: a Uniqueid can be guessed."""
        named = {event.session_id, *event.paid}
        return [call for call in self._of_leg(event.leg) if call.live.session_id in named]

    def _doubted(self, event: Doubted) -> list[Step]:
        steps: list[Step] = []
        for leg in sorted(event.legs):
            sessions = frozenset(call.live.session_id for call in self._of_leg(leg))
            steps += [AskWhetherGone(leg, sessions)] if sessions else []
        for session_id in sorted(event.sessions):
            call = self._calls.get(session_id)
            steps += [LookAgain(session_id)] if call and call.live.phase is Phase.SETUP else []
        return steps

    def _leg_up(self, event: LegUp, now_us: int, switch_now_us: int) -> list[Step]:
        steps: list[Step] = []
        for call in self._named(event):
            if call.call_id == event.leg and call.inbound:
                steps += self._answered(call, event.leg, event.at_us, now_us, switch_now_us)
        call_here = self._calls.get(event.session_id)
        if call_here is not None and event.leg != call_here.call_id:
            self._note_leg(call_here, event.leg, event.channel)
            call_here.came_up_us.setdefault(event.leg, event.at_us)
        return steps

    def _dial_answered(self, event: DialAnswered, now_us: int, switch_now_us: int) -> list[Step]:
        if is_local(event.channel):
            return []
        call = self._calls.get(event.session_id)
        if event.session_id in self._ended or (call is not None and call.live.phase is Phase.ENDED):
            return [EndLeg(event.leg, event.session_id)]
        if call is None:
            return [LookAgain(event.session_id)]
        self._note_leg(call, event.leg, event.channel)
        if call.inbound or event.leg == call.call_id:
            return []
        if call.live.answered_us is not None and call.live.paid_leg != event.leg:
            return [EndLeg(event.leg, event.session_id)]  # one grant pays for one leg
        at_us = min(event.at_us, call.came_up_us.get(event.leg, event.at_us))
        call.live.gateway = call.live.gateway or gateway_of(event.channel)
        return self._answered(call, event.leg, at_us, now_us, switch_now_us)

    def _answered(
        self, call: TrackedCall, leg: str, at_us: int, now_us: int, switch_now_us: int
    ) -> list[Step]:
        actions = call.live.answered(
            answered_us=at_us,
            paid_leg=leg,
            elapsed_us=max(0, switch_now_us - at_us),
            now_us=now_us,
            ringing_us=call.ringing_us(leg, at_us),
        )
        return [(call, action) for action in actions]

    def _leg_gone(self, event: LegGone, now_us: int) -> list[Step]:
        steps: list[Step] = []
        named = self._named(event)
        for call in named:
            steps += [(call, action) for action in self._one_gone(call, event, now_us)]
        others = [call for call in self._of_leg(event.leg) if call not in named]
        others = [call for call in others if call.live.phase is not Phase.ENDED]
        if others:
            return [*steps, AskWhetherGone(event.leg, frozenset(call.live.session_id for call in others))]
        self._by_leg.pop(event.leg, None)
        self.timers.forget(event.leg)
        return steps

    def _one_gone(self, call: TrackedCall, event: LegGone, now_us: int) -> list[Action]:
        call.legs.pop(event.leg, None)
        if event.leg == call.call_id:
            call.caller_alive = False
        ended_us = min(event.at_us, call.hangup_asked_us.get(event.leg, event.at_us))
        if call.live.answered_us is not None and call.live.paid_leg:
            if event.leg != call.live.paid_leg:
                return []
            cause = event.cause or HangupCause.NORMAL_CLEARING
            timed = not call.live.shadow and call.live.remaining_us(now_us) <= TIMER_SLACK_US
            if cause == HangupCause.NORMAL_CLEARING and timed:
                cause = HangupCause.RECOVERY_ON_TIMER_EXPIRE
            return call.live.ended(
                answered_us=call.live.answered_us,
                ended_us=max(ended_us, call.live.answered_us),
                hangup_cause=int(cause),
            )
        if call.caller_alive or (call.legs and not call.inbound):
            return []  # another leg may still be dialled, or answer after a transfer while it rings
        cause = call.cause or event.cause or HangupCause.NORMAL_CLEARING
        return call.live.ended(
            answered_us=None,
            ended_us=ended_us,
            hangup_cause=int(cause),
            ringing_us=call.first_ringing_us(),
        )
