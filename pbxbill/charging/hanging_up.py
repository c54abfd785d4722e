"""Hang-ups on request as a daemon carries them out: between its desk of requests and its live calls."""

from collections.abc import Callable, Iterable
from typing import Protocol

from pbxbill.charging.control import Action, LiveCall
from pbxbill.clock import Clock

WATCHED = "the call is only watched: in shadow nothing is asked of the switch"
NOT_CONNECTED = "pbxbill is not connected to the switch"


class Desk(Protocol):
    """Where requests come from, and answers go to."""

    def serve(self, hang_up: Callable[[str, str], None], give_up: Callable[[str], None]) -> None:
        """Begin to call these, from a thread of its own."""
        ...

    def refuse(self, session_id: str, why: str) -> None:
        """It cannot be done."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class HangUps:
    """One for a daemon; hang_up and give_up are called in the thread of its loop."""

    def __init__(
        self,
        desk: Desk,
        clock: Clock,
        *,
        find: Callable[[str], LiveCall | None],
        perform: Callable[[str, Iterable[Action]], None],
        connected: Callable[[], bool],
    ) -> None:
        """find: the live call of a session; perform: carry out its actions."""
        self._desk = desk
        self._clock = clock
        self._find = find
        self._perform = perform
        self._connected = connected

    def serve(self, post: Callable[[Callable[[], None]], None]) -> None:
        """Begin; post has a job done soon in the loop's thread, and may be called from any."""
        self._desk.serve(
            lambda session_id, detail: post(lambda: self.hang_up(session_id, detail)),
            lambda session_id: post(lambda: self.give_up(session_id)),
        )

    def stop(self) -> None:
        """End; what waits is for the next daemon."""
        self._desk.stop()

    def hang_up(self, session_id: str, detail: str) -> None:
        """End a call; asked again until it is closed. One that is not known yet may be after the next
        comparison with the switch."""
        call = self._find(session_id)
        if call is None:
            return
        now_us = self._clock.monotonic_us()
        if call.shadow:
            self._desk.refuse(session_id, WATCHED)
        elif not self._connected():
            self._perform(session_id, call.spare(now_us))
            self._desk.refuse(session_id, NOT_CONNECTED)
        else:
            self._perform(session_id, call.hang_up(detail, now_us))

    def give_up(self, session_id: str) -> None:
        """Nobody waits for its end any more."""
        call = self._find(session_id)
        if call is not None:
            self._perform(session_id, call.spare(self._clock.monotonic_us()))
