"""How long whoever asks for a report waits, where no statement's time-out ends it for him.

A statement is ended by itself (catalogue.py). What is read piece by piece, or reckoned in between, looks
here.
"""

from collections.abc import Callable

from pbxbill.clock import SystemClock
from pbxbill.reports.report import Asked, takes_long


def patience_of(asked: Asked) -> Callable[[int, int], None]:
    """Told how much is done, of how much: TooLarge as soon as it is foreseen to take longer than he waits."""
    clock = SystemClock()  # how long something takes has nothing to do with a moved clock
    began_us = clock.monotonic_us()

    def look(done: int, total: int) -> None:
        took_us = clock.monotonic_us() - began_us
        if asked.patience_ms and took_us * total > asked.patience_ms * 1000 * max(done, 1):
            raise takes_long()

    return look
