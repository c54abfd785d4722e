"""Does what an account's life-cycle has come to: alerts, stages, the stop date, what is forfeited.

All that is due of one account is one transaction of the caller's. Done again it finds nothing more to do.
"""

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.billed import is_currency
from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.life_cycle.life_cycle import (
    LOOKED_AT_US,
    LifeOf,
    life_of,
    locked_again,
    standing_of,
    why_over,
)
from pbxbill.billing.life_cycle.life_cycle_catalogue import RELEASED
from pbxbill.billing.life_cycle.life_cycle_policy import (
    Alert,
    Reach,
    Step,
    Wait,
    after_alert,
    decide,
    decide_stop,
)
from pbxbill.billing.life_cycle.suspending import LIFE_CYCLE, STOP_DATE, in_force, lock_wallets, suspend
from pbxbill.billing.life_cycle.terminating import terminate
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.noticing import Fact, tell
from pbxbill.billing.period import local_date
from pbxbill.billing.subscriptions.subscribed import locked_subscriptions
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import format_amount
from pbxbill.store.accounts import unit_of
from pbxbill.store.dunning_models import SuspensionRow
from pbxbill.store.models import AccountRow, WalletRow

WHAT = {
    AccountStatus.NO_OUTGOING: "outgoing_calls",
    AccountStatus.SUSPENDED: "service",
    AccountStatus.INACTIVE: "service",
    AccountStatus.TERMINATED: "whole_account",
}
"""What ends with a stage; notices have words for it in each language."""
BY_RELEASED = "life_cycle, released"
"""By whom an account is barred while its policy is released: the brake does not count it."""
ENDS = AccountStatus.TERMINATED
FORFEIT = "forfeit"
"""The kind of its journal entries."""
CLOSED_AGAIN_US = 86_400 * SECOND_US
"""How soon an account is looked at again that was closed otherwise."""


class Done(NamedTuple):
    """Something that was done about an account, or would be."""

    account_id: int
    code: str
    what: str
    """alert, stage or stop."""
    status: AccountStatus
    day: date
    """On which the stage begins."""
    policy_id: int | None

    @property
    def bars(self) -> bool:
        """Whether service is taken away by it that a policy, not a person, says."""
        return self.what == "stage"


def due_steps(session: Session, life: LifeOf, now_us: int) -> Iterator[Done]:
    """What would be done about an account now; nothing is changed."""
    steps = (("stop", _stop_step(session, life, now_us)), ("stage", _stage_step(session, life, now_us)))
    for what, step in steps:
        if isinstance(step, Reach):
            yield _done(life, what, step.status, now_us)
        elif isinstance(step, Alert):
            yield _done(life, "alert", step.status, step.at_us)


def look_at(session: Session, books: Bookkeeper, account_id: int, now_us: int) -> list[Done]:
    """Do all that is due about an account."""
    account = session.get_one(AccountRow, account_id)
    peeked = life_of(session, account)
    if peeked is None:
        return []
    if any(x.what != "alert" and x.status is ENDS for x in due_steps(session, peeked, now_us)):
        # Subscriptions will be ended: they are locked before wallets, as renewals lock them.
        locked_subscriptions(session, account_id)
    lock_wallets(session, account_id)
    life = locked_again(session, peeked)
    done: list[Done] = []
    waits = [_stop(session, books, life, now_us, done), _stages(session, books, life, now_us, done)]
    moments = [x for x in waits if x is not None]
    life.row.next_us = min(*moments, now_us + LOOKED_AT_US) if moments else None
    session.flush()
    return done


def _stop_step(session: Session, life: LifeOf, now_us: int) -> Step:
    if not life.row.stop_on or in_force(session, life.account.id, STOP_DATE) is not None:
        return Wait(None)
    stop_on = date.fromisoformat(life.row.stop_on)
    return decide_stop(life.terms, stop_on, life.row.next_us, life.zone, now_us)


def _stage_step(session: Session, life: LifeOf, now_us: int) -> Step:
    if life.policy is None or not life.policy.works:
        return Wait(None)
    if life.account.status == ENDS and life.row.stage != ENDS:
        return Wait(now_us + CLOSED_AGAIN_US)  # it was closed otherwise, and is alerted of nothing
    return decide(life.terms, standing_of(session, life), life.zone, now_us)


