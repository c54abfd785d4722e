"""Webhooks from the outbox to their endpoints: tried again, given up, never held up by somebody slow."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from pbxbill.billing.notices.webhook_endpoints import add_endpoint, remove, switch
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.errors import InputRefused
from pbxbill.notify.outbox import PAUSE_S, NewMessage, enqueue, retry
from pbxbill.notify.posting import FAILING_US, RETRY_S, THREADS, TURN, post_waiting
from pbxbill.notify.sending import Sent
from pbxbill.store.alerts import list_alerts
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow
from tests.notify.web_receivers import Received, receiver
from tests.store.billed_accounts import BilledAccounts, open_accounts

NOW_US = 1_772_000_000 * SECOND_US
DAY_US = 86_400 * SECOND_US


@pytest.fixture
def accounts(database_url: str) -> BilledAccounts:
    return open_accounts(database_url)


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    engine = open_engine(accounts.url)
    yield engine
    engine.dispose()


def endpoint(database: Engine, url: str, code: str = "operator") -> int:
    with transaction(database) as session:
        account = session.scalars(select(AccountRow).where(AccountRow.code == code)).one()
        return add_endpoint(session, account, url, private=True, now_us=NOW_US).id


def put(database: Engine, endpoint_id: int, *keys: str, now_us: int = NOW_US) -> None:
    with transaction(database) as session:
        issuer_id = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
        for key in keys:
            message = NewMessage(
                f"{endpoint_id}:{key}", issuer_id, None, "top_up", "url", key, key, endpoint_id=endpoint_id
            )
            assert enqueue(session, message, now_us)


def posted(database: Engine, clock: ManualClock) -> Sent:
    return post_waiting(database, clock, private=True)


def row_of(database: Engine, id: int) -> WebhookEndpointRow:
    with transaction(database) as session:
        return session.get_one(WebhookEndpointRow, id)


def states(database: Engine) -> list[str]:
    with transaction(database) as session:
        return list(session.scalars(select(MessageRow.state).order_by(MessageRow.id)))


def test_what_waits_is_posted_once(database: Engine) -> None:
    clock = ManualClock(NOW_US)
    with receiver() as kept:
        id = endpoint(database, kept.url)
        put(database, id, *(f"m{n}" for n in range(TURN + 5)))
        assert posted(database, clock) == Sent(sent=TURN + 5)
        assert posted(database, clock) == Sent()
        assert [hook.body for hook in kept.hooks] == [f"m{n}" for n in range(TURN + 5)]
        assert len(set(kept.ids())) == TURN + 5


def test_a_receiver_that_comes_back_gets_what_it_missed_with_the_same_ids(database: Engine) -> None:
    clock = ManualClock(NOW_US)
    with receiver() as kept:
        kept.status = 500
        id = endpoint(database, kept.url)
        put(database, id, "a", "b", "c")
        assert posted(database, clock) == Sent(waiting=1)
        assert posted(database, clock) == Sent()
        for pause_s in PAUSE_S:
            clock.advance(pause_s * SECOND_US)
            assert posted(database, clock) == Sent(waiting=1)
        assert row_of(database, id).failures == 1 + len(PAUSE_S)
        failed = set(kept.ids())
        kept.status = 200
        clock.advance(PAUSE_S[-1] * SECOND_US)
        assert posted(database, clock) == Sent(sent=3)
        delivered = kept.ids()[-3:]
    assert failed <= set(delivered)
    assert row_of(database, id).failures == 0
    assert states(database) == ["sent"] * 3


def test_one_delivery_that_a_receiver_never_takes_does_not_hold_up_the_others(database: Engine) -> None:
    clock = ManualClock(NOW_US)

    def answer(hook: Received) -> int:
        return 500 if hook.body == "poison" else 204

    with receiver() as kept:
        kept.answer = answer
        id = endpoint(database, kept.url)
        put(database, id, "poison")
        for wait_s in RETRY_S:
            put(database, id, f"before {wait_s} s", now_us=clock.now_us())
            posted(database, clock)
            clock.advance(PAUSE_S[-1] * SECOND_US)
            posted(database, clock)
            clock.advance(wait_s * SECOND_US)
        posted(database, clock)
    assert states(database) == ["failed"] + ["sent"] * len(RETRY_S)
    with transaction(database) as session:
        (dead,) = session.scalars(select(MessageRow).where(MessageRow.state == "failed"))
        assert dead.error == "it answered 500"
        assert retry(session, [dead.id], clock.now_us()) == 1


def test_an_endpoint_that_failed_for_days_is_given_up_and_told_of(database: Engine) -> None:
    clock = ManualClock(NOW_US)
    id = endpoint(database, "http://127.0.0.1:1/")
    put(database, id, "a", "b")
    posted(database, clock)
    clock.advance(FAILING_US)
    posted(database, clock)
    assert row_of(database, id).state == "failing"
    assert states(database) == ["failed", "failed"]
    with transaction(database) as session:
        assert [alert.kind for alert in list_alerts(session)] == ["webhook_failing"]
    with receiver() as kept, transaction(database) as session:
        row = switch(session, id, on=True)
        row.url = kept.url
        retry(session, list(session.scalars(select(MessageRow.id))), clock.now_us())
        session.commit()
        assert posted(database, clock) == Sent(sent=2)


def test_a_receiver_that_is_gone_is_posted_to_no_more(database: Engine) -> None:
    clock = ManualClock(NOW_US)
    with receiver() as kept:
        kept.status = 410
        id = endpoint(database, kept.url)
        put(database, id, "a", "b")
        assert posted(database, clock) == Sent(failed=1)
        clock.advance(10 * DAY_US)
        assert posted(database, clock) == Sent()
        assert len(kept.hooks) == 1
    assert row_of(database, id).state == "off"


def test_a_slow_receiver_holds_up_nobody(database: Engine) -> None:
    clock = ManualClock(NOW_US)
    others_done = threading.Event()

    def slow(_hook: Received) -> int:
        assert others_done.wait(15)
        return 204

    def fast(hook: Received) -> int:
        if hook.body == "m29":
            others_done.set()
        return 204

    with receiver() as tired, receiver() as kept:
        tired.answer, kept.answer = slow, fast
        for _ in range(4):
            put(database, endpoint(database, tired.url), "a")
        put(database, endpoint(database, kept.url), *(f"m{n}" for n in range(30)))
        assert posted(database, clock) == Sent(sent=34)


def test_endpoints_that_always_have_something_hold_up_nobody(database: Engine) -> None:
    one_arrived = threading.Event()

    def greedy(hook: Received) -> int:
        assert hook.body != "last" or one_arrived.wait(15)
        return 204

    def modest(_hook: Received) -> int:
        one_arrived.set()
        return 204

    with receiver() as busy, receiver() as kept:
        busy.answer, kept.answer = greedy, modest
        for _ in range(THREADS):
            put(database, endpoint(database, busy.url), *(f"m{n}" for n in range(TURN)), "last")
        put(database, endpoint(database, kept.url), "a")
        assert posted(database, ManualClock(NOW_US)) == Sent(sent=THREADS * (TURN + 1) + 1)


def test_an_endpoint_that_was_left_alone_by_a_wrong_clock_is_tried_again(database: Engine) -> None:
    clock = ManualClock(NOW_US + 365 * DAY_US)
    with receiver() as kept:
        kept.answer = lambda _hook: 500
        id = endpoint(database, kept.url)
        put(database, id, "a", now_us=clock.now_us())
        assert posted(database, clock) == Sent(waiting=1)
        kept.answer = lambda _hook: 204
        clock.advance(-365 * DAY_US)
        put(database, id, "b")
        assert posted(database, clock) == Sent(sent=2)


def test_a_customers_endpoint_is_never_on_our_own_network(database: Engine) -> None:
    with pytest.raises(InputRefused, match="https"):
        endpoint(database, "http://127.0.0.1:8080/", "alice")
    with receiver() as kept:
        id = endpoint(database, "https://127-0-0-1.example.com/", "alice")
        with transaction(database) as session:
            session.get_one(WebhookEndpointRow, id).url = kept.url
        put(database, id, "a")
        assert posted(database, ManualClock(NOW_US)) == Sent(waiting=1)
        assert kept.hooks == []


def test_an_endpoint_that_is_removed_takes_its_deliveries_along(database: Engine) -> None:
    id = endpoint(database, "http://127.0.0.1:1/")
    put(database, id, "a")
    with transaction(database) as session:
        remove(session, id)
    assert posted(database, ManualClock(NOW_US)) == Sent()
    assert states(database) == ["failed"]
