"""Points earned: by a top-up as it comes, given by hand, and taken back where the money went back.

What is earned at once is a lot, made once for its cause. Lots of an account change only while its wallets are
locked, as counters do.
"""

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.billing.points.points_rules import REFERRAL, TOP_UP, lots_by_expiry, rules_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import Moved, PostEntry
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import MAX_AMOUNT
from pbxbill.store.accounts import open_wallet
from pbxbill.store.models import AccountRow, JournalEntryRow, WalletRow
from pbxbill.store.payment_models import PointsLotRow, PointsRuleRow, ReferralRow

POINTS = "points"
"""The kind of journal entries that move points, or money for them."""
EARNING_KINDS = ("top-up", "payment", "voucher")
"""Entries that bring money from outside. A transfer does not: to and fro it would earn each time."""
DAY_US = 86_400 * SECOND_US
_log = structlog.get_logger()


def earn_by_top_up(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    *,
    unit: str,
    amount: int,
    entry_id: str,
    now_us: int,
) -> int:
    """What received money earns by its issuer's rules; how many points. The same entry earns once."""
    rules = rules_of(session, account.parent_id, TOP_UP, unit)
    referral = rules_of(session, account.parent_id, REFERRAL, unit)
    if not rules and not referral:
        return 0
    entry = session.get_one(JournalEntryRow, entry_id)
    if entry.kind not in EARNING_KINDS or amount <= 0:
        return 0
    earned = 0
    for rule in rules:
        points = amount // rule.per * rule.points
        key = f"{TOP_UP}:{rule.id}:{entry_id}"
        given = give(session, books, account, rule, key=key, points=points, now_us=now_us)
        if given is not None:
            given.amount, given.cause_id = amount, entry_id
            earned += points
    if any(amount >= rule.per for rule in referral):
        brought = session.get(ReferralRow, account.id, populate_existing=True)
        if brought is not None and brought.entry_id is None:
            brought.entry_id = entry_id
    session.flush()
    return earned


def give(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    rule: PointsRuleRow,
    *,
    key: str,
    points: int,
    now_us: int,
    memo: str = "",
) -> PointsLotRow | None:
    """A lot of points; None where its cause gave them before, or there are none to give."""
    if points <= 0:
        return None
    wallet_of_points(session, account, rule.points_unit)
    # Locked from here on: the same cause waits for us, and finds the lot.
    held = locked_wallet(session, account.id, rule.points_unit).posted
    if session.scalar(select(PointsLotRow.id).where(PointsLotRow.key == key)) is not None:
        return None
    if held + points > MAX_AMOUNT:
        _log.warning("points_not_given", account=account.code, points=points, why="the wallet is full")
        return None
    (moved,) = books.post(
        session,
        [
            PostEntry(
                f"{POINTS}:{key}",
                account.id,
                rule.points_unit,
                points,
                ((LedgerCode.POINTS, points),),
                POINTS,
                now_us,
                memo or f"{rule.kind.replace('_', ' ')}, rule {rule.id}",
            )
        ],
    )
    if not isinstance(moved, Moved):
        raise InputRefused(moved.reason)
    lot = PointsLotRow(
        key=key,
        account_id=account.id,
        rule_id=rule.id,
        unit=rule.points_unit,
        amount=0,
        earned=points,
        left=points,
        taken_back=0,
        earned_us=now_us,
        expires_us=None if rule.valid_days is None else now_us + rule.valid_days * DAY_US,
        entry_id=moved.entry_id,
    )
    session.add(lot)
    session.flush()
    return lot


def wallet_of_points(session: Session, account: AccountRow, unit: str) -> None:
    """Open it where the account has none."""
    exists = select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == unit)
    if session.scalar(exists) is not None:
        return
    # Two transactions would open two: whoever comes second waits, and finds the first one's.
    session.execute(select(AccountRow.id).where(AccountRow.id == account.id).with_for_update(key_share=True))
    if session.scalar(exists) is None:
        open_wallet(session, account, unit)


def take_back(session: Session, books: Bookkeeper, entry_id: str, *, kept: int, now_us: int) -> int:
    """Take back what a top-up earned that was reversed or refunded, as far as there are points; how many.

    kept: what of the money stays, 0 for all of it gone. What was spent already is taken of other lots.
    """
    taken = 0
    lots = session.scalars(select(PointsLotRow).where(PointsLotRow.cause_id == entry_id)).all()
    for lot in lots:
        rule = session.get_one(PointsRuleRow, lot.rule_id)
        locked_wallet(session, lot.account_id, lot.unit)
        session.refresh(lot)
        owed = lot.earned - kept // rule.per * rule.points - lot.taken_back
        if owed > 0:
            taken += _take(session, books, lot, owed, now_us)
    brought = session.scalar(select(ReferralRow).where(ReferralRow.entry_id == entry_id).with_for_update())
    if brought is not None and brought.rewarded_us is None:
        issuer_id = session.get_one(AccountRow, brought.account_id).parent_id
        unit = session.get_one(JournalEntryRow, entry_id).unit
        if not any(kept >= rule.per for rule in rules_of(session, issuer_id, REFERRAL, unit)):
            brought.entry_id = None
    session.flush()
    return taken


def _take(session: Session, books: Bookkeeper, lot: PointsLotRow, owed: int, now_us: int) -> int:
    others = [x for x in lots_by_expiry(session, lot.account_id, lot.unit) if x.id != lot.id]
    left = owed
    for source in (lot, *others):
        part = min(left, source.left)
        source.left -= part
        left -= part
    taken = owed - left
    if taken:
        lot.taken_back += taken
        key = f"{POINTS}-back:{lot.id}:{lot.taken_back}"
        leave(
            session,
            books,
            lot.account_id,
            lot.unit,
            taken,
            key=key,
            memo="its top-up went back",
            now_us=now_us,
        )
    return taken


def leave(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account_id: int,
    unit: str,
    points: int,
    *,
    key: str,
    memo: str,
    now_us: int,
) -> str:
    """Points out of a wallet; the caller has taken them off their lots. The entry's id."""
    entry = PostEntry(key, account_id, unit, -points, ((LedgerCode.POINTS, -points),), POINTS, now_us, memo)
    (moved,) = books.post(session, [entry])
    if not isinstance(moved, Moved):
        raise InputRefused(moved.reason)
    session.flush()
    return moved.entry_id
