"""What is up on the switch now, from one Status action."""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from pbxbill.ami.manager import AmiConnection
from pbxbill.ami.wire import AmiMessage, timestamp_us
from pbxbill.charging.gateway import is_local
from pbxbill.charging.reconcile import LiveChannel
from pbxbill.errors import SwitchError
from pbxbill.ids import is_id

log = structlog.get_logger(__name__)

VARIABLES = (
    "UNIQUEID,CHANNEL,CHANNEL(state),PBXBILL_SESSION,PBXBILL_CALL,PBXBILL_PAID,PBXBILL_INBOUND,PBXBILL_DIRECTION,"
    "PBXBILL_ANSWERED,PBXBILL_CARD,CDR(answer,u)"
)
"""Also what the entry's own headers say: those a caller's name can forge, the variables come behind it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel and what the dialplan wrote on it."""

    leg: str
    name: str
    up: bool
    session_id: str
    """The session it belongs to."""
    paid: str
    """The session that pays for it."""
    call_id: str
    """The leg that asked."""
    answered_us: int | None
    inbound: bool = False
    """Paid for as a call to a DID."""
    at_access_number: bool = False
    """A line that goes on after its calls."""

    @property
    def asked(self) -> bool:
        """Whether this is the leg that asked."""
        return self.leg == self.call_id


async def read_channels(connection: AmiConnection) -> list[Channel]:
    """All channels of the switch."""
    reply = await connection.action("Status", {"Variables": VARIABLES})
    if not reply.success:
        raise SwitchError(f"Status was refused: {reply.message}; the manager user needs write=call,reporting")
    return [parse_channel(event) for event in reply.events]


def parse_channel(message: AmiMessage) -> Channel:
    """A channel from its Status event."""
    variables = message.variables
    leg, name = variables.get("UNIQUEID", ""), variables.get("CHANNEL", "")
    up = variables.get("CHANNEL(state)") == "Up"
    session_id = _id(variables.get("PBXBILL_SESSION", ""))
    call_id = variables.get("PBXBILL_CALL", "")
    paid = _id(variables.get("PBXBILL_PAID", ""))
    inbound = variables.get("PBXBILL_DIRECTION") == "inbound"
    if not paid and not inbound and session_id and up and leg != call_id and not is_local(name):
        paid = session_id  # the administrator's Dial lacks our option
    inbound_paid = bool(paid) and variables.get("PBXBILL_INBOUND") == paid
    answered = timestamp_us(variables.get("PBXBILL_ANSWERED", ""))
    if answered is None:
        answered = timestamp_us(variables.get("CDR(answer,u)", "")) or None
    card = variables.get("PBXBILL_CARD", "").isdecimal()  # Status says "(null)" of what is not set
    return Channel(leg, name, up, session_id, paid, call_id, answered if up else None, inbound_paid, card)


def live_channels(channels: Iterable[Channel], seen_us: int) -> list[LiveChannel]:
    """The paid legs, and of calls without one the leg that asked: one entry per session."""
    found: dict[str, LiveChannel] = {}
    for channel in channels:
        if channel.paid and channel.up:
            answered_us = channel.answered_us
            if answered_us is None:
                answered_us = seen_us
                log.warning("answer_unknown", session=channel.paid, leg=channel.leg, taken=seen_us)
            found[channel.paid] = LiveChannel(channel.paid, channel.leg, answered_us, seen_us)
    for channel in channels:
        for session_id in {channel.session_id, channel.paid} - {""}:
            found.setdefault(session_id, LiveChannel(session_id, "", None, seen_us))
    return list(found.values())


def leg_that_asked(channels: Iterable[Channel], session_id: str) -> str:
    """The leg that asked for a session; empty when it is gone."""
    for channel in channels:
        if channel.paid == session_id and channel.inbound:
            return channel.leg
        if channel.session_id == session_id and channel.asked:
            return channel.leg
    return ""


def _id(text: str) -> str:
    return text if is_id(text) else ""
