"""Where accounts stand in their life-cycle: prolonged by money, barred stage by stage without, brought back.

What is to be done when is decided purely (life_cycle_policy.py). A row says when an account is to be looked
at next; whoever looks does all that is due in the caller's transaction, and says when to look again.
"""

from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.life_cycle.life_cycle_catalogue import KnownPolicy, PolicyBook
from pbxbill.billing.life_cycle.life_cycle_policy import (
    LifeCyclePolicy,
    Standing,
    Wait,
    decide,
    over_us,
    valid_to,
)
from pbxbill.billing.life_cycle.suspending import LIFE_CYCLE, STOP_DATE, lift, lock_wallets
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.subscriptions.subscribed import billing_place
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import BillingProfileRow, IssuerRow
from pbxbill.store.dunning_models import LifeCycleRow
from pbxbill.store.models import AccountRow, CdrRow

LOOKED_AT_US = 7 * 86_400 * SECOND_US
"""So often at least an account is looked at that waits for something."""
NO_POLICY = LifeCyclePolicy(())
"""Of an account that only has a stop date."""


class LifeOf(NamedTuple):
    """An account in its life-cycle."""

    account: AccountRow
    row: LifeCycleRow
    policy: KnownPolicy | None
    zone: str

    @property
    def terms(self) -> LifeCyclePolicy:
        """Of its policy."""
        return NO_POLICY if self.policy is None else self.policy.terms


def prolong(
    session: Session,
    account_id: int,
    *,
    unit: str,
    amount: int,
    now_us: int,
    validity_days: int | None = None,
) -> None:
    """Money came in: the account is valid longer, and comes back from the stages that money brings back from.

    validity_days: what a voucher is good for, whatever its amount; None: as the policy says, which a smaller
    amount than its minimum does not move. Nothing is ever shortened.
    """
    life = _entered(session, account_id, now_us)
    if life is None or life.policy is None:
        return
    row, terms = life.row, life.terms
    large = terms.prolongs(unit, amount)
    days = validity_days if validity_days is not None else terms.validity_days if large else None
    if validity_days is None and not large:
        return
    before_us = row.valid_to_us
    if days is not None and (before_us is not None or terms.validity_days is not None):
        row.valid_to_us = valid_to(terms, days, now_us, before_us, life.zone)
        if row.valid_to_us != before_us:
            words = f"valid to {_last_day(row.valid_to_us, life.zone)}"
            note_event(session, account_id, "prolonged", words, now_us=now_us)
    if row.stage == AccountStatus.ACTIVE:
        row.since_us = max(row.since_us, now_us)
    elif AccountStatus(row.stage) in terms.returns:
        _come_back(session, life, now_us, "")
    else:
        words = f"money came in; at the stage {row.stage} only `pbxbill life-cycle revive` brings it back"
        note_event(session, account_id, "not_revived", words, now_us=now_us)
    row.alerted_us, row.next_us = None, now_us
    session.flush()


def revive(session: Session, account_id: int, now_us: int, *, days: int | None = None, by: str = "") -> None:
    """Bring an account back from any stage by hand; days: for which it is valid then."""
    life = _entered(session, account_id, now_us)
    if life is None or life.row.stage == AccountStatus.ACTIVE:
        raise InputRefused("its life-cycle bars nothing; `pbxbill accounts show` says what else does")
    days = days if days is not None else life.terms.validity_days
    if days is not None:
        life.row.valid_to_us = valid_to(life.terms, days, now_us, life.row.valid_to_us, life.zone)
    elif life.row.valid_to_us is not None and life.row.valid_to_us <= now_us:
        life.row.valid_to_us = None  # nothing says for how long any more
    _come_back(session, life, now_us, by)
    life.row.alerted_us, life.row.next_us = None, now_us
    session.flush()


class Wanted(NamedTuple):
    """What is to be changed of an account's life-cycle; None: left as it is."""

    policy: KnownPolicy | None = None
    standard: bool = False
    """Its issuer's standard policy, whichever that is."""
    valid_to: date | None = None
    """The last day on which it is valid."""
    for_ever: bool = False
    stop_on: date | None = None
    never: bool = False
    """No stop date."""


