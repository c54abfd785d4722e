"""Keeps two AMI sessions up, one for events and one for actions, and hands events on one at a time.

Both are replaced together: after any loss nothing is known for sure, so the daemon compares itself with the
switch before it goes on with events. A bounded queue lies between the reader and the one worker; when it is
full, TCP holds the switch back, and the worker never holds the reader.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import structlog

from pbxbill.ami.events import WANTED
from pbxbill.ami.manager import AmiConnection, Reply
from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.ami.wire import AmiMessage
from pbxbill.clock import Clock
from pbxbill.errors import ConfigurationError, InputRefused, SwitchError, SwitchGone

log = structlog.get_logger(__name__)

EVENTS_MASK = "call,system"
TAKE_OVER_LIMIT_S = 60.0
"""How long events may wait for the comparison after a connection."""


class SwitchLink:
    """The connection to one Asterisk, as often as it has to be made."""

    def __init__(
        self,
        settings: AsteriskSettings,
        metrics: AsteriskMetrics,
        clock: Clock,
        *,
        on_event: Callable[[AmiMessage], None],
        on_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._on_event = on_event
        self._on_up = on_up
        self._queue: asyncio.Queue[AmiMessage] = asyncio.Queue()
        self._events: AmiConnection | None = None
        self._actions: AmiConnection | None = None
        self._paused = False
        self._taken_over = asyncio.Event()
        self.last_alive_us: int | None = None
        """When Asterisk was last heard before the connection was lost, by its own clock; None: never lost."""

    @property
    def actions(self) -> AmiConnection:
        """The session for actions; SwitchGone while there is none."""
        if self._actions is None or self._actions.lost.done():
            raise SwitchGone("there is no connection to Asterisk")
        return self._actions

    @property
    def up(self) -> bool:
        """Whether there is a connection now."""
        return self._actions is not None and not self._actions.lost.done()

    def switch_now_us(self) -> int:
        """Asterisk's clock, by its last Pong; this machine's while none came."""
        for connection in (self._actions, self._events):
            if connection is not None and connection.switch_minus_monotonic_us is not None:
                return connection.switch_minus_monotonic_us + self._clock.monotonic_us()
        return self._clock.now_us()

    def send(self, name: str, fields: Mapping[str, str | list[str]]) -> "asyncio.Future[Reply]":
        """Write an action now; SwitchGone while there is no connection."""
        return self.actions.send(name, fields)

    async def run(self) -> None:
        """Connect, stay connected, for ever. ConfigurationError if the first attempt is refused."""
        worker = asyncio.create_task(self._work())
        wait_s = self._settings.reconnect_first_s
        first = True
        try:
            while True:
                try:
                    await self._one_connection()
                    wait_s = self._settings.reconnect_first_s
                except ConfigurationError as refused:
                    if first:
                        raise
                    log.warning("ami_refused", reason=str(refused), retry_s=self._settings.refused_retry_s)
                    wait_s = self._settings.refused_retry_s
                except SwitchError as gone:
                    log.warning("ami_unreachable", reason=str(gone), retry_s=round(wait_s, 1))
                first = False
                await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))
                wait_s = min(wait_s * 2, self._settings.reconnect_most_s)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def _one_connection(self) -> None:
        self._taken_over.clear()
        try:
            self._events = await self._open(EVENTS_MASK, self._enqueue)
            self._actions = await self._open("off", None)
            lost = asyncio.wait({self._events.lost, self._actions.lost}, return_when=asyncio.FIRST_COMPLETED)
            watch = asyncio.ensure_future(lost)
            log.info("ami_connected", host=self._settings.host, port=self._settings.port)
            self._metrics.connected.set(1)
            await self._take_over()
            await watch
            reasons = {c.lost.result() for c in (self._events, self._actions) if c.lost.done()}
            log.error("ami_lost", reason="; ".join(sorted(reasons)))
            self._metrics.reconnects.inc()
        finally:
            self._metrics.connected.set(0)
            connections = [c for c in (self._events, self._actions) if c is not None]
            if connections:
                self.last_alive_us = self.switch_now_us() - min(c.silent_us for c in connections)
            self._events = self._actions = None
            self._paused = False
            self._taken_over.set()  # events that came before the loss still count
            for connection in connections:
                await connection.close()

    async def _open(self, mask: str, on_event: Callable[[AmiMessage], None] | None) -> AmiConnection:
        return await AmiConnection.open(
            self._settings,
            events=mask,
            wanted=WANTED if on_event is not None else frozenset(),
            metrics=self._metrics,
            monotonic_us=self._clock.monotonic_us,
            on_event=on_event,
        )

    async def _take_over(self) -> None:
        try:
            async with asyncio.timeout(TAKE_OVER_LIMIT_S):
                await self._on_up()
        except SwitchError as failure:
            log.warning("take_over_failed", reason=str(failure))
        except Exception:
            # The next comparison comes by itself; new calls must not wait for it.
            log.exception("take_over_failed")
        finally:
            self._taken_over.set()

    def _enqueue(self, message: AmiMessage) -> None:
        self._queue.put_nowait(message)
        if self._queue.qsize() >= self._settings.event_queue and not self._paused and self._events:
            self._paused = True
            self._events.pause_reading()

    async def _work(self) -> None:
        handled = 0
        while True:
            message = await self._queue.get()
            await self._taken_over.wait()
            try:
                self._on_event(message)
                self._metrics.events.inc()
            except InputRefused as refused:
                self._metrics.bad_messages.inc()
                log.warning("ami_event_refused", ami_event=message.event[:40], reason=str(refused))
            except Exception:
                # One event that cannot be used must not stop the ones behind it.
                self._metrics.bad_messages.inc()
                log.exception("ami_event_unusable", ami_event=message.event)
            if self._paused and self._queue.qsize() < self._settings.event_queue // 2 and self._events:
                self._paused = False
                self._events.resume_reading()
            handled += 1
            if handled % 50 == 0:
                await asyncio.sleep(0)  # a full queue never waits by itself, and others want to run
