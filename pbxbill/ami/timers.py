"""The end that each channel's timer must have. A channel can serve two sessions: the earlier end counts.

A call to a DID that is forwarded outside is the case: its trunk leg is paid for by the DID's session and is
the caller's leg of the forwarded one. Asterisk has one absolute time-out per channel.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArmTimer:
    """Let this channel end at the monotonic moment ends_us."""

    leg: str
    ends_us: int


class TimerBoard:
    """Which session wants which channel to end when."""

    def __init__(self) -> None:
        self._ends: dict[str, dict[str, int]] = {}

    def want(self, session_id: str, legs: list[str], ends_us: int) -> list[ArmTimer]:
        """A session's deadline moved on these channels."""
        timers = []
        for leg in legs:
            ends = self._ends.setdefault(leg, {})
            ends[session_id] = ends_us
            timers.append(ArmTimer(leg, min(ends.values())))
        return timers

    def release(self, session_id: str, legs: list[str]) -> list[ArmTimer]:
        """A session is over: channels that serve another one get that one's end back."""
        timers = []
        for leg in legs:
            ends = self._ends.get(leg)
            if ends is None or ends.pop(session_id, None) is None:
                continue
            if ends:
                timers.append(ArmTimer(leg, min(ends.values())))
            else:
                del self._ends[leg]
        return timers

    def forget(self, leg: str) -> None:
        """The channel is gone."""
        self._ends.pop(leg, None)

    def ends_us(self, leg: str) -> int | None:
        """When this channel must end, if any session wants it to."""
        ends = self._ends.get(leg)
        return min(ends.values()) if ends else None
