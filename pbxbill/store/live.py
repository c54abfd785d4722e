"""News between processes: which wallets changed, so that their live calls are re-timed within a second.

Every process polls the database for wallets told of lately; where Redis is configured it also publishes
and listens there, which is quicker and spares the database. Redis never holds anything but the news, and
what it loses the slower poll finds.
"""

import threading
from collections.abc import Callable
from typing import Protocol

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from pbxbill.clock import SECOND_US
from pbxbill.store.driver import Driver

CHANNEL = "pbxbill:wallet-news"
POLL_MS = 250
"""How often the database is asked where there is no Redis."""
POLL_BESIDE_REDIS_MS = 800
"""Still within the second that a re-timing may take, if Redis is lost."""
LOOK_BACK_US = 60 * SECOND_US
"""Commits may become visible late and clocks of several machines differ: this much is read again."""
REDIS_TIMEOUT_S = 2

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


class RedisNews:
    """Publishes and listens on a Redis channel, with a slower poll of the database behind it."""

    def __init__(self, connect: Callable[[], Driver], redis_url: str) -> None:
        self._database = DatabaseNews(connect, POLL_BESIDE_REDIS_MS)
        # redis-py repeats a command whose reply was lost; news may be late but a publish must not hang.
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._stopped = threading.Event()
        self._waiting = threading.Condition()
        self._unpublished: set[int] = set()
        self._listener = threading.Thread(target=self._listen, name="redis-news", daemon=True)
        self._publisher = threading.Thread(target=self._publish, name="redis-publisher", daemon=True)

    def publish(self, wallet_ids: frozenset[int]) -> None:
        """Tell this process now and the others soon: a Redis that hangs must not hold up charging."""
        self._database.tell(wallet_ids)
        with self._waiting:
            self._unpublished |= wallet_ids
            self._waiting.notify()
            if self._publisher.ident is None:  # a short command publishes without listening
                self._publisher.start()

    def subscribe(self, callback: Callback) -> None:
        self._database.subscribe(callback)

    def start(self) -> None:
        self._database.start()
        self._listener.start()

    def stop(self) -> None:
        self._stopped.set()
        with self._waiting:
            self._waiting.notify()
        self._database.stop()
        for thread in (self._listener, self._publisher):
            if thread.ident is not None:
                thread.join(5)
        self._redis.close()

    def _publish(self) -> None:
        down = False
        while True:
            with self._waiting:
                self._waiting.wait_for(lambda: bool(self._unpublished) or self._stopped.is_set())
                wallet_ids, self._unpublished = self._unpublished, set()
            if not wallet_ids:
                return
            try:
                self._redis.publish(CHANNEL, ",".join(map(str, sorted(wallet_ids))))
                down = False
            except redis.RedisError as error:  # the other processes find it by polling
                if not down:
                    _log.warning("redis_unavailable", error=str(error))
                down = True

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(CHANNEL)
                    while not self._stopped.is_set():
                        message = channel.get_message(timeout=1)
                        if message is not None:
                            self._receive(message["data"])
            except redis.RedisError as error:
                _log.warning("redis_unavailable", error=str(error))
                self._stopped.wait(1)

    def _receive(self, data: bytes) -> None:
        try:
            wallet_ids = frozenset(int(part) for part in data.split(b","))
        except ValueError:
            _log.warning("redis_news_malformed", data=data[:100])
            return
        self._database.tell(wallet_ids)


def open_news(connect: Callable[[], Driver], redis_url: str | None) -> WalletNews:
    """The news of this process: over Redis where it is configured."""
    return RedisNews(connect, redis_url) if redis_url else DatabaseNews(connect)
