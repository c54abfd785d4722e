"""The name of the way out that an Asterisk channel's name tells, as events and CDR files have it."""

import re

MAX_GATEWAY = 64
_NAME = re.compile(r"[A-Za-z0-9]+/(?P<name>[^/]+?)(?:-[^-/]*)?(?:/.*)?", re.DOTALL)


def gateway_of(channel: str) -> str:
    """The endpoint or trunk in a channel's name, e.g. gw of PJSIP/gw-0000001; "" of half a Local channel."""
    match = None if is_local(channel) else _NAME.fullmatch(channel)
    name = match["name"] if match is not None else ""
    return "".join(character for character in name if character.isprintable())[:MAX_GATEWAY]


def is_local(channel: str) -> bool:
    """Whether a channel is half of a Local channel, which is never paid for itself."""
    return channel.startswith("Local/")
