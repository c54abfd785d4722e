"""Time as every other module gets it: UTC in microseconds since 1970, and a monotonic counter."""

import time
from typing import Protocol

SECOND_US = 1_000_000


class Clock(Protocol):
    """What the product reads the time from; passed in, so that a test can run a month."""

    def now_us(self) -> int:
        """UTC, microseconds since 1970-01-01."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds since some fixed moment; never steps."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000


class ManualClock:
    """A clock that moves only when told to: for tests and the simulator."""

    def __init__(self, now_us: int = 1_767_225_600 * SECOND_US) -> None:
        self._now_us = now_us
        self._monotonic_us = 0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_us(self) -> int:
        return self._monotonic_us

    def advance(self, duration_us: int) -> None:
        """Let time pass."""
        self._now_us += duration_us
        self._monotonic_us += duration_us

    def step(self, offset_us: int) -> None:
        """Set the wall clock as an administrator or NTP would; the monotonic counter stays."""
        self._now_us += offset_us
