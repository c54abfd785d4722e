"""Moves money within a transaction of the caller's, by the same decisions as the charging engine.

What billing writes about its rows and what it posts is one transaction: both are durable, or neither is.
Wallets are locked by it; rows that other transactions lock too (number sequences) are locked after it.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from pbxbill.charging.batch import load
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.events import Adjust, Moved, PostCharge, PostEntry, Refused, SetCreditLimit, TopUp
from pbxbill.charging.session import decide
from pbxbill.charging.writing import write
from pbxbill.clock import Clock
from pbxbill.store.driver import Driver, driver_within
from pbxbill.store.engine import ON_POSTED, OnPosted
from pbxbill.store.models import WalletRow

MoneyCommand = TopUp | Adjust | PostCharge | PostEntry | SetCreditLimit


class Bookkeeper:
    """Posts entries for one process; what it knows of the catalogue is kept between transactions."""

    def __init__(
        self,
        connect: Callable[[], Driver],
        clock: Clock,
        on_news: Callable[[frozenset[int]], None] = lambda wallet_ids: None,
    ) -> None:
        """on_news: told of wallets whose live calls must be re-timed, by announce(). Without it, the daemons
        find them in the database."""
        self._connect = connect
        self._catalogue: LoadedCatalogue | None = None
        self._clock = clock
        self._on_news = on_news
        self._told: set[int] = set()

    def post(self, session: Session, commands: Sequence[MoneyCommand]) -> list[Moved | Refused]:
        """Decide and write commands in order, in the session's transaction.

        DuplicateKey where a key was used before for something else; what was posted already is found again.
        """
        now_us = self._clock.now_us()
        catalogue = self._loaded(now_us)
        driver = driver_within(session)
        if catalogue.refresh(driver, now_us):
            # Perhaps by what this transaction itself has opened: if it is undone, ids are given out again.
            event.listen(session, "after_soft_rollback", self._undone)
        state = load(driver, commands, catalogue, now_us)
        outcomes = []
        for command in commands:
            outcome, effects = decide(command, state)
            assert isinstance(outcome, Moved | Refused)
            state.apply(effects)
            outcomes.append(outcome)
        write(driver, state, now_us)
        on_posted: OnPosted | None = session.info.get(ON_POSTED)
        if on_posted is not None:
            on_posted(state.new_entries)
        self._told |= state.told
        for row in session.identity_map.values():
            if isinstance(row, WalletRow):  # they were changed past it
                session.expire(row)
        return outcomes

    def _loaded(self, now_us: int) -> LoadedCatalogue:
        """What is committed, read past the caller's transaction."""
        if self._catalogue is None:
            self._catalogue = LoadedCatalogue(self._connect, serving=False)
            driver = self._connect()
            try:
                self._catalogue.refresh(driver, now_us)
            finally:
                driver.close()
        return self._catalogue

    def _undone(self, _session: Session, _transaction: SessionTransaction) -> None:
        self._catalogue = None

    def tell(self, wallet_ids: frozenset[int]) -> None:
        """Have daemons look at the calls of these wallets, by announce(), although no money moves."""
        self._told |= wallet_ids

    def announce(self) -> None:
        """Tell the other processes of the wallets that were changed; after the commit."""
        told, self._told = frozenset(self._told), set()
        if told:
            self._on_news(told)

    def forget(self) -> None:
        """Nothing is to be told: the transaction was undone."""
        self._told.clear()
