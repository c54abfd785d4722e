"""One AMI connection: panoramisk under guards. switch_link.py opens, watches and replaces it.

panoramisk gives the protocol and the action objects. What it does not give is done here: framing on bytes,
an exception in a handler that does not cost the connection, actions that fail at a loss and are never sent
again, a deadline for each action, a Ping that is checked, line breaks refused. An object serves one
connection and is never connected again.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol

from pbxbill.ami.metrics import AsteriskMetrics
from pbxbill.ami.settings import AsteriskSettings
from pbxbill.ami.wire import AmiMessage, Framer, check_field, event_name, parse_message, timestamp_us
from pbxbill.errors import CommandTimeout, ConfigurationError, InputRefused, SwitchError, SwitchGone

log = structlog.get_logger(__name__)

UP_HEADER = b"\r\nChannelState: 6\r\n"
"""Of all changes of a channel's state only the answer matters; DialBegin tells of legs that ring."""

MAX_LIST = 200_000
"""Events that one action may answer with."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What Asterisk answered to an action."""

    success: bool
    message: str
    fields: Mapping[str, str]
    events: tuple[AmiMessage, ...] = ()


@dataclass(slots=True)
class _Pending:
    future: asyncio.Future[Reply]
    response: AmiMessage | None = None
    events: list[AmiMessage] = field(default_factory=list)


