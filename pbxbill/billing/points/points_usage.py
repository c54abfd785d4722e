"""Points earned by usage: once a day, by what wallets gave for calls and the like since the last time.

As far as entries are certain to be all there: a day stays open, so points come a day after the calls. What is
not enough for a point counts towards the next one; what re-rating gave back counts against it.
"""

from typing import NamedTuple

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.gathering import MARGIN_MS
from pbxbill.billing.points.points_earning import give
from pbxbill.billing.points.points_rules import USAGE
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.ids import id_of_moment
from pbxbill.store.driver import rows_within
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import EarnedToRow, PointsRuleRow

PAGE = 500
_USED = (
    "SELECT a.id, (SELECT CAST(SUM(p.amount) AS BIGINT) FROM postings p "
    "JOIN journal_entries e ON e.id = p.entry_id WHERE p.ledger_account_id = w.ledger_account_id "
    "AND p.entry_id >= COALESCE(t.entry_id, :first) AND p.entry_id < :until "
    "AND e.kind IN ('usage', 'volume', 'correction')) FROM accounts a "
    "JOIN wallets w ON w.account_id = a.id AND w.unit = :unit "
    "LEFT JOIN points_earned_to t ON t.account_id = a.id AND t.rule_id = :rule_id "
    "WHERE a.parent_id = :issuer_id AND a.id > :after {one} ORDER BY a.id LIMIT :page"
)


class Used(NamedTuple):
    """What an account used since the last time."""

    account_id: int
    amount: int


def usage_rules(database: Engine) -> list[int]:
    """Rules by which usage earns points."""
    query = select(PointsRuleRow.id).where(PointsRuleRow.kind == USAGE, PointsRuleRow.state == "active")
    with transaction(reading(database)) as session:
        return list(session.scalars(query.order_by(PointsRuleRow.id)))


def used_since(
    session: Session, rule: PointsRuleRow, *, until: str, after_id: int = 0, account_id: int | None = None
) -> list[tuple[int, int | None]]:
    """A page of accounts under a rule with what they used; None: nothing."""
    values = {
        "first": id_of_moment(rule.from_us),
        "until": until,
        "unit": rule.unit,
        "rule_id": rule.id,
        "issuer_id": rule.issuer_id,
        "after": after_id,
        "page": PAGE,
    }
    one = "" if account_id is None else "AND a.id = :account_id"
    if account_id is not None:
        values["account_id"] = account_id
    return [(row[0], row[1]) for row in rows_within(session, _USED.format(one=one), values)]


def certain_until(now_us: int) -> str:
    """Entries before this id are all there."""
    return id_of_moment(now_us - MARGIN_MS * 1_000)


def earn_by_usage(
    session: Session, books: Bookkeeper, rule_id: int, account_id: int, until: str, now_us: int
) -> int:
    """What an account has earned under a rule up to an entry; how many points. The same time earns once."""
    account = session.get_one(AccountRow, account_id)
    rule = session.get_one(PointsRuleRow, rule_id)
    mark = session.get(EarnedToRow, (account_id, rule_id), with_for_update=True, populate_existing=True)
    found = used_since(session, rule, until=until, account_id=account_id)
    if (mark is not None and mark.entry_id >= until) or not found or not found[0][1]:
        return 0
    rest = found[0][1] + (mark.rest if mark else 0)
    pieces = max(0, rest) // rule.per
    if mark is None:
        mark = EarnedToRow(account_id=account_id, rule_id=rule_id, entry_id=until, rest=0)
        session.add(mark)
    mark.entry_id, mark.rest = until, rest - pieces * rule.per
    # Before the wallets: whoever earns for the same account at this moment fails on the row's key here.
    session.flush()
    key = f"{USAGE}:{rule_id}:{account_id}:{until}"
    lot = give(session, books, account, rule, key=key, points=pieces * rule.points, now_us=now_us)
    if lot is not None:
        lot.amount = pieces * rule.per
        session.flush()
    return 0 if lot is None else lot.earned
