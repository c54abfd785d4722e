"""What the first page of the panel shows: today against a week ago, what is owed, whose credit ends, alerts.

Everything is what the one who looks has issued or may see. Sums of calls come from roll-ups where they hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.clock import SECOND_US
from pbxbill.listing.at_risk import at_risk as wallets_at_risk
from pbxbill.reports.other_charges import charged_in
from pbxbill.reports.sums import Summed, Wanted, read
from pbxbill.store.catalogue_models import AlertRow, HeldCountryRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.lease import STALE_US
from pbxbill.store.mediation_models import QuarantinedRow
from pbxbill.store.models import AccountRow, UnitRow, WalletRow
from pbxbill.store.notice_models import JobRow
from pbxbill.store.switch_models import DaemonLeaseRow

DAYS = 14
"""How far back the chart of days goes, today included."""
WEEK = 7
HOUR_US = 3_600 * SECOND_US
SHOWN = 6
FRESH_US = 2 * 86_400 * SECOND_US
"""How old an alert on the first page may be."""


@dataclass(frozen=True, slots=True)
class DaySums:
    """What one day, or a part of it, brought in one unit."""

    net: int = 0
    """Of calls, without tax."""
    cost: int = 0
    """Of calls."""
    other: int = 0
    """Subscriptions, fees, what else was charged, and what credit and debit notes changed; without tax."""

    @property
    def income(self) -> int:
        """Of calls and of all else, without tax."""
        return self.net + self.other

    @property
    def margin(self) -> int:
        """What calls leave after their cost."""
        return self.net - self.cost


@dataclass(frozen=True, slots=True)
class Earned:
    """Calls and money of the last days, by unit."""

    starts_us: tuple[int, ...]
    """When each day begins, the oldest first; the last one is today."""
    calls: tuple[int, ...]
    answered: tuple[int, ...]
    by_unit: dict[str, tuple[DaySums, ...]]
    """The unit that brought most comes first."""
    calls_then: int
    """Until the same time of the day, a week ago."""
    then: dict[str, DaySums]
    """The same of money."""


def _earned(
    starts: Sequence[int],
    summed: Sequence[Summed],
    other: Sequence[tuple[int, str, int]],
    scales: Mapping[str, int],
) -> Earned:
    """other: charges and notes by place of the day, unit and amount. scales: of units, to compare them by."""
    calls, answered = [0] * (DAYS + 1), [0] * (DAYS + 1)
    by_unit: dict[str, list[DaySums]] = {}
    for one in summed:
        calls[one.bucket] += one.sums.calls
        answered[one.bucket] += one.sums.answered
        if not one.unit:
            continue
        days = by_unit.setdefault(one.unit, [DaySums()] * (DAYS + 1))
        before = days[one.bucket]
        days[one.bucket] = DaySums(before.net + one.sums.net, before.cost + one.sums.cost)
    for place, unit, net in other:
        days = by_unit.setdefault(unit, [DaySums()] * (DAYS + 1))
        days[place] = replace(days[place], other=days[place].other + net)

    def size(unit: str) -> tuple[Fraction, str]:
        brought = sum(x.income for x in by_unit[unit][:DAYS])
        return -Fraction(brought, 10 ** scales.get(unit, 0)), unit

    return Earned(
        tuple(starts),
        tuple(calls[:DAYS]),
        tuple(answered[:DAYS]),
        {unit: tuple(by_unit[unit][:DAYS]) for unit in sorted(by_unit, key=size)},
        calls[DAYS],
        {unit: days[DAYS] for unit, days in by_unit.items()},
    )


@dataclass(frozen=True, slots=True)
class HourSums:
    """Today hour by hour, beside the same day a week ago. Hours that are to come have nothing yet."""

    starts_us: tuple[int, ...]
    calls: tuple[int, ...]
    calls_then: tuple[int, ...]
    net: dict[str, tuple[int, ...]]
    """By unit, without tax."""
    net_then: dict[str, tuple[int, ...]]


def _by_hour(starts: Sequence[int], begun: int, then: int, summed: Sequence[Summed]) -> HourSums:
    calls = [0] * (begun + then)
    net: dict[str, list[int]] = {}
    for one in summed:
        calls[one.bucket] += one.sums.calls
        if one.unit:
            net.setdefault(one.unit, [0] * len(calls))[one.bucket] += one.sums.net
    many = len(starts)
    return HourSums(
        tuple(starts),
        _filled(calls[:begun], many),
        _filled(calls[begun:], many),
        {unit: _filled(values[:begun], many) for unit, values in sorted(net.items())},
        {unit: _filled(values[begun:], many) for unit, values in sorted(net.items())},
    )


def first_page(session: Session, seller: AccountRow, now_us: int, zone: str) -> tuple[Earned, HourSums]:
    """The last days of the one who sells, and the hours of today beside those of the day a week ago.

    In one reading, today as the sum of its hours: what is not rolled up yet is read from the records once.
    """
    today = local_date(now_us, zone)
    days = [day_start_us(today - timedelta(days=back), zone) for back in range(DAYS - 1, -1, -1)]
    starts = _hours(today, zone)
    # Where clocks are changed a day has an hour more or less: what has no counterpart is left out.
    then = _hours(today - timedelta(days=WEEK), zone)[: len(starts)]
    begun = [x for x in starts if x < now_us]
    # Roll-ups hold whole hours: the hour that runs is compared as far as it has run, from the records.
    week_ago_us = days[-1 - WEEK]
    past = [*pairwise(days), (week_ago_us, week_ago_us + (now_us - days[-1]))]
    hours = [(x, min(x + HOUR_US, now_us)) for x in begun] + [(x, x + HOUR_US) for x in then]
    summed = read(session, Wanted(seller, "direction", [*past, *hours], by_member=False))
    of_days, of_hours = [], []
    for one in summed:
        number = one.bucket - len(past)
        if number >= 0:
            of_hours.append(one._replace(bucket=number))
        elif one.bucket == DAYS - 1:
            of_days.append(one._replace(bucket=DAYS))
        else:
            of_days.append(one)
        if 0 <= number < len(begun):
            of_days.append(one._replace(bucket=DAYS - 1))
    # The day a week ago counts as far as today has come.
    spans = [*pairwise(days), (days[-1], now_us + 1), past[-1]]
    other = charged_in(session, seller, spans)
    scales = {x.code: x.scale for x in session.scalars(select(UnitRow))}
    earned = _earned(days, of_days, other, scales)
    return earned, _by_hour(starts, len(begun), len(then), of_hours)


def _hours(day: date, zone: str) -> list[int]:
    return list(range(day_start_us(day, zone), day_start_us(day + timedelta(days=1), zone), HOUR_US))


def _filled(values: Sequence[int], length: int) -> tuple[int, ...]:
    return (*values, *[0] * (length - len(values)))


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for somebody: how much of each."""

    alerts: int
    held_countries: int
    quarantined: int = 0
    failing_jobs: int = 0
    lost_switches: int = 0

    @property
    def anything(self) -> bool:
        """Whether there is any of it."""
        return any(
            (self.alerts, self.held_countries, self.quarantined, self.failing_jobs, self.lost_switches)
        )


