"""Connections to FreeSWITCH: greenswitch's protocol with its reader, writer and waiting replaced.

What is kept from greenswitch is its shape: handlers by event name, InboundESL for connections we open and
OutboundSession for those that FreeSWITCH opens. What is replaced: the framing (pbxbill.esl.wire), the event
queue (bounded: when it is full, TCP holds the switch back, and a queue that does not move closes the
connection, since a reader that stalls stops the switch), sending (one write at a time, no line breaks, a
time-out after which the connection is closed, because later replies would be taken for earlier ones), and
the end (every waiting command fails, `closed` is set, and the object is never used again).
"""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import gevent
import structlog
from gevent import socket
from gevent.event import AsyncResult
from gevent.event import Event as Flag
from gevent.lock import RLock
from gevent.queue import Full, Queue
from greenswitch.esl import ESLProtocol, InboundESL, OutboundSession

from pbxbill.errors import CommandTimeout, SwitchError, SwitchGone
from pbxbill.esl.wire import Event, Framer, Message, WireError, single_line

log = structlog.get_logger(__name__)

RECEIVE_BYTES = 65536
EventHandler = Callable[[Event], None]


class SafeProtocol(ESLProtocol):
    """The part that inbound connections and outbound sessions share."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        # greenswitch's constructors start greenlets on a socket: what they need must exist before.
        self.closed = Flag()
        self.close_reason = ""
        self.last_received = gevent.get_hub().loop.now()
        self.command_timeout_s = 5.0
        self.stall_timeout_s = 5.0
        self.bad_events = 0
        self.on_bad_event: Callable[[], None] = _nothing
        self._framer = Framer()
        self._pending: deque[AsyncResult[Message]] = deque()
        self._write_lock = RLock()
        self._handler: EventHandler | None = None
        self._queue: Queue[Event] = Queue(maxsize=1000)
        self._lingering = False
        super().__init__(*args, **kwargs)

    # --- receiving -------------------------------------------------------------------------

    def receive_events(self) -> None:
        """Read until the connection ends; whatever goes wrong closes it and fails who waits."""
        try:
            while not self.closed.is_set():
                data = self.sock.recv(RECEIVE_BYTES)
                if not data:
                    self.close("the switch closed the connection")
                    return
                self.last_received = gevent.get_hub().loop.now()
                for message in self._framer.feed(data):
                    self.handle_event(message)
        except WireError as error:
            self.close(f"malformed: {error}")
        except OSError as error:
            self.close(f"connection lost: {error}")

    def handle_event(self, message: Message) -> None:
        """Give one message to whom it is for."""
        match message.content_type:
            case "text/event-plain":
                self._enqueue(message)
            case "command/reply" | "api/response":
                if not self._pending:
                    raise WireError("a reply to nothing")
                self._pending.popleft().set(message)
            case "auth/request":
                self._auth_request_event.set()
            case "text/disconnect-notice":
                if message.headers.get("Content-Disposition") == "linger":
                    self._lingering = True
                else:
                    self.close("the switch said good-bye")
            case "text/rude-rejection":
                self.close("refused by the switch's access list")
            case _:
                self._bad_event(f"content type {message.content_type[:60]!r}")

    def _enqueue(self, message: Message) -> None:
        try:
            event = message.event()
        except WireError as error:
            self._bad_event(str(error))
            return
        if self._handler is None:
            return
        try:
            self._queue.put(event, timeout=self.stall_timeout_s)
        except Full:
            self.close("events are not taken off the queue")

    def _bad_event(self, what: str) -> None:
        self.bad_events += 1
        self.on_bad_event()
        log.warning("esl.bad_event", what=what)

    def process_events(self) -> None:
        """Hand events to the handler, in order; an exception in it costs that one event."""
        while not self.closed.is_set() or not self._queue.empty():
            try:
                event = self._queue.get(timeout=1.0)
            except gevent.queue.Empty:
                continue
            try:
                if self._handler is not None:
                    self._handler(event)
            except Exception:
                self.bad_events += 1
                self.on_bad_event()
                log.exception("esl.handler_failed", event_name=event.name[:60])

    # --- sending ---------------------------------------------------------------------------

    def send(self, data: str) -> Message:
        """One command of one line, and its reply."""
        return self.exchange([[single_line(data)]])[0]

    def call_command(self, app_name: str, app_args: str = "") -> Message:
        """greenswitch's name for execute()."""
        return self.execute(app_name, app_args)

    def execute(self, app: str, argument: str = "", execution_id: str = "") -> Message:
        """Queue an application behind the earlier ones; its CHANNEL_EXECUTE_COMPLETE names execution_id."""
        lines = ["sendmsg", "call-command: execute", f"execute-app-name: {app}"]
        if argument:
            lines.append(f"execute-app-arg: {argument}")
        lines.append("event-lock: true")
        if execution_id:
            lines.append(f"Event-UUID: {execution_id}")
        return self.exchange([lines])[0]

    def api(self, command: str) -> str:
        """The answer of an api command."""
        return self.send(f"api {command}").reply

    def exchange(self, commands: Sequence[Sequence[str]]) -> list[Message]:
        """Send commands (each a list of lines) in one write and wait for all their replies."""
        data = "".join("\n".join(map(single_line, lines)) + "\n\n" for lines in commands).encode()
        waiting: list[AsyncResult[Message]] = [AsyncResult() for _ in commands]
        try:
            with gevent.Timeout(self.command_timeout_s, CommandTimeout("no answer from the switch in time")):
                with self._write_lock:
                    if self.closed.is_set():
                        raise SwitchGone(self.close_reason)
                    self._pending.extend(waiting)
                    self.sock.sendall(data)
                return [result.get() for result in waiting]
        except CommandTimeout:
            self.close("a command timed out")
            raise
        except OSError as error:
            self.close(f"connection lost: {error}")
            raise SwitchGone(self.close_reason) from error

    # --- the end ---------------------------------------------------------------------------

    def close(self, reason: str = "closed") -> None:
        """End the connection at once; who waits gets SwitchGone. Safe to call twice and from a handler."""
        if self.closed.is_set():
            return
        self.close_reason = reason
        self.connected = False
        self._run = False
        self.closed.set()
        self._auth_request_event.set()
        pending, self._pending = self._pending, deque()
        for result in pending:
            result.set_exception(SwitchGone(reason))
        # Neither exists before connect() has come so far; greenswitch's file keeps the descriptor open.
        for end in (getattr(self, "sock", None), getattr(self, "sock_file", None)):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.close()

    def stop(self) -> None:
        """greenswitch's name for close()."""
        self.close("stopped")