class GuardedProtocol(AMIProtocol):
    """AMIProtocol with framing of its own and no memory beyond its connection."""

    def __init__(self, wanted: frozenset[bytes], metrics: AsteriskMetrics) -> None:
        self._wanted = wanted
        self._metrics = metrics
        self._framer = Framer()
        self._pending: dict[str, _Pending] = {}
        self.on_event: Callable[[AmiMessage], None] | None = None
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.heard_s = asyncio.get_running_loop().time()
        """When Asterisk was last known to live, on the loop's clock."""

    def data_received(self, data: bytes) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        try:
            blocks = self._framer.feed(data)
        except InputRefused as refused:
            self.abort(str(refused))
            return
        for block in blocks:
            name = event_name(block)
            if name and self._is_of_no_use(name, block) and b"\r\nActionID: " not in block:
                continue  # most events of a busy switch concern nobody here
            try:
                self._take(parse_message(block))
            except InputRefused as refused:
                self._metrics.bad_messages.inc()
                log.warning("ami_message_refused", reason=str(refused), size=len(block))
            except Exception:
                # Whatever is wrong with one message, the ones behind it must still be read.
                self._metrics.bad_messages.inc()
                log.exception("ami_message_unusable", size=len(block))

    def _is_of_no_use(self, name: bytes, block: bytes) -> bool:
        if name not in self._wanted:
            return True
        return name == b"Newstate" and UP_HEADER not in block

    def _take(self, message: AmiMessage) -> None:
        pending = self._pending.get(message.get("actionid"))
        if pending is not None and pending.response is None and not message.event:
            if message.get("eventlist").lower() == "start":
                pending.response = message
            else:
                self._answer(message.get("actionid"), pending, message)
        elif pending is not None and pending.response is not None:
            self._take_listed(message, pending)
        elif self.on_event is not None:
            self.on_event(message)

    def _take_listed(self, message: AmiMessage, pending: _Pending) -> None:
        # What a caller writes into an entry comes before its variables and our ActionID: whatever has both is
        # an entry, though it should begin or end like something else.
        ends = message.event.endswith("Complete") or message.get("eventlist").lower() == "cancelled"
        if ends and not message.variables:
            self._answer(message.get("actionid"), pending, pending.response or message)
        elif len(pending.events) < MAX_LIST:
            pending.events.append(message)

    def _answer(self, action_id: str, pending: _Pending, response: AmiMessage) -> None:
        del self._pending[action_id]
        if not pending.future.done():
            success = response.get("response").lower() in {"success", "goodbye"}
            pending.future.set_result(
                Reply(success, response.get("message"), response.fields, tuple(pending.events))
            )

    def start(self, action: Action) -> asyncio.Future[Reply]:
        """Write an action; the future fails when the connection is lost."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            future.set_exception(SwitchGone(self.lost.result()))
            return future
        self._pending[action.id] = _Pending(future)
        self.transport.write(str(action).encode())
        return future

    def forget(self, action: Action) -> None:
        """Nobody waits for this action any more."""
        self._pending.pop(action.id, None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.heard_s = asyncio.get_running_loop().time()  # it ended just now
        self._lose(str(exc) if exc else "Asterisk closed the connection")

    def abort(self, reason: str) -> None:
        """Give the connection up at once, without waiting for what is still to be written."""
        self._lose(reason)
        self.transport.abort()

    def close(self) -> None:
        self._lose("closed by pbxbill")
        self.transport.close()

    def _lose(self, reason: str) -> None:
        self.closed = True
        if not self.lost.done():
            self.lost.set_result(reason)
        pending, self._pending = self._pending, {}
        for waiting in pending.values():
            if not waiting.future.done():
                waiting.future.set_exception(SwitchGone(reason))
                waiting.future.exception()  # who sent it may be gone already; then nobody looks


class AmiConnection:
    """One logged-in AMI session. Use open(); after `lost` is done it is of no more use."""

    def __init__(
        self, protocol: GuardedProtocol, settings: AsteriskSettings, metrics: AsteriskMetrics
    ) -> None:
        self._protocol = protocol
        self._settings = settings
        self._metrics = metrics
        self._pinger: asyncio.Task[None] | None = None
        # Nobody can guess which answer we wait for, so nobody can write one into a name.
        self._ids = (f"{secrets.token_hex(12)}-{number}" for number in itertools.count(1))
        self.switch_minus_monotonic_us: int | None = None
        """Asterisk's clock less this machine's monotonic one, by its last Pong."""
        self.monotonic_us: Callable[[], int] = lambda: int(asyncio.get_running_loop().time() * 1e6)

    @classmethod
    async def open(
        cls,
        settings: AsteriskSettings,
        *,
        events: str,
        wanted: frozenset[bytes],
        metrics: AsteriskMetrics,
        monotonic_us: Callable[[], int],
        on_event: Callable[[AmiMessage], None] | None = None,
    ) -> "AmiConnection":
        """Connect and log in. SwitchGone: try later; ConfigurationError: a file must be changed first."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                _, protocol = await loop.create_connection(
                    lambda: GuardedProtocol(wanted, metrics), settings.host, settings.port
                )
        except (OSError, TimeoutError) as failure:
            where = f"{settings.host}:{settings.port}"
            raise SwitchGone(f"no Asterisk manager at {where}: {str(failure) or 'no answer'}") from failure
        protocol.on_event = on_event
        connection = cls(protocol, settings, metrics)
        connection.monotonic_us = monotonic_us
        try:
            reply = await connection.action(
                "Login", {"Username": settings.username, "Secret": settings.secret, "Events": events}
            )
            if not reply.success:
                raise ConfigurationError(
                    f"Asterisk at {settings.host}:{settings.port} refused manager user "
                    f"{settings.username!r}: {reply.message}; "
                    "check its secret and permit lines in manager.conf"
                )
            await connection.ping()
        except BaseException:
            protocol.close()
            raise
        connection._pinger = asyncio.create_task(connection._keep_alive())
        return connection

    @property
    def silent_us(self) -> int:
        """For how long nothing was heard of Asterisk."""
        return int((asyncio.get_running_loop().time() - self._protocol.heard_s) * 1_000_000)

    @property
    def lost(self) -> asyncio.Future[str]:
        """Done, with the reason, when the connection is gone."""
        return self._protocol.lost

    def send(self, name: str, fields: Mapping[str, str | list[str]]) -> "asyncio.Future[Reply]":
        """Write an action now and return its reply; what is sent first is executed first."""
        for key, value in fields.items():
            for item in value if isinstance(value, list) else [value]:
                check_field(key, item)
        action = Action({"Action": name, "ActionID": next(self._ids), **fields})
        return asyncio.ensure_future(self._wait(name, action, self._protocol.start(action)))

    async def action(self, name: str, fields: Mapping[str, str | list[str]] | None = None) -> Reply:
        """As send(). CommandTimeout also gives the connection up: a late answer would be of no use."""
        return await self.send(name, fields or {})

    async def _wait(self, name: str, action: Action, future: asyncio.Future[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._settings.action_timeout_s):
                return await future
        except TimeoutError:
            self._metrics.failed_actions.labels(name).inc()
            self._protocol.forget(action)
            self._protocol.abort(f"{name} was not answered in time")
            raise CommandTimeout(f"Asterisk did not answer {name} in time") from None
        except SwitchGone:
            self._metrics.failed_actions.labels(name).inc()
            raise

    async def ping(self) -> None:
        """Ask for a sign of life, and learn Asterisk's clock."""
        before_us = self.monotonic_us()
        reply = await self.action("Ping")
        after_us = self.monotonic_us()
        switch_us = timestamp_us(reply.fields.get("timestamp", ""))
        if switch_us is not None:
            self.switch_minus_monotonic_us = switch_us - (before_us + after_us) // 2

    async def _keep_alive(self) -> None:
        while not self.lost.done():
            await asyncio.sleep(self._settings.ping_interval_s)
            try:
                async with asyncio.timeout(self._settings.ping_timeout_s):
                    await self.ping()
            except TimeoutError:
                self._protocol.abort("Asterisk does not answer Ping")
            except SwitchError as gone:
                log.info("ami_ping_ended", reason=str(gone))
                return

    def pause_reading(self) -> None:
        """Let TCP hold events back while the worker catches up."""
        if not self.lost.done():
            self._protocol.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take events again."""
        if not self.lost.done():
            self._protocol.transport.resume_reading()

    def abort(self, reason: str) -> None:
        """Give the connection up."""
        self._protocol.abort(reason)

    async def close(self) -> None:
        """End the session in order."""
        if self._pinger is not None:
            self._pinger.cancel()
            await asyncio.gather(self._pinger, return_exceptions=True)
        self._protocol.close()