def set_life_cycle(
    session: Session, account: AccountRow, wanted: Wanted, now_us: int, *, by: str = ""
) -> LifeOf:
    """Change policy, validity or stop date of an account; what that means is done with the next run."""
    if account.parent_id is None:
        raise InputRefused("the operator itself has no life-cycle")
    if wanted.policy is not None and wanted.policy.issuer_id != account.parent_id:
        raise InputRefused(f"policy {wanted.policy.name} is not of the issuer of account {account.code}")
    lock_wallets(session, account.id)
    row = _locked_row(session, account.id)
    zone = billing_place(session, account).zone
    if row is None:
        row = _new_row(session, account.id, now_us)
    if wanted.policy is not None or wanted.standard:
        row.policy_id = None if wanted.policy is None else wanted.policy.id
        _begin(row, PolicyBook(session).of(account, row.policy_id), zone, now_us)
    said = []
    if wanted.valid_to is not None or wanted.for_ever:
        if row.stage != AccountStatus.ACTIVE:
            raise InputRefused(
                f"account {account.code} is at the stage {row.stage}: `pbxbill life-cycle revive "
                f"{account.code} --days N` brings it back and says how long it is valid"
            )
        day = wanted.valid_to
        row.valid_to_us = None if day is None else day_start_us(day + timedelta(days=1), zone)
        said.append(f"valid to {day or 'for ever'}")
    if wanted.stop_on is not None or wanted.never:
        row.stop_on = "" if wanted.stop_on is None else wanted.stop_on.isoformat()
        said.append(f"stops on {row.stop_on or 'no day'}")
        if wanted.stop_on is None or day_start_us(wanted.stop_on, zone) > now_us:
            lift(session, account.id, cause=STOP_DATE, now_us=now_us, by=by)
    if said:
        note_event(session, account.id, "life_cycle", ", ".join(said), now_us=now_us, by=by)
    row.alerted_us, row.next_us = None, now_us
    session.flush()
    return LifeOf(account, row, PolicyBook(session).of(account, row.policy_id), zone)


def life_of(session: Session, account: AccountRow, *, lock: bool = False) -> LifeOf | None:
    """Where an account stands; None: it has no life-cycle yet."""
    row = _locked_row(session, account.id) if lock else session.get(LifeCycleRow, account.id)
    if row is None:
        return None
    policy = PolicyBook(session).of(account, row.policy_id)
    return LifeOf(account, row, policy, billing_place(session, account).zone)


def locked_again(session: Session, life: LifeOf) -> LifeOf:
    """The same, its row locked and as it stands now."""
    chosen_id = life.row.policy_id
    row = _locked_row(session, life.account.id)
    assert row is not None  # a row that was made stays
    if row.policy_id == chosen_id:
        return life._replace(row=row)
    return life._replace(row=row, policy=PolicyBook(session).of(life.account, row.policy_id))


def lives_due(session: Session, now_us: int, after_id: int, most: int) -> list[LifeOf]:
    """Accounts that are to be looked at, by id, with all that decides about them."""
    query = (
        select(LifeCycleRow, AccountRow, BillingProfileRow.zone, IssuerRow.zone)
        .join(AccountRow, AccountRow.id == LifeCycleRow.account_id)
        .outerjoin(BillingProfileRow, BillingProfileRow.account_id == AccountRow.id)
        .outerjoin(IssuerRow, IssuerRow.account_id == AccountRow.parent_id)
        .where(is_due(now_us), LifeCycleRow.account_id > after_id)
    )
    book = PolicyBook(session)
    return [
        LifeOf(account, row, book.of(account, row.policy_id), own or issuers or "UTC")
        for row, account, own, issuers in session.execute(query.order_by(LifeCycleRow.account_id).limit(most))
    ]


def is_due(now_us: int) -> ColumnElement[bool]:
    """What is further ahead than anything is put off was noted by a clock that has been set back."""
    too_far = LifeCycleRow.next_us > now_us + 2 * LOOKED_AT_US
    return or_(LifeCycleRow.next_us <= now_us, too_far)


