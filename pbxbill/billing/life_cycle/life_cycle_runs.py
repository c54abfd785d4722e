"""Life-cycle runs: every account that is due by itself, in a transaction of its own; whom a run would bar.

A run first reckons how many accounts each policy would bring to a worse stage. Where that is more than the
policy's brake allows, the policy is stopped before it bars anybody, and waits for a person who has looked at
whom. What was barred in the last day counts as well, since runs come every minute; what was barred after a
release does not. Stop dates, which were agreed account by account, are not held up by it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import ColumnElement, Engine, and_, func, or_, select
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.life_cycle import enter, is_due, lives_due
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    ACTIVE,
    RELEASED,
    STOPPED,
    KnownPolicy,
    PolicyBook,
    policies_of,
)
from pbxbill.billing.life_cycle.life_cycle_stages import BY_RELEASED, Done, due_steps, look_at
from pbxbill.billing.life_cycle.suspending import LIFE_CYCLE, cut_calls
from pbxbill.billing.subscriptions.resting import let_go_on, let_rest, to_rest, to_resume
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import PbxbillError, StoreUnavailable
from pbxbill.store.alerts import raise_alert
from pbxbill.store.dunning_models import LifeCyclePolicyRow, LifeCycleRow, SuspensionRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow

PAGE = 500
DAY_US = 86_400 * SECOND_US
SHARE_OF_SQLITE = 1
"""On SQLite a run rests this many times as long as it held the write lock: calls need it too."""
ENTER_AT_ONCE = 50
"""So few in a transaction, since calls and payments wait for it."""
Billing = Callable[[], AbstractContextManager[tuple[Session, Bookkeeper]]]
_log = structlog.get_logger()


@dataclass(slots=True)
class LifeCycleRun:
    """What a run came to."""

    entered: int = 0
    """Accounts whose life-cycle began."""
    done: Counter[str] = field(default_factory=Counter)
    """alerts, stages and stops."""
    rest: int = 0
    """Subscriptions that rest now."""
    go_on: int = 0
    failed: int = 0
    stopped: list[str] = field(default_factory=list)
    """Policies whose brake stopped them, with why."""

    @property
    def said(self) -> str:
        """In one line; empty: nothing was due."""
        counted = (
            (self.entered, "accounts entered"),
            (self.done["alert"], "alerted"),
            (self.done["stage"], "barred"),
            (self.done["stop"], "stopped on their date"),
            (self.rest, "subscriptions rest"),
            (self.go_on, "subscriptions go on"),
            (self.failed, "failed"),
        )
        words = [f"{count} {what}" for count, what in counted if count]
        return "; ".join([", ".join(words), *self.stopped] if words else self.stopped)


def run_life_cycles(
    database: Engine,
    billing: Billing,
    clock: Clock,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[int], None] = lambda done: None,
) -> LifeCycleRun:
    """Do what is due. Stopped, it goes on where it was with the next run."""
    run = LifeCycleRun()
    run.entered = _enter_new(database, clock.now_us(), stop)
    run.stopped = _brake(database, clock.now_us())
    looked = after_id = 0
    while not stop():
        with transaction(reading(database)) as session:
            page = _due_accounts(session, clock.now_us(), after_id)
        if not page:
            break
        for account_id in page:
            if stop():
                return run
            after_id, looked = account_id, looked + 1
            began_us = clock.monotonic_us()
            _look_at(database, billing, account_id, clock.now_us(), run)
            if database.dialect.name == "sqlite":
                time.sleep(SHARE_OF_SQLITE * (clock.monotonic_us() - began_us) / SECOND_US)
            tell(looked)
    if not stop():
        _after_release(database)
        _subscriptions(database, billing, clock, stop, run)
    return run


def planned(session: Session, now_us: int) -> Iterator[Done]:
    """What a run would do now, whomever its brake would hold; nothing is changed."""
    after_id = 0
    while page := lives_due(session, now_us, after_id, PAGE):
        for life in page:
            yield from due_steps(session, life, now_us)
        after_id = page[-1].row.account_id
        session.expunge_all()  # of a hundred thousand accounts not all are kept


def over_brake(session: Session, now_us: int) -> dict[int, tuple[int, int]]:
    """By policy that a run would stop: how many accounts would be barred within a day, how many may."""
    would: dict[int | None, set[int]] = {}
    for step in planned(session, now_us):
        if step.bars:
            would.setdefault(step.policy_id, set()).add(step.account_id)
    found = {}
    for policy in policies_of(session):
        if policy.id not in would or policy.state != ACTIVE:
            continue
        barred = would[policy.id] | _barred_today(session, policy, now_us)
        allowed = policy.terms.brake(_accounts_of(session, policy))
        if len(barred) > allowed:
            found[policy.id] = (len(barred), allowed)
    return found


def _barred_today(session: Session, policy: KnownPolicy, now_us: int) -> set[int]:
    """The accounts of a policy that it barred within the last day, but for those that a person released."""
    query = (
        select(SuspensionRow.account_id)
        .join(LifeCycleRow, LifeCycleRow.account_id == SuspensionRow.account_id)
        .join(AccountRow, AccountRow.id == SuspensionRow.account_id)
        .where(
            _goes_by(policy),
            SuspensionRow.cause == LIFE_CYCLE,
            SuspensionRow.by != BY_RELEASED,
            SuspensionRow.lifted_us.is_(None),
            # What is further ahead was barred by a clock that has been set back.
            SuspensionRow.from_us.between(now_us - DAY_US + 1, now_us + DAY_US),
        )
    )
    return set(session.scalars(query))


def _brake(database: Engine, now_us: int) -> list[str]:
    with transaction(reading(database)) as session:
        over = over_brake(session, now_us)
    stopped = []
    for policy_id, (wanted, allowed) in over.items():
        with transaction(database) as session:
            row = session.get_one(LifeCyclePolicyRow, policy_id, with_for_update=True)
            if row.state != ACTIVE:
                continue
            row.state = STOPPED
            detail = (
                f"within a day it would bar {wanted} accounts, {allowed} are allowed; "
                f"`pbxbill life-cycle run --dry-run` shows whom, "
                f"`pbxbill life-cycle release {row.name}` lets it"
            )
            raise_alert(session, "life_cycle_stopped", f"policy {row.name}", detail, at_us=now_us)
        stopped.append(f"policy {row.name} is stopped: {detail}")
    return stopped


def _after_release(database: Engine) -> None:
    with transaction(database) as session:
        rows = session.scalars(select(LifeCyclePolicyRow).where(LifeCyclePolicyRow.state == RELEASED))
        for row in rows.all():
            row.state = ACTIVE


def _look_at(database: Engine, billing: Billing, account_id: int, now_us: int, run: LifeCycleRun) -> None:
    try:
        done = _looked_at(billing, account_id, now_us)
        if any(x.what != "alert" and x.status is AccountStatus.TERMINATED for x in done):
            with transaction(database) as session:  # a call that was being granted in that moment ends, too
                cut_calls(session, account_id, now_us)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 a bad account stops nothing, whatever is wrong with it
        run.failed += 1
        _log.warning("life_cycle_failed", account=account_id, error=str(error))
        detail = f"{type(error).__name__}: {error}"
        with transaction(database) as session:
            raise_alert(
                session, "life_cycle_failed", f"account {account_id}", detail, account_id, at_us=now_us
            )
        return
    run.done.update(x.what for x in done)


def _looked_at(billing: Billing, account_id: int, now_us: int) -> list[Done]:
    for attempt in (1, 2):
        try:
            with billing() as (session, books):
                return look_at(session, books, account_id, now_us)
        except StoreUnavailable:  # also who lost against somebody that locked the same rows
            if attempt == 2:
                raise
    return []


def _subscriptions(
    database: Engine, billing: Billing, clock: Clock, stop: Callable[[], bool], run: LifeCycleRun
) -> None:
    for look_for, carry_out in ((to_rest, let_rest), (to_resume, let_go_on)):
        after_id = 0
        while not stop():
            with transaction(reading(database)) as session:
                page = look_for(session, after_id)
            if not page:
                break
            for subscription_id, account_id in page:
                after_id = subscription_id
                try:
                    with billing() as (session, books):
                        found = carry_out(session, books, subscription_id, account_id, clock.now_us())
                except PbxbillError as error:
                    run.failed += 1
                    _log.warning("subscription_not_changed", subscription=subscription_id, error=str(error))
                    continue
                if carry_out is let_rest:
                    run.rest += found
                else:
                    run.go_on += found


def _due_accounts(session: Session, now_us: int, after_id: int) -> list[int]:
    query = select(LifeCycleRow.account_id).where(is_due(now_us), LifeCycleRow.account_id > after_id)
    return list(session.scalars(query.order_by(LifeCycleRow.account_id).limit(PAGE)))


def _enter_new(database: Engine, now_us: int, stop: Callable[[], bool]) -> int:
    """Begin the life-cycle of accounts that a standard policy is for, and that have none yet."""
    entered = 0
    with transaction(reading(database)) as session:
        standard = [policy for policy in policies_of(session) if policy.standard and policy.works]
    for policy in standard:
        while not stop():
            with transaction(reading(database)) as session:
                query = select(AccountRow.id).where(
                    AccountRow.parent_id == policy.issuer_id,
                    AccountRow.kind == "customer",
                    AccountRow.mode.in_(policy.terms.modes),
                    AccountRow.id.not_in(select(LifeCycleRow.account_id)),
                )
                page = session.scalars(query.order_by(AccountRow.id).limit(ENTER_AT_ONCE)).all()
            if not page:
                break
            with transaction(database) as session:
                book = PolicyBook(session)
                for account_id in page:
                    if session.get(LifeCycleRow, account_id) is None:  # nobody was quicker
                        account = session.get_one(AccountRow, account_id)
                        entered += enter(session, account, now_us, book) is not None
    return entered


def _accounts_of(session: Session, policy: KnownPolicy) -> int:
    """How many accounts go by a policy."""
    query = select(func.count()).select_from(LifeCycleRow)
    query = query.join(AccountRow, AccountRow.id == LifeCycleRow.account_id).where(_goes_by(policy))
    return session.scalar(query) or 0


def _goes_by(policy: KnownPolicy) -> ColumnElement[bool]:
    """Of an account with its life-cycle."""
    own = LifeCycleRow.policy_id == policy.id
    if not policy.standard:
        return own
    of_issuer = and_(LifeCycleRow.policy_id.is_(None), AccountRow.parent_id == policy.issuer_id)
    return or_(own, of_issuer)
