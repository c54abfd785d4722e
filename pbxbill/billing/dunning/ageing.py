"""Who owes what since when, now or as of a past moment; how accounts pay; and the list for collection.

What is open at a moment follows from what was due and what went to each invoice until then, so that the list
of a past day is the same whenever it is asked for. Days late are counted from the end of the due day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.models import AccountRow

DAY_US = 86_400 * SECOND_US
BUCKETS = ("current", "1-30", "31-60", "61-90", "91-120", "120+")
"""Days late; current: the due day is not over."""
BEHAVIOUR_DAYS = 365

_ASKS = "i.kind IN ('invoice', 'debit_note') AND i.number IS NOT NULL AND i.issued_us <= :at_us {mine}"
# What is open now stands with each invoice, and what went to it since then is added to it again: of this
# moment no allocation is read.
_OPEN = (
    "WITH since AS MATERIALIZED (SELECT x.invoice_id, CAST(SUM(x.amount) AS BIGINT) AS amount "
    "FROM allocations x WHERE x.at_us > :at_us GROUP BY x.invoice_id), "
    "o AS (SELECT i.account_id, i.unit, i.due_us, i.id AS invoice_id, i.number, "
    "i.open + COALESCE(s.amount, 0) AS open FROM invoices i LEFT JOIN since s ON s.invoice_id = i.id "
    "WHERE i.open > 0 AND {asks} UNION ALL "
    "SELECT i.account_id, i.unit, i.due_us, i.id, i.number, s.amount "
    "FROM since s JOIN invoices i ON i.id = s.invoice_id WHERE i.open = 0 AND {asks}) "
)
# Of tens of thousands who owe, only those that are shown have their days late told apart.
_AGED = (
    "{open}, p AS MATERIALIZED (SELECT {whose} AS owner_id, o.unit, o.due_us, o.open, {bucket} AS bucket "
    "FROM o {joined} WHERE o.open > 0), "
    "g AS MATERIALIZED (SELECT p.owner_id, p.unit, SUM(p.open) AS open FROM p GROUP BY p.owner_id, p.unit), "
    "most AS (SELECT g.owner_id, g.unit FROM g ORDER BY g.open DESC, g.owner_id{limit}) "
    "SELECT g.unit, -1 AS bucket, 0 AS owner_id, '' AS code, '' AS name, COUNT(*) AS invoices, "
    "0 AS open, 0 AS oldest_us FROM g GROUP BY g.unit UNION ALL "
    "SELECT p.unit, p.bucket, 0, '', '', {sums} FROM p GROUP BY p.unit, p.bucket UNION ALL "
    "SELECT p.unit, p.bucket, a.id, a.code, a.name, {sums} FROM most m "
    "JOIN p ON p.owner_id = m.owner_id AND p.unit = m.unit JOIN accounts a ON a.id = m.owner_id "
    "GROUP BY p.unit, p.bucket, a.id, a.code, a.name"
)
"""How many owe in each unit, in place of a bucket; sums by unit and bucket; those of who owes most."""
_SUMS = "COUNT(*), CAST(SUM(p.open) AS BIGINT), CAST(MIN(p.due_us) AS BIGINT)"
_PAID = text(
    # When an invoice was settled: the last of what went to it.
    "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN late > 0 THEN 1 ELSE 0 END), 0) AS BIGINT), "
    "CAST(COALESCE(SUM(CASE WHEN late > 0 THEN late ELSE 0 END), 0) AS BIGINT) FROM ("
    "SELECT i.id, (MAX(x.at_us) - i.due_us + :day_us - 1) / :day_us AS late FROM invoices i "
    "JOIN allocations x ON x.invoice_id = i.id AND x.kind = 'payment' AND x.amount > 0 "
    "WHERE i.account_id = :account_id AND i.state = 'paid' AND i.due_us IS NOT NULL "
    "GROUP BY i.id, i.due_us HAVING MAX(x.at_us) > :from_us) s"
)
_BOUNCED = text(
    "SELECT COUNT(DISTINCT x.entry_id) FROM allocations x JOIN invoices i ON i.id = x.invoice_id "
    "WHERE i.account_id = :account_id AND x.kind = 'payment' AND x.amount < 0 AND x.at_us > :from_us"
)
_PROMISES = text(
    "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN state = 'broken' THEN 1 ELSE 0 END), 0) AS BIGINT) "
    "FROM promises_to_pay WHERE account_id = :account_id AND made_us > :from_us"
)
_COLLECTION = text(
    "SELECT a.code, a.name, COALESCE(p.legal_name, a.name), COALESCE(p.street, ''), "
    "COALESCE(p.postal_code, ''), COALESCE(p.city, ''), COALESCE(p.country, ''), COALESCE(p.email, ''), "
    "COALESCE(p.phone, ''), i.number, i.issued_us, i.due_us, i.total, i.open - i.disputed, i.unit, t.at_us, "
    "r.code FROM dunning_steps t JOIN invoices i ON i.id = t.invoice_id "
    "JOIN accounts a ON a.id = i.account_id JOIN accounts r ON r.id = i.issuer_id "
    "LEFT JOIN parties p ON p.account_id = a.id "
    "WHERE t.action = 'collection' AND t.ended_us IS NULL AND i.open > i.disputed AND t.at_us >= :from_us "
    "AND (CAST(:issuer_id AS BIGINT) = 0 OR i.issuer_id = :issuer_id) ORDER BY t.id"
)


class Aged(NamedTuple):
    """What somebody owes, by days late."""

    code: str
    """Of the account, or of the reseller that the accounts belong to."""
    name: str
    unit: str
    invoices: int
    open: int
    buckets: tuple[int, ...]
    """As BUCKETS are."""
    oldest_due_us: int | None


class _InBucket(NamedTuple):
    """What of it is in one of them."""

    bucket: int
    invoices: int
    open: int
    oldest_us: int | None


class Owed(NamedTuple):
    """Those who owe, and what all of them owe."""

    rows: list[Aged]
    """The most first."""
    totals: list[Aged]
    """Of all of them, one for each unit; code and name are empty."""
    many: int
    """How many rows there are without a limit."""


class OpenInvoice(NamedTuple):
    """An invoice that something is open of."""

    number: str
    unit: str
    open: int
    due_us: int | None
    days_late: int


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an account has paid."""

    paid: int
    """Invoices that were settled by payments."""
    late: int
    """Of them, after the due day."""
    days_late: int
    """Of those together."""
    bounced: int
    """Payments that were taken back."""
    promises: int
    broken: int

    @property
    def average_days_late(self) -> int:
        """Of all that were paid, rounded."""
        return (self.days_late * 2 + self.paid) // (self.paid * 2) if self.paid else 0

    @property
    def late_percent(self) -> int:
        """Share of what was paid late, rounded."""
        return (self.late * 200 + self.paid) // (self.paid * 2) if self.paid else 0