def enter(
    session: Session, account: AccountRow, now_us: int, book: PolicyBook | None = None
) -> LifeOf | None:
    """Let an account's life-cycle begin, as if it had been topped up now; None: no policy is for it."""
    policy = (book or PolicyBook(session)).of(account, None)
    if policy is None:
        return None
    row = _new_row(session, account.id, now_us)
    life = LifeOf(account, row, policy, billing_place(session, account).zone)
    _begin(row, policy, life.zone, now_us)
    first = decide(policy.terms, standing_of(session, life), life.zone, now_us)
    if isinstance(first, Wait):
        row.next_us = first.until_us
    session.flush()
    return life


def standing_of(session: Session, life: LifeOf) -> Standing:
    """As its policy looks at it."""
    row, terms = life.row, life.terms
    called_us = None
    if terms.inactivity_days is not None and row.stage == AccountStatus.ACTIVE:
        called_us = _called_us(session, row.account_id, row.since_us)
    return Standing(
        AccountStatus(row.stage), row.since_us, row.valid_to_us, called_us, row.alerted_us, row.next_us
    )


def why_over(life: LifeOf, standing: Standing) -> str:
    """Why an account comes to the next stage, as it is told."""
    if standing.stage is not AccountStatus.ACTIVE:
        return "not topped up since"
    ends_us = over_us(life.terms, standing, life.zone)
    if ends_us is not None and ends_us == life.row.valid_to_us:
        return f"not topped up; it was valid to {_last_day(ends_us, life.zone)}"
    return f"not used for {life.terms.inactivity_days} days"


def _come_back(session: Session, life: LifeOf, now_us: int, by: str) -> None:
    row = life.row
    note_event(session, row.account_id, "came_back", f"from the stage {row.stage}", now_us=now_us, by=by)
    lift(session, row.account_id, cause=LIFE_CYCLE, now_us=now_us, by=by)
    row.stage, row.since_us = str(AccountStatus.ACTIVE), now_us


def _entered(session: Session, account_id: int, now_us: int) -> LifeOf | None:
    account = session.get_one(AccountRow, account_id)
    lock_wallets(session, account_id)
    return life_of(session, account, lock=True) or enter(session, account, now_us)


def _locked_row(session: Session, account_id: int) -> LifeCycleRow | None:
    query = select(LifeCycleRow).where(LifeCycleRow.account_id == account_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def _new_row(session: Session, account_id: int, now_us: int) -> LifeCycleRow:
    row = LifeCycleRow(
        account_id=account_id,
        policy_id=None,
        stage=str(AccountStatus.ACTIVE),
        since_us=now_us,
        valid_to_us=None,
        stop_on="",
        next_us=now_us,
        alerted_us=None,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # a run and a top-up let it enter in the same moment
        known = _locked_row(session, account_id)
        assert known is not None
        return known
    return row


def _begin(row: LifeCycleRow, policy: KnownPolicy | None, zone: str, now_us: int) -> None:
    """Nobody is over in the moment in which a policy begins to count for him."""
    row.alerted_us = None
    if row.stage == AccountStatus.ACTIVE:
        row.since_us = now_us
        if policy is not None and policy.terms.validity_days is not None:
            days = policy.terms.validity_days
            row.valid_to_us = valid_to(policy.terms, days, now_us, row.valid_to_us, zone)


def _called_us(session: Session, account_id: int, since_us: int) -> int | None:
    """The end of its last call since a moment; what comes in to its DIDs is no use of it."""
    query = select(CdrRow.ended_us).where(
        CdrRow.account_id == account_id,
        CdrRow.started_us >= since_us,
        CdrRow.answered_us.is_not(None),
        CdrRow.direction != "inbound",
    )
    return session.scalar(query.order_by(CdrRow.started_us.desc()).limit(1))


def _last_day(valid_to_us: int, zone: str) -> date:
    return local_date(valid_to_us - 1, zone)
