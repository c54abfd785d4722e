"""Bars an account's service and lifts it again. Every cause has a suspension of its own; the worst counts.

So a payment lifts what dunning did and nothing else, and an operator's own bar stays whatever is paid.
accounts.status is written here alone; the charging path reads it with the next call. Wallets are locked
first, as everywhere, then the account.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.account_events import note_event
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.noticing import tell
from pbxbill.charging.status import WORSE, AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, check
from pbxbill.store.dunning_models import SuspensionRow
from pbxbill.store.models import AccountRow, ReservationLevelRow, ReservationRow, WalletRow

HAND, LIFE_CYCLE, STOP_DATE = "hand", "life_cycle", "stop_date"
"""Causes; dunning's are its own."""
MAX_CAUSE_LENGTH, MAX_REASON_LENGTH, MAX_BY_LENGTH = 120, 300, 64
OPEN = ("reserved", "answered")


def suspend(  # noqa: PLR0913 who, what, why, when
    session: Session,
    account_id: int,
    status: AccountStatus,
    *,
    cause: str,
    reason: str,
    now_us: int,
    by: str = "",
    cut: bool = False,
) -> SuspensionRow:
    """Bar an account for a cause. Said again it changes nothing; with another status that one counts.

    cut: calls that are up end with the slice they have reserved, as they always do if it is terminated.
    """
    check(status is not AccountStatus.ACTIVE, "nothing is barred by {}", status)
    check(0 < len(cause) <= MAX_CAUSE_LENGTH, "the cause {!r} cannot be kept", cause)
    account = _locked(session, account_id)
    if account.parent_id is None:
        raise InputRefused("the operator itself cannot be suspended; suspend the accounts below it")
    row = in_force(session, account_id, cause)
    if row is None or row.status != status:
        if row is not None:
            _end(row, now_us, by)
            session.flush()  # one in force per cause
        row = SuspensionRow(
            account_id=account_id,
            cause=cause,
            status=str(status),
            reason=reason[:MAX_REASON_LENGTH],
            from_us=now_us,
            lifted_us=None,
            by=by[:MAX_BY_LENGTH],
        )
        session.add(row)
        session.flush()
        note_event(session, account_id, "suspended", _said(row), now_us=now_us, by=by)
        _settle_status(session, account, row, now_us)
    if cut or status is AccountStatus.TERMINATED:
        cut_calls(session, account_id, now_us)
    return row


def lift(session: Session, account_id: int, *, cause: str, now_us: int, by: str = "") -> bool:
    """End the suspension for a cause; False: there is none in force."""
    if in_force(session, account_id, cause) is None:
        return False
    account = _locked(session, account_id)
    row = in_force(session, account_id, cause)
    if row is None:
        return False
    _end(row, now_us, by)
    session.flush()
    note_event(session, account_id, "lifted", _said(row), now_us=now_us, by=by)
    _settle_status(session, account, row, now_us)
    return True


def in_force(session: Session, account_id: int, cause: str) -> SuspensionRow | None:
    """The suspension for a cause, as it stands in the database."""
    query = _in_force(account_id).where(SuspensionRow.cause == cause)
    return session.scalar(query.execution_options(populate_existing=True))


def all_in_force(session: Session, account_id: int) -> list[SuspensionRow]:
    """Everything that bars an account, the worst first."""
    rows = session.scalars(_in_force(account_id))
    return sorted(rows, key=lambda row: (-WORSE[AccountStatus(row.status)], row.id))


def worst_of(statuses: Iterable[str]) -> AccountStatus:
    """What counts of several; active, if there is none."""
    return max(map(AccountStatus, statuses), key=WORSE.__getitem__, default=AccountStatus.ACTIVE)


def cut_calls(session: Session, account_id: int, now_us: int) -> int:
    """Let live calls of an account and of those below it end with the slice they have; how many.

    Emergency calls were granted all their time at once, and keep it. Where the account may still be called,
    those calls go on.
    """
    account = session.get_one(AccountRow, account_id)
    below = select(AccountRow.id).where(AccountRow.path.startswith(account.path, autoescape=True))
    chosen: list[ColumnElement[bool]] = [
        ReservationRow.state.in_(OPEN),
        ReservationRow.account_id.in_(below),
        ReservationRow.max_call_s > (ReservationRow.granted_us + SECOND_US - 1) // SECOND_US,
    ]
    if account.status == AccountStatus.NO_OUTGOING:
        chosen.append(ReservationRow.direction == "outbound")
    paying = (
        select(ReservationLevelRow.wallet_id)
        .join(ReservationRow, ReservationRow.session_id == ReservationLevelRow.session_id)
        .where(*chosen)
    )
    of_them = WalletRow.id.in_(paying) & WalletRow.account_id.in_(below)
    wallet_ids = session.scalars(
        select(WalletRow.id).where(of_them).order_by(WalletRow.id).with_for_update()
    ).all()
    cut = session.execute(
        update(ReservationRow)
        .where(*chosen)
        .values(max_call_s=(ReservationRow.granted_us + SECOND_US - 1) // SECOND_US)
        .execution_options(synchronize_session=False)
    )
    if wallet_ids:
        # Their daemons ask anew what is granted, and hear that it is all.
        newest_us = session.scalar(select(func.max(WalletRow.told_us))) or 0
        session.execute(
            update(WalletRow)
            .where(WalletRow.id.in_(wallet_ids))
            .values(news=WalletRow.news + 1, told_us=max(now_us, newest_us + 1))
            .execution_options(synchronize_session="fetch")
        )
    return int(cut.rowcount)  # type: ignore[attr-defined]  # an update has it


def _settle_status(session: Session, account: AccountRow, row: SuspensionRow, now_us: int) -> None:
    """Give the account the status of its worst suspension, and tell whom it concerns if that is another."""
    before = AccountStatus(account.status)
    status = worst_of(session.scalars(_in_force(account.id).with_only_columns(SuspensionRow.status)))
    if status is before:
        return
    account.status = str(status)
    session.flush()
    note_event(session, account.id, "status", f"{before} -> {status}", now_us=now_us)
    if WORSE[status] > WORSE[before]:
        facts = {"status": str(status), "reason": row.reason}
        tell(session, account.id, NoticeKind.SUSPENSION, key=f"{row.id}", facts=facts, now_us=now_us)
    elif status is AccountStatus.ACTIVE:
        facts = {"status": str(status)}
        tell(session, account.id, NoticeKind.REINSTATED, key=f"{row.id}", facts=facts, now_us=now_us)


def _locked(session: Session, account_id: int) -> AccountRow:
    lock_wallets(session, account_id)
    query = select(AccountRow).where(AccountRow.id == account_id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def lock_wallets(session: Session, account_id: int) -> None:
    """Whoever holds an account's wallets is alone with it: calls and payments wait."""
    query = select(WalletRow.id).where(WalletRow.account_id == account_id)
    session.execute(query.order_by(WalletRow.id).with_for_update()).all()


def _in_force(account_id: int) -> Select[SuspensionRow]:
    return select(SuspensionRow).where(
        SuspensionRow.account_id == account_id, SuspensionRow.lifted_us.is_(None)
    )


def _end(row: SuspensionRow, now_us: int, by: str) -> None:
    row.lifted_us = max(now_us, row.from_us)  # the clock may have been set back
    row.lifted_by = by[:MAX_BY_LENGTH]


def _said(row: SuspensionRow) -> str:
    return f"{row.status} for {row.cause}: {row.reason}"
