"""Who owes what since when, now or as of a past moment; how accounts pay; and the list for collection.

What is open at a moment follows from what was due and what went to each invoice until then, so that the list
of a past day is the same whenever it is asked for. Days late are counted from the end of the due day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.models import AccountRow

DAY_US = 86_400 * SECOND_US
BUCKETS = ("current", "1-30", "31-60", "61-90", "91-120", "120+")
"""Days late; current: the due day is not over."""
BEHAVIOUR_DAYS = 365

_OPEN = (
    "SELECT a.id AS account_id, a.code AS code, a.name AS name, a.parent_id AS parent_id, i.unit AS unit, "
    "i.due_us AS due_us, i.id AS invoice_id, i.number AS number, "
    "i.due - COALESCE((SELECT SUM(x.amount) FROM allocations x "
    "WHERE x.invoice_id = i.id AND x.at_us <= :at_us), 0) AS open "
    "FROM invoices i JOIN accounts a ON a.id = i.account_id "
    "WHERE i.kind IN ('invoice', 'debit_note') AND i.number IS NOT NULL AND i.issued_us <= :at_us "
    "AND (i.open > 0 OR EXISTS (SELECT 1 FROM allocations y WHERE y.invoice_id = i.id AND y.at_us > :at_us)) "
    "{chosen}"
)
_BUCKET = "SUM(CASE WHEN {condition} THEN o.open ELSE 0 END)"
_AGED = (
    "SELECT {group}, o.unit, COUNT(*), CAST(SUM(o.open) AS BIGINT), {buckets}, CAST(MIN(o.due_us) AS BIGINT) "
    "FROM ({open}) o JOIN accounts p ON p.id = o.parent_id WHERE o.open > 0 "
    "GROUP BY {group}, o.unit ORDER BY 5 DESC, 1"
)
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
    chosen, values = _chosen(at_us, below, account)
    group = "p.code, p.name" if by_reseller else "o.code, o.name"
    statement = _AGED.format(group=group, buckets=_buckets(), open=_OPEN.format(chosen=chosen))
    found = []
    for code, name, unit, invoices, open_, *late, oldest_us in session.execute(text(statement), values):
        found.append(Aged(code, name, unit, invoices, open_, tuple(late), oldest_us))
    return found


def open_invoices(session: Session, account: AccountRow, at_us: int) -> list[OpenInvoice]:
    """What is open of one account's invoices, what was due first first."""
    chosen, values = _chosen(at_us, None, account)
    statement = (
        f"SELECT o.number, o.unit, CAST(o.open AS BIGINT), o.due_us FROM ({_OPEN.format(chosen=chosen)}) o "  # noqa: S608
        "WHERE o.open > 0 ORDER BY o.due_us, o.invoice_id"
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
    chosen, named = "", dict[str, object](at_us=at_us)
    if account is not None:
        chosen += " AND i.account_id = :account_id"
        named["account_id"] = account.id
    if below is not None:
        # Paths are digits and strokes: there is nothing to escape.
        chosen += " AND a.path LIKE :below AND a.id <> :below_id"
        named |= {"below": f"{below.path}%", "below_id": below.id}
    return chosen, named


def _buckets() -> str:
    late = "(:at_us - COALESCE(o.due_us, :at_us))"
    ends = (0, 30, 60, 90, 120)
    between = (f"{late} > {first * DAY_US} AND {late} <= {last * DAY_US}" for first, last in pairwise(ends))
    conditions = (f"{late} <= 0", *between, f"{late} > {ends[-1] * DAY_US}")
    return ", ".join(f"CAST({_BUCKET.format(condition=each)} AS BIGINT)" for each in conditions)
