"""An AMI server that does what the script says: answers, is silent, breaks off, talks nonsense."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

BANNER = b"Asterisk Call Manager/11.0.0\r\n"


@dataclass
class FakeSession:
    """One client's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_action(self) -> dict[str, str]:
        """The next action, header names in lower case."""
        block = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        pairs = (line.split(": ", 1) for line in block.strip().split("\r\n"))
        return {name.lower(): value for name, value in pairs}

    def send(self, **fields: str) -> None:
        """One message."""
        self.writer.write("".join(f"{k}: {v}\r\n" for k, v in fields.items()).encode() + b"\r\n")

    def accept(self, action: dict[str, str], **fields: str) -> None:
        """Answer an action with success."""
        self.send(Response="Success", ActionID=action["actionid"], **fields)


Script = Callable[[FakeSession], Awaitable[None]]


async def log_in(session: FakeSession) -> None:
    """Banner, login and the first Ping, as Asterisk does it."""
    session.writer.write(BANNER)
    session.accept(await session.read_action(), Message="Authentication accepted")
    ping = await session.read_action()
    session.accept(ping, Ping="Pong", Timestamp="1795290163.500000")


@dataclass
class FakeAmi:
    """Listens, and runs the script for each connection."""

    script: Script
    port: int = 0
    connections: int = 0
    actions: list[dict[str, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            await self.script(FakeSession(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, which scripts expect
        finally:
            writer.close()
