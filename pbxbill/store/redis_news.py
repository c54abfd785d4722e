"""News of wallets over Redis, where it is configured: quicker than asking the database (live.py)."""

import threading
from collections.abc import Callable

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from pbxbill.store.driver import Driver
from pbxbill.store.live import Callback, DatabaseNews

CHANNEL = "pbxbill:wallet-news"
POLL_BESIDE_REDIS_MS = 800
"""Still within the second that a re-timing may take, if Redis is lost."""
REDIS_TIMEOUT_S = 2

_log = structlog.get_logger()


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
