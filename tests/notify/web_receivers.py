"""Receivers of webhooks on the loopback: real HTTP, with answers as a test wants them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Receiver:
    """Keeps what it gets."""

    url: str = ""
    hooks: list[Received] = field(default_factory=list)
    status: int = 204
    answer: Callable[[Received], int] | None = None
    """Which status a hook gets, instead of the one."""
    location: str = ""
    body: bytes = b""

    def ids(self) -> list[str]:
        return [hook.headers["webhook-id"] for hook in self.hooks]


@contextmanager
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            hook = Received(self.path, headers, self.rfile.read(length).decode())
            kept.hooks.append(hook)
            self.send_response(kept.status if kept.answer is None else kept.answer(hook))
            if kept.location:
                self.send_header("Location", kept.location)
            self.send_header("Content-Length", str(len(kept.body)))
            self.end_headers()
            try:
                self.wfile.write(kept.body)
            except OSError:
                pass  # nobody reads all of it

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            """Callers that hang up are meant."""

    server = Server(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
