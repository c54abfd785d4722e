"""A report while it is made: at what it is, how long somebody waits for it, and how others end it.

Whoever makes a report tells its Making how far it is, and is told to end there. Another thread may look, and
may stop it: a statement that runs is ended in the database, which takes a moment, whatever it reads.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

from pbxbill.clock import SystemClock
from pbxbill.errors import InputRefused, PbxbillError

STEPS_BETWEEN_LOOKS = 100_000
"""Of SQLite's machine: some milliseconds."""
ROWS_BETWEEN_LOOKS = 250
CANCEL_TIMEOUT_S = 5.0
_CLOCK = SystemClock()  # how long something takes has nothing to do with a moved clock
Row = TypeVar("Row")


class Stage(StrEnum):
    """At what it is."""

    READING = "reading"
    """How much there is to be read is not known."""
    HOURS = "hours"
    """Hours whose calls are read."""
    CALLS = "calls"
    """Calls that are looked at one by one."""
    WRITING = "writing"
    """Rows that are written into the file."""
    SETTING = "setting"
    """Pages are set: by a process that says nothing before it is done."""


class HowFar(NamedTuple):
    """At what it is, and how much of that is done."""

    stage: Stage = Stage.READING
    done: int = 0
    total: int = 0
    """0: not known."""


class TooLarge(InputRefused):
    """A report takes longer than a page may wait: it can be made in the background."""


class ReportStopped(PbxbillError):
    """Somebody stopped a report while it was made."""


def takes_long() -> TooLarge:
    """Of a page."""
    return TooLarge("this takes longer than a page may wait: have it made in the background")


class Making:
    """Of one report. One thread makes it; any may look and stop it."""

    def __init__(
        self, *, is_watched: bool = False, listener: Callable[[HowFar], None] = lambda how_far: None
    ) -> None:
        """is_watched: people see how far it is and can stop it, so that it is read in pieces, and is ended
        for lasting long only once it did."""
        self.is_watched = is_watched
        self.how_far = HowFar()
        self._listener = listener
        self.patience_ms = 0
        """For so long somebody waits; 0: as long as it takes."""
        self._began_us = _CLOCK.monotonic_us()
        self._is_stopped = False
        self._turn = threading.RLock()  # a signal may stop it within this thread, too
        self._ends: list[Callable[[], None]] = []

    def begin(self, patience_ms: int) -> None:
        """From now on somebody waits for so long."""
        self._began_us, self.patience_ms = _CLOCK.monotonic_us(), patience_ms

    def tell(self, stage: Stage, done: int = 0, total: int = 0) -> None:
        """At what it is. ReportStopped where it is to end; TooLarge as soon as it is foreseen to last longer
        than somebody waits."""
        self.how_far = HowFar(stage, done, total)
        self._listener(self.how_far)
        if self._is_stopped:
            raise ReportStopped("it was stopped")
        lasts_us = _CLOCK.monotonic_us() - self._began_us
        if total and not self.is_watched:
            lasts_us = lasts_us * total // max(done, 1)
        if self.patience_ms and lasts_us > self.patience_ms * 1000:
            raise takes_long()

    def written(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Rows of a file, as they are written; how many of them is told."""
        if not self.is_watched:
            yield from rows
            return
        for number, row in enumerate(rows):
            if number % ROWS_BETWEEN_LOOKS == 0:
                self.tell(Stage.WRITING, number, len(rows))
            yield row
        self.tell(Stage.WRITING, len(rows), len(rows))

    def stop(self) -> None:
        """End it, from any thread; again and again until it has ended: what begins just now is not hit."""
        with self._turn:
            self._is_stopped = True
            for end in self._ends:
                end()

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """What is done within ends when a function is called by whoever stops it; ReportStopped then."""
        with self._turn:
            self._ends.append(end)
        try:
            yield
        except (PbxbillError, DBAPIError) as error:
            if self._is_stopped:
                raise ReportStopped("it was stopped") from error
            raise
        finally:
            with self._turn:
                self._ends.remove(end)

    @contextmanager
    def reading_by(self, connection: object, timeout_ms: int = 0) -> Iterator[None]:
        """Statements of a connection within can be stopped; they have so long together, if that is said."""
        if isinstance(connection, sqlite3.Connection):
            with self._by_steps(connection, timeout_ms):
                yield
            return
        assert isinstance(connection, psycopg.Connection)
        with self._by_cancelling(connection, timeout_ms):
            yield

    @contextmanager
    def _by_steps(self, connection: sqlite3.Connection, timeout_ms: int) -> Iterator[None]:
        end_us = _CLOCK.monotonic_us() + timeout_ms * 1000

        def is_late() -> bool:
            return bool(timeout_ms) and _CLOCK.monotonic_us() > end_us

        connection.set_progress_handler(lambda: self._is_stopped or is_late(), STEPS_BETWEEN_LOOKS)
        try:
            with self.ended_by(lambda: None), _late(is_late, "interrupted"):
                yield
        finally:
            try:
                connection.set_progress_handler(None, 0)
            except sqlite3.ProgrammingError:
                pass  # it is closed by now

    @contextmanager
    def _by_cancelling(self, connection: psycopg.Connection[object], timeout_ms: int) -> Iterator[None]:
        came_late = threading.Event()

        def end() -> None:
            try:
                connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)
            except psycopg.Error:
                pass  # a server that is away ends its statements itself

        def late() -> None:
            with self._turn:
                if end in self._ends:  # else it was done in time
                    came_late.set()
                    end()

        timer = threading.Timer(timeout_ms / 1000, late)
        timer.daemon = True
        if timeout_ms:
            timer.start()
        try:
            with self.ended_by(end), _late(came_late.is_set, "canceling statement"):
                yield
        finally:
            timer.cancel()


@contextmanager
def _late(is_late: Callable[[], bool], told: str) -> Iterator[None]:
    """TooLarge for a statement that was ended because it was late."""
    try:
        yield
    except (PbxbillError, DBAPIError) as error:
        if told in str(error) and is_late():
            raise takes_long() from None
        raise
