"""News between processes: which wallets changed, so that their live calls are re-timed within a second.

Every process polls the database for wallets told of lately; where Redis is configured it also publishes
and listens there, which is quicker and spares the database. Redis never holds anything but the news, and
what it loses the slower poll finds.
"""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from pbxbill.clock import SECOND_US
from pbxbill.store.driver import Driver

POLL_MS = 250
"""How often the database is asked where there is no Redis."""
LOOK_BACK_US = 60 * SECOND_US
"""Commits may become visible late and clocks of several machines differ: this much is read again."""

TOLD = (
    "SELECT id, news, told_us FROM wallets "
    "WHERE told_us > (SELECT COALESCE(MAX(told_us), 0) FROM wallets) - {look_back} AND told_us > 0"
).replace("{look_back}", str(LOOK_BACK_US))

Callback = Callable[[frozenset[int]], None]

_log = structlog.get_logger()


class WalletNews(Protocol):
    """Tells subscribers which wallets changed, whichever process changed them."""

    def publish(self, wallet_ids: frozenset[int]) -> None:
        """The wallets' change is committed; never raises and never waits long."""
        ...

    def subscribe(self, callback: Callback) -> None:
        """Call back, from a thread of its own, with wallets that changed."""
        ...

    def start(self) -> None:
        """Begin to listen."""
        ...

    def stop(self) -> None:
        """End listening."""
        ...


class DatabaseNews:
    """Polls the wallets table; needs nothing but the database."""

    def __init__(self, connect: Callable[[], Driver], poll_ms: int = POLL_MS) -> None:
        self._connect = connect
        self._poll_ms = poll_ms
        self._callbacks: list[Callback] = []
        self._seen: dict[int, int] = {}
        self._first = True
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wallet-news", daemon=True)

    def publish(self, wallet_ids: frozenset[int]) -> None:
        """The committed row is the news; this process's own calls need not wait for the poll."""
        self.tell(wallet_ids)

    def subscribe(self, callback: Callback) -> None:
        self._callbacks.append(callback)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    def tell(self, wallet_ids: frozenset[int]) -> None:
        """Hand news to the subscribers."""
        for callback in self._callbacks:
            try:
                callback(wallet_ids)
            except Exception:  # noqa: BLE001  # one listener's trouble must not end the news of the others
                _log.exception("wallet_news_listener_failed")

    def _run(self) -> None:
        driver: Driver | None = None
        while not self._stopped.is_set():
            try:
                driver = driver or self._connect()
                self._poll(driver)
            except Exception as error:  # noqa: BLE001  # the database may be away; listening never ends by itself
                _log.warning("wallet_news_unavailable", error=str(error))
                if driver is not None:
                    driver.close()
                driver = None
            self._stopped.wait(self._poll_ms / 1000)
        if driver is not None:
            driver.close()

    def _poll(self, driver: Driver) -> None:
        rows = {wallet_id: news for wallet_id, news, _ in driver.select(TOLD)}
        changed = frozenset(
            wallet_id for wallet_id, news in rows.items() if self._seen.get(wallet_id) != news
        )
        self._seen = rows
        if changed and not self._first:
            self.tell(changed)
        self._first = False


def open_news(connect: Callable[[], Driver], redis_url: str | None) -> WalletNews:
    """The news of this process: over Redis where it is configured."""
    if not redis_url:
        return DatabaseNews(connect)
    from pbxbill.store.redis_news import RedisNews  # its client takes long to load

    return RedisNews(connect, redis_url)
