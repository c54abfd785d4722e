"""What the first page of the panel shows: today against a week ago, what is owed, whose credit ends, alerts.

Everything is what the one who looks has issued or may see. Sums of calls come from roll-ups where they hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.clock import SECOND_US
from pbxbill.reports.sums import Summed, Wanted, read
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, WalletRow

DAYS = 14
"""How far back the chart of days goes, today included."""
WEEK = 7
HOUR_US = 3_600 * SECOND_US
USED_TENTHS = 9
"""Who has used so many tenths of his credit is at risk."""
SHOWN = 6
FRESH_US = 2 * 86_400 * SECOND_US
"""How old an alert on the first page may be."""


@dataclass(frozen=True, slots=True)
class DaySums:
    """What calls of one day, or of a part of it, brought in one unit."""

    net: int = 0
    """Without tax."""
    cost: int = 0

    @property
    def margin(self) -> int:
        """What is left after the cost."""
        return self.net - self.cost


@dataclass(frozen=True, slots=True)
class Earned:
    """Calls and money of the last days, by unit."""

    starts_us: tuple[int, ...]
    """When each day begins, the oldest first; the last one is today."""
    calls: tuple[int, ...]
    answered: tuple[int, ...]
    by_unit: dict[str, tuple[DaySums, ...]]
    calls_then: int
    """Until the same time of the day, a week ago."""
    then: dict[str, DaySums]
    """The same of money."""


def earned(session: Session, seller: AccountRow, now_us: int, zone: str) -> Earned:
    """The last days of the one who sells, and the same part of the day a week ago."""
    today = local_date(now_us, zone)
    starts = [day_start_us(today - timedelta(days=back), zone) for back in range(DAYS - 1, -1, -1)]
    week_ago_us = starts[-1 - WEEK]
    # Roll-ups hold whole hours: the hour that runs is compared as far as it has run, from the records.
    same_time_us = week_ago_us + (now_us - starts[-1])
    ends = [*starts[1:], now_us]
    buckets = [*zip(starts, ends, strict=True), (week_ago_us, same_time_us)]
    summed = read(session, Wanted(seller, "direction", buckets, by_member=False))
    return _earned(starts, summed)


def _earned(starts: Sequence[int], summed: Sequence[Summed]) -> Earned:
    calls, answered = [0] * (DAYS + 1), [0] * (DAYS + 1)
    by_unit: dict[str, list[DaySums]] = {}
    for one in summed:
        if not one.unit:
            calls[one.bucket] += one.sums.calls
            answered[one.bucket] += one.sums.answered
            continue
        days = by_unit.setdefault(one.unit, [DaySums()] * (DAYS + 1))
        before = days[one.bucket]
        days[one.bucket] = DaySums(before.net + one.sums.net, before.cost + one.sums.cost)
    return Earned(
        tuple(starts),
        tuple(calls[:DAYS]),
        tuple(answered[:DAYS]),
        {unit: tuple(days[:DAYS]) for unit, days in sorted(by_unit.items())},
        calls[DAYS],
        {unit: days[DAYS] for unit, days in by_unit.items()},
    )


@dataclass(frozen=True, slots=True)
class Owed:
    """Invoices in one unit that should have been paid."""

    unit: str
    invoices: int
    open: int


def overdue(session: Session, scope: Scope, now_us: int) -> list[Owed]:
    """What the issuer's invoices lack, whose day has passed, by unit."""
    query = (
        select(InvoiceRow.unit, func.count(), func.sum(InvoiceRow.open))
        .where(
            InvoiceRow.state.in_(("issued", "partly_paid")),
            InvoiceRow.due_us < now_us,
            InvoiceRow.kind.in_(("invoice", "debit_note")),
            InvoiceRow.open > 0,
            scope.issued(InvoiceRow.issuer_id),
        )
        .group_by(InvoiceRow.unit)
        .order_by(InvoiceRow.unit)
    )
    return [Owed(unit, invoices, int(amount)) for unit, invoices, amount in session.execute(query)]


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A wallet whose credit is nearly used up, or overdrawn."""

    account_id: int
    code: str
    name: str
    unit: str
    posted: int
    available: int


def at_risk(session: Session, scope: Scope) -> tuple[int, list[AtRisk]]:
    """How many wallets are at risk, and those that owe most."""
    available = WalletRow.posted - WalletRow.reserved + WalletRow.credit_limit
    nearly = (WalletRow.credit_limit > 0) & (available * 10 < WalletRow.credit_limit * (10 - USED_TENTHS))
    condition = (
        scope.among(WalletRow.account_id),
        AccountRow.status != "terminated",
        or_(nearly, WalletRow.overdraft > 0),
    )
    joined = AccountRow.id == WalletRow.account_id
    counted = session.scalar(
        select(func.count()).select_from(WalletRow).join(AccountRow, joined).where(*condition)
    )
    query = (
        select(
            AccountRow.id,
            AccountRow.code,
            AccountRow.name,
            WalletRow.unit,
            WalletRow.posted,
            available,
        )
        .select_from(WalletRow)
        .join(AccountRow, joined)
        .where(*condition)
        .order_by(WalletRow.posted, WalletRow.id)
        .limit(SHOWN)
    )
    return counted or 0, [AtRisk(*row) for row in session.execute(query)]


def fresh_alerts(session: Session, scope: Scope, now_us: int) -> list[AlertRow]:
    """The newest alerts of the last days: a reseller sees those of his accounts."""
    query = select(AlertRow).where(AlertRow.at_us > now_us - FRESH_US)
    if not scope.is_everything:
        query = query.where(scope.among(AlertRow.account_id))
    return list(session.scalars(query.order_by(AlertRow.at_us.desc(), AlertRow.id.desc()).limit(SHOWN)))
