"""AMI on the wire: bytes to messages and actions to bytes. Pure; in the flow it sits under manager.py.

Bytes are split into messages before anything is decoded, so that neither a TCP chunk that ends inside a
character nor a value that is no UTF-8 can shift a header.
"""

import re
from dataclasses import dataclass, field

from pbxbill.errors import InputRefused

SEPARATOR = b"\r\n\r\n"
MAX_MESSAGE_BYTES = 256 * 1024
MAX_ACTION_BYTES = 1000
"""Asterisk refuses lines of more than 1,024 bytes."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class AmiMessage:
    """A response or an event. Header names are lower case; of repeated ones the first counts.

    Asterisk writes callers' names with their line breaks: a message can hold lines, or end and begin, where a
    caller wanted. Variables come behind everything that callers choose: of repeated ones the last counts.
    """

    fields: dict[str, str]
    variables: dict[str, str]
    """ChanVariable, and of a Status event Variable lines."""
    other_variables: dict[str, str]
    """DestChanVariable: of the dialled channel in Dial events."""
    repeated: dict[str, list[str]] = field(default_factory=dict)
    """What further lines said of headers that were there already; Asterisk itself writes each once."""

    @property
    def event(self) -> str:
        """The event's name; empty for a response."""
        return self.fields.get("event", "")

    def get(self, name: str) -> str:
        """A header, or an empty string."""
        return self.fields.get(name, "")


class Framer:
    """Collects what arrives and gives out whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.banner: bytes | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now; InputRefused when what arrives cannot be AMI."""
        self._buffer += data
        if self.banner is None:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > 200:
                    raise InputRefused("this is not an Asterisk manager port: no banner")
                return []
            self.banner = bytes(self._buffer[:end])
            if not self.banner.startswith(b"Asterisk Call Manager/"):
                raise InputRefused(f"this is not an Asterisk manager port: {self.banner[:60]!r}")
            del self._buffer[: end + 2]
        last = self._buffer.rfind(SEPARATOR)
        if last < 0:
            if len(self._buffer) > MAX_MESSAGE_BYTES:
                raise InputRefused("a message without an end")
            return []
        whole = bytes(self._buffer[:last])
        del self._buffer[: last + len(SEPARATOR)]
        return whole.split(SEPARATOR)


def event_name(block: bytes) -> bytes:
    """The name of an event that starts with its Event header, without decoding the rest."""
    block = block.lstrip(b"\r\n")
    if not block.startswith(b"Event: "):
        return b""
    end = block.find(b"\r\n")
    return block[7 : end if end >= 0 else len(block)]


def parse_message(block: bytes) -> AmiMessage:
    """A message from its bytes; InputRefused when it is no part of an event or a response."""
    fields: dict[str, str] = {}
    variables: dict[str, str] = {}
    other: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for line in block.decode("utf-8", "replace").split("\r\n"):
        name, colon, raw = line.partition(":")
        if not colon:
            continue
        name, value = name.lower(), raw.removeprefix(" ")
        if name in {"chanvariable", "variable", "destchanvariable"}:
            key, equals, content = value.partition("=")
            if equals:
                (other if name == "destchanvariable" else variables)[key] = content
                if (name, key) in seen:
                    repeated.setdefault(name, []).append(value)
                seen.add((name, key))
                continue
        if name in fields:
            repeated.setdefault(name, []).append(value)
        else:
            fields[name] = value
    if not fields.keys() & {"event", "response", "actionid", "uniqueid"}:
        raise InputRefused("a message that is neither event nor response")
    return AmiMessage(fields, variables, other, repeated)


def check_field(name: str, value: str) -> None:
    """Refuse what could end a header early: whoever chose the value would give Asterisk orders."""
    if not _NAME.fullmatch(name):
        raise InputRefused(f"{name!r} is no AMI header name")
    if "\r" in value or "\n" in value or "\0" in value:
        raise InputRefused(f"{name} holds a line break")
    if len(value.encode()) > MAX_ACTION_BYTES - len(name):
        raise InputRefused(f"{name} is too long for AMI")


def timestamp_us(text: str) -> int | None:
    """Seconds with a fraction, as Asterisk writes them, in microseconds; None if it is no moment."""
    whole, _, part = text.strip().partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 12):
        return None
    if part and not (part.isascii() and part.isdigit()):
        return None
    return int(whole) * 1_000_000 + int((part + "000000")[:6])
