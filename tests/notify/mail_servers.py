"""Mail servers on the loopback: a real one, and some that misbehave in the ways that mail servers do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from lab.ports import free_port
from pbxbill.notify.smtp import MailSettings


class Inbox:
    """A real SMTP server that keeps what it gets; addresses may be told to fail."""

    def __init__(self) -> None:
        self.messages: list[Envelope] = []
        self.contents: list[bytes] = []
        """Of the messages."""
        self.connections = 0
        self.answers: dict[str, str] = {}
        """What a recipient is answered with, instead of 250."""
        self.after_data = ""
        """What every message is answered with."""

    async def handle_EHLO(
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.after_data:
            return self.after_data
        self.messages.append(envelope)
        assert isinstance(envelope.content, bytes)
        self.contents.append(envelope.content)
        return "250 OK"


@contextmanager
def inbox(password: str | None = None) -> Iterator[tuple[Inbox, MailSettings]]:
    """A server, and settings that lead to it."""
    kept = Inbox()

    def authenticate(*arguments: object) -> AuthResult:
        right = getattr(arguments[-1], "password", b"") == (password or "").encode()
        return AuthResult(success=right, handled=right)

    options: dict[str, Any] = {"authenticator": authenticate, "auth_require_tls": False} if password else {}
    port = free_port()
    controller = Controller(kept, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield (
            kept,
            MailSettings(host="127.0.0.1", port=port, security="none", sender="billing@operator.example"),
        )
    finally:
        controller.stop()


@contextmanager
def misbehaving(behaviour: Callable[[socket.socket], object]) -> Iterator[MailSettings]:
    """A server of which each connection is given to a function."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def serve() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(30)
            thread = threading.Thread(target=_until_gone, args=(behaviour, connection), daemon=True)
            thread.start()
            threads.append(thread)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    port = listener.getsockname()[1]
    try:
        yield _settings(port)
    finally:
        stopping.set()
        server.join(5)
        listener.close()


def _settings(port: int) -> MailSettings:
    return MailSettings(host="127.0.0.1", port=port, security="none", sender="billing@operator.example")


def _until_gone(behaviour: Callable[[socket.socket], object], connection: socket.socket) -> None:
    with connection:
        try:
            behaviour(connection)
        except OSError:
            pass  # the client has gone, as a test means it to
