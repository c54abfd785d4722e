"""The outbox in several processes, of which some are killed: everything arrives, and nearly nothing twice."""

import threading
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes

import pytest
from sqlalchemy import Engine, select

from pbxbill.billing.notices.webhook_endpoints import add_endpoint
from pbxbill.clock import SECOND_US, ManualClock, SystemClock
from pbxbill.notify.outbox import CLAIM_S, NewMessage, enqueue
from pbxbill.notify.posting import post_waiting
from pbxbill.notify.sending import send_waiting
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from tests.notify.mail_servers import Inbox, inbox
from tests.notify.web_receivers import Received, receiver
from tests.store.billed_accounts import BilledAccounts
from tests.store.other_process import go, line, started

MESSAGES = 60


@pytest.fixture
def database(accounts: BilledAccounts) -> Iterator[Engine]:
    engine = open_engine(accounts.url)
    yield engine
    engine.dispose()


def fill(database: Engine, endpoint_id: int | None = None) -> None:
    now_us = SystemClock().now_us()
    with transaction(database) as session:
        issuer_id = session.scalars(select(AccountRow.id).where(AccountRow.kind == "operator")).one()
        for number in range(MESSAGES):
            key = f"{endpoint_id}:{number}"
            message = NewMessage(
                key, issuer_id, None, "top_up", "a@example.com", key, key, endpoint_id=endpoint_id
            )
            assert enqueue(session, message, now_us)


def mails(kept: Inbox) -> Counter[str]:
    return Counter(message_from_bytes(content)["Message-ID"] for content in kept.contents)


def all_sent(database: Engine) -> bool:
    with transaction(database) as session:
        return set(session.scalars(select(MessageRow.state))) == {"sent"}


class KilledAfter:
    """Says when so many have arrived."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reached = threading.Event()
        self.seen = 0

    def one(self, _hook: Received) -> int:
        self.seen += 1
        if self.seen == self.count:
            self.reached.set()
        return 204


def test_two_processes_send_everything_once(database: Engine, accounts: BilledAccounts) -> None:
    fill(database)
    with inbox() as (kept, settings):
        with (
            started("sending_process", accounts.url, settings.port) as one,
            started("sending_process", accounts.url, settings.port) as other,
        ):
            for process in (one, other):
                assert line(process) == "ready"
            for process in (one, other):
                go(process)
            for process in (one, other):
                assert line(process) == "done"
        assert mails(kept).total() == len(mails(kept)) == MESSAGES
    assert all_sent(database)


def test_what_a_killed_process_was_sending_is_sent_by_another(
    database: Engine, accounts: BilledAccounts
) -> None:
    with receiver() as hooks, inbox() as (_kept, settings):
        killed = KilledAfter(25)
        hooks.answer = killed.one
        with transaction(database) as session:
            operator = session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()
            endpoint = add_endpoint(session, operator, hooks.url, private=True, now_us=1)
        fill(database, endpoint.id)
        with started("sending_process", accounts.url, settings.port) as process:
            assert line(process) == "ready"
            go(process)
            assert killed.reached.wait(30)
            process.kill()
            process.wait(10)
        clock = ManualClock(SystemClock().now_us() + (CLAIM_S + 1) * SECOND_US)
        post_waiting(database, clock, private=True)
        found = Counter(hooks.ids())
    assert all_sent(database)
    assert len(found) == MESSAGES
    assert found.total() <= MESSAGES + 1  # the one that was under way


def test_mail_of_a_killed_process_is_sent_by_another(database: Engine, accounts: BilledAccounts) -> None:
    fill(database)
    with inbox() as (kept, settings):
        arrived = threading.Event()
        real = kept.handle_DATA

        async def counting(*arguments: object) -> str:
            answer = await real(*arguments)  # type: ignore[arg-type]
            if len(kept.messages) == 25:
                arrived.set()
            return answer

        kept.handle_DATA = counting  # type: ignore[method-assign, assignment]
        with started("sending_process", accounts.url, settings.port) as process:
            assert line(process) == "ready"
            go(process)
            assert arrived.wait(30)
            process.kill()
            process.wait(10)
        clock = ManualClock(SystemClock().now_us() + (CLAIM_S + 1) * SECOND_US)
        send_waiting(database, clock, settings)
        found = mails(kept)
    assert all_sent(database)
    assert len(found) == MESSAGES
    assert found.total() <= MESSAGES + 1
