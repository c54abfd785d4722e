"""What mail servers send back: delivery status notifications (RFC 3464), as a mail system pipes them in."""

import email
import re
from dataclasses import dataclass
from email.message import Message
from email.policy import compat32

MAX_BYTES = 5_000_000
_MESSAGE_ID = re.compile(r"^message-id:\s*<([^<>\s]+)>", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bounce:
    """That a message did not arrive."""

    message_id: str
    why: str


@dataclass(frozen=True, slots=True)
class NoBounce:
    """It is something else: an answer, a delay that ended well."""

    why: str


def read_bounce(raw: bytes) -> Bounce | NoBounce:
    """The message that a notification is about, and why it did not arrive."""
    try:
        return _read(raw[:MAX_BYTES])
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # The library's parser gives up in many ways on what a stranger may send.
        return NoBounce(f"it cannot be read: {type(error).__name__}")


def _read(raw: bytes) -> Bounce | NoBounce:
    message = email.message_from_bytes(raw, policy=compat32)
    status = [part for part in message.walk() if part.get_content_type() == "message/delivery-status"]
    if not status:
        return NoBounce("it is no delivery status notification")
    failed = [
        facts for part in status for facts in _recipients(part) if facts.get("action", "").lower() == "failed"
    ]
    if not failed:
        return NoBounce("it reports no failure")
    original = _original_id(message)
    if not original:
        return NoBounce("it does not hold the headers of the message that failed")
    facts = failed[0]
    why = facts.get("diagnostic-code", "") or facts.get("status", "") or "no reason given"
    return Bounce(original, " ".join(f"{facts.get('final-recipient', '')} {why}".split()))


def _recipients(part: Message) -> list[dict[str, str]]:
    blocks = part.get_payload()
    if not isinstance(blocks, list):
        return []
    return [
        {key.lower(): str(value) for key, value in block.items()}
        for block in blocks
        if isinstance(block, Message)
    ]


def _original_id(message: Message) -> str | None:
    for part in message.walk():
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload()
            found = (
                inner[0].get("Message-ID")
                if isinstance(inner, list) and isinstance(inner[0], Message)
                else None
            )
            if found:
                return str(found).strip("<> ")
        if part.get_content_type() == "text/rfc822-headers":
            match = _MESSAGE_ID.search(str(part.get_payload()))
            if match:
                return match[1]
    return None
