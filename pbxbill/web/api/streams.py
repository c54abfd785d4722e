"""Server-sent events: what is read once a second, told when it changed. Each stream holds a thread."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator

from flask import Response, request

from pbxbill.errors import PbxbillError
from pbxbill.listing.live_calls import snapshots
from pbxbill.web.api.problems import Refused
from pbxbill.web.serving import STREAM

LASTS_S = 300
HEARTBEAT_S = 15
RETRY_MS = 2_000


class Streams:
    """The streams of a process."""

    def __init__(self, most: int, every_s: float = 1.0) -> None:
        self.most, self.open = most, 0
        self._every_s = every_s
        self._lock = threading.Lock()
        self.stop = threading.Event()
        """Ends all of them."""

    def answer(
        self, event: str, read: Callable[[], str], *, ignoring: str, may: Callable[[], bool]
    ) -> Response:
        """A stream of what read() says as JSON, if it changed but for the key that is ignored.

        may: whether who watches still may; it ends where he may not.
        """
        told = read()  # what cannot be read is told by a status
        with self._lock:
            if self.open >= self.most:
                raise Refused(
                    503, "Too many streams are open: ask for it now and then.", headers={"Retry-After": "10"}
                )
            self.open += 1
        # Whoever comes back says what he saw last: the same is not told again.
        seen = request.headers.get("Last-Event-ID", "")

        def again() -> str:
            if not may():
                raise _Over
            return read()

        body = _Counted(self._events(event, again, told, ignoring, seen), self._closed)
        answer = Response(body, mimetype=STREAM)
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Accel-Buffering"] = "no"
        return answer

    def _closed(self) -> None:
        with self._lock:
            self.open -= 1

    def _events(
        self, event: str, read: Callable[[], str], first: str, ignoring: str, seen: str
    ) -> Iterator[str]:
        yield f"retry: {RETRY_MS}\n\n"
        waited = 0.0
        pending: str | None = first

        def now() -> str:
            nonlocal pending
            told, pending = pending or read(), None
            return told

        try:
            for told in snapshots(now, stop=self.stop, every_s=self._every_s, most_s=LASTS_S):
                id = _id_of(told, ignoring)
                if id != seen:
                    yield f"id: {id}\nevent: {event}\ndata: {told}\n\n"
                    seen, waited = id, 0.0
                    continue
                waited += self._every_s
                if waited >= HEARTBEAT_S:
                    yield ": still here\n\n"
                    waited = 0.0
        except (PbxbillError, _Over):
            return  # who watches connects again, and is told then


class _Over(Exception):  # it is no error
    """The key of who watches opens nothing any more."""


class _Counted:
    """An iterator that is counted until it is closed, whether it was begun or not."""

    def __init__(self, events: Iterator[str], closed: Callable[[], None]) -> None:
        self._events, self._closed, self._is_open = events, closed, True

    def __iter__(self) -> Iterator[str]:
        return self._events

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._closed()


def _id_of(told: str, ignoring: str) -> str:
    content = json.loads(told)
    content.pop(ignoring, None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
