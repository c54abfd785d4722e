"""Identifiers: UUID version 7 (RFC 9562), so that rows created together lie together in an index."""

import os
import re
import time

_KIND_BITS = (0xF << 76) | (0b11 << 62)
_KIND = (0x7 << 76) | (0b10 << 62)
"""The version and the variant."""
_HEX32 = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """A fresh UUIDv7 as 32 lower-case hexadecimal digits."""
    # No Clock here: the time in an id only keeps rows of one time together, nothing is decided by it.
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    return f"{(value & ~_KIND_BITS) | _KIND:032x}"


def new_number() -> int:
    """A random number of 62 bits, for rows that are named before they are written."""
    return int.from_bytes(os.urandom(8)) >> 2


def is_id(text: str) -> bool:
    """Whether text has the form that new_id() makes."""
    return _HEX32.fullmatch(text) is not None


def id_of_moment(at_us: int) -> str:
    """What sorts before every id that new_id() makes at a moment or later, and after those before it."""
    return f"{max(0, at_us // 1000):012x}"
