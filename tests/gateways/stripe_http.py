"""The small Stripe's socket."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from tests.gateways.stripe_api import ApiRequest


class Service(Protocol):
    """Who answers."""

    def answer(self, request: ApiRequest) -> tuple[int, bytes] | None:
        """What a request is answered with; None: nothing, and the connection is closed."""
        ...

    def page_html(self, session: str) -> bytes:
        """The page on which a payer pays."""
        ...

    def pay_by_form(self, session: str, form: str) -> str:
        """The payer presses its button: where his browser goes next."""
        ...


class StripeHttp(ThreadingHTTPServer):
    """A thread for each request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, service: Service) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement
    server: StripeHttp

    def do_GET(self) -> None:
        if self.path.startswith("/pay/"):
            body = self.server.service.page_html(self.path)
            self._reply(200, body, "text/html; charset=utf-8")
        else:
            self._answer("")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path.startswith("/pay/"):
            self.send_response(303)
            self.send_header("Location", self.server.service.pay_by_form(self.path, body))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(body)

    def _answer(self, body: str) -> None:
        headers = self.headers
        request = ApiRequest(
            self.command,
            self.path,
            headers.get("Authorization", ""),
            headers.get("Idempotency-Key", ""),
            body,
        )
        answer = self.server.service.answer(request)
        if answer is None:
            self.close_connection = True
        else:
            self._reply(*answer, "application/json")

    def _reply(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Request-Id", "req_pbxbill")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked is gone, as in the tests of time-outs

    def log_message(self, *_: object) -> None:
        """Say nothing."""
