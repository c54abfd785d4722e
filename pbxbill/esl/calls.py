"""The book of charged calls on one switch: which channel belongs to which call, and what its events mean.

No socket, no clock: events go in with monotonic time, steps come out. Events may come in any order, twice,
late or never. The paid leg of an outbound call is the first channel dialled for it that was answered; of a
call to a DID it is the caller's own channel. A paid leg is charged until its own end, whoever it talks to.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pbxbill.charging.control import Action, LiveCall, Phase, SetDeadline
from pbxbill.charging.events import Authorize, Direction, Evidence, Granted, SettleOffline
from pbxbill.clock import SECOND_US
from pbxbill.esl.commands import timer_seconds
from pbxbill.esl.events import LegAnswered, LegEnded

LOOK_AGAIN_US = 1 * SECOND_US
"""How long the paid leg's event is waited for after the caller's end: measured, they come within 0.1 s."""

REMEMBER_CLOSED = 10_000

MAY_HAVE_ANSWERED = ("SUCCESS", "failure", "ORIGINATOR_CANCEL")
"""How a caller's last attempt to dial may have ended although a paid leg was answered."""


@dataclass(slots=True)
class TrackedCall:
    """One charged call and its channels."""

    live: LiveCall
    caller_uuid: str
    inbound: bool
    registered_us: int
    """Monotonic."""
    armed_until_us: int = 0
    """Monotonic end of the switch's timer as far as it is known; 0: none."""
    caller_end: LegEnded | None = None
    look_at_us: int | None = None
    """When the switch is to be asked what became of this call; None: nothing is amiss."""

    @property
    def session_id(self) -> str:
        """The session of the call."""
        return self.live.session_id


@dataclass(slots=True)
class OfflineCall:
    """A call that passed while the engine could not be asked; it is charged when it ends."""

    request: Authorize
    answered: LegAnswered | None = None


@dataclass(frozen=True, slots=True)
class Perform:
    """Carry out what a call's LiveCall asks for."""

    call: TrackedCall
    actions: list[Action]


@dataclass(frozen=True, slots=True)
class EndStray:
    """A channel that nobody pays for was answered: end it, unless it ends by itself within delay_us."""

    uuid: str
    session_id: str
    delay_us: int
    shadow: bool = False
    """It is let go on: so says the channel itself."""


@dataclass(frozen=True, slots=True)
class ChargeOffline:
    """An offline call ended: have the engine charge it."""

    command: SettleOffline


@dataclass(frozen=True, slots=True)
class Unknown:
    """A channel names a session that is not in the book: compare with the switch and the database."""

    uuid: str
    session_id: str


Step = Perform | EndStray | ChargeOffline | Unknown