class ForCollection(NamedTuple):
    """An invoice that goes to a collection agency."""

    account: str
    name: str
    legal_name: str
    street: str
    postal_code: str
    city: str
    country: str
    email: str
    phone: str
    number: str
    issued_us: int
    due_us: int
    total: int
    overdue: int
    unit: str
    since_us: int
    issuer: str


def ageing(
    session: Session,
    at_us: int,
    *,
    below: AccountRow | None = None,
    account: AccountRow | None = None,
    by_reseller: bool = False,
) -> list[Aged]:
    """Who owes what, the most first; below: only accounts below this one; account: only this one.

    by_reseller: summed up for each account that sells.
    """
    return who_owes(session, at_us, below=below, account=account, by_reseller=by_reseller).rows


def who_owes(
    session: Session,
    at_us: int,
    *,
    below: AccountRow | None = None,
    account: AccountRow | None = None,
    by_reseller: bool = False,
    limit: int | None = None,
) -> Owed:
    """The same with sums of all; limit: only those who owe most, where tens of thousands may."""
    open_, values = _chosen(at_us, below, account)
    statement = _AGED.format(
        open=open_,
        whose="a.parent_id" if by_reseller else "o.account_id",
        joined="JOIN accounts a ON a.id = o.account_id" if by_reseller else "",
        bucket=_bucket(),
        sums=_SUMS,
        limit="" if limit is None else f" LIMIT {int(limit)}",
    )
    if session.get_bind().dialect.name == "postgresql":
        # Tens of thousands who owe are summed up in memory.
        session.execute(text("SET LOCAL work_mem = '32MB'"))
    many = 0
    found: dict[tuple[int, str, str, str], list[_InBucket]] = {}
    for unit, bucket, owner_id, code, name, *sums in session.execute(text(statement), values):
        if bucket < 0:
            many += sums[0]
        else:
            found.setdefault((owner_id, code, name, unit), []).append(_InBucket(bucket, *sums))
    rows = [_aged(code, name, unit, x) for (id, code, name, unit), x in found.items() if id]
    totals = [_aged(code, name, unit, x) for (id, code, name, unit), x in found.items() if not id]
    rows.sort(key=lambda x: (-x.open, x.code, x.unit))
    return Owed(rows, sorted(totals, key=lambda x: x.unit), many)


