"""Does the work of re-ratings in the background of the process that was asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.listing.rerating import Rerater
from pbxbill.web.background import Background
from pbxbill.web.front import Front


class RerateWorker:
    """Of one application: panel and API each have one."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._background = Background()

    def _rerater(self) -> Rerater:
        application = self._front.desks.application
        return Rerater(application.database, application.connect, self._front.clock, self._writing)

    @contextmanager
    def _writing(self) -> Iterator[tuple[Session, Bookkeeper]]:
        with self._front.desks.desk() as desk, desk.writing() as (session, books):
            yield session, books

    def reckon(self, plan_id: int) -> None:
        """Find out what would change."""
        self._background.start(f"reckon-{plan_id}", lambda: self._rerater().reckon(plan_id))

    def carry_out(self, plan_id: int) -> None:
        """Correct what was agreed to."""
        self._background.start(f"rerate-{plan_id}", lambda: self._rerater().carry_out(plan_id))
