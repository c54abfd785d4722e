"""Points an account has: what is left of its lots, spent into funds, and gone when their time is over.

The first to expire are spent first. What one is worth says the rule that gave it.
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import locked_wallet, post
from pbxbill.billing.notices.noticing import Fact, NoticeKind, tell
from pbxbill.billing.period import local_date
from pbxbill.billing.points.points_earning import (
    DAY_US,
    POINTS,
    earn_by_top_up,
    give,
    leave,
    take_back,
)
from pbxbill.billing.points.points_rules import lots_by_expiry
from pbxbill.billing.profiles import profile_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.events import PostEntry
from pbxbill.errors import DuplicateKey, InputRefused
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, JournalEntryRow, LedgerAccountRow, PostingRow
from pbxbill.store.payment_models import PointsLotRow, PointsRuleRow

__all__ = ["earn_by_top_up", "expire", "give_by_hand", "holdings", "spend", "take_back", "tell_of_expiry"]

TOLD_AHEAD_DAYS = 14
MAX_KEY_LENGTH = 100


class Holding(NamedTuple):
    """Points of a unit that an account has."""

    unit: str
    left: int
    expires_next: int
    """How many are the first to go."""
    expires_us: int | None
    """When; None: never."""


class Spent(NamedTuple):
    """Points that became funds."""

    points: int
    amount: int
    unit: str
    entry_id: str
    """Of the money."""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Spending:
    """What is to be spent."""

    points_unit: str
    points: int
    unit: str
    """Of the wallet that the funds go to."""
    key: str = ""
    """The same key spends once."""


def holdings(session: Session, account_id: int, now_us: int) -> list[Holding]:
    """What an account has."""
    query = select(PointsLotRow).where(PointsLotRow.account_id == account_id, PointsLotRow.left > 0)
    by_unit: dict[str, list[PointsLotRow]] = {}
    for lot in session.scalars(query):
        if lot.expires_us is None or lot.expires_us > now_us:
            by_unit.setdefault(lot.unit, []).append(lot)
    found = []
    for unit, lots in sorted(by_unit.items()):
        ends = [lot.expires_us for lot in lots if lot.expires_us is not None]
        first_us = min(ends, default=None)
        going = sum(lot.left for lot in lots if first_us is not None and lot.expires_us == first_us)
        found.append(Holding(unit, sum(lot.left for lot in lots), going, first_us))
    return found


def earns_points(session: Session, account: AccountRow) -> bool:
    """Whether a rule of who bills an account gives points, or it has some from before."""
    rule = select(PointsRuleRow.id).where(
        PointsRuleRow.issuer_id == account.parent_id, PointsRuleRow.state == "active"
    )
    lot = select(PointsLotRow.id).where(PointsLotRow.account_id == account.id)
    return any(session.scalar(query.limit(1)) is not None for query in (rule, lot))


def spend(session: Session, books: Bookkeeper, account: AccountRow, spending: Spending, now_us: int) -> Spent:
    """Turn points into funds; InputRefused where there are not so many that are worth something."""
    if spending.points <= 0:
        raise InputRefused("say how many points are to be spent: one or more")
    if len(spending.key) > MAX_KEY_LENGTH or not spending.key.isprintable():
        raise InputRefused(f"a key has up to {MAX_KEY_LENGTH} printable characters")
    # All wallets of the account: the one of the money, too.
    locked_wallet(session, account.id, spending.unit)
    key = f"{POINTS}-spent:{account.id}:{spending.key or new_id()}"
    repeated = _spent_before(session, account, spending, key)
    if repeated is not None:
        return repeated
    amount = _taken_off_lots(session, account, spending, now_us)
    points, unit = spending.points_unit, spending.unit
    said = f"{spending.points} {points} spent"
    leave(session, books, account.id, points, spending.points, key=key, memo=said, now_us=now_us)
    into = PostEntry(
        f"{key}:in", account.id, unit, amount, ((LedgerCode.POINTS, amount),), POINTS, now_us, said
    )
    return Spent(spending.points, amount, unit, post(session, books, into).entry_id)


def _taken_off_lots(session: Session, account: AccountRow, spending: Spending, now_us: int) -> int:
    """What the points are worth."""
    left, amount = spending.points, 0
    for lot in lots_by_expiry(session, account.id, spending.points_unit):
        rule = None if lot.rule_id is None else session.get_one(PointsRuleRow, lot.rule_id)
        if rule is None or not rule.worth or rule.unit != spending.unit:
            continue
        if lot.expires_us is not None and lot.expires_us <= now_us:
            continue
        part = min(left, lot.left)
        lot.left -= part
        left -= part
        amount += part * rule.worth
    if left:
        raise InputRefused(
            f"{account.code} has {spending.points - left} {spending.points_unit} to spend in {spending.unit}"
        )
    return amount


def _spent_before(session: Session, account: AccountRow, spending: Spending, key: str) -> Spent | None:
    entry = session.scalar(select(JournalEntryRow).where(JournalEntryRow.idempotency_key == f"{key}:in"))
    if entry is None:
        return None
    out = session.scalars(select(JournalEntryRow).where(JournalEntryRow.idempotency_key == key)).one()
    points = -_into_wallet(session, out.id, account.id)
    asked = (spending.points, spending.points_unit, spending.unit)
    if (points, out.unit, entry.unit) != asked:
        raise DuplicateKey(f"{spending.key!r} was used before to spend other points")
    return Spent(points, _into_wallet(session, entry.id, account.id), entry.unit, entry.id, repeated=True)


def _into_wallet(session: Session, entry_id: str, account_id: int) -> int:
    return -session.scalars(
        select(PostingRow.amount)
        .join(LedgerAccountRow, LedgerAccountRow.id == PostingRow.ledger_account_id)
        .where(
            PostingRow.entry_id == entry_id,
            LedgerAccountRow.code == LedgerCode.WALLET,
            LedgerAccountRow.holder_id == account_id,
        )
    ).one()


def give_by_hand(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    books: Bookkeeper,
    account: AccountRow,
    rule_id: int,
    points: int,
    *,
    key: str,
    reason: str,
    now_us: int,
) -> bool:
    """Give points that last and are worth as a rule says; False where the key gave them before."""
    rule = session.get(PointsRuleRow, rule_id)
    if rule is None or rule.issuer_id != account.parent_id:
        raise InputRefused(f"{account.code}'s seller has no rule {rule_id}; `pbxbill points rules list`")
    if not 0 < points <= 10**9:
        raise InputRefused("give 1 to 1000000000 points")
    if not (reason.isprintable() and reason.strip()) or len(key) > 60:
        raise InputRefused("say why in printable characters; a key has up to 60")
    key = f"hand:{account.id}:{key or new_id()}"
    known = session.scalar(select(PointsLotRow).where(PointsLotRow.key == key))
    if known is not None and (known.earned, known.rule_id) != (points, rule.id):
        raise DuplicateKey("this key was used before to give other points")
    return give(session, books, account, rule, key=key, points=points, now_us=now_us, memo=reason) is not None


def expiring_accounts(database: Engine, now_us: int) -> list[tuple[int, str]]:
    """Accounts with points whose time is over, and the unit."""
    over = select(PointsLotRow.account_id, PointsLotRow.unit).where(
        PointsLotRow.left > 0, PointsLotRow.expires_us <= now_us
    )
    with transaction(reading(database)) as session:
        return [(account_id, unit) for account_id, unit in session.execute(over.distinct())]


def expire(session: Session, books: Bookkeeper, account_id: int, unit: str, now_us: int) -> int:
    """Take what is over out of the wallet; how many points."""
    locked_wallet(session, account_id, unit)
    gone = 0
    for lot in lots_by_expiry(session, account_id, unit):
        if lot.expires_us is None or lot.expires_us > now_us or not lot.left:
            continue
        left, lot.left = lot.left, 0
        gone += left
        key = f"{POINTS}-expired:{lot.id}"
        leave(session, books, account_id, unit, left, key=key, memo="expired", now_us=now_us)
    return gone


def accounts_to_tell(database: Engine, now_us: int) -> list[tuple[int, str]]:
    """Accounts whose points expire soon and who do not know, and the unit."""
    soon = select(PointsLotRow.account_id, PointsLotRow.unit).where(
        PointsLotRow.left > 0,
        PointsLotRow.told_us.is_(None),
        PointsLotRow.expires_us > now_us,
        PointsLotRow.expires_us <= now_us + TOLD_AHEAD_DAYS * DAY_US,
    )
    with transaction(reading(database)) as session:
        return [(account_id, unit) for account_id, unit in session.execute(soon.distinct())]


def tell_of_expiry(session: Session, account_id: int, unit: str, now_us: int) -> int:
    """Say once how many points expire soon, and when the first do; how many they are."""
    locked_wallet(session, account_id, unit)
    soon_us = now_us + TOLD_AHEAD_DAYS * DAY_US
    lots = [
        lot
        for lot in lots_by_expiry(session, account_id, unit)
        if lot.expires_us is not None and now_us < lot.expires_us <= soon_us and lot.told_us is None
    ]
    if not lots:
        return 0
    first_us = lots[0].expires_us or 0
    points = sum(lot.left for lot in lots)
    day = local_date(first_us, profile_of(session, account_id).cycle.zone)
    key = f"points:{lots[0].id}"
    facts: dict[str, Fact] = {"points": points, "day": day}
    tell(session, account_id, NoticeKind.POINTS_EXPIRING, key=key, facts=facts, now_us=now_us)
    for lot in lots:
        lot.told_us = now_us
    session.flush()
    return points