@dataclass(slots=True)
class CallBook:
    """All charged calls that this daemon knows to be up."""

    _calls: dict[str, TrackedCall] = field(default_factory=dict)
    _offline: dict[str, OfflineCall] = field(default_factory=dict)
    _of_caller: dict[str, list[str]] = field(default_factory=dict)
    _closed: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[TrackedCall]:
        return iter(list(self._calls.values()))

    def get(self, session_id: str) -> TrackedCall | None:
        """The call of a session, if it is up."""
        return self._calls.get(session_id)

    def is_offline(self, session_id: str) -> bool:
        """Whether that session is an offline call."""
        return session_id in self._offline

    def is_closed(self, session_id: str) -> bool:
        """Whether that session was closed not long ago."""
        return session_id in self._closed

    def add(self, granted: Granted, request: Authorize, *, uuid: str, now_us: int) -> list[Step]:
        """A call was granted on channel uuid. What that had been granted before, unused, is given back."""
        steps = self._abandon_earlier(uuid, request.at_us)
        inbound = request.direction is Direction.INBOUND
        self.adopt(TrackedCall(LiveCall(granted), uuid, inbound, now_us))
        return steps

    def adopt(self, call: TrackedCall) -> None:
        """Take a call up, new or found on the switch."""
        self._calls[call.session_id] = call
        self._of_caller.setdefault(call.caller_uuid, []).append(call.session_id)

    def add_offline(self, granted: Granted, request: Authorize) -> None:
        """A call passes without the engine's knowledge."""
        self._offline[granted.session_id] = OfflineCall(request)

    def promote(self, granted: Granted, uuid: str, now_us: int) -> list[Step]:
        """The engine granted an offline call after all: from here on it is a call like any other."""
        offline = self._offline.pop(granted.session_id)
        steps = self.add(granted, offline.request, uuid=uuid, now_us=now_us)
        return steps + self.answered(offline.answered, now_us) if offline.answered is not None else steps

    def forget(self, call: TrackedCall) -> None:
        """The engine has closed the session."""
        if self._calls.pop(call.session_id, None) is None:
            return
        of_caller = self._of_caller.get(call.caller_uuid, [])
        if call.session_id in of_caller:
            of_caller.remove(call.session_id)
        if not of_caller:
            self._of_caller.pop(call.caller_uuid, None)
        self._closed[call.session_id] = None
        if len(self._closed) > REMEMBER_CLOSED:
            self._closed.popitem(last=False)

    def with_wallets(self, wallet_ids: frozenset[int]) -> list[TrackedCall]:
        """The calls that any of these wallets pays for."""
        return [call for call in self if not wallet_ids.isdisjoint(call.live.granted.wallet_ids)]

    # --- events ------------------------------------------------------------------------------

    def answered(self, event: LegAnswered, now_us: int) -> list[Step]:
        """A channel was answered, or was found answered."""
        session_id = event.leg.paid_session
        if not session_id:
            return []
        if (offline := self._offline.get(session_id)) is not None:
            offline.answered = offline.answered or event
            return []
        call = self._calls.get(session_id)
        uuid = event.leg.uuid
        if call is None:
            if session_id in self._closed:
                return [EndStray(uuid, session_id, 0, event.leg.shadow)]
            return [] if event.leg.offline else [Unknown(uuid, session_id)]
        live = call.live
        if live.phase is Phase.SETUP:
            elapsed_us = event.seen_us - event.answered_us
            granted_us = live.granted.granted_us
            actions = live.answered(
                answered_us=event.answered_us,
                paid_leg=uuid,
                elapsed_us=elapsed_us,
                now_us=now_us,
                gateway=event.leg.gateway,
                ringing_us=event.ringing_us,
            )
            if event.armed:
                answer_us = now_us - elapsed_us
                call.armed_until_us = answer_us + timer_seconds(granted_us) * SECOND_US
            return [Perform(call, self._needed(call, actions, now_us))]
        if live.phase is Phase.ENDED:
            return [EndStray(uuid, session_id, 0, event.leg.shadow)]
        # Two legs answered at once: the switch drops the slower one by itself.
        return [EndStray(uuid, session_id, 2 * SECOND_US, event.leg.shadow)] if live.paid_leg != uuid else []

    def ended(self, event: LegEnded, now_us: int) -> list[Step]:
        """A channel is gone."""
        steps: list[Step] = []
        paid_session = event.leg.paid_session
        if paid_session in self._offline:
            steps += self._offline_ended(event)
        elif (paid := self._calls.get(paid_session)) is not None:
            steps += self._paid_leg_ended(paid, event)
        elif paid_session and event.answered_us is not None and paid_session not in self._closed:
            steps.append(Unknown(event.leg.uuid, paid_session))
        for session_id in list(self._of_caller.get(event.leg.uuid, ())):
            call = self._calls[session_id]
            if not call.inbound:
                steps += self._caller_ended(call, event, now_us)
        if event.leg.is_caller and event.answered_us is None:
            self._offline.pop(event.leg.session_id, None)
        return steps

    @staticmethod
    def _needed(call: TrackedCall, actions: list[Action], now_us: int) -> list[Action]:
        """Without the timer that execute_on_answer has armed already."""
        end_us = now_us + call.live.remaining_us(now_us)
        covered = end_us <= call.armed_until_us <= end_us + 2 * SECOND_US
        return [action for action in actions if not (covered and isinstance(action, SetDeadline))]

    @staticmethod
    def _paid_leg_ended(call: TrackedCall, event: LegEnded) -> list[Step]:
        live = call.live
        if live.phase is Phase.SETUP:
            if live.ringing_us is None:
                live.ringing_us = event.ringing_us  # of an attempt, as long as none is answered
            if event.answered_us is None and not call.inbound and call.caller_end is None:
                return []  # an attempt failed; the dialplan may try the next gateway
            ringing_us = event.ringing_us if event.answered_us is not None else None
            if event.answered_us is None and call.caller_end is not None:
                event = call.caller_end
            actions = live.ended(
                answered_us=event.answered_us,
                ended_us=event.ended_us,
                hangup_cause=event.cause,
                gateway=event.leg.gateway,
                ringing_us=ringing_us,
            )
        elif live.paid_leg == event.leg.uuid:
            actions = live.ended(
                answered_us=event.answered_us or live.answered_us,
                ended_us=event.ended_us,
                hangup_cause=event.cause,
                gateway=event.leg.gateway,
                ringing_us=event.ringing_us,
            )
        else:
            return []  # the slower of two that answered at once
        return [Perform(call, actions)] if actions else []

    @staticmethod
    def _caller_ended(call: TrackedCall, event: LegEnded, now_us: int) -> list[Step]:
        live = call.live
        if live.phase is Phase.ENDED:
            return []
        call.caller_end = event
        # Cleared: the dialplan went on to where nothing is charged, and took the session off the channel.
        cleared = not event.leg.session_id
        was_dialled = event.bridged_us is not None or event.disposition in MAY_HAVE_ANSWERED
        if live.phase is Phase.SETUP and (cleared or not was_dialled):
            actions = live.ended(answered_us=None, ended_us=event.ended_us, hangup_cause=event.cause)
            return [Perform(call, actions)]
        # The paid leg's own event decides. It may come after this one, or not at all after a transfer.
        call.look_at_us = now_us + LOOK_AGAIN_US
        return [Perform(call, [])]  # nothing now, but it is due later

    def _offline_ended(self, event: LegEnded) -> list[Step]:
        session_id = event.leg.paid_session
        if event.answered_us is None:
            if event.leg.paid_by:
                del self._offline[session_id]
            return []  # another gateway may be tried; the caller's end forgets the call
        call = self._offline.pop(session_id)
        command = SettleOffline(
            call.request,
            event.answered_us,
            event.ended_us,
            event.cause,
            paid_leg=event.leg.uuid,
            evidence=Evidence.EVENT,
            gateway=event.leg.gateway,
            ringing_us=event.ringing_us,
        )
        return [ChargeOffline(command)]

    def _abandon_earlier(self, uuid: str, at_us: int) -> list[Step]:
        """A channel that asks again has given up what it was granted before and has not used."""
        steps: list[Step] = []
        for session_id in self._of_caller.get(uuid, ()):
            call = self._calls[session_id]
            if call.live.phase is Phase.SETUP and not call.inbound:
                actions = call.live.ended(answered_us=None, ended_us=at_us, hangup_cause=16)
                steps.append(Perform(call, actions))
        return steps
