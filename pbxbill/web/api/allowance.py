"""How many requests a key may make a minute. Each process counts for itself, and forgets with the minute."""

import threading
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
    """Counts requests by key, in windows of a minute."""

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def count(self, key_id: int, most: int, now_us: int) -> Counted:
        """One request more."""
        with self._lock:
            if len(self._windows) > MAX_KEYS:
                self._windows.clear()
            began_us, made = self._windows.get(key_id, (now_us, 0))
            if now_us - began_us >= WINDOW_S * SECOND_US:
                began_us, made = now_us, 0
            made += 1
            self._windows[key_id] = began_us, made
        left_us = began_us + WINDOW_S * SECOND_US - now_us
        return Counted(most, most - made, max(1, -(-left_us // SECOND_US)))