def _stop(session: Session, books: Bookkeeper, life: LifeOf, now_us: int, done: list[Done]) -> int | None:
    """The stop date; when to look again."""
    step = _stop_step(session, life, now_us)
    if isinstance(step, Alert):
        _alert(session, life, step, now_us, top_up_helps=False)
        done.append(_done(life, "alert", step.status, step.at_us))
        stop_on = date.fromisoformat(life.row.stop_on)
        step = decide_stop(life.terms, stop_on, now_us + 1, life.zone, now_us)
    if isinstance(step, Reach):
        _bar(session, books, life, step.status, STOP_DATE, f"agreed to end on {life.row.stop_on}", now_us)
        done.append(_done(life, "stop", step.status, now_us))
        return None
    return step.until_us if isinstance(step, Wait) else None


def _stages(session: Session, books: Bookkeeper, life: LifeOf, now_us: int, done: list[Done]) -> int | None:
    """Stages that are due, with alerts; when to look again."""
    row = life.row
    while True:  # each turn comes to a worse stage, or ends
        step = _stage_step(session, life, now_us)
        match step:
            case Wait(until_us):
                return until_us
            case Alert():
                _alert(session, life, step, now_us, top_up_helps=True)
                row.alerted_us = step.at_us
                done.append(_done(life, "alert", step.status, step.at_us))
                return after_alert(life.terms, step, life.zone, now_us)
            case Reach(status):
                reason = why_over(life, standing_of(session, life))
                barred = _bar(session, books, life, status, LIFE_CYCLE, reason, now_us)
                row.stage, row.since_us, row.alerted_us = str(status), now_us, None
                row.next_us = now_us
                if life.terms.forfeit is status:
                    _forfeit(session, books, life, barred, now_us)
                session.flush()
                done.append(_done(life, "stage", status, now_us))


def _bar(  # noqa: PLR0913, PLR0917 who, what, why, when
    session: Session,
    books: Bookkeeper,
    life: LifeOf,
    status: AccountStatus,
    cause: str,
    reason: str,
    now_us: int,
) -> SuspensionRow:
    released = cause == LIFE_CYCLE and life.policy is not None and life.policy.state == RELEASED
    by = BY_RELEASED if released else cause
    if status is ENDS:
        return terminate(session, books, life.account.id, cause=cause, reason=reason, now_us=now_us, by=by)
    return suspend(session, life.account.id, status, cause=cause, reason=reason, now_us=now_us, by=by)


def _alert(session: Session, life: LifeOf, alert: Alert, now_us: int, *, top_up_helps: bool) -> None:
    day = local_date(alert.at_us, life.zone)
    facts: dict[str, Fact] = {"what": WHAT[alert.status], "day": day, "days": alert.days}
    if top_up_helps:
        facts["top_up_helps"] = 1
    key = f"life_cycle:{life.account.id}:{alert.status}:{day}:{alert.days}"
    tell(session, life.account.id, NoticeKind.EXPIRY_AHEAD, key=key, facts=facts, now_us=now_us)
    note_event(session, life.account.id, "alerted", f"{alert.status} on {day}", now_us=now_us)


def _forfeit(session: Session, books: Bookkeeper, life: LifeOf, barred: SuspensionRow, now_us: int) -> None:
    """Take what is left of the wallets' own money: never a credit, nothing that live calls hold."""
    wallets = session.scalars(select(WalletRow).where(WalletRow.account_id == life.account.id)).all()
    for wallet in sorted(wallets, key=lambda x: x.id):
        unit, left = unit_of(session, wallet.unit), wallet.posted - wallet.reserved
        if left <= 0 or not is_currency(unit):
            continue
        command = PostEntry(
            f"life_cycle:forfeit:{barred.id}:{wallet.unit}",
            life.account.id,
            wallet.unit,
            -left,
            ((LedgerCode.ADJUSTMENT, -left),),
            FORFEIT,
            now_us,
            f"forfeited: {barred.reason}"[:200],
        )
        (outcome,) = books.post(session, [command])
        words = f"{format_amount(left, unit)} {unit.code}"
        said = f"forfeited {words}" if isinstance(outcome, Moved) else f"{words} stay: {outcome.reason}"
        note_event(session, life.account.id, "forfeited", said, now_us=now_us)


def _done(life: LifeOf, what: str, status: AccountStatus, at_us: int) -> Done:
    policy_id = None if life.policy is None else life.policy.id
    return Done(life.account.id, life.account.code, what, status, local_date(at_us, life.zone), policy_id)
