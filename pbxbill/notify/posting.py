"""Posts the webhooks that wait in the outbox: several endpoints at once, each with one delivery at a time.

An endpoint that fails is left alone for a while, and longer each time; what it missed waits. Endpoints that
are slow or failing never take more than half of the threads. No transaction is open while anybody is waited
for. Deliveries of one endpoint usually come in order, and need not: a failed one comes later than the next.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.notify.outbox import (
    PAUSE_S,
    SURE_S,
    claim,
    due_endpoints,
    give_back,
    mark_failed,
    mark_sent,
    still_ours,
)
from pbxbill.notify.sending import Sent
from pbxbill.notify.webhook import Accepted, Answer, Gone, Hook, post
from pbxbill.store.alerts import raise_alert
from pbxbill.store.engine import transaction
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow

RETRY_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long a delivery waits after each failed attempt, as Standard Webhooks proposes; then it is given up."""
FAILING_US = 5 * 86_400 * SECOND_US
"""An endpoint that took nothing for so long is given up."""
THREADS = 8
TURN = 20
"""Deliveries of one endpoint; then it is the next one's turn."""
TURN_S, SLOW_S = 30, 5

_log = structlog.get_logger()


def post_waiting(
    database: Engine,
    clock: Clock,
    *,
    private: bool = False,
    most: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
) -> Sent:
    """Post what is due, about `most` deliveries; private: the operator's endpoints may be on this network."""
    posting = _Posting(database, clock, private, most, stop)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="webhook") as pool:
        posting.run(pool)
    return posting.total


class _Delivery(NamedTuple):
    id: int
    claimed_us: int
    message_id: str
    body: str


class _Target(NamedTuple):
    id: int
    url: str
    secrets: tuple[str, ...]
    private: bool
    failures: int


