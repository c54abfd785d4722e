"""What is up on the switch now, asked for after the subscription stands, so that nothing falls between."""

from dataclasses import dataclass

import structlog

from pbxbill.charging.reconcile import LiveChannel
from pbxbill.errors import InputRefused
from pbxbill.esl.commands import SwitchCommands
from pbxbill.esl.events import Leg, LegAnswered, answered, leg_of, moment
from pbxbill.esl.wire import Headers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """One charged channel that is up."""

    leg: Leg
    answer: LegAnswered | None
    seen_us: int
    inbound_channel: bool


def look(commands: SwitchCommands) -> list[Found]:
    """Every charged channel. The list that the switch gives lags, the data of each channel does not."""
    found: list[Found] = []
    for uuid in commands.channels():
        headers = commands.dump(uuid)
        if headers is None:
            continue
        try:
            one = _found(headers)
        except InputRefused as refused:
            log.warning("esl.channel_refused", why=str(refused))
            continue
        if one is not None:
            found.append(one)
    return found


def look_at(commands: SwitchCommands, uuid: str) -> Found | None:
    """One channel; None if it is gone or not charged."""
    headers = commands.dump(uuid)
    return _found(headers) if headers is not None else None


def _found(headers: Headers) -> Found | None:
    leg = leg_of(headers)
    if leg is None:
        return None
    seen_us = moment(headers, "Event-Date-Timestamp")
    return Found(leg, answered(headers), seen_us, headers.get("Call-Direction") == "inbound")


def live_channels(found: list[Found]) -> list[LiveChannel]:
    """One entry per session: its answered paid leg, else that it is being set up."""
    entries: dict[str, LiveChannel] = {}
    for one in found:
        session = one.leg.paid_session
        if session and one.answer is not None:
            entries[session] = LiveChannel(session, one.leg.uuid, one.answer.answered_us, one.seen_us)
    for one in found:
        for session in {one.leg.session_id, one.leg.paid_by} - {""}:
            entries.setdefault(session, LiveChannel(session, "", None, one.seen_us))
    return list(entries.values())
