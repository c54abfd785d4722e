"""The event socket's framing, without a socket: bytes in, messages out.

A message is a block of header lines, an empty line, and Content-Length bytes of body. The body of an event
is again headers, an empty line and perhaps a body. Three rules keep a caller's words from becoming headers:
lines are split before anything is decoded, the first header of a name wins, and no body adds headers.
Values are percent-decoded one by one and only when asked for; what is not UTF-8 gets replacement characters.
"""

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from pbxbill.errors import SwitchError

MAX_HEAD_BYTES = 512 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
"""`show channels as json` of a full switch fits; nothing sane is larger."""
MAX_HEADERS = 4000


class WireError(SwitchError):
    """The other side does not speak the event socket protocol."""


class Headers:
    """The headers of one block, undecoded until asked for."""

    __slots__ = ("_raw",)

    def __init__(self, block: bytes) -> None:
        raw: dict[bytes, bytes] = {}
        lines = block.split(b"\n")
        if len(lines) > MAX_HEADERS:
            raise WireError(f"{len(lines)} headers in one message")
        for line in lines:
            name, separator, value = line.partition(b": ")
            if separator:
                raw.setdefault(name, value)
        self._raw = raw

    def get(self, name: str, default: str = "") -> str:
        """The decoded value of the first header of that name."""
        raw = self._raw.get(name.encode())
        if raw is None:
            return default
        if b"%" in raw:
            raw = unquote_to_bytes(raw)
        return raw.decode("utf-8", errors="replace").strip()

    def variable(self, name: str) -> str:
        """A channel variable; empty if it is not set."""
        return self.get("variable_" + name)

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._raw

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8", errors="replace") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Message:
    """One frame: what kind it is, its own headers, its body."""

    __slots__ = ("body", "content_type", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.content_type = headers.get("Content-Type")
        self.body = body

    @property
    def text(self) -> str:
        """The body of an api response."""
        return self.body.decode("utf-8", errors="replace")

    @property
    def reply(self) -> str:
        """The answer to a command: the body of an api response, else Reply-Text."""
        if self.content_type == "api/response":
            return self.text
        return self.headers.get("Reply-Text")

    def event(self) -> "Event":
        """The event that a text/event-plain message carries."""
        head, _, body = self.body.partition(b"\n\n")
        return Event(Headers(head), body)


class Event:
    """One switch event."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body

    @property
    def name(self) -> str:
        return self.headers.get("Event-Name")


class Framer:
    """Cuts a byte stream into messages; feed() what arrives, in pieces of any size."""

    def __init__(self, max_head: int = MAX_HEAD_BYTES, max_body: int = MAX_BODY_BYTES) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._head: Headers | None = None
        self._missing = 0
        self._max_head = max_head
        self._max_body = max_body

    def feed(self, data: bytes) -> list[Message]:
        """The messages that data completes; WireError if it cannot be framed."""
        self._buffer += data
        messages: list[Message] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        if self._head is None and not self._read_head():
            return None
        if len(self._buffer) < self._missing:
            return None
        head, body = self._head, bytes(self._buffer[: self._missing])
        del self._buffer[: self._missing]
        self._head, self._missing = None, 0
        return Message(head, body) if head is not None else None

    def _read_head(self) -> bool:
        """Take one header block off the buffer, if it is complete."""
        while self._buffer[:1] == b"\n":
            del self._buffer[:1]
            self._scanned = 0
        end = self._buffer.find(b"\n\n", max(self._scanned - 1, 0))
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > self._max_head:
                raise WireError(f"a header block of more than {self._max_head} bytes")
            return False
        if end > self._max_head:
            raise WireError(f"a header block of {end} bytes")
        head = Headers(bytes(self._buffer[:end]))
        del self._buffer[: end + 2]
        self._scanned = 0
        if "Content-Type" not in head:
            raise WireError("a message without Content-Type")
        self._head, self._missing = head, self._length(head)
        return True

    def _length(self, head: Headers) -> int:
        text = head.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise WireError(f"Content-Length {text[:40]!r}")
        length = int(text)
        if length > self._max_body:
            raise WireError(f"a body of {length} bytes")
        return length


def single_line(text: str) -> str:
    """text, if it can stand on one line of a command; WireError if it would smuggle in another line."""
    if "\n" in text or "\r" in text or "\0" in text:
        raise WireError(f"a line break in a command: {text[:80]!r}")
    return text
