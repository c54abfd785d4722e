"""Serves the web application with waitress: some threads, bounded connections, sizes and times."""

import logging
import threading
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from werkzeug.wsgi import ClosingIterator

from pbxbill.billing.payments.webhook_handling import MAX_BODY_BYTES
from pbxbill.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STREAM = "text/event-stream"
MAX_HEADER_BYTES = 32_768
LARGER = ("/panel/", "/my/", "/setup")
"""Where somebody who is logged in may send files."""
LARGER_FOR_PROGRAMS = "/api/v1/"
"""Where a program with a key may; the API says how much each of its addresses takes."""
LOOP_S = 0.5
DRAIN_S = 3
"""So long after stop() answers are still written."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """Where to listen, and what is too much."""

    host: str
    port: int
    threads: int
    """Requests that are worked on at once."""
    connections: int
    timeout_s: int
    """A connection on which nothing happens for so long is closed."""
    upload_bytes: int = MAX_BODY_BYTES
    """What pages take, of browsers that bring a cookie; everywhere else MAX_BODY_BYTES is the most."""
    trusted_proxy: str = ""
    """Whose X-Forwarded-For is believed."""
    streams: int = 0
    """Streams of events that may be open beside them, each in a thread that sleeps most of the time."""
    prefix: str = ""
    """The path of the public address, where it has one: /billing. The proxy may take it off, or leave it."""


class WebServer:
    """Listens from its making on; run() serves until stop()."""

    def __init__(self, app: Flask, settings: ServingSettings) -> None:
        # It would say of every request that waits for a thread that it waits.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._map: dict[int, Any] = {}
        self._stop = threading.Event()
        try:
            self._server: Any = create_server(
                _AtOnce(app, settings.threads),
                map=self._map,
                host=settings.host,
                port=settings.port,
                threads=settings.threads + settings.streams,
                connection_limit=settings.connections,
                channel_timeout=settings.timeout_s,
                cleanup_interval=min(10, settings.timeout_s),
                # More is refused by its announced length, before it is read.
                max_request_body_size=max(settings.upload_bytes, MAX_BODY_BYTES),
                max_request_header_size=MAX_HEADER_BYTES,
                clear_untrusted_proxy_headers=True,
                **_proxy(settings.trusted_proxy),
                url_prefix=settings.prefix,
                ident=None,
                asyncore_use_poll=True,
            )
        except OSError as error:
            raise ConfigurationError(
                f"the web process cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
                "change web.host or web.port"
            ) from None

        for server in list(self._map.values()):
            server.channel_class = _Channel

    @property
    def port(self) -> int:
        """Where it listens, as the system chose it for port 0."""
        several = getattr(self._server, "effective_listen", None)  # a name of several addresses
        return int(several[0][1] if several else self._server.effective_port)

    def run(self) -> None:
        """Serve until stop(); what has begun is answered."""
        while not self._stop.is_set():
            self._turn()
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=DRAIN_S)
        for _ in range(int(DRAIN_S / LOOP_S)):
            if not any(getattr(x, "total_outbufs_len", 0) for x in list(self._map.values())):
                break
            self._turn()
        wasyncore.close_all(self._map)

    def _turn(self) -> None:
        wasyncore.loop(timeout=LOOP_S, use_poll=True, map=self._map, count=1)

    def stop(self) -> None:
        """End run() soon; from any thread or signal handler."""
        self._stop.set()


class _AtOnce:
    """Works on so many requests at once; a stream of events is none of them as soon as it has begun."""

    def __init__(self, app: "WSGIApplication", most: int) -> None:
        self._app, self._places = app, threading.Semaphore(most)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        kinds: list[str] = []

        def started(status: str, headers: list[tuple[str, str]], *fault: Any) -> Any:
            kinds[:] = [value for name, value in headers if name.lower() == "content-type"]
            return start_response(status, headers, *fault)

        self._places.acquire()
        try:
            body = self._app(environ, started)
        except BaseException:
            self._places.release()
            raise
        if any(x.startswith(STREAM) for x in kinds):
            self._places.release()
            return body
        return ClosingIterator(body, self._places.release)


class _Parser(HTTPRequestParser):
    """Refuses by its head what is too large for where it goes."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        sent: str = self.path  # type: ignore[attr-defined]  # set while it is parsed
        path = sent.removeprefix(self.adj.url_prefix)
        is_page = path.startswith(LARGER) and "COOKIE" in self.headers
        is_of_program = path.startswith(LARGER_FOR_PROGRAMS) and "AUTHORIZATION" in self.headers
        if not (is_page or is_of_program):
            self.adj = copy(self.adj)
            self.adj.max_request_body_size = MAX_BODY_BYTES


class _Channel(HTTPChannel):
    parser_class = _Parser


def _proxy(address: str) -> dict[str, Any]:
    if not address:
        return {}
    return {"trusted_proxy": address, "trusted_proxy_count": 1, "trusted_proxy_headers": {"x-forwarded-for"}}
