"""What the daemon understands of FreeSWITCH's events: each is parsed once, here, into a typed one.

Which call a leg belongs to stands in channel variables that only pbxbill and its dialplan set:

- `pbxbill_session` (exported): the charged call; on the caller's channel and on every channel it dials.
- `pbxbill_caller` (exported): the channel that was authorized. Any other channel of the session may be
  the paid leg.
- `pbxbill_leg_session` (never exported): the session that this very channel is the paid leg of: a call to
  a DID, or a paid leg that was itself sent to dial on.
- `pbxbill_account`, `pbxbill_dialled` (exported): for the CDR log, and for calls placed later on the channel.
- `pbxbill_did` (never exported): the DID that was called; the channel may go on to dial another number.
- `pbxbill_offline` (exported): the call passed while nobody could be asked.
- `pbxbill_shadow` (exported): the call is charged, and never denied or cut.

No SIP header can become a variable of these names: FreeSWITCH puts `sip_h_` and the like before what
callers send.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from pbxbill.errors import InputRefused
from pbxbill.esl.causes import cause_number
from pbxbill.esl.wire import Event, Headers
from pbxbill.ids import is_id

log = structlog.get_logger(__name__)

ON_ANSWER = "execute_on_answer_pbxbill"
"""FreeSWITCH runs every variable that begins with execute_on_answer: this name overwrites nobody's own."""

SUBSCRIPTION = ("CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE", "HEARTBEAT")
"""Narrow on purpose: a switch queues events for its slowest reader, and stops when the queue is full."""

MAX_GATEWAY = 64
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^:;/]+")
_UUID = re.compile(r"[A-Za-z0-9_.@:-]{8,128}")
MAX_MOMENT_US = 2**53
HEARD_AT_ANSWER = (
    "Caller-Channel-Created-Time",
    "Caller-Channel-Progress-Time",
    "Caller-Channel-Progress-Media-Time",
)
HEARD_AT_END = ("variable_start_uepoch", "variable_progress_uepoch", "variable_progress_media_uepoch")


@dataclass(frozen=True, slots=True)
class Leg:
    """One channel and the sessions it belongs to; "" where there is none."""

    uuid: str
    session_id: str
    """The session it was dialled for, or that its own call was authorized as."""
    paid_by: str
    """The session that it is itself the paid leg of."""
    caller_uuid: str
    offline: bool
    shadow: bool = False
    gateway: str = ""
    """Where it goes out; "" if it came in, or is half of a loopback."""

    @property
    def paid_session(self) -> str:
        """The session that this channel may be the paid leg of."""
        if self.paid_by:
            return self.paid_by
        return "" if self.is_caller else self.session_id

    @property
    def is_caller(self) -> bool:
        """Whether it is the channel that the session was authorized on."""
        return bool(self.session_id) and self.caller_uuid == self.uuid


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """CHANNEL_ANSWER, or an answered channel found by looking."""

    leg: Leg
    answered_us: int
    seen_us: int
    """The switch's clock when it said so."""
    armed: bool
    """ON_ANSWER has armed a timer on it."""
    ringing_us: int | None = None
    """How long after it was dialled, or came in, it first rang."""


@dataclass(frozen=True, slots=True)
class LegEnded:
    """CHANNEL_HANGUP_COMPLETE."""

    leg: Leg
    answered_us: int | None
    bridged_us: int | None
    ended_us: int
    cause: int
    disposition: str
    """On a caller's channel: how its last attempt to dial ended; "" if it never dialled."""
    other_uuid: str
    ringing_us: int | None = None
    """As in LegAnswered; None: it never rang."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The switch is alive; another core_uuid than before: it was restarted."""

    core_uuid: str
    at_us: int


SwitchEvent = LegAnswered | LegEnded | Heartbeat


def is_channel_id(text: str) -> bool:
    """Whether text can be put into a command as a channel. All digits would be a task id to sched_del."""
    return _UUID.fullmatch(text) is not None and not text.isdigit()


def session_id(text: str) -> str:
    """A session id as pbxbill writes it; the dialplan's create_uuid() has dashes. "" if it is none."""
    plain = text.replace("-", "").lower()
    return plain if is_id(plain) else ""


def moment(headers: Headers, name: str) -> int:
    """Microseconds in a header; 0 if it is missing; InputRefused if it is no number."""
    text = headers.get(name)
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > MAX_MOMENT_US:
        raise InputRefused(f"{name} is no moment: {text[:40]!r}")
    return int(text)


def ringing_us(created_us: int, rang_us: int, media_us: int, answered_us: int) -> int | None:
    """From the beginning of a channel to its first ringing, early media, or the answer if neither came.

    Moments that did not come are 0. On a channel that dialled out these are what the far side said; on one
    that came in, what it was told.
    """
    moments = [moment_us for moment_us in (rang_us, media_us, answered_us) if moment_us]
    return max(0, min(moments) - created_us) if created_us and moments else None