def _nothing() -> None:
    """Nobody counts."""


class EslConnection(SafeProtocol, InboundESL):
    """A connection that we open. Make a new object for each; connect() may be called once."""

    def __init__(
        self,
        host: str,
        port: int,
        password: str,
        *,
        connect_timeout_s: float = 5.0,
        command_timeout_s: float = 5.0,
    ) -> None:
        super().__init__(host, port, password, timeout=connect_timeout_s)
        self.command_timeout_s = command_timeout_s

    def connect(self) -> None:
        """Connect and authenticate; SwitchError says why not."""
        try:
            with gevent.Timeout(self.timeout, CommandTimeout("no connection to the switch in time")):
                self.sock = socket.create_connection((self.host, self.port))
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self.connected = True
                self._receive_events_greenlet = gevent.spawn(self.receive_events)
                self._auth_request_event.wait()
                if self.closed.is_set():
                    raise SwitchGone(self.close_reason)
                self.authenticate()
        except OSError as error:
            self.close(f"cannot connect: {error}")
            raise SwitchGone(f"cannot connect to {self.host}:{self.port}: {error}") from error
        except SwitchError:
            self.close("the handshake failed")
            raise

    def authenticate(self) -> None:
        """Say the password."""
        if self.send(f"auth {self.password}").reply != "+OK accepted":
            raise SwitchError("the event socket refused the password")

    def subscribe(self, handler: EventHandler, names: Sequence[str], queue: int) -> None:
        """Have handler called with each event of those names, in order. CUSTOM and its subclasses go last."""
        self._handler = handler
        self._queue = Queue(maxsize=queue)
        self._process_events_greenlet = gevent.spawn(self.process_events)
        reply = self.send("event plain " + " ".join(names)).reply
        if not reply.startswith("+OK"):
            raise SwitchError(f"the switch refused the subscription: {reply[:100]}")

    def keep_alive(self, interval_s: float) -> None:
        """Ask something small whenever nothing came for interval_s; no answer closes the connection."""
        self._keep_alive_greenlet = gevent.spawn(self._keep_asking, interval_s)

    def _keep_asking(self, interval_s: float) -> None:
        while not self.closed.wait(interval_s):
            if gevent.get_hub().loop.now() - self.last_received < interval_s:
                continue
            try:
                self.api("strepoch")
            except SwitchError as error:
                log.warning("esl.keep_alive_failed", error=str(error), reason=self.close_reason)
                return


class CallSocket(SafeProtocol, OutboundSession):
    """The connection that a call's `socket` application opens to us."""

    def __init__(self, client_address: object, sock: socket.socket, *, command_timeout_s: float) -> None:
        super().__init__(client_address, sock)
        self.command_timeout_s = command_timeout_s

    def start_event_handlers(self) -> None:
        """Only the reader: events are handled where follow() asks for them."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._receive_events_greenlet = gevent.spawn(self.receive_events)

    def register_handle(self, name: str, handler: object) -> None:
        """greenswitch's own handlers are not used."""

    def connect(self) -> Message:
        """The channel's data. From here on the dialplan goes on when this connection ends, whatever ends it.

        Without `resume` a call whose daemon dies here would ring on and never go anywhere.
        """
        data, resumed = self.exchange([["connect"], ["resume"]])
        if not resumed.reply.startswith("+OK"):
            raise SwitchError(f"the switch refused to resume: {resumed.reply[:100]}")
        return data

    def follow(self, handler: EventHandler) -> None:
        """Have handler called with this channel's events."""
        self._handler = handler
        self._process_events_greenlet = gevent.spawn(self.process_events)
        self.send("myevents")