@dataclass(slots=True)
class _Posting:
    database: Engine
    clock: Clock
    private: bool
    left: int
    stop: Callable[[], bool]
    total: Sent = field(default_factory=Sent)
    slow: set[int] = field(default_factory=set)
    turns: Counter[int] = field(default_factory=Counter)
    """How many each endpoint had."""

    def run(self, pool: ThreadPoolExecutor) -> None:
        busy: dict[Future[Sent], int] = {}
        while True:
            if self.left > 0 and not self.stop():
                for target in self._due(set(busy.values())):
                    busy[pool.submit(self.turn, target)] = target.id
            if not busy:
                return
            done, _ = wait(busy, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                del busy[future]
                self._count(future.result())

    def _due(self, busy: set[int]) -> list[_Target]:
        """Endpoints that get a thread now; those in trouble only half of them."""
        with transaction(self.database) as session:
            ids = [id for id in due_endpoints(session, self.clock.now_us()) if id not in busy]
            targets = [self._target(session, id) for id in ids]
        # Who had the fewest turns is next: a few that always have something hold up nobody.
        targets.sort(key=lambda target: self.turns[target.id])
        free = THREADS - len(busy)
        free_for_slow = THREADS // 2 - len(busy & self.slow)
        chosen: list[_Target] = []
        for target in targets:
            in_trouble = target.id in self.slow or target.failures > 0
            if len(chosen) >= free or (in_trouble and free_for_slow <= 0):
                continue
            if in_trouble:
                self.slow.add(target.id)
                free_for_slow -= 1
            chosen.append(target)
            self.turns[target.id] += 1
        return chosen

    def _target(self, session: Session, id: int) -> _Target:
        row = session.get_one(WebhookEndpointRow, id)
        kind = session.get_one(AccountRow, row.account_id).kind
        secrets = tuple(filter(None, (row.secret, row.old_secret)))
        return _Target(id, row.url, secrets, self.private and kind == "operator", row.failures)

    def _count(self, sent: Sent) -> None:
        self.total.sent += sent.sent
        self.total.waiting += sent.waiting
        self.total.failed += sent.failed
        self.left -= sent.sent + sent.waiting + sent.failed

    def turn(self, target: _Target) -> Sent:
        """Post some deliveries to one endpoint; it ends with the first that fails."""
        sent = Sent()
        most = 1 if target.failures else TURN
        now_us = self.clock.now_us()
        with transaction(self.database) as session:
            rows = claim(session, now_us, most, endpoint_id=target.id)
            work = [_Delivery(row.id, now_us, row.message_id, row.text) for row in rows]
        until_us = now_us + TURN_S * SECOND_US
        for number, item in enumerate(work):
            if self.stop() or self.clock.now_us() > until_us or not self._deliver(target, item, sent):
                with transaction(self.database) as session:
                    give_back(session, [later.id for later in work[number:]], now_us)
                break
        return sent

    def _deliver(self, target: _Target, item: _Delivery, sent: Sent) -> bool:
        now_us = self.clock.now_us()
        if now_us - item.claimed_us >= SURE_S * SECOND_US:
            with transaction(self.database) as session:
                if not still_ours(session, item.id, item.claimed_us, now_us):
                    return True
        answer = post(
            Hook(target.url, item.message_id, item.body, target.secrets), now_us, private=target.private
        )
        if self.clock.now_us() - now_us > SLOW_S * SECOND_US:
            self.slow.add(target.id)
        with transaction(self.database) as session:
            state = settle(session, target.id, item.id, answer, self.clock.now_us())
        if state == "sent":
            sent.sent += 1
        elif state == "waiting":
            sent.waiting += 1
        else:
            sent.failed += 1
        return state == "sent"


def settle(session: Session, endpoint_id: int, message_id: int, answer: Answer, now_us: int) -> str:
    """Note what a receiver answered, with the delivery and with the endpoint; the delivery's state."""
    endpoint = session.get(WebhookEndpointRow, endpoint_id, with_for_update=True)
    if isinstance(answer, Accepted):
        mark_sent(session, message_id, now_us)
        if endpoint is not None:
            recovered(session, endpoint, now_us)
        return "sent"
    state = mark_failed(session, message_id, answer.why, now_us, permanent=False, retry_s=RETRY_S)
    if endpoint is None:  # removed meanwhile
        return state
    _log.warning("webhook_not_delivered", endpoint=endpoint.id, message=message_id, why=answer.why)
    endpoint.failures += 1
    endpoint.failing_since_us = endpoint.failing_since_us or now_us
    endpoint.next_us = now_us + PAUSE_S[min(endpoint.failures, len(PAUSE_S)) - 1] * SECOND_US
    endpoint.error = answer.why[:500]
    if isinstance(answer, Gone):
        _give_up(session, endpoint, "off", "webhook_gone", now_us)
        return "failed"
    if now_us - endpoint.failing_since_us >= FAILING_US:
        _give_up(session, endpoint, "failing", "webhook_failing", now_us)
        return "failed"
    return state


def recovered(session: Session, endpoint: WebhookEndpointRow, now_us: int) -> None:
    """Something arrived: what it missed meanwhile is tried at once."""
    if not endpoint.failures:
        return
    endpoint.failures, endpoint.failing_since_us, endpoint.next_us, endpoint.error = 0, None, None, ""
    waiting = (MessageRow.endpoint_id == endpoint.id, MessageRow.state == "waiting")
    session.execute(update(MessageRow).where(*waiting, MessageRow.next_us > now_us).values(next_us=now_us))


def _give_up(session: Session, endpoint: WebhookEndpointRow, state: str, alert: str, now_us: int) -> None:
    """Nothing more is posted there; what waits is listed as failed, and sent again by hand."""
    endpoint.state = state
    of_endpoint = (
        MessageRow.endpoint_id == endpoint.id,
        MessageRow.state.in_(("waiting", "sending")),
    )
    session.execute(
        update(MessageRow)
        .where(*of_endpoint)
        .values(state="failed", next_us=None, claimed_us=None, error=endpoint.error)
    )
    code = session.get_one(AccountRow, endpoint.account_id).code
    subject = f"endpoint {endpoint.id} of {code}"
    raise_alert(
        session, alert, subject, f"{endpoint.url}: {endpoint.error}", endpoint.account_id, at_us=now_us
    )