def waiting(session: Session, scope: Scope, now_us: int) -> Waiting:
    """What waits for the one who looks: of the installation for the operator alone."""
    alerts = select(func.count()).select_from(AlertRow).where(AlertRow.done_us.is_(None), _seen(scope))
    held = select(func.count()).select_from(HeldCountryRow)
    held = held.where(~HeldCountryRow.released, scope.among(HeldCountryRow.account_id))
    if not scope.is_everything:
        return Waiting(session.scalar(alerts) or 0, session.scalar(held) or 0)
    records = select(func.count()).select_from(QuarantinedRow).where(QuarantinedRow.state == "open")
    jobs = select(func.count()).select_from(JobRow).where(JobRow.enabled, JobRow.failures > 0)
    leases = select(func.count()).select_from(DaemonLeaseRow)
    leases = leases.where(DaemonLeaseRow.renewed_us < now_us - STALE_US)
    return Waiting(*(session.scalar(x) or 0 for x in (alerts, held, records, jobs, leases)))


def _seen(scope: Scope) -> ColumnElement[bool]:
    return true() if scope.is_everything else scope.among(AlertRow.account_id)


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
    """A wallet whose funds or credit are nearly used up, or overdrawn."""

    account_id: int
    code: str
    name: str
    unit: str
    posted: int
    available: int


def at_risk(session: Session, scope: Scope) -> tuple[int, list[AtRisk]]:
    """How many accounts have a wallet at risk, and the wallets that hold least."""
    seen = scope.among(WalletRow.account_id)
    counted = session.scalar(wallets_at_risk([func.count(WalletRow.account_id.distinct())]).where(seen))
    available = WalletRow.posted - WalletRow.reserved + WalletRow.credit_limit
    columns = AccountRow.id, AccountRow.code, AccountRow.name, WalletRow.unit, WalletRow.posted, available
    query = wallets_at_risk(columns).where(seen).order_by(WalletRow.posted, WalletRow.id).limit(SHOWN)
    return counted or 0, [AtRisk(*row) for row in session.execute(query)]


def fresh_alerts(session: Session, scope: Scope, now_us: int) -> list[AlertRow]:
    """The newest open alerts of the last days: a reseller sees those of his accounts."""
    query = select(AlertRow).where(
        AlertRow.at_us > now_us - FRESH_US, AlertRow.done_us.is_(None), _seen(scope)
    )
    return list(session.scalars(query.order_by(AlertRow.at_us.desc(), AlertRow.id.desc()).limit(SHOWN)))
