"""What a job is, and what it is given to work with."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from pbxbill.app import Application, open_books
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.settings import Settings
from pbxbill.store.engine import reading, transaction


class JobWork:
    """What a job works with in one process; kept from run to run, used by one run at a time."""

    def __init__(
        self,
        application: Application,
        settings: Settings,
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[..., None] = lambda done, of=None: None,
    ) -> None:
        """stop: asked between transactions; tell: hears how much is done, and of how much."""
        self.application = application
        self.settings = settings
        self.stop = stop
        self.tell = tell
        self._open = ExitStack()
        self._books: Bookkeeper | None = None

    @property
    def now_us(self) -> int:
        """The time."""
        return self.application.clock.now_us()

    @property
    def books(self) -> Bookkeeper:
        """What posts entries. Opening it reads the catalogue: look first whether there is anything to do."""
        if self._books is None:
            self._books = self._open.enter_context(open_books(self.application))
        return self._books

    @contextmanager
    def billing(self) -> Iterator[tuple[Session, Bookkeeper]]:
        """One transaction in which rows change and money moves; live calls hear of it after the commit."""
        books = self.books
        try:
            with transaction(self.application.database) as session:
                yield session, books
        except BaseException:
            books.forget()
            raise
        books.announce()

    def in_batches(self, at_once: int, step: Callable[[Session, int, int], int]) -> int:
        """Do something with the time and a bound, each in a transaction of its own, until little is left.

        How many there were, as step says it.
        """
        done = 0
        while not self.stop():
            with transaction(self.application.database) as session:
                found = step(session, self.now_us, at_once)
            done += found
            if found < at_once:
                break
        return done

    def finds(self, query: Select[*tuple[Any, ...]]) -> bool:
        """Whether a query has a row: looking takes no lock."""
        with transaction(reading(self.application.database)) as session:
            return session.execute(query.limit(1)).first() is not None

    def close(self) -> None:
        """Let go of what was opened."""
        self._books = None
        self._open.close()


@dataclass(frozen=True, slots=True)
class Job:
    """Something that happens by itself, again and again."""

    name: str
    about: str
    """One line for people."""
    every_s: int
    run: Callable[[JobWork], str]
    """Does what is due and says so in one line; empty: nothing was due. Run again it does nothing twice."""
    waits: Callable[[JobWork], bool] | None = None
    """Looks whether anything waits, before the job is claimed: for those that run every few seconds."""
