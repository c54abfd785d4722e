"""FastAGI: the questions that a dialplan asks over TCP, one connection each. Knows nothing of calls.

Every step has a limit: header lines and their length, time to send them, open connections. The first HANGUP
or end of the stream is final, and the connection is closed as soon as the handler returns: Asterisk holds
the channel until then.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from pbxbill.errors import CommandTimeout, ConfigurationError, InputRefused, SwitchError, SwitchGone

log = structlog.get_logger(__name__)

MAX_HEADERS = 200
MAX_LINE_BYTES = 4096
MAX_COMMAND_BYTES = 1900
"""Asterisk reads a command into 2,048 bytes."""
MAX_REPLY_LINES = 100

_REPLY = re.compile(r"(\d{3})([ -])(.*)")
_RESULT = re.compile(r"result=(-?[0-9*#A-D]*)(?: \((.*)\))?")


@dataclass(frozen=True, slots=True)
class AgiRequest:
    """What Asterisk says about the channel that asks."""

    fields: Mapping[str, str]

    @property
    def script(self) -> str:
        """The path of the URL: which question it is."""
        return self.fields.get("agi_network_script", "")

    def argument(self, number: int) -> str:
        """The number-th argument, from 1; empty when there is none."""
        return self.fields.get(f"agi_arg_{number}", "")


@dataclass(frozen=True, slots=True)
class AgiReply:
    """A reply: 200 with a result, 510 unknown command, 511 channel is dead, 520 wrong usage."""

    code: int
    result: str
    value: str

    @property
    def success(self) -> bool:
        """Whether the command was done."""
        return self.code == 200 and self.result != "-1"


def parse_reply(line: str) -> AgiReply:
    """A reply from its first line."""
    match = _REPLY.fullmatch(line)
    if match is None:
        raise SwitchError(f"no AGI reply: {line[:80]!r}")
    result = _RESULT.match(match[3])
    return AgiReply(int(match[1]), result[1] if result else "", (result[2] or "") if result else match[3])


def quoted(value: str) -> str:
    """An argument of an AGI command; InputRefused when it could end the command."""
    if any(character in value for character in "\r\n\0"):
        raise InputRefused("an AGI argument holds a line break")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class AgiSession:
    """One open question: the request, and commands until the handler returns."""

    def __init__(
        self,
        request: AgiRequest,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        read_timeout_s: float,
    ) -> None:
        self.request = request
        self._reader = reader
        self._writer = writer
        self._read_timeout_s = read_timeout_s
        self._over = False

    async def command(self, *words: str, lasts_s: float = 0) -> AgiReply:
        """Send one command and read its reply. SwitchGone: the caller hung up or Asterisk went away.

        lasts_s: how long the command itself may take, where it speaks or listens.
        """
        if self._over:
            raise SwitchGone("the AGI session is over")
        line = " ".join(words)
        if "\r" in line or "\n" in line or "\0" in line:
            raise InputRefused("an AGI command holds a line break")
        data = line.encode()
        if len(data) > MAX_COMMAND_BYTES:
            raise InputRefused("an AGI command is too long")
        self._writer.write(data + b"\n")
        try:
            async with asyncio.timeout(self._read_timeout_s + lasts_s):
                await self._writer.drain()
                return await self._reply()
        except TimeoutError:
            self._over = True
            raise CommandTimeout("Asterisk did not answer an AGI command in time") from None
        except (OSError, SwitchGone) as gone:
            self._over = True
            raise SwitchGone(str(gone)) from gone

    async def _reply(self) -> AgiReply:
        line = await read_line(self._reader)
        if line == "HANGUP":
            # The reply to what was just sent may still follow, but nothing may be asked of a dead channel.
            raise SwitchGone("the caller hung up")
        reply = parse_reply(line)
        if line[3:4] == "-":
            for _ in range(MAX_REPLY_LINES):
                if (await read_line(self._reader)).startswith("520 "):
                    return reply
            raise SwitchError("an AGI reply without an end")
        return reply


async def read_line(reader: asyncio.StreamReader) -> str:
    """One line without its end. SwitchGone at the end of the stream; SwitchError when it is too long."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise SwitchGone("Asterisk closed the AGI connection") from None
    except asyncio.LimitOverrunError:
        raise SwitchError("an AGI line is too long") from None
    return line.rstrip(b"\r\n").decode("utf-8", "replace")


async def read_request(reader: asyncio.StreamReader) -> AgiRequest:
    """The headers of a request, up to the empty line."""
    fields: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = await read_line(reader)
        if not line:
            return AgiRequest(fields)
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if name in fields:
            # A line break in what a caller sent: nothing in this request can be believed.
            raise SwitchError(f"an AGI request with two {name[:40]}")
        if colon:
            fields[name] = value.strip()
    raise SwitchError("an AGI request without an end")


async def _addresses(host: str) -> set[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as failure:
        log.warning("switch_host_unknown", host=host, reason=str(failure))
        return set()
    return {str(entry[4][0]) for entry in found}


Handler = Callable[[AgiSession], Awaitable[None]]


class AgiServer:
    """Listens, reads each request, calls the handler, closes."""

    def __init__(
        self, handler: Handler, *, connections: int, read_timeout_s: float, switch_host: str = "127.0.0.1"
    ) -> None:
        self._handler = handler
        self._switch_host = switch_host
        self._peers = {"127.0.0.1", "::1"}
        self._most = connections
        self._read_timeout_s = read_timeout_s
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen; ConfigurationError when the port is taken."""
        self._peers |= await _addresses(self._switch_host)
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=MAX_LINE_BYTES, backlog=256
            )
        except OSError as failure:
            raise ConfigurationError(
                f"cannot listen for FastAGI on {host}:{port}: {failure.strerror}; is another pbxbill running?"
            ) from failure

    async def stop(self) -> None:
        """Take no more questions and let the open ones end."""
        if self._server is not None:
            self._server.close()
        if self._open:
            _, late = await asyncio.wait(set(self._open), timeout=self._read_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        peer = str((writer.get_extra_info("peername") or ("",))[0]).removeprefix("::ffff:")
        if peer not in self._peers:
            # A question reserves money: nobody but the switch may ask.
            log.warning("agi_foreign_peer", peer=peer, switch=self._switch_host)
            writer.transport.abort()
            return
        if task is None or len(self._open) >= self._most:
            log.warning("agi_too_many_connections", most=self._most)
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            async with asyncio.timeout(self._read_timeout_s):
                request = await read_request(reader)
            await self._handler(AgiSession(request, reader, writer, self._read_timeout_s))
        except (SwitchError, TimeoutError, OSError) as failure:
            log.info("agi_ended", reason=str(failure) or "time-out")
        except asyncio.CancelledError:
            # Only stop() cancels, and this is the end: asyncio would report it as a fault of the connection.
            log.info("agi_ended", reason="the daemon stops")
        except Exception:
            # One request must never stop the server; the dialplan sees no verdict and acts by its policy.
            log.exception("agi_request_failed")
        finally:
            self._open.discard(task)
            writer.close()
