"""What follows when a wallet fell below a threshold or was filled again: told once per fall.

The charging path leaves a mark in the transaction that moved the wallet, and listens no more. Here marks are
read: each wallet is looked at as it stands now, what it fell below is written down and told, a wallet that
rose above a threshold is listened for again, and the marks are deleted, all in one transaction. So nothing is
lost or told twice, whatever dies; a fall that was made good within the second is not worth a message.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, Select, delete, select
from sqlalchemy.orm import Session

from pbxbill.billing.notices.noticing import Fact, Money, NoticeKind, tell
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import Clock
from pbxbill.money import Unit
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.notice_models import BalanceMarkRow, BalanceThresholdRow
from pbxbill.store.payment_models import AutoTopUpRow
from pbxbill.store.thresholds import AUTO_TOP_UP, arm, available, edge

MARKS_TOGETHER = 20
"""Read in one transaction, which holds their wallets: calls wait for it."""


@dataclass(slots=True)
class Looked:
    """What came of reading marks."""

    marks: int = 0
    reached: int = 0
    """Thresholds that wallets fell below."""
    messages: int = 0


def read_marks(database: Engine, clock: Clock, stop: Callable[[], bool] = lambda: False) -> Looked:
    """Read all marks that there are; those of a call that is settled meanwhile come with the next run."""
    looked = Looked()
    with transaction(reading(database)) as session:
        newest_id = session.scalar(select(BalanceMarkRow.id).order_by(BalanceMarkRow.id.desc()).limit(1))
    while newest_id is not None and not stop():
        with transaction(database) as session:
            marks = session.scalars(
                select(BalanceMarkRow)
                .where(BalanceMarkRow.id <= newest_id)
                .order_by(BalanceMarkRow.id)
                .limit(MARKS_TOGETHER)
            ).all()
            if not marks:
                break
            marks_of: dict[int, list[BalanceMarkRow]] = {}
            for mark in marks:
                marks_of.setdefault(mark.wallet_id, []).append(mark)
            _look_at(session, marks_of, clock.now_us(), looked)
            read = BalanceMarkRow.id.in_([mark.id for mark in marks])
            session.execute(delete(BalanceMarkRow).where(read).execution_options(synchronize_session=False))
            looked.marks += len(marks)
    return looked


def _look_at(
    session: Session, marks: Mapping[int, Sequence[BalanceMarkRow]], now_us: int, looked: Looked
) -> None:
    """marks: by wallet."""
    wallet_ids = sorted(marks)
    # Whoever fills wallets by themselves locks these rows first, and wallets then.
    fillings = {row.wallet_id: row for row in session.scalars(_locked_fillings(wallet_ids))}
    wallets = session.scalars(
        select(WalletRow)
        .where(WalletRow.id.in_(wallet_ids))
        .order_by(WalletRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    thresholds: dict[int, list[BalanceThresholdRow]] = {}
    for row in session.scalars(
        select(BalanceThresholdRow)
        .where(BalanceThresholdRow.wallet_id.in_(wallet_ids))
        .order_by(BalanceThresholdRow.below)
    ):
        thresholds.setdefault(row.wallet_id, []).append(row)
    units = {code: unit_of(session, code) for code in {wallet.unit for wallet in wallets}}
    fallen: list[tuple[WalletRow, BalanceThresholdRow]] = []
    for wallet in wallets:
        own, unit = thresholds.get(wallet.id, []), units[wallet.unit]
        for row in own:
            if row.reached_us is not None and _rose(marks[wallet.id], row, edge(row.below, unit)):
                row.reached_us = None
        reached = _look(wallet, own, unit, fillings.get(wallet.id), now_us)
        looked.reached += len(reached)
        told = [row for row in reached if row.purpose != AUTO_TOP_UP]
        if told:
            fallen.append((wallet, told[0]))
    for code, unit in units.items():
        arm(session, [wallet.id for wallet in wallets if wallet.unit == code], unit)
    owners = session.scalars(
        select(AccountRow).where(AccountRow.id.in_([wallet.account_id for wallet, _ in fallen]))
    )
    accounts = {row.id: row for row in owners}
    for wallet, lowest in fallen:
        account = accounts[wallet.account_id]
        # In shadow another system bills the account: it is that one's to tell.
        if account.status != AccountStatus.TERMINATED and not account.shadow:
            looked.messages += _tell(session, wallet, lowest)


def _rose(marks: Iterable[BalanceMarkRow], row: BalanceThresholdRow, edge: int) -> bool:
    """Whether the wallet was above a threshold since that was reached, even if it fell again meanwhile."""
    return any(mark.can_spend >= edge and mark.at_us >= (row.reached_us or 0) for mark in marks)


def _locked_fillings(wallet_ids: Sequence[int]) -> Select[AutoTopUpRow]:
    return (
        select(AutoTopUpRow)
        .where(AutoTopUpRow.wallet_id.in_(wallet_ids))
        .order_by(AutoTopUpRow.wallet_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _look(
    wallet: WalletRow,
    thresholds: Iterable[BalanceThresholdRow],
    unit: Unit,
    filling: AutoTopUpRow | None,
    now_us: int,
) -> list[BalanceThresholdRow]:
    """Write down how a wallet stands to its thresholds; those that it fell below, the lowest first."""
    left = available(wallet)
    reached = []
    for row in thresholds:
        if left >= edge(row.below, unit):
            row.reached_us = None
            continue
        if row.reached_us is None:
            row.reached_us = now_us
            reached.append(row)
        if row.purpose == AUTO_TOP_UP and filling is not None and _waits_for_a_fall(filling):
            filling.next_us = now_us
    return reached


def _waits_for_a_fall(filling: AutoTopUpRow) -> bool:
    return filling.state == "on" and filling.next_us is None and filling.payment_id is None


def _tell(session: Session, wallet: WalletRow, lowest: BalanceThresholdRow) -> int:
    """One message for one fall, of the lowest threshold that it passed: it says all that the others would."""
    assert lowest.reached_us is not None
    facts: dict[str, Fact] = {"balance": Money(available(wallet), wallet.unit)}
    kind = NoticeKind.BALANCE_USED_UP
    if lowest.below:
        kind = NoticeKind.LOW_BALANCE
        facts["threshold"] = Money(lowest.below, wallet.unit)
    key = f"wallet:{wallet.id}:{lowest.below}:{lowest.reached_us}"
    return tell(session, wallet.account_id, kind, key=key, facts=facts, now_us=lowest.reached_us)