def _aged(code: str, name: str, unit: str, sums: Sequence[_InBucket]) -> Aged:
    buckets = {x.bucket: x.open for x in sums}
    return Aged(
        code,
        name,
        unit,
        sum(x.invoices for x in sums),
        sum(buckets.values()),
        tuple(buckets.get(number, 0) for number in range(len(BUCKETS))),
        min((x.oldest_us for x in sums if x.oldest_us is not None), default=None),
    )


def open_invoices(
    session: Session, account: AccountRow, at_us: int, most: int | None = None
) -> list[OpenInvoice]:
    """What is open of one account's invoices, what was due first first; most: no more of them."""
    open_, values = _chosen(at_us, None, account)
    limit = "" if most is None else f" LIMIT {most:d}"
    statement = (
        f"{open_}SELECT o.number, o.unit, CAST(o.open AS BIGINT), o.due_us FROM o "  # noqa: S608 ours
        f"WHERE o.open > 0 ORDER BY o.due_us, o.invoice_id{limit}"
    )
    return [
        OpenInvoice(number, unit, open_, due_us, max(0, -(-(at_us - (due_us or at_us)) // DAY_US)))
        for number, unit, open_, due_us in session.execute(text(statement), values)
    ]


def behaviour(session: Session, account: AccountRow, now_us: int, days: int = BEHAVIOUR_DAYS) -> Behaviour:
    """How an account has paid in the last days."""
    values = {"account_id": account.id, "from_us": now_us - days * DAY_US}
    paid, late, days_late = session.execute(_PAID, values | {"day_us": DAY_US}).one()
    bounced = session.execute(_BOUNCED, values).scalar_one()
    promises, broken = session.execute(_PROMISES, values).one()
    return Behaviour(paid, late, days_late, bounced, promises, broken)


def collection_list(
    session: Session, issuer: AccountRow | None = None, from_us: int = 0
) -> Iterator[ForCollection]:
    """Invoices whose last level was collection and that are still open; from_us: only those since then."""
    values = {"issuer_id": 0 if issuer is None else issuer.id, "from_us": from_us}
    for row in session.execute(_COLLECTION, values):
        yield ForCollection(*row)


def _chosen(
    at_us: int, below: AccountRow | None, account: AccountRow | None
) -> tuple[str, dict[str, object]]:
    """What is open of which accounts, and its values."""
    mine, named = "", dict[str, object](at_us=at_us)
    if account is not None:
        mine = "AND i.account_id = :account_id"
        named["account_id"] = account.id
    if below is not None:
        # Paths are digits and strokes: there is nothing to escape.
        below_it = "SELECT b.id FROM accounts b WHERE b.path LIKE :below AND b.id <> :below_id"
        mine += f" AND i.account_id IN ({below_it})"
        named |= {"below": f"{below.path}%", "below_id": below.id}
    return _OPEN.format(asks=_ASKS.format(mine=mine)), named


def _bucket() -> str:
    ends = (0, 30, 60, 90, 120)
    late = "(:at_us - COALESCE(o.due_us, :at_us))"
    whens = " ".join(f"WHEN {late} <= {days * DAY_US} THEN {number}" for number, days in enumerate(ends))
    return f"CASE {whens} ELSE {len(ends)} END"
