"""Posts a webhook in the form of Standard Webhooks: id, timestamp, signatures in headers, JSON in the body.

An address is resolved once, checked, and that very address is connected to: a name that points elsewhere a
moment later gains nothing. Redirects are not followed, answers are hardly read, and a watchdog cuts whatever
takes too long, so that no receiver holds us up.
"""

import http.client
import socket
import ssl
import threading
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from secrets import token_bytes
from urllib.parse import SplitResult, urlsplit

from standardwebhooks import Webhook

from pbxbill.errors import InputRefused

STEP_TIMEOUT_S = 10
"""To connect, and for each word of the answer."""
TOTAL_TIMEOUT_S = 20
MAX_URL, MAX_ANSWER_BYTES, MAX_WHY = 500, 16_384, 300
SECRET_PREFIX, SECRET_BYTES = "whsec_", 32
USER_AGENT = "pbxbill"
_LOW_PORTS = (80, 443)
_PRIVATELY = (
    "; the operator's own endpoints alone may be without TLS and in a private network, "
    "by private_addresses = true in [webhooks]"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAT64, _6TO4 = ip_network("64:ff9b::/96"), ip_network("2002::/16")
_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver answered 2xx."""


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """It did not; trying later may help."""

    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """It answered 410: it wants nothing any more."""

    why: str


Answer = Accepted | NotAccepted | Gone


@dataclass(frozen=True, slots=True)
class Hook:
    """One delivery."""

    url: str
    id: str
    """The same at every attempt: the receiver knows by it what it has already."""
    body: str
    secrets: tuple[str, ...]
    """Signed with each: the old one too, until the receiver knows the new one."""


def new_secret() -> str:
    """A secret to sign with, as receivers' libraries expect it."""
    return SECRET_PREFIX + b64encode(token_bytes(SECRET_BYTES)).decode()


def checked_secret(text: str) -> str:
    """A secret that somebody brought; InputRefused if it is none."""
    try:
        size = len(b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except (Base64Error, ValueError):
        size = 0
    if not text.startswith(SECRET_PREFIX) or not 24 <= size <= 64:
        raise InputRefused(f"a secret is {SECRET_PREFIX} and 24 to 64 bytes in base64")
    return text


def checked_url(text: str, *, private: bool) -> str:
    """An address to post to; private: it may be on this machine or in its network, and without TLS."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InputRefused(f"{text[:80]!r} is no address; write it like https://example.com/hooks") from None
    sound = parts.hostname and text.isascii() and text.isprintable() and " " not in text
    if parts.scheme not in ("https", "http") or not sound or len(text) > MAX_URL:
        raise InputRefused(f"{text[:80]!r} is no address; write it like https://example.com/hooks")
    if parts.username is not None or parts.password is not None:
        raise InputRefused("an address holds no user and password: it is signatures that prove who we are")
    if parts.fragment:
        raise InputRefused("an address to post to has no #fragment")
    if not private:
        if parts.scheme != "https":
            raise InputRefused(
                f"webhooks go to https:// addresses; what they tell is nobody else's business{_PRIVATELY}"
            )
        if port is not None and port < 1024 and port not in _LOW_PORTS:
            raise InputRefused(f"port {port}: webhooks go to 443, 80, or a port from 1024 on")
        literal = _literal(parts.hostname or "")
        if literal is not None and not is_public(literal):
            raise InputRefused(
                f"{literal} is an address of a private network, where webhooks are not posted{_PRIVATELY}"
            )
    return text


def is_public(address: Address) -> bool:
    """Whether an address belongs to somebody out there, whatever form it is written in."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address in _6TO4 or address in _LOCAL_NAT64 or address.teredo is not None:
            return False
        if int(address) >> 32 == 0:  # ::a.b.c.d
            return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def headers_of(hook: Hook, now_us: int) -> dict[str, str]:
    """What a receiver verifies: webhook-id, webhook-timestamp and webhook-signature."""
    at = _EPOCH + timedelta(microseconds=now_us)
    signed = [Webhook(secret).sign(hook.id, at, hook.body) for secret in hook.secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": hook.id,
        "webhook-timestamp": str(now_us // 1_000_000),
        "webhook-signature": " ".join(signed),
    }


def post(hook: Hook, now_us: int, *, private: bool, total_s: float = TOTAL_TIMEOUT_S) -> Answer:
    """Deliver once. private: addresses of this machine and its network are posted to as well."""
    try:
        parts = urlsplit(checked_url(hook.url, private=private))
        link = _Link(parts, _resolved(parts, private=private))
    except InputRefused as refused:
        return NotAccepted(str(refused))
    watchdog = threading.Timer(total_s, link.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        status = link.exchange(hook.body.encode(), headers_of(hook, now_us))
    except (OSError, http.client.HTTPException, ValueError) as error:
        if link.was_cut:
            return NotAccepted(f"no answer within {total_s:g} s")
        return NotAccepted(f"{type(error).__name__}: {error}"[:MAX_WHY])
    finally:
        watchdog.cancel()
        link.close()
    if 200 <= status < 300:
        return Accepted()
    if status == 410:
        return Gone("it answered 410 Gone")
    if 300 <= status < 400:
        return NotAccepted(f"it answered {status}; redirects are not followed, give the address itself")
    return NotAccepted(f"it answered {status}")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.split("%", 1)[0])
    except ValueError:
        return None


def _resolved(parts: SplitResult, *, private: bool) -> Sequence[str]:
    """The addresses of a host, each of which may be connected to."""
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputRefused(f"{host} cannot be found: {error}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        literal = _literal(address)
        if not private and (literal is None or not is_public(literal)):
            # Whoever asks is not told how names of our own network resolve.
            raise InputRefused(f"{host} is in a private network; webhooks are not posted there")
    return addresses


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


class _Link:
    """One connection, to addresses that were checked."""

    def __init__(self, parts: SplitResult, addresses: Sequence[str]) -> None:
        self._parts = parts
        self._addresses = addresses
        self._socket: socket.socket | None = None
        self.was_cut = False

    def exchange(self, body: bytes, headers: dict[str, str]) -> int:
        """Post, and read the status of the answer."""
        parts = self._parts
        connection = http.client.HTTPConnection(parts.hostname or "", _port(parts), timeout=STEP_TIMEOUT_S)
        self._socket = self._connected()
        if self.was_cut:
            raise TimeoutError
        if parts.scheme == "https":
            context = ssl.create_default_context()
            # The handshake comes after, so that the watchdog knows whom to wake.
            secured = context.wrap_socket(
                self._socket, server_hostname=parts.hostname, do_handshake_on_connect=False
            )
            self._socket = secured
            secured.do_handshake()
        connection.sock = self._socket
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, {"Connection": "close", **headers})
        answer = connection.getresponse()
        answer.read(MAX_ANSWER_BYTES)
        return answer.status

    def _connected(self) -> socket.socket:
        fault: OSError | None = None
        for address in self._addresses[:2]:
            try:
                return socket.create_connection((address, _port(self._parts)), timeout=STEP_TIMEOUT_S)
            except OSError as error:
                fault = error
        raise fault or OSError("it has no address")

    def cut(self) -> None:
        """Wake whoever waits for the receiver in another thread."""
        self.was_cut = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed in the same moment

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