def ringing_read(read: Callable[[str], int], names: tuple[str, str, str], answered_us: int) -> int | None:
    """The same of moments that are read by their names: of the beginning, of ringing, of early media.

    Nothing is charged by them: where one makes no sense the ringing is unknown, and the rest holds.
    """
    try:
        created_us, rang_us, media_us = map(read, names)
    except InputRefused as refused:
        log.warning("esl.ringing_unknown", why=str(refused))
        return None
    return ringing_us(created_us, rang_us, media_us, answered_us)


def leg_of(headers: Headers) -> Leg | None:
    """The charged leg that a block of channel data speaks of; None: not one of ours."""
    session = session_id(headers.variable("pbxbill_session"))
    paid_by = session_id(headers.variable("pbxbill_leg_session"))
    if not session and not paid_by:
        return None
    uuid = headers.get("Unique-ID")
    if not is_channel_id(uuid):
        raise InputRefused(f"Unique-ID {uuid[:60]!r}")
    return Leg(
        uuid=uuid,
        session_id=session,
        paid_by=paid_by,
        caller_uuid=headers.variable("pbxbill_caller"),
        offline=headers.variable("pbxbill_offline") == "true",
        shadow=headers.variable("pbxbill_shadow") == "true",
        gateway=_gateway(headers),
    )


def _gateway(headers: Headers) -> str:
    if headers.get("Call-Direction") != "outbound":
        return ""
    return gateway_name(headers.variable("sip_gateway_name"), headers.get("Channel-Name"))


def gateway_name(gateway: str, channel: str) -> str:
    """A channel's gateway: its name, else the host that it was sent to, else the profile.

    Channels are named sofia/PROFILE/NUMBER@HOST:PORT, those of a gateway sofia/PROFILE/NUMBER.
    """
    technology, _, rest = channel.partition("/")
    if not gateway and technology == "sofia":
        profile, _, address = rest.partition("/")
        _, at, host = address.rpartition("@")
        match = _HOST.match(host) if at else None
        gateway = match[0] if match else profile
    return "".join(character for character in gateway if character.isprintable())[:MAX_GATEWAY]


def parse_event(event: Event) -> SwitchEvent | None:
    """What an event says; None if it says nothing about a charged call. InputRefused: it is malformed."""
    match event.name:
        case "CHANNEL_ANSWER":
            return answered(event.headers)
        case "CHANNEL_HANGUP_COMPLETE":
            return _ended(event.headers)
        case "HEARTBEAT":
            return Heartbeat(event.headers.get("Core-UUID"), moment(event.headers, "Event-Date-Timestamp"))
        case _:
            return None


def answered(headers: Headers) -> LegAnswered | None:
    """The answer that channel data shows; None if it is not one of ours, or not answered."""
    leg = leg_of(headers)
    if leg is None:
        return None
    seen_us = moment(headers, "Event-Date-Timestamp")
    answered_us = moment(headers, "Caller-Channel-Answered-Time")
    if not answered_us and headers.get("Event-Name") == "CHANNEL_ANSWER":
        answered_us = seen_us
    if not answered_us:
        return None
    armed = headers.variable(ON_ANSWER).startswith("sched_hangup ")
    delay_us = ringing_read(partial(moment, headers), HEARD_AT_ANSWER, answered_us)
    return LegAnswered(leg, answered_us, max(seen_us, answered_us), armed, delay_us)


def _ended(headers: Headers) -> LegEnded | None:
    uuid = headers.get("Unique-ID")
    leg = leg_of(headers)
    if leg is None:
        if not is_channel_id(uuid):
            return None
        # A caller's channel that the dialplan took its session off again is known by its name alone.
        leg = Leg(uuid, "", "", "", offline=False)
    ended_us = moment(headers, "variable_end_uepoch") or moment(headers, "Event-Date-Timestamp")
    if not ended_us:
        raise InputRefused("a hang-up without a time")
    disposition = headers.variable("originate_disposition")
    name = headers.variable("hangup_cause") or headers.get("Hangup-Cause")
    cause = cause_number(name, headers.variable("hangup_cause_q850"))
    if disposition and disposition not in ("SUCCESS", "failure"):
        cause = cause_number(disposition)  # after a failed bridge the channel itself says NORMAL_CLEARING
    answered_us = moment(headers, "variable_answer_uepoch")
    return LegEnded(
        leg=leg,
        answered_us=answered_us or None,
        bridged_us=moment(headers, "variable_bridge_uepoch") or None,
        ended_us=ended_us,
        cause=cause,
        disposition=disposition,
        other_uuid=headers.get("Other-Leg-Unique-ID"),
        ringing_us=ringing_read(partial(moment, headers), HEARD_AT_END, answered_us),
    )
