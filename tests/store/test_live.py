"""News of wallets reach every process: by polling the database, quicker over Redis, and without Redis too."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from lab.redis import PrivateRedis
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Moved, TopUp
from pbxbill.clock import SECOND_US, ManualClock, SystemClock
from pbxbill.store.driver import connect
from pbxbill.store.live import open_news
from pbxbill.store.redis_news import CHANNEL
from tests.database_operator import DatabaseOperator, open_database_operator

SOON_S = 1.8
"""A wallet that changes re-times its calls within a second. The rest is for a busy machine, and still less
than waiting for a Redis that hangs would take (REDIS_TIMEOUT_S)."""


class Heard:
    """Collects what one process hears."""

    def __init__(self) -> None:
        self.wallet_ids: set[int] = set()
        self._changed = threading.Condition()

    def __call__(self, wallet_ids: frozenset[int]) -> None:
        with self._changed:
            self.wallet_ids |= wallet_ids
            self._changed.notify_all()

    def within(self, wallet_id: int, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: wallet_id in self.wallet_ids, seconds)


@contextmanager
def listening(url: str, redis_url: str | None) -> Iterator[Heard]:
    """Another process's ear."""
    heard = Heard()
    ready = threading.Event()
    news = open_news(lambda: connect(url), redis_url)
    news.subscribe(heard)
    news.start()
    try:
        ready.wait(1)  # longer than a poll: what happened before is no news
        yield heard
    finally:
        news.stop()


@contextmanager
def topping_up(url: str, redis_url: str | None) -> Iterator[Callable[[DatabaseOperator, str], Moved]]:
    """A process that moves money."""
    news = open_news(lambda: connect(url), redis_url)
    engine = ChargingEngine(lambda: connect(url), SystemClock(), news.publish)
    engine.start()

    def top_up(operator: DatabaseOperator, key: str) -> Moved:
        outcome = engine.execute(TopUp(key, operator.customer_id, "EUR", 1_000_000, 0))
        assert isinstance(outcome, Moved)
        return outcome

    try:
        yield top_up
    finally:
        engine.stop()
        news.stop()


def test_a_top_up_is_heard_through_the_database(database_url: str) -> None:
    operator = open_database_operator(database_url)
    with listening(database_url, None) as heard, topping_up(database_url, None) as top_up:
        assert top_up(operator, "one").wallet_id == operator.customer_wallet_id
        assert heard.within(operator.customer_wallet_id, SOON_S)


def test_old_news_are_not_heard_by_a_process_that_starts(database_url: str) -> None:
    operator = open_database_operator(database_url)
    with topping_up(database_url, None) as top_up:
        top_up(operator, "one")
    with listening(database_url, None) as heard:
        assert not heard.within(operator.customer_wallet_id, 0.6)


def test_news_is_heard_after_a_clock_was_set_back(database_url: str) -> None:
    operator = open_database_operator(database_url)
    clock = ManualClock()
    engine = ChargingEngine(lambda: connect(database_url), clock)
    engine.start()
    engine.execute(TopUp("before", operator.reseller_id, "EUR", 1_000_000, 0))
    clock.step(-3600 * SECOND_US)
    with listening(database_url, None) as heard:
        engine.execute(TopUp("after", operator.customer_id, "EUR", 1_000_000, 0))
        assert heard.within(operator.customer_wallet_id, SOON_S)
    engine.stop()


def test_a_top_up_is_heard_over_redis_before_any_poll(
    sqlite_url: str, redis_server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxbill.store.redis_news.POLL_BESIDE_REDIS_MS", 60_000)
    operator = open_database_operator(sqlite_url)
    with listening(sqlite_url, redis_server.url) as heard, topping_up(sqlite_url, redis_server.url) as top_up:
        top_up(operator, "one")
        assert heard.within(operator.customer_wallet_id, 30)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_without_redis_the_database_tells(sqlite_url: str, fault: str) -> None:
    operator = open_database_operator(sqlite_url)
    with PrivateRedis() as server:
        server.start()
        with listening(sqlite_url, server.url) as heard, topping_up(sqlite_url, server.url) as top_up:
            server.kill() if fault == "killed" else server.freeze()
            top_up(operator, "one")
            assert heard.within(operator.customer_wallet_id, SOON_S)
            if fault == "frozen":
                server.thaw()


def test_hostile_news_are_ignored(sqlite_url: str, redis_server: PrivateRedis) -> None:
    operator = open_database_operator(sqlite_url)
    with listening(sqlite_url, redis_server.url) as heard, topping_up(sqlite_url, redis_server.url) as top_up:
        with redis.Redis.from_url(redis_server.url) as attacker:
            for data in (b"", b"1;DROP TABLE wallets", b"\xff\xfe", b"9" * 5000):
                attacker.publish(CHANNEL, data)
        top_up(operator, "one")
        assert heard.within(operator.customer_wallet_id, SOON_S)
