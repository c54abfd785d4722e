"""What happened on the switch, typed: the few AMI events that steer a charged call, parsed once.

The variables that the dialplan sets come with each event (channelvars in manager.conf): PBXBILL_SESSION is
inherited by every leg of a call, PBXBILL_CALL is the Uniqueid of the leg that asked. A caller's name can hold
whole events: one counts only by the session in its variables, which nobody can guess, and a Uniqueid alone
says nothing. What looks as if somebody had written into it is only a reason to ask the switch.
"""

from dataclasses import dataclass

from pbxbill.ami.wire import AmiMessage, timestamp_us
from pbxbill.errors import InputRefused
from pbxbill.ids import is_id

UP = "6"
"""ChannelState of an answered channel."""
RINGING = "5"
HEARD = ("RINGING", "PROGRESS")
"""DialStatus of a leg that the caller hears something of: a ringing tone, or early media."""


@dataclass(frozen=True, slots=True)
class LegSeen:
    """A leg of a charged call is dialled."""

    leg: str
    channel: str
    session_id: str
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class LegRinging:
    """The far side of a leg rings, or sends early media."""

    leg: str
    session_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class LegUp:
    """A channel is answered."""

    leg: str
    channel: str
    session_id: str
    at_us: int
    paid: frozenset[str] = frozenset()
    """The sessions that this very leg is paid for by."""


@dataclass(frozen=True, slots=True)
class DialAnswered:
    """Dial took this leg: the one that is paid for."""

    leg: str
    channel: str
    session_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class DialFailed:
    """Dial gave a leg up; status says why."""

    leg: str
    session_id: str
    status: str


@dataclass(frozen=True, slots=True)
class HangupAsked:
    """Somebody hung up; the channel's end follows."""

    leg: str
    session_id: str
    at_us: int
    paid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LegGone:
    """A channel has ended."""

    leg: str
    session_id: str
    cause: int
    at_us: int
    paid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Doubted:
    """Something happened to these legs or sessions, in an event that cannot be believed."""

    legs: frozenset[str]
    sessions: frozenset[str]


@dataclass(frozen=True, slots=True)
class SwitchReady:
    """Asterisk is fully booted."""


@dataclass(frozen=True, slots=True)
class SwitchStopping:
    """Asterisk is about to go."""


Event = (
    LegSeen
    | LegRinging
    | LegUp
    | DialAnswered
    | DialFailed
    | HangupAsked
    | LegGone
    | Doubted
    | SwitchReady
    | SwitchStopping
)

WANTED = frozenset(
    {
        b"DialBegin",
        b"DialState",
        b"DialEnd",
        b"Newstate",
        b"HangupRequest",
        b"Hangup",
        b"FullyBooted",
        b"Shutdown",
    }
)


def parse_event(message: AmiMessage) -> Event | None:
    """The typed event; None if it concerns no charged call; InputRefused if it lacks what it must have."""
    if message.repeated or not message.event:
        return _doubted(message)
    match message.event:
        case "DialBegin" | "DialState" | "DialEnd":
            return _dial(message)
        case "Newstate":
            session_id = _session(message.variables)
            leg, channel = _leg(message, "uniqueid"), message.get("channel")
            state = message.get("channelstate")
            if state == RINGING and session_id:
                return LegRinging(leg, session_id, _moment(message))
            return LegUp(leg, channel, session_id, _moment(message), _paid(message)) if state == UP else None
        case "HangupRequest":
            leg, session_id = _leg(message, "uniqueid"), _session(message.variables)
            return HangupAsked(leg, session_id, _moment(message), _paid(message))
        case "Hangup":
            cause = message.get("cause")
            return LegGone(
                _leg(message, "uniqueid"),
                _session(message.variables),
                int(cause) if cause.isascii() and cause.isdigit() and len(cause) <= 4 else 0,
                _moment(message),
                _paid(message),
            )
        case "FullyBooted":
            return SwitchReady()
        case "Shutdown":
            return SwitchStopping()
        case _:
            return None


def _dial(message: AmiMessage) -> Event | None:
    session_id = _session(message.other_variables)
    leg = message.get("destuniqueid")
    if not session_id or not leg:
        return None
    if message.event == "DialBegin":
        return LegSeen(leg, message.get("destchannel"), session_id, timestamp_us(message.get("timestamp")))
    if message.event == "DialState":
        heard = message.get("dialstatus") in HEARD
        return LegRinging(leg, session_id, _moment(message)) if heard else None
    if message.get("dialstatus") == "ANSWER":
        return DialAnswered(leg, message.get("destchannel"), session_id, _moment(message))
    return DialFailed(leg, session_id, message.get("dialstatus"))


def _doubted(message: AmiMessage) -> Doubted | None:
    legs = {message.get(name) for name in _LEG_HEADERS}
    legs |= {leg for name in _LEG_HEADERS for leg in message.repeated.get(name, ())}
    sessions = {*message.variables.values(), *message.other_variables.values()}
    return Doubted(frozenset(legs - {""}), frozenset(filter(is_id, sessions)))


_LEG_HEADERS = ("uniqueid", "destuniqueid")


def _session(variables: dict[str, str]) -> str:
    session_id = variables.get("PBXBILL_SESSION", "")
    return session_id if is_id(session_id) else ""


def _paid(message: AmiMessage) -> frozenset[str]:
    names = (message.variables.get(name, "") for name in ("PBXBILL_PAID", "PBXBILL_INBOUND"))
    return frozenset(filter(is_id, names))


def _leg(message: AmiMessage, name: str) -> str:
    leg = message.get(name)
    if not leg:
        raise InputRefused(f"{message.event} without {name}")
    return leg


def _moment(message: AmiMessage) -> int:
    at_us = timestamp_us(message.get("timestamp"))
    if at_us is None:
        raise InputRefused(f"{message.event} without a time: set timestampevents=yes in manager.conf")
    return at_us
