"""A small PayPal on the loopback: its addresses, faults and webhooks; paypal_books.py has what it keeps."""

import base64
import json
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from tests.gateways.paypal_books import Object, PaypalBooks, PaypalError
from tests.gateways.paypal_certificates import Issued, authority, host, signer

CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID = "AfV-client_1", "EGnHD-secret", "0EH40505U7160970P"
NOW_US = 1_795_000_000_000_000
CERTIFICATE = "/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"


class PaypalServer:
    """An account at PayPal, and its webhooks."""

    def __init__(self) -> None:
        self.books = PaypalBooks()
        self.asked: list[str] = []
        """What came, as METHOD /path."""
        self.fault, self.where = "", ""
        self.tokens_given = 0
        self.certificates: dict[str, bytes] = {CERTIFICATE: signer().pem}
        self._valid: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(self._api))
        self._https = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(self._certificate))
        self.books.base = self.url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def certificate_url(self) -> str:
        return f"https://127.0.0.1:{self._https.server_port}{CERTIFICATE}"

    def settings(self, folder: Path, *, timeout_s: int = 10, **others: object) -> Object:
        """Of a gateway that asks here."""
        (folder / "paypal_secret").write_text(f"{CLIENT_SECRET}\n")
        (folder / "paypal_ca").write_bytes(authority().pem)
        (folder / "paypal_host").write_bytes(host().pem + host().key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "paypal_host")
        if not isinstance(self._https.socket, ssl.SSLSocket):
            self._https.socket = context.wrap_socket(self._https.socket, server_side=True)
            threading.Thread(target=self._https.serve_forever, args=(0.05,), daemon=True).start()
        return {
            "client_id": CLIENT_ID,
            "client_secret_file": str(folder / "paypal_secret"),
            "webhook_id": WEBHOOK_ID,
            "api_base": self.url,
            "certificate_ca_file": str(folder / "paypal_ca"),
            "timeout_s": timeout_s,
        } | others

    def __enter__(self) -> Self:
        self._http.daemon_threads = self._https.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        if isinstance(self._https.socket, ssl.SSLSocket):
            self._https.shutdown()
        self._https.server_close()

    @contextmanager
    def failing(self, fault: str, where: str = "") -> Iterator[None]:
        """Fail where METHOD /path has this in it. done-...: only after it was done."""
        self.fault, self.where = fault, where
        yield
        self.fault = ""

    def revoke_tokens(self) -> None:
        self._valid.clear()

    # --- webhooks ---

    def webhook(
        self,
        kind: str,
        resource: Object,
        *,
        event: str = "WH-1",
        webhook_id: str = WEBHOOK_ID,
        at_us: int = NOW_US,
        by: Issued | None = None,
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of a webhook, signed as PayPal does."""
        told = {"id": event, "event_type": kind, "resource": resource, "resource_version": "2.0"}
        body = json.dumps(told).encode()
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
        time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"b2384410-f8d2-11ea-8e4d-1b1a6f4f5d7a|{time}|{webhook_id}|{zlib.crc32(body)}"
        signature = (by or signer()).key.sign(text.encode(), PKCS1v15(), SHA256())
        headers = {
            "paypal-transmission-id": "b2384410-f8d2-11ea-8e4d-1b1a6f4f5d7a",
            "paypal-transmission-time": time,
            "paypal-transmission-sig": base64.b64encode(signature).decode(),
            "paypal-cert-url": self.certificate_url,
            "paypal-auth-algo": "SHA256withRSA",
        }
        return headers, body

    # --- its API ---

    def _certificate(self, _method: str, path: str, _headers: Any, _body: bytes) -> tuple[int, bytes]:
        self.asked.append(f"GET {path}")
        if self.fault and self.where in path:
            return 500, b"down"
        found = self.certificates.get(path)
        return (404, b"") if found is None else (200, found)

    def _api(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes] | None:
        """Status and body; None: nothing is answered."""
        asked = f"{method} {path}"
        fault = self.fault if self.where in asked else ""
        with self._lock:
            self.asked.append(asked)
            if fault and not fault.startswith("done-"):
                return self._failed(fault)
            try:
                status, told = self._done(method, path, headers, body)
            except PaypalError as error:
                status, told = error.status, error.body
            return self._failed(fault.removeprefix("done-")) if fault else (status, json.dumps(told).encode())

    def _failed(self, fault: str) -> tuple[int, bytes] | None:
        if fault == "lost":
            return None
        bodies = {
            "garbage": b"{]",
            "html": b"<html>down</html>",
            "list": b"[1]",
            "pickle": b'{"py/object": "x.Y"}',
        }
        if fault in bodies:
            return 200, bodies[fault]
        told = {"name": "FAULT", "message": "It failed.", "debug_id": "1"}
        return int(fault), json.dumps(told).encode()

    def _done(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Object | None]:
        if path == "/v1/oauth2/token":
            return self._token(headers, body)
        if headers["Authorization"].removeprefix("Bearer ") not in self._valid:
            return 401, {"error": "invalid_token", "error_description": "Token signature verification failed"}
        told = json.loads(body) if body else {}
        parts = urlsplit(path).path.strip("/").split("/")
        key = headers["PayPal-Request-Id"] or ""
        match parts[:2]:
            case ["v2", "checkout"]:
                return self._orders(method, parts[3:], told, key)
            case ["v2", "payments"]:
                return self._payments(method, parts[2:], told, key)
            case ["v3", "vault"]:
                query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
                return self._vault(method, parts[3:], query)
            case _:
                return 200, self._dispute(parts)

    def _dispute(self, parts: list[str]) -> Object:
        found = self.books.disputes.get(parts[-1]) if parts[:3] == ["v1", "customer", "disputes"] else None
        if found is None:
            raise PaypalError(404, "INVALID_RESOURCE_ID")
        return found

    def _orders(self, method: str, parts: list[str], told: Any, key: str) -> tuple[int, Object | None]:
        if method == "POST":
            return (
                self.books.capture_order(parts[0], told, key) if parts else self.books.create_order(told, key)
            )
        if method == "PATCH":
            self.books.patch_order(parts[0], told)
            return 204, None
        return 200, self.books.get_order(parts[0])

    def _payments(self, method: str, parts: list[str], told: Any, key: str) -> tuple[int, Object]:
        if method == "POST":
            assert parts[2] == "refund"
            return self.books.refund(parts[1], told, key)
        known = self.books.get_capture if parts[0] == "captures" else self.books.get_refund
        return 200, known(parts[1])

    def _vault(self, method: str, parts: list[str], query: dict[str, str]) -> tuple[int, Object | None]:
        if not parts:
            page, size = int(query["page"]), int(query["page_size"])
            return 200, self.books.list_tokens(query["customer_id"], page, size)
        if method == "DELETE":
            self.books.tokens.pop(parts[0], None)
            return 204, None
        return 200, self.books.get_token(parts[0])

    def _token(self, headers: Any, body: bytes) -> tuple[int, Object]:
        given = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"]}
        if given != f"{CLIENT_ID}:{CLIENT_SECRET}":
            return 401, {"error": "invalid_client", "error_description": "Client Authentication failed"}
        self.tokens_given += 1
        token = f"A21AA{self.tokens_given}"
        self._valid.add(token)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 32_400, "scope": "all"}

    def _handler(self, answer: Callable[..., tuple[int, bytes] | None]) -> type[BaseHTTPRequestHandler]:
        over = self._over

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                found = answer(self.command, self.path, self.headers, body)
                if found is None:
                    over.wait(20)
                    return
                status, told = found
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(told)

            do_GET = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815  # so they are looked for

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
