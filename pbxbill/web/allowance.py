"""How often a key may ask in a minute, or an address be wrong. Each process counts for itself, and forgets
with the minute.
"""

import threading
from collections.abc import Hashable
from dataclasses import dataclass

from pbxbill.clock import SECOND_US

WINDOW_S = 60
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What a key has left."""

    most: int
    left: int
    """Below zero: this request is one too many."""
    reset_s: int
    """Until it is counted anew."""

    @property
    def headers(self) -> dict[str, str]:
        """As the IETF's draft of RateLimit headers writes them."""
        return {
            "RateLimit-Policy": f'"key";q={self.most};w={WINDOW_S}',
            "RateLimit": f'"key";r={max(0, self.left)};t={self.reset_s}',
        }


class Allowance:
    """Counts by key or address, in windows of a minute."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def count(self, who: Hashable, most: int, now_us: int) -> Counted:
        """One more."""
        return self._counted(who, most, now_us, 1)

    def look(self, who: Hashable, most: int, now_us: int) -> Counted:
        """How it stands, if one more were counted now."""
        counted = self._counted(who, most, now_us, 0)
        return Counted(most, counted.left - 1, counted.reset_s)

    def _counted(self, who: Hashable, most: int, now_us: int, more: int) -> Counted:
        with self._lock:
            if len(self._windows) > MAX_KEYS:
                self._windows.clear()
            began_us, made = self._windows.get(who, (now_us, 0))
            if now_us - began_us >= WINDOW_S * SECOND_US:
                began_us, made = now_us, 0
            made += more
            if made:
                self._windows[who] = began_us, made
        left_us = began_us + WINDOW_S * SECOND_US - now_us
        return Counted(most, most - made, max(1, -(-left_us // SECOND_US)))
