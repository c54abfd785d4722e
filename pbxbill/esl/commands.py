"""What pbxbill asks of FreeSWITCH, over the connection that is there for commands only.

Timers, as measured: a second sched_hangup does not replace the first (the earliest fires), sched_del empties
the channel's whole task group, a moment in the past never fires, a cause that is misspelt is NORMAL_CLEARING.
Whole seconds with a tick of half a second: +N fires within (N-1, N+0.5] s of being scheduled.
"""

import json
from dataclasses import dataclass

from pbxbill.clock import SECOND_US
from pbxbill.errors import SwitchError, check
from pbxbill.esl.causes import MONEY_ENDED
from pbxbill.esl.connection import EslConnection
from pbxbill.esl.events import is_channel_id
from pbxbill.esl.wire import Headers
from pbxbill.money import ceil_div

GONE = "-ERR No such channel!"


def timer_seconds(remaining_us: int) -> int:
    """The N of `+N` that never fires before remaining_us have passed, and at most 2.5 s after."""
    return ceil_div(max(remaining_us, 1), SECOND_US) + 1


def answer_timer(granted_us: int) -> str:
    """ON_ANSWER's application: armed at the answer, without a round trip."""
    return f"sched_hangup +{timer_seconds(granted_us)} {MONEY_ENDED.lower()}"


@dataclass(frozen=True, slots=True)
class SwitchCommands:
    """Typed commands on one connection. SwitchError and its children say that it did not work."""

    connection: EslConnection

    def exists(self, uuid: str) -> bool:
        """Whether the channel is up; `show channels` would lag."""
        return self._api(f"uuid_exists {_channel(uuid)}") == "true"

    def kill(self, uuid: str, cause: str = MONEY_ENDED) -> bool:
        """Hang up; False if the channel is gone already."""
        return self._done(self._api(f"uuid_kill {_channel(uuid)} {cause}"))

    def set_timer(self, uuid: str, remaining_us: int) -> bool:
        """Replace the channel's timer; False if the channel is gone. Both steps travel in one write."""
        channel = _channel(uuid)
        timer = f"api sched_hangup +{timer_seconds(remaining_us)} {channel} {MONEY_ENDED.lower()}"
        _, armed = self.connection.exchange([[f"api sched_del {channel}"], [timer]])
        return self._done(armed.reply)

    def play_to(self, uuid: str, path: str) -> bool:
        """Play a file to this channel's party only; the other one keeps talking and does not hear it."""
        check(" " not in path, "a path with a blank cannot be said in a command")
        return self._done(self._api(f"uuid_displace {_channel(uuid)} start {path} 0 mux"))

    def channels(self) -> list[str]:
        """The channels that are up, a little late: ask exists() about each that matters."""
        answer = self._api("show channels as json")
        try:
            rows = json.loads(answer).get("rows", [])
            return [row["uuid"] for row in rows if is_channel_id(str(row.get("uuid", "")))]
        except (ValueError, AttributeError, TypeError) as error:
            raise SwitchError(f"show channels said {answer[:80]!r}") from error

    def dump(self, uuid: str) -> Headers | None:
        """A live channel's data; None if it is gone. Its Event-Date-Timestamp is the switch's clock now."""
        answer = self.connection.exchange([[f"api uuid_dump {_channel(uuid)}"]])[0]
        return None if answer.body.startswith(b"-ERR") else Headers(answer.body)

    def core_uuid(self) -> str:
        """Changes when the switch is restarted."""
        return self._api("global_getvar core_uuid")

    def drop_timer(self, uuid: str) -> None:
        """No timer ends the channel any more."""
        self._api(f"sched_del {_channel(uuid)}")

    def started_us(self) -> int | None:
        """When the switch was started, by its own clock; None if it does not say."""
        now, uptime = self._api("strmicroepoch"), self._api("uptime us")
        if not (now.isascii() and now.isdigit() and uptime.isascii() and uptime.isdigit()):
            return None
        return int(now) - min(int(uptime), int(now))

    def _api(self, command: str) -> str:
        return self.connection.api(command).strip()

    @staticmethod
    def _done(answer: str) -> bool:
        answer = answer.strip()
        if answer.startswith(("-ERR", "-USAGE")):
            if answer == GONE or "no such" in answer.lower() or "cannot locate session" in answer.lower():
                return False
            raise SwitchError(f"the switch answered {answer[:100]!r}")
        return True


def _channel(uuid: str) -> str:
    check(is_channel_id(uuid), f"{uuid[:60]!r} is no channel")
    return uuid
