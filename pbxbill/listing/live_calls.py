"""Live calls as people watch them: who talks, for how long, at what cost, with what funds left.

    board = front.desks.live                             # one LiveBoard for the process, from any thread
    board.page(scope, Asked(filters, size=200))          # LivePage of LiveCallNow
    board.call(scope, session_id)                        # LiveCallNow, None: not live, or not in scope
    board.totals(scope, filters)                         # LiveTotals
    board.balance(scope, account_id)                     # LiveBalance, None: not in scope
    snapshots(lambda: board.page(scope, asked), stop=threading.Event())     # a generator, for streams

A page, and what it says of funds, is one moment of the database. Everything here only reads.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope, account_in_scope
from pbxbill.charging.batch import chain_of
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.live_calls import LiveWallet, PricedCalls, price_open_calls
from pbxbill.clock import SECOND_US, Clock
from pbxbill.listing.hang_ups import hang_ups_of
from pbxbill.listing.listing import Asked, narrowed, page_of
from pbxbill.listing.live_rows import IS_OPEN, TALKING, LiveCallNow, codes_of, live_listing, shown, within
from pbxbill.money import Unit
from pbxbill.store.driver import connect, driver_within
from pbxbill.store.engine import one_moment, transaction
from pbxbill.store.models import AccountRow, ReservationRow, WalletRow

TOTALS_US = SECOND_US
"""How long sums over all live calls are kept; ten times what they took to make, if that is longer."""
MAX_TOTALS = 64
LONGEST_WATCH_S = 900
"""A stream ends after so long; whoever still watches begins anew."""

Shown = TypeVar("Shown")


@dataclass(frozen=True, slots=True)
class LivePage:
    """Some live calls, the cursors of what follows and precedes them, and the moment."""

    rows: tuple[LiveCallNow, ...]
    after: str
    before: str
    at_us: int


@dataclass(frozen=True, slots=True)
class LiveTotals:
    """All live calls of a scope together."""

    at_us: int
    calls: int
    talking: int
    earned: tuple[tuple[Unit, int], ...]
    """By unit what those whom the viewer bills would be charged now; of an account alone, what it is."""
    owed: tuple[tuple[Unit, int], ...]
    """What the viewer himself would be charged for them by whoever is above him."""


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """A wallet now, with its live calls."""

    wallet_id: int
    unit: Unit
    posted: int
    reserved: int
    credit_limit: int
    cost: int
    """Of its live calls, if they ended now."""
    left: int
    """posted + credit limit - cost: what ticks down while somebody talks."""
    available: int
    """posted + credit limit - reserved: what a new call finds."""


@dataclass(frozen=True, slots=True)
class LiveBalance:
    """An account's wallets now, and how many calls draw on them."""

    account_id: int
    at_us: int
    calls: int
    talking: int
    wallets: tuple[WalletBalance, ...]


class LiveBoard:
    """Reads and prices live calls. One for the process: it keeps the price lists that calls have frozen."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        url = database.url.render_as_string(hide_password=False)
        self._catalogue = LoadedCatalogue(lambda: connect(url), serving=False)
        self._pricing = threading.Lock()
        self._totals: dict[tuple[Any, ...], tuple[int, LiveTotals]] = {}
        self.listing = live_listing(self.finish)
        """For the list view, exports and whoever pages by himself; its rows hold a LiveCallNow as "now"."""

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One moment of the database."""
        with transaction(one_moment(self._database)) as session:
            yield session

    def page(self, scope: Scope, asked: Asked) -> LivePage:
        """Up to 200 live calls; FilterRefused names a filter that cannot be understood."""
        with self.reading() as session:
            found = page_of(session, self.listing, scope, asked)
        rows = tuple(within(scope, row["now"]) for row in found.rows)
        at_us = found.rows[0]["at_us"] if found.rows else self._clock.now_us()
        return LivePage(rows, found.after, found.before, at_us)

    def every(self, scope: Scope, filters: Mapping[str, str] | None = None) -> tuple[LiveCallNow, ...]:
        """All that the filters leave, the oldest first."""
        with self.reading() as session:
            query = narrowed(session, self.listing, scope, Asked(filters or {}))
            query = query.order_by(ReservationRow.requested_us, ReservationRow.session_id)
            rows = [dict(x) for x in session.execute(query).mappings()]
            self.finish(session, rows)
        return tuple(within(scope, row["now"]) for row in rows)

    def call(self, scope: Scope, session_id: str) -> LiveCallNow | None:
        """One live call; None if it is not live or not the viewer's."""
        with self.reading() as session:
            query = self.listing.rows(session, scope).where(ReservationRow.session_id == session_id)
            rows = [dict(x) for x in session.execute(query).mappings()]
            self.finish(session, rows)
        return within(scope, rows[0]["now"]) if rows else None

    def totals(self, scope: Scope, filters: Mapping[str, str] | None = None) -> LiveTotals:
        """Sums over all that the filters leave, a second old at most where calls are some thousands."""
        key = (scope, tuple(sorted((filters or {}).items())))
        now_us = self._clock.monotonic_us()
        kept = self._totals.get(key)
        if kept is not None and now_us < kept[0]:
            return kept[1]
        with self.reading() as session:
            query = narrowed(session, self.listing, scope, Asked(filters or {}))
            session_ids = list(session.scalars(query.with_only_columns(ReservationRow.session_id)))
            paths = _paths(session, session_ids)
            priced = self.price(session, session_ids)
        totals = _summed(scope, priced, paths)
        done_us = self._clock.monotonic_us()
        if len(self._totals) >= MAX_TOTALS:
            self._totals.clear()
        self._totals[key] = (done_us + max(TOTALS_US, 10 * (done_us - now_us)), totals)
        return totals

    def balance(self, scope: Scope, account_id: int) -> LiveBalance | None:
        """An account's wallets with what its live calls, and those below it, cost so far."""
        with self.reading() as session:
            account = account_in_scope(session, scope, account_id)
            if account is None:
                return None
            query = (
                select(ReservationRow.session_id)
                .join(AccountRow, AccountRow.id == ReservationRow.account_id)
                .where(IS_OPEN, AccountRow.path.startswith(account.path, autoescape=True))
            )
            priced = self.price(session, list(session.scalars(query)))
            wallets = session.scalars(
                select(WalletRow).where(WalletRow.account_id == account_id).order_by(WalletRow.id)
            )
            units = self._catalogue.units
            found = tuple(_balance(x, priced.wallets.get(x.id), units[x.unit]) for x in wallets)
        talking = sum(x.reservation.answered_us is not None for x in priced.calls.values())
        return LiveBalance(account_id, priced.at_us, len(priced.calls), talking, found)

    def price(self, session: Session, session_ids: list[str]) -> PricedCalls:
        """Those of these calls that are open, priced now."""
        with self._pricing:  # the catalogue serves one at a time
            driver = driver_within(session, reading=True)
            return price_open_calls(driver, session_ids, self._catalogue, self._clock.now_us())

    def finish(self, session: Session, rows: list[dict[str, Any]]) -> None:
        """Price a page's calls, with all others that draw on the same accounts' wallets."""
        accounts = {row["account_id"] for row in rows}
        query = select(ReservationRow.session_id, AccountRow.path).join(
            AccountRow, AccountRow.id == ReservationRow.account_id
        )
        if len(accounts) == 1:
            query = query.where(AccountRow.path.startswith(rows[0]["path"], autoescape=True))
        found = session.execute(query.where(IS_OPEN)) if rows else ()
        paths = {x.session_id: x.path for x in found}
        wanted = [id for id, path in paths.items() if not accounts.isdisjoint(chain_of(path))]
        priced = self.price(session, wanted)
        codes = codes_of(session, [priced.calls[row["id"]] for row in rows if row["id"] in priced.calls])
        asked = hang_ups_of(session, [row["id"] for row in rows], priced.at_us)
        for row in rows:
            row["at_us"] = priced.at_us
            call = priced.calls.get(row["id"])
            now = row["now"] = shown(row, call, priced, codes, asked.get(row["id"]))
            row["elapsed_s"] = now.elapsed_us // SECOND_US if now.state == TALKING else None
            row["unit"] = now.unit.code if now.unit is not None else None
            row["cost"] = now.cost if now.unit is not None else None
            row["funds_left"] = now.funds_left
            remaining_us = now.remaining_us
            row["remaining_s"] = None if remaining_us is None else remaining_us // SECOND_US


def snapshots(
    read: Callable[[], Shown], *, stop: threading.Event, every_s: float = 1.0, most_s: int = LONGEST_WATCH_S
) -> Iterator[Shown]:
    """What read() says now and every so often, for a stream of events; at least one.

    Ends when stop is set, or after most_s. What read() raises (StoreUnavailable, say) ends it too: the
    watcher connects again. Between two snapshots it waits on stop, in the thread that iterates.
    """
    for _ in range(max(1, int(most_s / every_s))):
        if stop.is_set():
            return
        yield read()
        if stop.wait(every_s):
            return


def _paths(session: Session, session_ids: Iterable[str]) -> dict[str, str]:
    query = select(ReservationRow.session_id, AccountRow.path).join(
        AccountRow, AccountRow.id == ReservationRow.account_id
    )
    wanted = set(session_ids)
    rows = session.execute(query.where(IS_OPEN)) if wanted else ()
    return {x.session_id: x.path for x in rows if x.session_id in wanted}


def _summed(scope: Scope, priced: PricedCalls, paths: Mapping[str, str]) -> LiveTotals:
    earned: dict[Unit, int] = {}
    owed: dict[Unit, int] = {}
    for session_id, call in priced.calls.items():
        chain = chain_of(paths[session_id])
        # The account that the viewer bills: the one before his own in the chain, or its top.
        number = chain.index(scope.account_id) if scope.account_id in chain else len(chain)
        billed = scope.account_id if scope.own else chain[number - 1]
        for cost in call.costs:
            if cost.account_id == billed:
                earned[cost.unit] = earned.get(cost.unit, 0) + cost.total
            elif cost.account_id == scope.account_id:
                owed[cost.unit] = owed.get(cost.unit, 0) + cost.total
    talking = sum(x.reservation.answered_us is not None for x in priced.calls.values())
    sums = [tuple(sorted(x.items(), key=lambda y: y[0].code)) for x in (earned, owed)]
    return LiveTotals(priced.at_us, len(priced.calls), talking, *sums)


def _balance(wallet: WalletRow, live: LiveWallet | None, unit: Unit) -> WalletBalance:
    cost = live.cost if live is not None else 0
    most = wallet.posted + wallet.credit_limit
    return WalletBalance(
        wallet.id,
        unit,
        wallet.posted,
        wallet.reserved,
        wallet.credit_limit,
        cost,
        most - cost,
        most - wallet.reserved,
    )
